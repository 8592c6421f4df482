"""What the charts show, read back from their axes."""

import os
import subprocess
import sys
from math import inf, nan

import matplotlib
import pandas as pd
import pytest
import seaborn
from small import measured

from camloc.evaluation.error_types import ERROR_TYPES
from camloc.evaluation.estimates import NOTHING, estimate
from camloc.report import charts, figures
from camloc.report.claims import Claim, Comparison, Effect, Verdict

ERRORS = pd.DataFrame(
    [[40.0, 35.0, 46.0, nan], [30.0, 28.0, 33.0, nan], [nan, nan, nan, 1.0], [50.0, nan, nan, nan]],
    index=["a", "b", "c", "box"],
    columns=pd.MultiIndex.from_tuples(
        [("x", "percent"), ("x", "low"), ("x", "high"), ("y", "percent")]
    ),
)


def test_rows_stand_best_on_top_with_their_intervals():
    panel = charts.errors_of_rows(ERRORS, {"x": "top-1"}, lines=["box", "not run"]).axes[0]
    assert [label.get_text() for label in panel.get_yticklabels()] == ["a", "b"]  # upwards
    (bars,) = panel.collections
    ends = [sorted(part[:, 0]) for part in bars.get_segments()]
    assert ends == [[35, 46], [28, 33]]
    assert panel.get_lines()[-1].get_xdata()[0] == 50


def test_error_types_of_a_row_fill_its_bar():
    table = pd.DataFrame([[25.0, 0, 0, 50, 0, 25]], index=["a"], columns=ERROR_TYPES)
    panel = charts.error_types(table).axes[0]
    assert sum(bar.get_width() for bar in panel.patches) == pytest.approx(100)


def test_runs_are_dots_beside_the_mean_of_their_row():
    runs = {"x": pd.DataFrame({1: [39.0], 2: [41.0]}, index=["a"])}
    panel = charts.errors_of_rows(ERRORS, {"x": "top-1"}, runs).axes[0]
    dots = [line for line in panel.get_lines() if line.get_marker() == "."]
    assert [line.get_xdata()[-1] for line in dots] == [39, 41] or [
        line.get_xdata()[1] for line in dots
    ] == [39, 41]


COVERS = {"object_cover": [0.2, 0.4, None], "part_cover": [0.5, 0.5, None]}
COVERS |= {f"{name}_equal": values for name, values in COVERS.items()}


def test_coverage_is_in_percent_of_the_images_that_have_masks():
    figure = charts.coverage({"a": measured(COVERS), "b": {}})
    for panel in figure.axes:
        assert panel.get_legend_handles_labels()[1] == ["a"]
        point = panel.get_lines()[0]
        assert (point.get_xdata()[0], point.get_ydata()[0]) == pytest.approx((30, 50))


def test_coverage_without_parts_is_of_the_object_alone():
    object_alone = {name: own for name, own in COVERS.items() if name.startswith("object")}
    panel = charts.coverage({row: measured(object_alone) for row in ("a", "b")}).axes[0]
    assert panel.get_legend_handles_labels()[1] == ["a", "b"]
    assert panel.get_lines()[0].get_xdata()[0] == pytest.approx(30)
    assert panel.get_ylabel() == ""


def test_every_measured_comparison_has_its_effect_and_the_range_it_is_claimed_in():
    less = Comparison((("a", "x"), ("b", "x")), -inf, 0, what="less")
    effects = [Effect(less, estimate([-4.0, -2.0]), True), Effect(less, NOTHING, True)]
    panel = charts.claims([Verdict(Claim(5, "claims", "", [less]), effects)]).axes[0]
    assert [label.get_text() for label in panel.get_yticklabels()] == ["5. less: a − b"]
    assert panel.get_lines()[0].get_xdata()[0] == -3
    (claimed,) = panel.patches
    assert claimed.get_x() + claimed.get_width() == 0


def test_rows_are_told_apart_by_colour_however_many_they_are():
    curve = pd.DataFrame(
        {"threshold": [0.5], "loc_err_gt_known": [40.0], "low": 30.0, "high": 50.0}
    )
    panel = charts.by_threshold({str(i): curve for i in range(14)}, 0.2).axes[0]
    assert len({line.get_color() for line in panel.get_lines()}) == 15  # and the chosen threshold


