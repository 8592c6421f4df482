"""Training runs of a network: what each stage does again, at once, and when one of them fails."""

import multiprocessing
import os

import pytest
import torch

from camloc.core import params
from camloc.core.errors import Stopped, UserError
from camloc.core.params import Machine, Weights
from camloc.core.paths import Study
from camloc.data.manifest import Manifest
from camloc.pipeline import runs
from camloc.pipeline.parameters import DataParameters, MapsParameters, TrainParameters, seed_of_run
from camloc.pipeline.stages import data, train
from clone import ROOT
from maps import broken, dying, failing, failing_second, noting, stopped

SMOKE = params.load(ROOT / "params" / "smoke.yaml")
GIVEN = MapsParameters.of(SMOKE, "googlenet")


@pytest.fixture
def study(tmp_path):
    for run in range(1, 6):
        source = Study(tmp_path).of_run(run).weights("googlenet")
        source.parent.mkdir(parents=True)
        source.write_text(f"weights {run}")
    return Study(tmp_path)


def do(study, seeds, work=noting, at_once=1, **changes):
    machine = SMOKE.machine.model_copy(update={"at_once": at_once})
    given = GIVEN.model_copy(update={"seeds": seeds, "machine": machine} | changes)
    return runs.each(
        work,
        study,
        given,
        left=lambda one: one.predictions("googlenet"),
        goes_on_from=lambda one: [one.weights("googlenet")],
    )


def made(study):
    """When each run was made."""
    folder = study.predictions("googlenet").parent
    return {path.parent.name: path.stat().st_mtime_ns for path in sorted(folder.glob("*/made"))}


def test_more_seeds_do_what_is_missing_alone(study):
    assert [one.run for one in do(study, 3)] == [1, 2, 3]
    before = made(study)
    assert [one.run for one in do(study, 5)] == [1, 2, 3, 4, 5]
    after = made(study)
    assert list(after) == [f"run-{run}" for run in range(1, 6)]
    assert {run: after[run] for run in before} == before


def test_fewer_seeds_leave_no_more_than_asked_for(study):
    do(study, 3)
    do(study, 1)
    assert list(made(study)) == ["run-1"]


@pytest.mark.parametrize(
    "change", ["parameters", "weights", "a file that is gone", "a file that is damaged"]
)
def test_run_is_done_again_when_what_made_it_changes(study, change):
    do(study, 2)
    before = made(study)
    if change == "weights":
        study.of_run(2).weights("googlenet").write_text("others")
    if change == "a file that is gone":
        (study.of_run(2).predictions("googlenet") / "made").unlink()
    if change == "a file that is damaged":
        (study.of_run(2).predictions("googlenet") / "made").write_text("else")
    do(study, 2, **({"top": 3} if change == "parameters" else {}))
    again = {run for run, time in made(study).items() if before.get(run) != time}
    assert again == ({"run-1", "run-2"} if change == "parameters" else {"run-2"})


def test_run_is_done_again_when_a_weights_file_of_others_is_replaced(tmp_path):
    theirs = tmp_path / "theirs.pth"
    weights = {"source": "path", "path": theirs}
    original = SMOKE.originals["googlenet"].model_copy(update={"weights": Weights(**weights)})
    given = TrainParameters.of(SMOKE, "googlenet").model_copy(update={"original": original})
    keys = []
    for content in ("one", "another", "one"):
        theirs.write_text(content)
        keys.append(runs.key_of(train.work, given, []))
    assert keys[0] == keys[2] != keys[1]


def test_run_that_fails_is_told_and_the_others_count(study, capsys):
    assert [one.run for one in do(study, 3, failing_second)] == [1, 3]
    assert "run 2 of 3 failed, the others count: the loss is nan" in capsys.readouterr().out
    assert list(made(study)) == ["run-1", "run-3"]


def test_run_that_an_earlier_stage_lacks_is_left_out(study):
    study.of_run(2).weights("googlenet").unlink()
    assert [one.run for one in do(study, 3)] == [1, 3]


