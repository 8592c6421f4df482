"""dvc.yaml, the notebooks and params.yaml against each other."""

import ast
from pathlib import Path

import nbformat
import papermill
import pytest
from ruamel.yaml import YAML

from camloc.core import params
from clone import ROOT

STAGES = YAML(typ="safe").load(ROOT / "dvc.yaml")["stages"]
# The notebook that each stage runs, and the module that does its work.
NOTEBOOK_OF = {
    "data": "00_data",
    "originals": "02_finetune",
    "surgery": "01_surgery",
    "finetune": "02_finetune",
    "cams": "03_cams",
    "originals-cams": "03_cams",
    "evaluate": "04_evaluate",
    "originals-evaluate": "04_evaluate",
    "report": "05_report",
}


def body(stage: str) -> dict:
    return STAGES[stage].get("do", STAGES[stage])


def imported_files(module: Path) -> set[Path]:
    """The package's files that a module imports when it is loaded, directly or not."""
    found, waiting = set(), [module]
    while waiting:
        path = waiting.pop()
        if path in found:
            continue
        found.add(path)
        for node in ast.parse(path.read_text()).body:
            for name in _names(node):
                target = ROOT / "src" / Path(*name.split("."))
                waiting += [p for p in (target.with_suffix(".py"),) if p.is_file()]
    return found


def _names(node: ast.stmt) -> list[str]:
    if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("camloc"):
        return [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    return []


@pytest.mark.parametrize("stage", NOTEBOOK_OF)
def test_stage_depends_on_the_code_that_makes_its_results(stage):
    notebook = NOTEBOOK_OF[stage]
    module = ROOT / "src/camloc/stages" / f"{notebook.split('_')[1]}.py"
    files = imported_files(module)
    if stage == "report":  # its figures are results, too
        for name in ("charts", "figures"):
            files |= imported_files(ROOT / "src/camloc" / f"{name}.py")
    needed = {str(path.relative_to(ROOT)) for path in files}
    declared = set()
    for dependency in body(stage)["deps"]:
        path = ROOT / dependency
        if dependency.startswith("src/"):
            declared |= (
                {str(p.relative_to(ROOT)) for p in path.glob("*.py")}
                if path.is_dir()
                else {dependency}
            )
    assert {p for p in declared if not p.endswith("__init__.py")} == needed


def test_pages_depend_on_the_code_that_makes_them():
    needed = {str(p.relative_to(ROOT)) for p in imported_files(ROOT / "src/camloc/report.py")}
    declared = {path for path in body("render")["deps"] if path.startswith("src/")}
    assert declared == needed | {"src/camloc/templates"}


@pytest.mark.parametrize("stage", NOTEBOOK_OF)
def test_stage_declares_exactly_the_parameters_its_notebook_reads(stage):
    read = set(papermill.inspect_notebook(str(ROOT / "notebooks" / f"{NOTEBOOK_OF[stage]}.ipynb")))
    group = "originals" if stage.startswith("originals") else "models"
    names = {"training": "finetune" if group == "models" else "training"}
    names["declaration"] = f"{group}.${{key}}"
    if "declaration" not in read:
        assert "training" not in read
    undeclared = {"folder", "reports", "network", "devices", "nodes"}  # change no result
    sections = {names.get(name, name) for name in read - undeclared}
    if "device" in read:  # torch computes here, on a number of threads that its kernel is given
        sections.add("threads")
    assert set(body(stage)["params"]) == sections


def test_smoke_study_is_what_the_notebooks_default_to():
    smoke = params.load(ROOT / "params" / "smoke.yaml")
    tree = smoke.model_dump(mode="json")
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        defaults = {
            name: ast.literal_eval(parameter["default"])
            for name, parameter in papermill.inspect_notebook(str(path)).items()
        }
        network = defaults.get("network", "googlenet-gap")
        expected = tree | {
            "folder": "data/smoke",
            "reports": "data/smoke/reports",
            "network": network,
            "training": smoke.training_of(network).model_dump(mode="json"),
            "declaration": smoke.network(network).model_dump(mode="json"),
        }
        for name in ("originals", "models"):  # 05_report reads their names only
            if name in defaults:
                assert set(defaults.pop(name)) == set(tree[name])
        assert defaults == {name: expected[name] for name in defaults}, path.name


@pytest.mark.parametrize("path", sorted((ROOT / "params").glob("*.yaml")), ids=lambda p: p.stem)
def test_ready_made_study_is_valid(path):
    assert params.load(path).study == path.stem


def test_committed_params_are_the_demo():
    assert (ROOT / "params.yaml").read_text() == (ROOT / "params" / "demo.yaml").read_text()


def test_notebooks_define_no_function_and_no_class():
    for path in (ROOT / "notebooks").glob("*.ipynb"):
        for cell in nbformat.read(path, as_version=4).cells:
            if cell.cell_type == "code":
                kinds = {type(node) for node in ast.walk(ast.parse(cell.source))}
                assert not kinds & {ast.FunctionDef, ast.ClassDef}, path.name
