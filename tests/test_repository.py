"""The texts of the repository say what is there: links, commands, keys, quotations, the façade."""

import re
import shlex
import subprocess
import tomllib
import typing
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import BaseModel
from ruamel.yaml import YAML

from camloc import cli
from camloc.core.params import Params
from camloc.pipeline.publish import with_quotes

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "data" / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
every_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))


def blocks(page: Path, language: str) -> list[str]:
    """The fenced blocks of a language."""
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL)


def code(page: Path) -> list[str]:
    """Code in a text: what stands between backticks, and each line of the shell's blocks."""
    prose = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    lines = [line for block in blocks(page, "sh") for line in block.splitlines()]
    return re.findall(r"`([^`]+)`", prose) + lines


def anchors(page: Path) -> set[str]:
    """Those that GitHub makes of the headings."""
    titles = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@every_page
def test_links_lead_somewhere(page):
    for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        path, _, anchor = link.partition("#")
        target = page.parent / path if path else page
        assert link.startswith("https://") or target.exists(), link
        assert not anchor or anchor in anchors(target), link


@every_page
def test_files_of_the_repository_that_a_page_names_exist(page):
    folders = "src|docs|params|tests|benchmarks|notebooks"
    for name in re.findall(rf"(?:{folders})/[\w./-]*\w", "\n".join(code(page))):
        assert (ROOT / name).exists(), name


@every_page
def test_targets_of_make_exist(page):
    makefile = (ROOT / "Makefile").read_text()
    for target in re.findall(r"\bmake ([a-z-]+)", "\n".join(code(page))):
        assert f"\n{target}:" in makefile, target


@every_page
def test_subcommands_of_camloc_and_their_options_exist(page, capsys):
    for line in code(page):
        found = re.search(r"(?:^|run )camloc ([a-z-]+)(.*)", line)
        if found:
            with pytest.raises(SystemExit, match="0"):
                cli.main([found[1], "--help"])
            options = set(re.findall(r"--[a-z]+", found[2].partition("#")[0]))
            assert options <= set(re.findall(r"--[a-z]+", capsys.readouterr().out)), line


def fields(annotation: object) -> Iterator[type[BaseModel] | None]:
    """The sections that an annotation of params.yaml allows; None for what has names of its own."""
    if typing.get_origin(annotation) is dict or annotation is dict:
        yield None
    elif isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in typing.get_args(annotation):
        yield from () if typing.get_origin(annotation) is dict else fields(inner)


def is_key(path: list[str], section: type[BaseModel] = Params) -> bool:
    """Whether params.yaml may have this key; keys are nested, those of networks are any."""
    first, *rest = path
    if first not in section.model_fields or not rest:
        return first in section.model_fields
    inner = fields(section.model_fields[first].annotation)
    return any(own is None or is_key(rest, own) for own in inner)


def flat(tree: object, path: tuple = ()) -> Iterator[list[str]]:
    if isinstance(tree, dict):
        for key, value in tree.items():
            yield from flat(value, (*path, str(key)))
    elif path:
        yield list(path)


@every_page
def test_keys_of_params_yaml_exist(page):
    yaml = YAML(typ="safe")
    dotted = [text for text in code(page) if re.fullmatch(r"[a-z_]+(\.[a-z_]+)+", text)]
    paths = [text.split(".") for text in dotted if text.split(".")[0] in Params.model_fields]
    for block in blocks(page, "yaml"):
        paths += flat(yaml.load(block))
    paths += [option.split(".") for option in re.findall(r"--set-param ([\w.]+)", str(code(page)))]
    assert [path for path in paths if not is_key(path)] == []


@every_page
def test_quotations_are_what_was_published(page):
    """`camloc publish` writes them and no run does: what a run gives here may differ."""
    text = page.read_text()
    assert text.count("<!-- from ") == text.count("<!-- end -->")
    assert with_quotes(text, ROOT) == text


@every_page
def test_python_of_a_page_runs(page):
    for block in blocks(page, "python"):
        exec(block, {})


def test_readme_is_short_and_says_what_made_its_figures():
    text = (ROOT / "README.md").read_text()
    assert len(text.splitlines()) <= 150
    assert "reports/published/tiny-imagenet-20/about.json: machines, commits" in text


def test_make_help_lists_every_target_for_people():
    command = ["make", "--no-print-directory", "help"]  # make may be what runs the tests
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True).stdout
    phony = re.search(r"^\.PHONY: (.+)$", (ROOT / "Makefile").read_text(), re.MULTILINE)[1]
    own = {target for target in shlex.split(phony) if "-" not in target}
    assert {line.split()[1] for line in listed.splitlines()} == own


def test_environment_yml_installs_this_package_on_its_python():
    environment = YAML(typ="safe").load(ROOT / "environment.yml")
    *conda, pip = environment["dependencies"]
    assert environment["name"] == PROJECT["name"]
    assert f"python{PROJECT['requires-python']}" in conda and pip == {"pip": ["-e ."]}


def test_package_declares_what_its_users_were_promised():
    names = {re.match(r"[\w.-]+", line).group() for line in PROJECT["dependencies"]}
    promised = {"torch", "torchvision", "jupyterlab", "papermill", "dvc", "seaborn", "nbval"}
    assert promised <= names


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="not a clone: git knows no files here")
def test_no_result_of_a_run_is_kept_by_git_but_the_metric_and_what_made_it():
    """So that a run leaves the working tree as it was, but for the figures that DVC compares."""
    kept = subprocess.run(["git", "ls-files", "reports"], cwd=ROOT, capture_output=True, text=True)
    own = [path for path in kept.stdout.split() if not path.startswith("reports/published/")]
    assert own == ["reports/about.json", "reports/metrics.json"]
