"""The whole pipeline on the smoke study, in a copy of the repository: which edit runs what."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from ruamel.yaml import YAML

ROOT = Path(__file__).parents[1]
ROWS = {"googlenet", "backprop-googlenet", "googlenet-gap", "googlenet-gmp"}


class Clone:
    """A copy of the working tree with a Git and DVC repository of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        listed = subprocess.run(
            ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
        ).stdout.split("\n")
        for name in filter(None, listed):
            if (ROOT / name).is_file() and name != "dvc.lock":
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(ROOT / name, folder / name)
        subprocess.run(["git", "init", "--quiet"], cwd=folder, check=True)
        shutil.copy(folder / "params" / "smoke.yaml", folder / "params.yaml")

    def run(self, *command: str) -> subprocess.CompletedProcess:
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        environment = os.environ | {"PATH": path, "PYTHONPATH": str(self.folder / "src")}
        return subprocess.run(
            command, cwd=self.folder, env=environment, capture_output=True, text=True
        )

    def repro(self) -> list[str]:
        """Run `dvc repro`; the names of the stages that ran."""
        done = self.run("dvc", "repro")
        assert done.returncode == 0, done.stdout + done.stderr
        lines = done.stdout.splitlines()
        return [line.split("'")[1] for line in lines if line.startswith("Running stage '")]

    def edit(self, *path: str, value: object) -> None:
        yaml = YAML()
        tree = yaml.load(self.folder / "params.yaml")
        section = tree
        for key in path[:-1]:
            section = section[key]
        section[path[-1]] = value
        yaml.dump(tree, self.folder / "params.yaml")

    def metrics(self) -> dict:
        return json.loads((self.folder / "reports" / "metrics.json").read_text())


@pytest.fixture(scope="module")
def clone(tmp_path_factory):
    clone = Clone(tmp_path_factory.mktemp("study"))
    clone.first = clone.repro()
    return clone


def test_study_fills_every_row_and_renders_every_notebook(clone):
    metrics = clone.metrics()
    assert set(metrics) == ROWS
    localization = {"loc_err_top1", "loc_err_top5", "loc_err_gt_known"}
    classification = {"cls_err_top1", "cls_err_top5"}
    assert set(metrics["googlenet-gap"]) == classification | localization
    assert set(metrics["backprop-googlenet"]) == localization
    assert all(0 <= error <= 100 for row in metrics.values() for error in row.values())
    pages = {page.stem for page in (clone.folder / "reports" / "html").glob("*.html")}
    executed = {path.stem for path in (clone.folder / "reports" / "notebooks").glob("*.ipynb")}
    assert pages == executed | {"explorer"}
    index = (clone.folder / "reports" / "index.html").read_text()
    assert all(f'href="html/{page}.html"' in index for page in pages)
    assert "not recorded" not in index  # the machine of every notebook


def test_finished_study_runs_nothing_again(clone):
    assert clone.repro() == []


def test_saving_a_notebook_with_other_outputs_runs_no_study_again(clone):
    path = clone.folder / "notebooks" / "02_finetune.ipynb"
    notebook = json.loads(path.read_text())
    notebook["metadata"]["language_info"]["version"] = "3.99"
    notebook["metadata"]["widgets"] = {"state": {}}
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            cell["outputs"] = []
            cell["execution_count"] = 99
            cell["metadata"]["execution"] = {"iopub.execute_input": "2026-01-01T00:00:00Z"}
    path.write_text(json.dumps(notebook))
    assert clone.repro() == ["prepare"]


def test_box_threshold_reruns_evaluation_and_report_only(clone):
    clone.edit("boxes", "threshold", value=0.3)
    assert set(clone.repro()) == {
        "prepare",  # checks params.yaml
        "originals-evaluate@googlenet",
        "evaluate@googlenet-gap",
        "evaluate@googlenet-gmp",
        "report",
        "render",
    }


def test_one_models_declaration_reruns_that_model_only(clone):
    clone.edit("models", "googlenet-gap", "convs", value=[512])
    assert set(clone.repro()) == {
        "prepare",
        "surgery@googlenet-gap",
        "finetune@googlenet-gap",
        "cams@googlenet-gap",
        "evaluate@googlenet-gap",
        "report",
        "render",
    }


def test_wrong_parameter_stops_before_any_work_and_keeps_earlier_results(clone):
    before = clone.metrics()
    weights = clone.folder / "data/networks/googlenet-gap/weights.safetensors"
    kept = weights.read_bytes()
    clone.edit("models", "googlenet-gap", "cut", value="inceptoin4e")
    done = clone.run("dvc", "repro")
    assert done.returncode != 0
    assert "models.googlenet-gap.cut" in done.stderr
    assert "inception4e" in done.stderr
    assert "Traceback" not in done.stderr
    assert clone.metrics() == before
    assert weights.read_bytes() == kept


def test_refusal_inside_a_notebook_ends_with_code_2_and_one_message(clone):
    clone.run("camloc", "use", "smoke")
    (clone.folder / "data/networks/googlenet/weights.safetensors").unlink()
    done = clone.run("camloc", "run", "01_surgery", "--network", "googlenet-gap")
    assert done.returncode == 2
    assert "weights.safetensors is missing" in done.stderr
    assert "Traceback" not in done.stderr + done.stdout
    assert not list((clone.folder / "reports/notebooks").glob("*.failed.ipynb"))
