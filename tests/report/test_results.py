"""What follows from the measures of a study, and what is written of it."""

import json

import pytest
from small import results

from camloc.core.params import Model, Overrides
from camloc.core.rows import Row
from camloc.report import summary, tables
from camloc.report.claims import RULE

GAP, GMP = (Model(backbone="googlenet", cut="x", pool=pool) for pool in ("gap", "gmp"))


@pytest.fixture
def study():
    """Three networks, with all kinds of rows; two of them declared alike but for their seed."""
    networks = {"best": GAP, "again": GAP.model_copy(update={"seed": 2}), "max": GMP}
    return results(
        {
            "best": {"loc_err_top1": [0, 0, 0, 1], "cls_err_top1": [0, 0, 0, 1]},
            Row("best", "heuristics"): {"loc_err_top5": [0, 0, 0, 0]},
            Row("best", "backprop"): {"loc_err_top1": [0, 0, 0, 0]},
            "again": {"loc_err_top1": [1, 1, 0, 1]},
            "max": {"object_cover": [0.5, 0.5, 0.5, 0.5]},
            Row(None, "centre-box"): {"loc_err_gt_known": [1, 1, 1, 1]},
        },
        networks=networks,
        map_sides={"again": 5, "best": 5, "max": 5},
    )


def test_metrics_hold_the_networks_and_their_saliency_but_no_heuristic_or_baseline(study):
    assert study.metrics == {
        "best": {"cls_err_top1": 25.0, "loc_err_top1": 25.0},
        "backprop-best": {"loc_err_top1": 0.0},
        "again": {"loc_err_top1": 75.0},
        "max": {},
    }


def test_best_network_is_that_of_the_best_cams(study):
    assert study.best == "best"
    assert "backprop-best localizes best of 3 rows: 0.0 %" in study.headline
    nothing = results({})
    assert nothing.best is None and "no row localizes" in nothing.headline


def test_networks_that_differ_in_one_key_are_found(study):
    assert study.alike("seed") == [["best", "again"]]
    assert study.rivals == ["best", "max"]


def test_figure_of_several_runs_is_their_mean_with_the_deviation_between_them():
    """Two runs on four images: 25 and 75 % wrong."""
    study = results({"net": {"cls_err_top1": [[0, 1], [0, 0], [0, 1], [1, 1]]}})
    assert study.runs("net") == 2
    assert study.of_runs("cls_err_top1").loc["net"].tolist() == [25, 75]
    percent, low, high, deviation = study.errors().loc["net", "cls_err_top1"]
    assert (percent, deviation) == (50, pytest.approx(1250**0.5))
    assert low < 25 and high > 75  # two runs tell little of others
    assert study.metrics == {"net": {"cls_err_top1": 50}}


def test_summary_says_how_many_runs_were_trained_and_failed():
    three = {"cls_err_top1": [[0, 1, 0], [1, 1, 0]]}
    assert "of one training" in summary.trainings(results({"net": {"cls_err_top1": [0, 1]}}))
    text = summary.trainings(results({"net": three}, seeds=4))
    assert "means over 3 training runs" in text
    assert "4 runs were asked for; of some networks 1 failed" in text


def test_other_groups_and_trainings_are_choices_if_they_were_run():
    two = GAP.model_copy(update={"groups": 2})
    low = GAP.model_copy(update={"training": Overrides(precision="bf16", epochs=3)})
    same = {"loc_err_top1": [0, 1]}
    own = "best, this study"
    for networks, rows in (
        ({"again": two}, [own, "best, 2 groups (`again`)"]),
        ({"again": low}, [own, "best, trained with epochs 3, precision bf16 (`again`)"]),
        ({"no": two}, [own]),
    ):
        made = results(
            {"best": same, "again": same}, networks={"best": GAP} | networks, choices={"best": {}}
        )
        assert list(tables.choices(made).index) == rows


def test_summary_and_metrics_are_written(study, tmp_path):
    summary.write(study, "a study", tmp_path)
    assert json.loads((tmp_path / "metrics.json").read_text()) == study.metrics
    text = (tmp_path / "summary.md").read_text()
    assert text.startswith(
        "# Results of the study `a study`\n\nData: made, 1 class; 4 test images."
    )
    assert " ".join(text.split()).count(RULE) == 1
    assert "11. **not measured**: Maps of different classes" in text
    assert "**None of the paper's 11 claims is measured.**" in text
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "leaderboard.csv",
        "metrics.json",
        "plots",
        "summary.md",
    ]
