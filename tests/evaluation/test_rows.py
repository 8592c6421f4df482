"""From stored maps to the rows of the tables, and the tables beside the paper's figures."""

import math

import numpy as np
import pandas as pd
import pytest

from camloc.boxes.predictions import Split
from camloc.core.params import Boxes
from camloc.data.manifest import Manifest
from camloc.evaluation import error_types
from camloc.evaluation.baselines import baseline_rows
from camloc.evaluation.choices import choice
from camloc.evaluation.rows import evaluate_split
from camloc.maps.store import MapWriter, row_name
from camloc.report import formatting, paper, tables

WNIDS = ["n1", "n2", "n3"]
LEFT, RIGHT = [0, 0, 9, 9], [10, 0, 19, 9]
ON_LEFT, ON_RIGHT = [[1.0, 0.0]], [[0.0, 1.0]]  # maps whose boxes at 0.5 are the halves


@pytest.fixture
def manifest(tmp_path):
    """Three labelled 20×10 test pictures, one without a label, one without a box."""
    images = pd.DataFrame(
        {
            "image": ["a", "b", "c", "d"],
            "path": [f"{name}.png" for name in "abcd"],
            "split": "test",
            "wnid": ["n1", "n2", None, "n3"],
            "width": 20,
            "height": 10,
            "mask": None,
        }
    )
    rows = [("a", "n1", *LEFT), ("b", "n2", *RIGHT)]
    boxes = pd.DataFrame(rows, columns=["image", "wnid", "xmin", "ymin", "xmax", "ymax"])
    return Manifest("test", tmp_path, {wnid: wnid for wnid in WNIDS}, images, boxes)


# Of each picture: classes, best first, and what each one's map points at. a is right at rank 1 in
# class and place; b in both at rank 2; d in class at rank 1.
CLASSES = [[0, 1], [0, 1], [2, 0], [2, 1]]
MAPS = [[ON_LEFT, ON_LEFT], [ON_RIGHT, ON_RIGHT], [ON_LEFT, ON_LEFT], [ON_LEFT, ON_LEFT]]


@pytest.fixture
def store(tmp_path):
    def write(classes=CLASSES, **maps):
        folder = tmp_path / "predictions" / "test"
        writer = MapWriter(folder, ["a", "b", "c", "d"], WNIDS)
        classes = np.array(classes)
        ranks = np.tile([1, 2], (4, 1))
        writer.write(classes, ranks, 1 / ranks, {m: np.array(low) for m, low in maps.items()})
        writer.close()
        return folder.parent

    return write


def rows_of(folder, manifest, network="googlenet"):
    """The figures and outcomes of all rows but the heuristics'."""
    split = Split(folder, manifest, "test")
    rows = evaluate_split(split, network, Boxes(threshold=0.5), iou=0.5)
    return {row.name: (row.figures, row.outcome) for row in rows if "heuristics" not in row.name}


def test_saliency_has_rows_of_its_own():
    assert row_name("googlenet", "cam") == "googlenet"
    assert row_name("googlenet", "backprop") == "backprop-googlenet"


def test_network_with_cams_and_saliency_gives_two_rows(manifest, store):
    """Localization is over a and b, which have boxes; classification over a, b and d."""
    misplaced = [[ON_RIGHT, ON_RIGHT]] * 4
    rows = rows_of(store(cam=MAPS, backprop=misplaced), manifest)
    assert list(rows) == ["googlenet", "backprop-googlenet"]
    errors, outcome = rows["googlenet"]
    assert outcome["image"].tolist() == ["a", "b", "d"]
    assert errors == {
        "cls_err_top1": pytest.approx(100 / 3),
        "cls_err_top5": 0.0,
        "loc_err_top1": 50.0,
        "loc_err_top5": 0.0,
        "loc_err_gt_known": 0.0,
    }
    assert rows["backprop-googlenet"][0] == {
        "loc_err_top1": 100.0,
        "loc_err_top5": 50.0,
        "loc_err_gt_known": 50.0,
    }


