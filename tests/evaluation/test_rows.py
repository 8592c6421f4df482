"""From stored maps to the rows of the tables."""

import pytest
from four_pictures import MAPS, ON_LEFT, ON_RIGHT

from camloc.boxes.rule import Rule
from camloc.core.params import Boxes
from camloc.evaluation.rows import evaluate

RULE = Rule.of(Boxes(threshold=0.5))


def errors_of(split, network="googlenet"):
    return evaluate([split], network, RULE, iou=0.5).percentages()["test"]


def test_network_with_cams_and_saliency_gives_two_rows(stored):
    """Localization is over a and b, which have boxes; classification over a, b and d."""
    misplaced = [[ON_RIGHT, ON_RIGHT]] * 4
    rows = errors_of(stored(cam=MAPS, backprop=misplaced))
    assert rows == {
        "googlenet": {
            "cls_err_top1": pytest.approx(100 / 3),
            "cls_err_top5": 0.0,
            "loc_err_top1": 50.0,
            "loc_err_top5": 0.0,
            "loc_err_gt_known": 0.0,
        },
        "backprop-googlenet": {
            "loc_err_top1": 100.0,
            "loc_err_top5": 50.0,
            "loc_err_gt_known": 50.0,
        },
    }
    assert list(rows) == ["googlenet", "backprop-googlenet"]


def test_network_without_maps_is_only_classified(stored):
    rows = errors_of(stored(), "alexnet")
    assert rows == {"alexnet": {"cls_err_top1": pytest.approx(100 / 3), "cls_err_top5": 0.0}}


def test_network_with_saliency_alone_is_classified_and_its_saliency_located(stored):
    rows = errors_of(stored(backprop=MAPS), "vgg16")
    assert list(rows) == ["vgg16", "backprop-vgg16"]
    assert set(rows["vgg16"]) == {"cls_err_top1", "cls_err_top5"}
    assert set(rows["backprop-vgg16"]) == {"loc_err_top1", "loc_err_top5", "loc_err_gt_known"}


def test_gt_known_error_is_left_out_where_a_true_class_has_no_stored_map(stored):
    classes = [[0, 1], [0, 2], [2, 0], [2, 1]]  # b is of class 1
    split = stored(classes, cam=MAPS)
    assert "loc_err_gt_known" not in errors_of(split)["googlenet"]
    assert errors_of(split)["googlenet"]["loc_err_top5"] == 50
    assert evaluate([split], "googlenet", RULE, iou=0.5).by_threshold("test") == {}


def test_each_image_has_its_outcome_and_error_type(stored):
    found = evaluate([stored(cam=MAPS)], "googlenet", RULE, iou=0.5).images.set_index("image")
    assert found.index.tolist() == ["a", "b", "d"]
    assert found["error_type"].tolist()[:2] == ["correct", "classification"]
    assert found["size"].tolist()[:2] == ["medium", "medium"]
    assert found.loc["d", ["error_type", "size", "gt_known_iou"]].isna().all()


def test_papers_rule_is_shown_at_other_thresholds(stored):
    """Of a and b, which have boxes: a map of 1 and 0 gives its half at 0.25 to 0.7, more at 0."""
    split = stored(classes=[[0, 1], [1, 0], [2, 0], [2, 1]], cam=MAPS)
    found = evaluate([split], "googlenet", RULE, iou=0.7).by_threshold("test")
    curve = found["googlenet"].set_index("threshold")["loc_err_gt_known"]
    assert len(curve) == 20 and curve.index[0] == 0 and curve.index[-1] == 0.95
    assert curve.loc[0.25:0.7].eq(0).all() and curve.loc[0] == 100


def test_curves_are_kept_where_what_they_are_made_from_is_the_same(stored):
    split = stored(cam=MAPS)
    first = evaluate([split], "googlenet", RULE, 0.5, curves_key="x")
    stored(cam=[[ON_LEFT, ON_LEFT]] * 4)  # as if nothing that the key tells had changed
    tight = RULE.changed(threshold=0.9)
    kept = evaluate([split], "googlenet", tight, 0.5, first, curves_key="x")
    assert kept.wsol is first.wsol and kept.thresholds.equals(first.thresholds)
    assert not kept.images.equals(first.images)
    for earlier, key in ((first, "y"), (first, ""), (None, "x")):
        anew = evaluate([split], "googlenet", tight, 0.5, earlier, curves_key=key)
        assert anew.wsol != first.wsol and anew.curves_key == key
