"""A sweep on the smoke study, over a threshold and over the line of a model: queued, run by DVC in
folders of its own, and seen on one page."""

import json
import re

import pandas as pd
import psutil
import pytest

from clone import OF_BOXES, OF_GAP

THRESHOLDS = {"t-1": 0.1, "t-2": 0.5}
GRID = [(convs, pool) for convs in ([32], [64]) for pool in ("gap", "gmp")]


def done(clone, *command):
    """What a command prints that ends well."""
    ended = clone.run(*command)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


def written(clone):
    """When each file of the study was last written."""
    files = [path for part in ("data", "reports") for path in (clone.folder / part).rglob("*")]
    return {path: path.stat().st_mtime_ns for path in files}


@pytest.fixture(scope="module")
def before(clone):
    """The working tree of a committed study, before its sweep."""
    clone.commit()
    return written(clone)


def shown(clone):
    """The experiments that began from the commit, by name."""
    *_, head = json.loads(done(clone, "dvc", "exp", "show", "--json"))
    return {one["name"]: one for one in head["experiments"] or []}


@pytest.fixture(scope="module")
def queued(clone, before):
    """The lines of the model in a grid of four experiments; the first alone stays in the queue."""
    line, values = "models.googlenet-gap", ("convs=[32],[64]", "pool=gap,gmp")
    swept = [option for value in values for option in ("--set-param", f"{line}.{value}")]
    done(clone, "dvc", "exp", "run", "--queue", "--name", "g", *swept)
    lines = {
        name: one["revs"][0]["data"]["params"]["params.yaml"]["data"]["models"]["googlenet-gap"]
        for name, one in shown(clone).items()
    }
    done(clone, "dvc", "queue", "remove", *(name for name in lines if name != "g-1"))
    return lines


@pytest.fixture(scope="module")
def said(clone, queued, tmp_path_factory):
    """What DVC says while it runs a sweep over the threshold, and one of the grid."""
    swept = f"boxes.threshold={','.join(map(str, THRESHOLDS.values()))}"
    done(clone, "dvc", "exp", "run", "--queue", "--name", "t", "--set-param", swept)
    # DVC's queue may stand still, or its worker outlive it and hold a pipe open (its issue 10428),
    # so it writes into files and is begun once more where it does not end.
    logs = [tmp_path_factory.mktemp("sweep") / str(attempt) for attempt in range(2)]
    for log in logs:
        running = clone.start("dvc", "exp", "run", "--run-all", log=log)
        try:
            assert running.wait(timeout=900) == 0
            break
        except psutil.TimeoutExpired:
            continue
        finally:
            done(clone, "dvc", "queue", "stop", "--kill")
    return "".join(log.read_text() for log in logs if log.exists())


def test_each_experiment_reruns_evaluation_and_report_only(said):
    ran = {}
    for part in said.split("Reproducing experiment '")[1:]:
        name, *lines = part.splitlines()
        stages = {line.split("'")[1] for line in lines if line.startswith("Running stage '")}
        ran[name.rstrip("'")] = stages
    assert ran == dict.fromkeys(THRESHOLDS, OF_BOXES) | {"g-1": OF_GAP}


def test_grid_over_the_line_of_a_model_is_an_experiment_for_each_pair(queued):
    assert sorted((line["convs"], line["pool"]) for line in queued.values()) == GRID
    assert sorted(queued) == ["g-1", "g-2", "g-3", "g-4"]


def test_working_tree_is_as_it_was(clone, before, said):
    assert written(clone) == before
    assert done(clone, "git", "status", "--porcelain") == ""


def test_errors_of_each_experiment_are_those_of_its_threshold(clone, said):
    """The committed run's curves over all thresholds hold the same, computed in another way."""
    found = {name: one["revs"][0]["data"]["metrics"] for name, one in shown(clone).items()}
    assert found.pop("g-1") and found.keys() == THRESHOLDS.keys()
    curves = clone.folder / "reports" / "plots" / "thresholds"
    for network in ("googlenet-gap", "googlenet-gmp"):
        curve = pd.read_csv(curves / f"{network}.csv").set_index("threshold")["loc_err_gt_known"]
        curve.index = curve.index.to_series().round(4)
        expected = {name: curve[threshold] for name, threshold in THRESHOLDS.items()}
        assert expected["t-1"] != expected["t-2"]
        for name, metrics in found.items():
            error = metrics["reports/metrics.json"]["data"][network]["loc_err_gt_known"]
            assert error == pytest.approx(expected[name])


def test_page_of_the_sweep_has_every_experiment_and_two_are_compared_by_name(clone, said):
    sweep = done(clone, "camloc", "sweep").strip()
    assert sweep == str(clone.folder / "reports" / "sweep.html")
    page = (clone.folder / "reports" / "sweep.html").read_text()
    assert "3 of 3 experiments" in page and "boxes.threshold" in page
    assert "models.googlenet-gap.convs" in page
    for name, threshold in THRESHOLDS.items():
        assert re.search(f'<th scope="row">{name}</th>.*<td>{threshold}</td>', page)
    done(clone, "camloc", "compare", *THRESHOLDS)
    page = (clone.folder / "reports" / "compare.html").read_text()
    assert "t-1 against t-2" in page and ", paired" in page
    assert done(clone, "git", "status", "--porcelain") == ""
