"""dvc.yaml, the notebooks and the stages against each other."""

import ast
import re

import nbformat
import papermill
import pytest
from ruamel.yaml import YAML

from camloc.core import params
from camloc.core.errors import UserError
from camloc.pipeline.fingerprints import COMPUTE, STAGES, compute_cells, of_notebook
from camloc.pipeline.notebooks import injected
from clone import ROOT

PIPELINE = (ROOT / "dvc.yaml").read_text()
DECLARED = YAML(typ="safe").load(PIPELINE)["stages"]
SMOKE = params.load(ROOT / "params" / "smoke.yaml")
NOTEBOOKS = sorted({stage.notebook for stage in STAGES.values() if stage.notebook})
notebook = pytest.mark.parametrize("notebook", NOTEBOOKS)


def body(stage: str) -> dict:
    return DECLARED[stage].get("do", DECLARED[stage])


def name_of(fingerprint: str) -> str:
    """The stage of a dependency such as data/fingerprints/train/${key}.json."""
    return re.fullmatch(r"data/fingerprints/(\w+)(/\$\{key\})?\.json", fingerprint)[1]


def test_pipeline_is_short_and_lists_no_code_by_hand():
    assert len(PIPELINE.splitlines()) <= 160
    listed = [path for stage in DECLARED for path in body(stage).get("deps", [])]
    assert {path for path in listed if path.startswith("src/")} == {"src/camloc/report/templates"}


@pytest.mark.parametrize("stage", [stage for stage in DECLARED if stage != "prepare"])
def test_stage_depends_on_the_fingerprint_of_what_it_runs(stage):
    [fingerprint] = [path for path in body(stage)["deps"] if "fingerprints" in path]
    declared, command = STAGES[name_of(fingerprint)], body(stage)["cmd"].split()
    if command[1] == "run":
        assert of_notebook(command[2]) == declared
    assert ("${key}" in fingerprint) == ("foreach" in DECLARED[stage])


def test_every_fingerprint_is_of_a_stage():
    used = {name_of(path) for stage in DECLARED for path in body(stage).get("deps", [])[:1]}
    assert used == STAGES.keys()


@notebook
def test_notebook_takes_what_papermill_injects(notebook):
    path = ROOT / "notebooks" / f"{notebook}.ipynb"
    network = "googlenet-gap" if "network" in of_notebook(notebook).given.model_fields else None
    taken = papermill.inspect_notebook(str(path))
    assert taken.keys() == injected(notebook, SMOKE, network).keys()
    assert taken["given"]["default"] == "None"


@notebook
def test_notebooks_one_compute_cell_runs_its_stage(notebook):
    cells = nbformat.read(ROOT / "notebooks" / f"{notebook}.ipynb", as_version=4).cells
    assert sum(COMPUTE in cell.metadata.get("tags", []) for cell in cells) == 1
    tree = compute_cells(ROOT / "notebooks" / f"{notebook}.ipynb", every=False)
    module = of_notebook(notebook).module.rpartition(".")[2]
    code = ast.unparse(tree)
    assert f"from camloc.pipeline.stages import {module} as stage" in code
    assert "stage.run(" in code and f"smoke.parameters('{module}'" in code


@notebook
def test_notebook_defines_no_function_and_no_class(notebook):
    tree = compute_cells(ROOT / "notebooks" / f"{notebook}.ipynb", every=True)
    assert not {type(node) for node in ast.walk(tree)} & {ast.FunctionDef, ast.ClassDef}


def test_network_is_asked_for_where_a_stage_is_of_one():
    with pytest.raises(UserError, match="runs for one network at a time; give --network"):
        injected("02_finetune", SMOKE, None)


def test_committed_params_are_the_demo():
    assert (ROOT / "params.yaml").read_text() == (ROOT / "params" / "demo.yaml").read_text()
