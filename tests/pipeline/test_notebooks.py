"""The committed notebooks: outputs, alt text, and that nbval notices a change."""

import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

from camloc import cli
from camloc.pipeline.notebooks import _stopping_kernels
from clone import ROOT

NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


@pytest.fixture(params=NOTEBOOKS, ids=lambda path: path.stem)
def notebook(request):
    return nbformat.read(request.param, as_version=4)


def test_notebook_is_committed_with_outputs_that_nbval_compares(notebook):
    compared = [
        cell
        for cell in notebook.cells
        if cell.cell_type == "code" and cell.outputs and "NBVAL_IGNORE_OUTPUT" not in cell.source
    ]
    assert compared


def test_every_figure_has_alt_text_and_a_caption_of_its_own(notebook):
    shown = [
        output["data"].get("text/html", "")
        for cell in notebook.cells
        for output in cell.get("outputs", [])
        if "data" in output
    ]
    assert not any(
        "image/png" in output.get("data", {})
        for cell in notebook.cells
        for output in cell.get("outputs", [])
    )
    images = re.findall(r"<img[^>]*>", "".join(shown))
    alts = [re.search(r'alt="([^"]+)"', image).group(1) for image in images]
    assert len(set(alts)) == len(images) == "".join(shown).count("<figcaption>")


def test_nbval_notices_an_output_that_has_changed(tmp_path):
    (tmp_path / "dvc.yaml").touch()
    shutil.copytree(ROOT / "params", tmp_path / "params")
    notebook = nbformat.read(ROOT / "notebooks" / "00_data.ipynb", as_version=4)
    printed = next(
        output
        for cell in notebook.cells
        for output in cell.get("outputs", [])
        if "144 pictures" in output.get("text", "")
    )

    def failures() -> str:
        nbformat.write(notebook, tmp_path / "changed.ipynb")
        command = [sys.executable, "-m", "pytest", "--nbval", "--nbval-current-env", "-q"]
        return subprocess.run(
            [*command, "-p", "no:cacheprovider", "changed.ipynb"],
            cwd=tmp_path,
            capture_output=True,
            text=True,
        ).stdout

    assert "failed" not in failures()
    printed["text"] = printed["text"].replace("144 pictures", "145 pictures")
    assert "1 failed" in failures()


def test_notebook_holds_no_bars_that_only_a_running_kernel_could_draw(notebook):
    assert "widgets" not in notebook.metadata


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_kernel_that_starts_after_the_stop_is_stopped_too(number):
    with _stopping_kernels() as asked:
        os.kill(os.getpid(), number)
        kernel = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
        assert kernel.wait(30) == -signal.SIGTERM
    assert asked.is_set()


def test_full_disk_is_told_in_one_line(monkeypatch, capsys):
    def full(options):
        raise OSError(28, "No space left on device", "reports/index.html")

    monkeypatch.setattr(cli, "_render", full)
    assert cli.main(["render"]) == 2
    assert capsys.readouterr().err == (
        "camloc: [Errno 28] No space left on device: 'reports/index.html': make room there, "
        "and run again\n"
    )


def test_other_errors_of_the_system_are_not_taken_for_a_full_disk(monkeypatch):
    monkeypatch.setattr(cli, "_render", lambda options: Path("none").read_text())
    with pytest.raises(FileNotFoundError):
        cli.main(["render"])


def test_ctrl_c_is_told_in_one_line(monkeypatch, capsys):
    def interrupted(options):
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, "_check", interrupted)
    assert cli.main(["check"]) == 130
    assert capsys.readouterr().err == "camloc: stopped\n"
