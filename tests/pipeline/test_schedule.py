"""How far a run is: the stages of the study, and the time that is left, by hand."""

import json
import os

import pytest

from camloc import cli
from camloc.core import params
from camloc.pipeline import parameters
from camloc.pipeline.schedule import minutes, read_times, seconds_left, stages
from clone import ROOT

SMOKE = params.load(ROOT / "params" / "smoke.yaml")


def test_stages_are_those_of_dvc_in_its_order():
    found = stages(ROOT / "dvc.yaml", SMOKE)
    assert found[:5] == [
        "prepare",
        "data",
        "copies",
        "originals@googlenet",
        "surgery@googlenet-gap",
    ]
    assert found[-2:] == ["report", "render"] and len(found) == len(set(found)) == 19


def test_groups_may_be_listed_in_the_file_itself(tmp_path):
    (tmp_path / "dvc.yaml").write_text("stages:\n  a:\n    foreach: [x, y]\n    do: {cmd: b}\n")
    assert stages(tmp_path / "dvc.yaml", SMOKE) == ["a@x", "a@y"]


def test_own_times_tell_what_is_left():
    assert seconds_left(["b", "c"], {"a": 1.0, "b": 20.0, "c": 5.0}, {"b": 999.0}) == 25.0


def test_in_the_first_run_the_published_times_count_at_this_machines_pace():
    """Twice as slow here: 10 seconds for what took 5 there, so 40 for 20."""
    assert seconds_left(["b"], {"a": 10.0}, {"a": 5.0, "b": 20.0}) == 40.0
    assert seconds_left(["b"], {}, {"a": 5.0, "b": 20.0}) == 20.0


def test_new_network_takes_as_long_as_others_in_the_same_stage():
    assert seconds_left(["cams@new"], {"cams@a": 10.0, "cams@b": 20.0, "data": 1.0}, {}) == 15.0


def test_nothing_is_told_where_nothing_is_known():
    assert seconds_left(["a", "b"], {"a": 1.0}, {}) is None


@pytest.mark.parametrize(
    ("seconds", "text"), [(42.4, "42 seconds"), (600, "10 minutes"), (3 * 3600, "3.0 hours")]
)
def test_durations_are_rounded_for_people(seconds, text):
    assert minutes(seconds) == text


@pytest.mark.parametrize(
    "content", [None, "", "{", "[]", "null", '{"a": "x"}', '{"a": null}', '{"a": -1}']
)
def test_times_that_cannot_be_read_are_as_good_as_none(tmp_path, content):
    if content is not None:
        (tmp_path / "times.json").write_text(content)
    assert read_times(tmp_path / "times.json") == {}


def test_command_of_a_stage_is_told_and_timed(tmp_path, monkeypatch, capsys):
    for name in ("dvc.yaml", "params.yaml"):
        source = "params/smoke.yaml" if name == "params.yaml" else name
        (tmp_path / name).write_text((ROOT / source).read_text())
    (tmp_path / "data").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DVC_STAGE", "../dvc.yaml:copies")
    assert cli.main(["copies"]) == 0
    first, second = capsys.readouterr().out.splitlines()
    assert first == "stage 3 of 19" and second.startswith("stage 3 of 19 took ")
    assert (
        json.loads((tmp_path / "data" / "stage_seconds" / "smoke.json").read_text())["copies"] > 0
    )


def test_stage_that_a_person_gave_another_name_is_not_counted(tmp_path, monkeypatch, capsys):
    (tmp_path / "dvc.yaml").write_text((ROOT / "dvc.yaml").read_text())
    (tmp_path / "params.yaml").write_text((ROOT / "params" / "smoke.yaml").read_text())
    (tmp_path / "data").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DVC_STAGE", "my-copies")
    assert cli.main(["copies"]) == 0
    assert capsys.readouterr().out == "" and not (tmp_path / "data" / "stage_seconds").exists()


def test_stage_of_a_persons_own_pipeline_needs_nothing_of_ours(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DVC_STAGE", "score")
    assert cli.main(["score", "--truth", "t.csv", "--predictions", "p.csv"]) == 2
    assert "t.csv is missing" in capsys.readouterr().err


def test_threads_are_the_studys_or_else_the_machines(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    assert parameters.threads_of(SMOKE) == 1
    auto = SMOKE.model_copy(update={"threads": "auto"})
    assert parameters.threads_of(auto) == 7
    monkeypatch.setenv("OMP_NUM_THREADS", "")
    assert 1 <= parameters.threads_of(auto) <= os.cpu_count()