def test_look_is_seaborns_but_for_the_exact_greys():
    figures.set_theme()
    ours = {key: matplotlib.rcParams[key] for key in figures.THEME}
    seaborn.set_theme(style="whitegrid", palette="colorblind", rc={"legend.framealpha": 0})
    greys = {key for key, value in ours.items() if value in (figures.INK, figures.GRID)}
    assert seaborn.color_palette().as_hex() == figures.PALETTE
    for key in ours.keys() - greys - {"axes.prop_cycle"}:
        assert matplotlib.rcParams[key] == ours[key], key


def test_threshold_that_was_chosen_is_marked():
    curve = pd.DataFrame(
        {"threshold": [0, 0.5], "loc_err_gt_known": [60.0, 40], "low": [50.0, 30], "high": [70, 50]}
    )
    panel = charts.by_threshold({"a": curve}, 0.2).axes[0]
    shown = dict(zip(*reversed(panel.get_legend_handles_labels()), strict=True))
    assert list(shown["a"].get_ydata()) == [60, 40]
    assert shown["chosen: 20 %"].get_xdata()[0] == 20


def test_parameters_are_divided_by_part():
    panel = charts.parameters({"kept": 2e6, "cut off": 3e6}, {"kept": 2e6, "new": 1e6}).axes[0]
    assert [bar.get_width() for bar in panel.patches] == [2, 2, 3, 0, 0, 1]


def test_figures_do_not_follow_a_persons_matplotlibrc(tmp_path):
    """In a process of its own, since matplotlib reads it when it is first imported."""
    lines = ["image.origin: lower", "text.usetex: True", "backend: TkAgg", "figure.dpi: 31"]
    (tmp_path / "matplotlibrc").write_text("\n".join(lines))
    script = (
        "import matplotlib; from camloc.report import figures; figures.grid(1, 1); "
        "print(matplotlib.get_backend(), *map(matplotlib.rcParams.get, "
        "('image.origin', 'text.usetex', 'figure.dpi')))"
    )
    environment = {key: value for key, value in os.environ.items() if key != "MPLBACKEND"}
    done = subprocess.run(
        [sys.executable, "-c", script],
        env=environment | {"MPLCONFIGDIR": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert done.stdout.split() == ["agg", "upper", "False", "100.0"], done.stderr


def test_training_curves_have_a_line_of_each_split_and_run_and_are_named_once():
    one = pd.DataFrame({"epoch": [1, 2], "train_loss": [2.0, 1.0], "val_loss": [3.0, 2.5]})
    one = one.assign(train_err_top1=[50.0, 25.0], val_err_top1=[60.0, 40.0], run=1)
    two = one.assign(run=2, val_err_top1=[70.0, 30.0])
    loss, error = figures.training_curves(pd.concat([one, two])).axes
    assert [loss.get_ylabel(), error.get_ylabel()] == ["cross-entropy", "top-1 error (%)"]
    drawn = [line.get_ydata().tolist() for line in error.lines]
    assert drawn == [[50.0, 25.0], [50.0, 25.0], [60.0, 40.0], [70.0, 30.0]]
    assert [text.get_text() for text in error.get_legend().get_texts()] == ["train", "val"]


def test_agreement_has_a_marker_of_each_metric_and_change_with_its_interval():
    index = pd.MultiIndex.from_product(
        [["insertion", "deletion"], ["removed", "moved"]], names=["metric", "change"]
    )
    table = pd.DataFrame(
        {"tau": [0.5, 0.1, -0.5, 0.0], "low": [0.2, 0, -1, -0.2], "high": [0.9, 0.3, 0, 0.1]},
        index=index,
    )
    panel = charts.agreement(table).axes[0]
    assert [label.get_text() for label in panel.get_yticklabels()] == ["insertion", "deletion"]
    removed, moved = panel.containers
    assert removed.lines[0].get_xdata().tolist() == [0.5, -0.5]
    assert moved.lines[0].get_xdata().tolist() == [0.1, 0.0]


def test_sanity_has_a_line_of_each_row_over_the_layers():
    table = pd.DataFrame(
        {
            "row": ["a", "a", "b", "b"],
            "share": [0.5, 1.0] * 2,
            "mean": [0.9, 0.1, 1.0, 1.0],
            "low": [0.8, 0.0, 1.0, 1.0],
            "high": [1.0, 0.2, 1.0, 1.0],
        }
    )
    panel = charts.sanity(table).axes[0]
    lines = {line.get_label(): line for line in panel.lines}
    assert lines["a"].get_xdata().tolist() == [50, 100]
    assert lines["b"].get_ydata().tolist() == [1, 1]