def test_papers_rule_is_shown_at_other_thresholds(manifest, store):
    """Of a and b, which have boxes: a map of 1 and 0 gives its half at thresholds from 0.25 on."""
    folder = store(classes=[[0, 1], [1, 0], [2, 0], [2, 1]], cam=MAPS)
    options = Boxes(threshold=0.5)
    (row,) = evaluate_split(Split(folder, manifest, "test"), "googlenet", options, iou=0.5)
    curve = row.by_threshold.set_index("threshold")["loc_err_gt_known"]
    assert curve.loc[0.5] == row.figures["loc_err_gt_known"] == 0
    assert len(curve) == 20 and curve.index[0] == 0 and curve.index[-1] == 0.95


def test_network_without_maps_is_only_classified(manifest, store):
    rows = rows_of(store(), manifest, "alexnet")
    assert list(rows) == ["alexnet"]
    assert rows["alexnet"][0] == {"cls_err_top1": pytest.approx(100 / 3), "cls_err_top5": 0.0}


def test_network_with_saliency_alone_is_classified_and_its_saliency_located(manifest, store):
    rows = rows_of(store(backprop=MAPS), manifest, "vgg16")
    assert list(rows) == ["vgg16", "backprop-vgg16"]
    assert set(rows["vgg16"][0]) == {"cls_err_top1", "cls_err_top5"}
    assert set(rows["backprop-vgg16"][0]) == {"loc_err_top1", "loc_err_top5", "loc_err_gt_known"}


def test_gt_known_error_is_left_out_where_a_true_class_has_no_stored_map(manifest, store):
    classes = [[0, 1], [0, 2], [2, 0], [2, 1]]  # b is of class 1
    errors, _ = rows_of(store(classes, cam=MAPS), manifest)["googlenet"]
    assert "loc_err_gt_known" not in errors
    assert errors["loc_err_top5"] == 50


def known_errors(manifest, iou):
    rows = baseline_rows(manifest, "test", iou)
    return {row.name: row.figures["loc_err_gt_known"] for row in rows}


def test_baselines_look_at_the_size_only(manifest):
    """The whole image has IoU 100/200 with each half, the centre box [3, 1, 16, 8] has 56/156.

    The centre box is 14×8 pixels, 7×8 of them in either half: 56 / (112 + 100 - 56). The Gaussian
    is above a fifth of its largest value at a pixel's centre, exp(-8 (.025² + .05²)) = .975, where
    the distance from the centre is under .452 sides: pixels 1 to 18 and, as .45 is not beyond it,
    0 to 9: 90 / (180 + 100 - 90).
    """
    assert known_errors(manifest, 0.5) == {
        "whole-image": 0,
        "centre-box": 100,
        "centre-gaussian": 100,
    }
    assert known_errors(manifest, 0.51)["whole-image"] == 100
    assert known_errors(manifest, 0.35)["centre-box"] == 0
    gaussian = 90 / (180 + 100 - 90)
    assert known_errors(manifest, gaussian - 0.001)["centre-gaussian"] == 0
    assert known_errors(manifest, gaussian + 0.001)["centre-gaussian"] == 100


def test_figures_of_table_1_are_the_papers():
    assert paper.TABLE_1 == {
        "vgg16-gap": (33.4, 12.2),
        "googlenet-gap": (35.0, 13.2),
        "alexnet2-gap": (44.9, 20.9),
        "alexnet-gap": (51.1, 26.3),
        "googlenet": (31.9, 11.3),
        "vgg16": (31.2, 11.4),
        "alexnet": (42.6, 19.5),
        "nin": (41.9, 19.6),
        "googlenet-gmp": (35.6, 13.9),
    }


def test_figures_of_table_2_are_the_papers():
    assert paper.TABLE_2 == {
        "googlenet-gap": (56.4, 43.0),
        "vgg16-gap": (57.2, 45.14),
        "googlenet": (60.09, 49.34),
        "alexnet2-gap": (63.75, 49.53),
        "alexnet-gap": (67.19, 52.16),
        "nin": (65.47, 54.19),
        "backprop-googlenet": (61.31, 50.55),
        "backprop-vgg16": (61.12, 51.46),
        "backprop-alexnet": (65.17, 52.64),
        "googlenet-gmp": (57.78, 45.26),
    }


