"""What becomes of a notebook's process: its names, its death, and being asked to stop."""

import os
import signal
import subprocess

import papermill
import psutil
import pytest
from nbclient.exceptions import DeadKernelError

from camloc.core import params
from camloc.core.errors import Stopped, UserError
from camloc.pipeline import notebooks
from clone import ROOT

SMOKE = params.load(ROOT / "params" / "smoke.yaml")


@pytest.fixture
def kernel(monkeypatch):
    """A process in the place of a notebook's, which papermill finds dead once it has ended."""
    process = subprocess.Popen(["sleep", "60"])
    monkeypatch.setattr(psutil.Process, "children", lambda self: [process])
    monkeypatch.setattr(notebooks, "provenance", lambda root: {})
    monkeypatch.setattr(os, "environ", dict(os.environ))  # which is set for the process
    yield process
    process.kill()
    process.wait()


def run(monkeypatch, folder, execute, declared=SMOKE):
    (folder / "dvc.yaml").touch()
    (folder / "notebooks").mkdir()
    (folder / "notebooks" / "00_data.ipynb").write_text("{}")
    monkeypatch.chdir(folder)
    monkeypatch.setattr(papermill, "execute_notebook", execute)
    return notebooks.run_notebook("00_data", declared, None)


@pytest.mark.parametrize("name", ["02_finetuen", "05_reports"])
def test_notebook_that_is_none_is_refused_with_its_near_match(name):
    with pytest.raises(UserError, match=rf"no notebook .*{name}\.ipynb; did you mean 0"):
        notebooks.run_notebook(name, SMOKE, None)


def test_process_that_dies_is_told_with_what_often_kills_it(kernel, tmp_path, monkeypatch):
    def execute(source, partial, **options):
        raise DeadKernelError("died")

    with pytest.raises(UserError, match=r"the process of 00_data died \(died\), often for want of"):
        run(monkeypatch, tmp_path, execute)
    assert not list((tmp_path / "reports").rglob("*.ipynb"))


def test_process_gets_the_stop_that_the_command_gets(kernel, tmp_path, monkeypatch):
    def execute(source, partial, **options):
        os.kill(os.getpid(), signal.SIGTERM)
        assert kernel.wait() == -signal.SIGTERM
        raise DeadKernelError("died")

    with pytest.raises(Stopped, match="00_data was stopped; it had nothing to keep"):
        run(monkeypatch, tmp_path, execute)


def test_portable_study_asks_its_process_for_instructions_that_all_have(
    kernel, tmp_path, monkeypatch
):
    seen = {}

    def execute(source, partial, **options):
        seen.update(os.environ)
        raise DeadKernelError("died")

    with pytest.raises(UserError):
        run(monkeypatch, tmp_path, execute, SMOKE.model_copy(update={"portable": True}))
    assert notebooks.PORTABLE.items() <= seen.items()
    assert seen["OMP_NUM_THREADS"] == "1"
