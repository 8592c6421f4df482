"""Files at the top level that must agree with one another."""

import re
import subprocess
import tomllib
from pathlib import Path

import pytest
from ruamel.yaml import YAML

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def test_environment_yml_installs_this_package_on_its_python():
    environment = YAML(typ="safe").load(ROOT / "environment.yml")
    assert environment["name"] == PROJECT["name"]
    conda, pip = environment["dependencies"][:-1], environment["dependencies"][-1]["pip"]
    assert f"python{PROJECT['requires-python']}" in conda
    assert pip == ["-e ."]


def test_the_package_declares_what_its_users_were_promised():
    names = {re.match(r"[\w.-]+", line).group() for line in PROJECT["dependencies"]}
    promised = {"torch", "torchvision", "jupyterlab", "papermill", "dvc", "seaborn", "nbval"}
    assert promised <= names


@pytest.mark.parametrize(
    "target", ["repro", "test", "compare", "pages", "lab", "lint", "bench", "clean", "help"]
)
def test_make_help_lists_the_target(target):
    listed = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True).stdout
    assert re.search(rf"^make {target} ", listed, re.MULTILINE)


def test_make_targets_in_the_readme_exist():
    makefile = (ROOT / "Makefile").read_text()
    for target in re.findall(r"(?:`|^)make (\w+)", (ROOT / "README.md").read_text(), re.M):
        assert f"\n{target}:" in makefile, target


def test_tables_in_the_readme_are_copied_from_the_summaries():
    readme = (ROOT / "README.md").read_text()
    blocks = re.findall(r"<!-- from (\S+) -->\n(.+?)\n<!-- end -->", readme, re.DOTALL)
    assert [source for source, _ in blocks] == ["reports/summary.md", "reports/tiny-imagenet-20.md"]
    for source, block in blocks:
        assert block in (ROOT / source).read_text(), source