def test_figures_of_table_3_are_the_papers():
    assert [row[:3] for row in paper.TABLE_3] == [
        ("GoogLeNet-GAP (heuristics)", "weak", 37.1),
        ("GoogLeNet-GAP", "weak", 42.9),
        ("Backprop", "weak", 46.4),
        ("GoogLeNet", "full", 26.7),
        ("OverFeat", "full", 29.9),
        ("AlexNet", "full", 34.2),
    ]


ROWS = {
    "googlenet": {"cls_err_top1": 30.0, "cls_err_top5": 10.0, "loc_err_top1": 62.0}
    | {"loc_err_top5": 50.0, "loc_err_gt_known": 40.0},
    "googlenet-gap": {"cls_err_top1": 36.5, "cls_err_top5": 14.0, "loc_err_top1": 55.0}
    | {"loc_err_top5": 44.25, "loc_err_gt_known": 35.0},
    "backprop-googlenet": {"loc_err_top1": 70.0, "loc_err_top5": 60.0, "loc_err_gt_known": 45.0},
    "googlenet-4a": {"cls_err_top1": 50.0, "cls_err_top5": 20.0, "loc_err_top1": 80.0}
    | {"loc_err_top5": 70.0},
    "whole-image": {"loc_err_gt_known": 59.3},
}


def test_difference_is_measured_less_paper():
    table = tables.table_1(ROWS, images=96)
    assert table.loc["googlenet-gap", "top-1 paper"] == 35.0
    assert table.loc["googlenet-gap", "top-1 measured"] == 36.5
    assert table.loc["googlenet-gap", "top-1 difference"] == pytest.approx(1.5)
    assert table.loc["googlenet", "top-5 difference"] == pytest.approx(10.0 - 11.3)
    assert table.loc["googlenet", "images"] == 96


def test_rows_that_were_not_run_show_a_dash():
    table = tables.table_1(ROWS, images=96)
    assert math.isnan(table.loc["nin", "top-1 measured"]) and table.loc["nin", "images"] == 0
    shown = formatting.formatted(table).loc["NIN (`nin`)"]
    assert shown.tolist() == ["41.9", "–", "–", "19.6", "–", "–", "0"]


def test_rows_stand_in_the_papers_order_and_the_studys_own_behind_them():
    first, second = tables.table_1(ROWS, 96), tables.table_2(ROWS, 96)
    assert first.index.tolist() == [*paper.TABLE_1, "googlenet-4a"]
    assert second.index.tolist() == [*paper.TABLE_2, "googlenet-4a"]
    shown = formatting.formatted(first).loc["googlenet-4a"]
    assert shown.tolist() == ["–", "50.0", "–", "–", "20.0", "–", "96"]


def test_table_2_has_the_gt_known_error_of_every_row():
    known = tables.table_2(ROWS, 96)["GT-known"]
    assert known["googlenet-gap"] == 35.0
    assert known[["googlenet-4a", "nin"]].isna().all()


def test_table_3_sets_our_rows_beside_the_papers_top_5():
    table = tables.table_3(ROWS, images=96)
    ours = table.loc["GoogLeNet-GAP"]
    assert ours["top-5 measured"] == 44.25
    assert ours["top-5 difference"] == pytest.approx(44.25 - 42.9)
    assert table["images"].tolist() == [0, 96, 0, 0, 0, 0]
    assert table["top-5 measured"].isna().tolist() == [True, False, True, True, True, True]


def test_baselines_are_sorted_by_their_gt_known_error():
    table = tables.baselines(ROWS, 96)
    assert table.index.tolist() == [
        "googlenet-gap",
        "googlenet",
        "backprop-googlenet",
        "whole-image",
    ]
    assert table["GT-known"].tolist() == [35.0, 40.0, 45.0, 59.3]


def test_markdown_has_a_line_a_row_with_signed_differences():
    lines = formatting.markdown(tables.table_1(ROWS, 96)).splitlines()
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    columns = tables.table_1(ROWS, 96).columns
    assert cells[0] == ["row", *(c for c in columns if not c.endswith("interval"))]
    assert len(cells) == 2 + 10
    assert cells[3] == [
        "GoogLeNet-GAP (`googlenet-gap`)",
        *["35.0", "36.5", "+1.5", "13.2", "14.0", "+0.8", "96"],
    ]