@pytest.mark.parametrize("at_once", [1, 2])
def test_nothing_counts_where_every_run_fails(study, at_once):
    with pytest.raises(UserError, match="run 1 has no weights"):
        do(study, 2, failing, at_once)


def test_runs_at_once_are_processes_whose_lines_tell_which(study, capsys):
    do(study, 3, noting, at_once=2)
    told = [
        (study.of_run(run).predictions("googlenet") / "made").read_text().split()
        for run in (1, 2, 3)
    ]
    assert {threads for threads, _ in told} == {str(torch.get_num_threads())}
    assert len({process for _, process in told} - {str(os.getpid())}) == 3
    lines = capsys.readouterr().out.splitlines()
    assert sorted(lines) == [f"run {run}: top all" for run in (1, 2, 3)]


def test_stop_of_one_stops_all(study):
    with pytest.raises(Stopped, match="training stopped by SIGTERM; it is kept"):
        do(study, 4, stopped, at_once=2)
    assert not multiprocessing.active_children()


def test_process_that_dies_is_told(study, capsys):
    with pytest.raises(UserError, match=r"its process died \(exit code 9\)"):
        do(study, 2, dying, at_once=2)


def test_mistake_of_ours_in_a_process_comes_with_its_traceback(study):
    with pytest.raises(
        RuntimeError, match=r"(?s)^run \d failed:\nTraceback .* in broken\n.*of ours"
    ):
        do(study, 2, broken, at_once=2)


@pytest.mark.parametrize(
    ("device", "devices", "threads", "tasks", "at_once"),
    [
        ("cpu", 0, 3, 5, 2),  # 8 cores for 3 threads each
        ("cpu", 0, 16, 5, 1),
        ("cpu", 0, 1, 5, 5),  # no more than there are
        ("auto", 4, 16, 5, 4),  # a CUDA device each
        ("cpu", 4, 3, 5, 2),  # which are there, and not asked for
        ("auto", 4, 1, 1, 1),
    ],
)
def test_as_many_runs_go_on_at_once_as_there_are_devices_or_cores_for(
    monkeypatch, device, devices, threads, tasks, at_once
):
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(8)), raising=False)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: devices)
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    machine = SMOKE.machine.model_copy(update={"device": device, "at_once": "auto"})
    assert runs.runs_at_once(GIVEN.model_copy(update={"machine": machine}), tasks) == at_once


def test_first_seed_is_the_studys_own_and_the_others_are_their_own():
    assert seed_of_run(7, 1) == 7
    assert len({seed_of_run(seed, run) for seed in range(5) for run in range(1, 9)}) == 40


def test_one_run_of_several_is_trained_as_it_is_alone(tmp_path):
    """The second run at once with the first, and by itself: the same weights; other ones than the
    first. With pictures of its own it learns from the second part of them."""
    shapes = {"source": "shapes", "train": 24, "val": 6, "test": 6}
    machine = Machine(device="cpu", devices=1, at_once=2)
    given = TrainParameters.of(SMOKE, "googlenet").model_copy(
        update={"seeds": 2, "machine": machine}
    )
    study = Study(tmp_path)
    data.run(study, DataParameters(seed=1, data=shapes, draws=2))
    threads = torch.get_num_threads()
    histories = train.run(study, given)
    assert histories["run"].tolist() == [1, 2]
    second = study.of_run(2).weights("googlenet").read_bytes()
    assert second != study.weights("googlenet").read_bytes()
    study.of_run(2).weights("googlenet").unlink()
    torch.set_num_threads(threads)
    train.work(study.of_run(2), given.of_run(2))
    assert study.of_run(2).weights("googlenet").read_bytes() == second
    own = Manifest.load(study.manifest).with_part("train", 1, 24).split("train")
    assert own["image"].tolist() == [f"train_{i:05d}" for i in range(24, 48)]
