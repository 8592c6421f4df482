"""What the charts show, read back from their axes."""

import os
import subprocess
import sys

import pandas as pd
import pytest

from camloc.evaluation.error_types import KINDS
from camloc.report import charts
from camloc.report.claims import Claim, Comparison

ROWS = {"a": {"x": 40.0}, "b": {"x": 30.0}, "c": {"y": 1.0}, "box": {"x": 50.0}}
SPANS = {"a": {"x": (35.0, 46.0)}, "b": {"x": (28.0, 33.0)}}


def test_rows_stand_best_on_top_with_their_intervals():
    panel = charts.errors_of_rows(ROWS, SPANS, {"x": "top-1"}, lines=["box"]).axes[0]
    assert [label.get_text() for label in panel.get_yticklabels()] == ["a", "b"]  # upwards
    (bars,) = panel.collections
    ends = [sorted(part[:, 0]) for part in bars.get_segments()]
    assert ends == [[35, 46], [28, 33]]
    assert panel.get_lines()[-1].get_xdata()[0] == 50


def test_kinds_of_a_row_fill_its_bar():
    table = pd.DataFrame([[25.0, 0, 0, 50, 0, 25]], index=["a"], columns=KINDS)
    panel = charts.kinds_of_misses(table).axes[0]
    assert sum(bar.get_width() for bar in panel.patches) == pytest.approx(100)


def test_extent_is_in_percent_of_the_images_that_have_masks():
    covers = pd.DataFrame({"object_cover": [0.2, 0.4, None], "part_cover": [0.5, 0.5, None]})
    panel = charts.extent_of_maps({"a": covers, "b": pd.DataFrame()}).axes[0]
    assert panel.get_legend_handles_labels()[1] == ["a"]
    point = panel.get_lines()[0]
    assert (point.get_xdata()[0], point.get_ydata()[0]) == pytest.approx((30, 50))


def test_extent_without_parts_is_of_the_object_alone():
    covers = {row: pd.DataFrame({"object_cover": [0.2, 0.4]}) for row in ("a", "b")}
    panel = charts.extent_of_maps(covers).axes[0]
    assert panel.get_legend_handles_labels()[1] == ["a", "b"]
    assert panel.get_lines()[0].get_xdata()[0] == pytest.approx(30)
    assert panel.get_ylabel() == ""


def test_every_measured_comparison_has_its_effect_and_the_range_it_is_claimed_in():
    held = Comparison("less", -3.0, -4.0, -2.0, 10, 1, float("-inf"), 0)
    unknown = Comparison("not run", float("nan"), float("nan"), float("nan"), 0, 1, 0, 1)
    panel = charts.claims([Claim(5, "claims", "", [held, unknown])]).axes[0]
    assert [label.get_text() for label in panel.get_yticklabels()] == ["5. less"]
    assert panel.get_lines()[0].get_xdata()[0] == -3
    (claimed,) = panel.patches
    assert claimed.get_x() + claimed.get_width() == 0


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
        "import matplotlib; from camloc import figures; figures.grid(1, 1); "
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