def test_table_without_rows_says_so():
    for table in (
        tables.differences({}, []),
        tables.over_thresholds({}),
        tables.over_seeds({}, {}),
    ):
        assert formatting.markdown(table) == "This study has no such rows."


def test_differences_are_paired_by_image():
    """The first row is wrong on d, the second on a and b: one image of four less."""
    first = pd.DataFrame({"loc_err_top1": [0.0, 0, 0, 1]}, index=list("abcd"))
    second = pd.DataFrame({"loc_err_top1": [0.0, 0, 1, 1]}, index=list("dcba"))
    table = tables.differences({"x": first, "y": second}, [("x", "y")])
    assert table.loc["x − y", "top-1 difference"] == -25
    assert math.isnan(table.loc["x − y", "GT-known difference"])


def test_intervals_stand_beside_what_they_are_of():
    spans = {"googlenet-gap": {"cls_err_top1": (34.0, 39.0), "loc_err_gt_known": (33.0, 37.0)}}
    assert tables.table_1(ROWS, 96, spans).loc["googlenet-gap", "top-1 interval"] == "34.0 to 39.0"
    assert (
        tables.table_2(ROWS, 96, spans).loc["googlenet-gap", "GT-known interval"] == "33.0 to 37.0"
    )
    assert tables.table_2(ROWS, 96, spans).loc["googlenet-gap", "top-1 interval"] == "–"


def test_kinds_of_misses_are_percent_of_the_images():
    outcome = pd.DataFrame(
        {"kind": [error_types.RIGHT, error_types.PART, error_types.PART, error_types.PLACE]}
    )
    table = tables.kinds_of_misses({"x": outcome})
    assert table.loc["x", [error_types.RIGHT, error_types.PART, error_types.LARGE]].tolist() == [
        25,
        50,
        0,
    ]
    assert table.loc["x", "images"] == 4
    assert table.loc["x", f"{error_types.LARGE} interval"] == "0.0 to 0.0"


def test_choice_has_its_errors_and_its_paired_difference():
    """The choice is wrong on a and b, the base on a alone."""
    base = pd.DataFrame({"loc_err_top1": [1.0, 0, 0, 0]}, index=list("abcd"))
    found = pd.DataFrame({"loc_err_top1": [0.0, 0, 1, 1]}, index=list("dcba"))
    moved = pd.DataFrame([choice(base, base), choice(found, base)], index=["this study", "other"])
    assert moved["loc_err_top1"].tolist() == [25, 50]
    assert moved["loc_err_top1 change"].tolist() == [0, 25]
    shown = formatting.formatted(tables.moved_by_choices(moved))
    assert list(shown) == ["top-1", "top-1 difference"]
    assert shown.loc["this study", "top-1 difference"] == "+0.0 (+0.0 to +0.0)"


def test_interval_stands_in_brackets_behind_its_figure():
    spans = {"googlenet-gap": {"cls_err_top1": (34.0, 39.0)}}
    shown = formatting.formatted(tables.table_1(ROWS, 96, spans))
    assert shown.loc["GoogLeNet-GAP (`googlenet-gap`)", "top-1 measured"] == "36.5 (34.0 to 39.0)"


def test_every_error_of_every_split_has_its_interval():
    spans = {"val": {"googlenet": {"cls_err_top1": (25.0, 34.0)}}, "test": {}}
    table = tables.by_split({"val": ROWS, "test": ROWS}, spans)
    assert table.loc["googlenet, val", "cls_err_top1 interval"] == "25.0 to 34.0"
    assert table.loc["googlenet, test", "cls_err_top1 interval"] == "–"


def test_mean_and_spread_over_seeds():
    rows = {"a": {"loc_err_top1": 50.0}, "b": {"loc_err_top1": 54.0}}
    table = tables.over_seeds(rows, {"a": ["a", "b"]})
    assert table.loc["a"].tolist() == [2, 52, pytest.approx(8**0.5)]
