"""Files at the top level that must agree with one another."""

import re
import subprocess
import tomllib
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from camloc.pipeline.publish import with_quotes

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
    "target",
    ["repro", "test", "compare", "pages", "publish", "lab", "lint", "bench", "clean", "help"],
)
def test_make_help_lists_the_target(target):
    listed = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True).stdout
    assert re.search(rf"^make {target} ", listed, re.MULTILINE)


def test_make_targets_in_the_readme_exist():
    makefile = (ROOT / "Makefile").read_text()
    for target in re.findall(r"(?:`|^)make (\w+)", (ROOT / "README.md").read_text(), re.M):
        assert f"\n{target}:" in makefile, target


def test_tables_in_the_readme_are_those_of_the_published_runs():
    """Which `camloc publish` writes and no run does: what a run gives here may differ."""
    readme = (ROOT / "README.md").read_text()
    assert readme.count("<!-- from reports/published/") == readme.count("<!-- end -->") == 2
    assert with_quotes(readme, ROOT) == readme


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="not a clone: git knows no files here")
def test_no_result_of_a_run_is_kept_by_git_but_the_metric():
    """So that a run leaves the working tree as it was, but for the figures that DVC compares."""
    kept = subprocess.run(["git", "ls-files", "reports"], cwd=ROOT, capture_output=True, text=True)
    own = [path for path in kept.stdout.split() if not path.startswith("reports/published/")]
    assert own == ["reports/metrics.json"]
