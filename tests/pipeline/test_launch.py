"""What torchrun is asked for, and what becomes of its end."""

import os
import sys

import pytest
import torch

from camloc.core import params
from camloc.core.errors import Stopped, UserError
from camloc.core.paths import Study, repository_root
from camloc.pipeline import launch
from camloc.pipeline.launch import devices_here, torchrun
from camloc.pipeline.parameters import MapsParameters, TrainParameters
from camloc.pipeline.stages import maps, train

SMOKE = params.load(repository_root() / "params" / "smoke.yaml")
START = """
import json, os, pathlib, signal, sys, time

logs = pathlib.Path(sys.argv[1].removeprefix("--log-dir="))

def record(kind, message, seconds=1):
    folder = logs / f"run/{kind}"
    folder.mkdir(parents=True)
    about = {"timestamp": str(seconds), "py_callstack": f"Traceback of {kind}"}
    told = {"message": f"{kind}: {message}", "extraInfo": about}
    (folder / "error.json").write_text(json.dumps({"message": told}))
"""


@pytest.fixture
def launched(tmp_path, monkeypatch):
    """Runs a script in the place of torchrun."""

    def run(script):
        command = [sys.executable, "-c", START + script]
        monkeypatch.setattr(launch, "torchrun", lambda devices, nodes: command)
        given = TrainParameters.of(SMOKE, "googlenet")
        machine = given.machine.model_copy(update={"devices": 2})
        launch.run(train.work, Study(tmp_path), given.model_copy(update={"machine": machine}))

    return run


def test_output_is_shown_and_nothing_is_left(launched, tmp_path, capfd):
    launched("print('epoch 1'); print('a warning', file=sys.stderr)")
    assert capfd.readouterr() == ("epoch 1\n", "")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", [UserError, Stopped])
def test_refusal_comes_before_what_the_others_lost_by_it(launched, kind):
    refused = f"record({kind.__name__!r}, 'image a: b.JPEG\\ncannot be read')"
    lost = "record('RuntimeError', 'connection closed', 0)"
    with pytest.raises(kind, match=r"^image a: b\.JPEG\ncannot be read$") as error:
        launched(f"{refused}; {lost}; sys.exit(1)")
    assert error.type is kind


def test_refusal_is_recorded_as_it_is_raised_where_the_process_was_started(
    launched, tmp_path, monkeypatch, capsys
):
    """The study has no manifest; this process is in the place of one that torchrun starts."""
    error, task = tmp_path / "error.json", MapsParameters.of(SMOKE, "googlenet").model_dump_json()
    monkeypatch.setenv("TORCHELASTIC_ERROR_FILE", str(error))
    monkeypatch.setattr(sys, "argv", ["", "maps", "--folder", str(tmp_path), "--task", task])
    monkeypatch.setattr(launch, "join", lambda device: None)
    monkeypatch.setattr(os, "_exit", sys.exit)
    with pytest.raises(SystemExit, match="2"):
        launch.main()
    with pytest.raises(UserError, match=r"^.*images\.parquet is missing; .*dvc repro$"):
        launched(f"logs.joinpath('error.json').write_text({error.read_text()!r}); sys.exit(1)")


def test_error_that_nobody_expected_is_raised_with_the_traceback_of_the_first(launched):
    with pytest.raises(RuntimeError, match=r"^a process of train failed:\nTraceback of Out"):
        launched("record('A', 'b', 12); record('OutOfMemory', 'CUDA', 9); sys.exit(1)")


def test_process_that_dies_is_told_with_its_last_lines(launched):
    with pytest.raises(UserError, match=r"(?s)of train died .* 9\); run again .*\nKilled$"):
        launched("print('Killed', file=sys.stderr); sys.exit(9)")


def test_sigterm_is_passed_on_to_the_processes(launched):
    stop = "signal.signal(signal.SIGTERM, lambda *_: (record('Stopped', 'kept'), sys.exit(1)))"
    with pytest.raises(Stopped, match="kept"):
        launched(f"{stop}; os.kill(os.getppid(), signal.SIGTERM); time.sleep(60)")


def test_processes_that_sigterm_ends_before_they_could_say_so_were_stopped(launched):
    with pytest.raises(Stopped, match=r"^train was stopped by SIGTERM$"):
        launched("os.kill(os.getppid(), signal.SIGTERM); time.sleep(60)")


def test_process_that_is_started_by_hand_works_as_params_yaml_says(tmp_path, monkeypatch):
    """Its share of the threads: 6 for two processes."""
    done, threads = [], []
    (tmp_path / "dvc.yaml").touch()
    text = (repository_root() / "params" / "smoke.yaml").read_text()
    (tmp_path / "params.yaml").write_text(text.replace("threads: 1", "threads: 6"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    monkeypatch.setattr(sys, "argv", ["", "maps", "--network", "googlenet"])
    monkeypatch.setattr(torch, "set_num_threads", threads.append)
    monkeypatch.setattr(launch, "join", lambda device: None)
    monkeypatch.setattr(maps, "work", lambda *given: done.append(given))
    monkeypatch.setattr(launch.dist, "destroy_process_group", lambda: None)
    launch.main()
    declared = params.load(tmp_path / "params.yaml")
    assert done == [(Study(tmp_path / "data"), MapsParameters.of(declared, "googlenet"))]
    assert threads == [3]


def test_one_machine_needs_no_rendezvous():
    command = ["-m", "torch.distributed.run", "--nproc-per-node=2", "--standalone"]
    assert torchrun(2, 1)[1:] == command


def test_several_machines_meet_where_the_environment_says(monkeypatch):
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    monkeypatch.delenv(launch.RENDEZVOUS, raising=False)
    with pytest.raises(UserError, match=r"nodes: 3 needs .* CAMLOC_RENDEZVOUS=host:port"):
        torchrun(8, 3)
    monkeypatch.setenv(launch.RENDEZVOUS, "first:29500")
    command = torchrun(8, 3)
    assert {"--nnodes=3", "--rdzv-backend=c10d", "--rdzv-endpoint=first:29500"} <= set(command)
    monkeypatch.setenv("SLURM_JOB_ID", "77")
    in_job = torchrun(8, 3)
    assert in_job[:4] == ["srun", "--nodes=3", "--ntasks-per-node=1", "--kill-on-bad-exit=1"]
    assert "--rdzv-id=77" in in_job


def test_devices_are_all_of_cuda_or_those_asked_for(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    assert devices_here("auto", "auto") == devices_here("cuda", "auto") == 4
    assert devices_here("cpu", "auto") == 1
    assert devices_here("cpu", 8) == 8
    assert devices_here("cuda", 2) == 2
    with pytest.raises(UserError, match="devices: 5, but this machine has 4; use auto"):
        devices_here("auto", 5)
    with pytest.raises(UserError, match="mps is one device"):
        devices_here("mps", 2)
