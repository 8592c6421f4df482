"""Maps over all thresholds, by hand and by loops."""

import dataclasses

import numpy as np
import pandas as pd
import pytest
from four_pictures import LEFT, MAPS, ON_LEFT, ON_RIGHT, RIGHT
from PIL import Image

from camloc.boxes.paper import boxes_from_maps
from camloc.boxes.rule import Rule
from camloc.core.params import Boxes
from camloc.evaluation import thresholds, wsol
from camloc.evaluation.thresholds import THRESHOLDS, Curves, by_threshold

RULE = Rule.of(Boxes(threshold=0.5))
ERROR = "loc_err_gt_known"


def with_boxes(split, *rows):
    """The split with other ground-truth boxes."""
    boxes = pd.DataFrame(rows, columns=["image", "wnid", "xmin", "ymin", "xmax", "ymax"])
    return dataclasses.replace(split, manifest=dataclasses.replace(split.manifest, boxes=boxes))


def test_rule_is_shown_at_twenty_thresholds():
    assert pytest.approx([i * 0.05 for i in range(20)]) == THRESHOLDS


def slow_iou(a, b):
    """By counting pixels."""
    pixels = [
        {(x, y) for x in range(box[0], box[2] + 1) for y in range(box[1], box[3] + 1)}
        for box in (a, b)
    ]
    return len(pixels[0] & pixels[1]) / len(pixels[0] | pixels[1])


def test_error_at_each_threshold_is_by_the_best_of_an_images_boxes(stored):
    """Boxes in no order, several of an image; d's are of another class and do not count."""
    rng = np.random.default_rng(0)
    split = stored(cam=rng.random((4, 2, 3, 4)))
    rows = [("b", "n2", *RIGHT), ("a", "n1", *LEFT), ("b", "n2", 3, 1, 15, 8)]
    rows += [("a", "n1", 2, 2, 17, 9), ("a", "n1", 0, 0, 1, 1), ("a", "n3", 0, 0, 19, 9)]
    split = with_boxes(split, *rows)
    predictions, maps = split.predictions("cam", RULE)
    found = by_threshold(split, predictions, maps, 0.6)
    assert found.columns.tolist() == ["threshold", ERROR, "images"]
    assert found["threshold"].tolist() == THRESHOLDS and (found["images"] == 2).all()
    true = predictions[predictions["true"] & predictions["image"].isin(["a", "b"])]
    errors = []
    for threshold in THRESHOLDS:
        wrong = 0
        for i, image in true["image"].items():
            box = boxes_from_maps(maps[[i]], np.array([[20, 10]]), threshold)[0].tolist()
            own = [row[2:] for row in rows if row[0] == image and row[1] != "n3"]
            wrong += max(slow_iou(box, other) for other in own) < 0.6
        errors.append(50.0 * wrong)
    assert found[ERROR].tolist() == errors and len(set(errors)) > 1


def test_iou_of_exactly_the_smallest_is_found_at_any_threshold(stored):
    """The left half's box has an IoU of 1/2 with the whole picture."""
    split = with_boxes(stored(cam=MAPS), ("a", "n1", 0, 0, 19, 9))
    predictions, maps = split.predictions("cam", RULE)
    for least, error in ((0.5, 0), (0.501, 100)):
        table = by_threshold(split, predictions, maps, least).set_index("threshold")
        assert table.loc[0.5, ERROR] == error


def test_error_is_not_known_where_a_map_or_every_box_is_missing(stored):
    split = stored(cam=MAPS)
    predictions, maps = split.predictions("cam", RULE)
    columns = ["threshold", ERROR, "images"]
    lacking = predictions.assign(true=predictions["true"] & (predictions["image"] != "b"))
    for table in (
        by_threshold(split, lacking, maps, 0.5),
        by_threshold(with_boxes(split), predictions, maps, 0.5),
    ):
        assert table.empty and table.columns.tolist() == columns


def test_thresholds_that_maps_give_themselves_are_those_of_their_histograms():
    """By scikit-image, whose levels are a little apart, since its bins are."""
    filters = pytest.importorskip("skimage.filters")
    rng = np.random.default_rng(0)
    x, y = np.meshgrid(np.arange(224), np.arange(224))
    spot = np.exp(-((x - 80) ** 2 + (y - 120) ** 2) / 2e3)
    maps = np.array([spot + 0.1 * rng.random((224, 224)), 7 * spot**2, np.minimum(3 * spot, 1)])
    for full, own in zip(maps, thresholds.own_thresholds(maps - 0.05), strict=True):
        levels = np.maximum(full - 0.05, 0)
        levels = (255 / levels.max() * levels).astype(np.uint8)
        assert own[0] == pytest.approx(levels.mean() / 255, abs=1e-3)
        assert 255 * own[1] == pytest.approx(filters.threshold_otsu(levels), abs=1.5)
        assert 255 * own[2] == pytest.approx(filters.threshold_triangle(levels), abs=2.5)


def test_threshold_of_a_map_of_two_levels_lies_between_them_and_of_no_evidence_is_0():
    low = np.full((224, 224), 0.2)
    low[:56] = 1  # a quarter
    mean, otsu, triangle = thresholds.own_thresholds(np.array([low, 5 * low]))[1]
    assert mean == pytest.approx(0.4, abs=0.002)
    assert 0.2 <= otsu < 1 and 0.2 <= triangle < 1
    assert not thresholds.own_thresholds(np.array([-low, 0 * low])).any()


def test_error_by_map_is_that_of_the_box_at_the_maps_own_threshold(stored):
    split = stored(cam=np.random.default_rng(1).random((4, 2, 3, 4)))
    predictions, maps = split.predictions("cam", RULE)
    own, seen = thresholds.own_thresholds(maps), set()
    for least in (0.3, 0.5, 0.7):
        found = thresholds.by_map(split, predictions, maps, least)
        assert found.columns.tolist() == list(thresholds.BY_MAP)
        for image, box in (("a", LEFT), ("b", RIGHT)):
            [i] = predictions.index[predictions["true"] & (predictions["image"] == image)]
            for name, share in zip(thresholds.BY_MAP, own[i], strict=True):
                predicted = boxes_from_maps(maps[[i]], np.array([[20, 10]]), share)[0].tolist()
                wrong = slow_iou(predicted, box) < least
                assert found.loc[image, name] == wrong
                seen.add(wrong)
    assert seen == {True, False}


def test_best_threshold_is_the_first_of_the_smallest_error():
    table = pd.DataFrame({"threshold": [0.1, 0.2, 0.3], ERROR: [50.0, 20.0, 20.0]})
    assert thresholds.best_threshold(table) == 0.2
    assert thresholds.best_threshold(table[:0]) is None


def masked(split, **masks):
    """The split with masks of images, arrays."""
    images = split.manifest.images.copy()
    for image, mask in masks.items():
        path = split.manifest.root / f"{image}.png"
        Image.fromarray(np.array(mask, np.uint8)).save(path)
        images.loc[images["image"] == image, "mask"] = path.name
    return dataclasses.replace(split, manifest=dataclasses.replace(split.manifest, images=images))


def test_curves_are_of_the_true_classes_with_a_box_or_a_mask(stored):
    """a has a box, d a mask, b both; of c nobody knows the class. Either map lies on its mask."""
    split = masked(stored(cam=MAPS), b=[[0, 1]], d=[[1, 0]], c=[[1, 1]])
    split = with_boxes(split, ("a", "n1", *RIGHT), ("b", "n2", *RIGHT), ("a", "n1", *LEFT))
    found = thresholds.curves(split, *split.predictions("cam", RULE, ranks=5))
    assert (found.boxed, found.masked) == (["a", "b"], ["b", "d"])
    square = {"a": [[112, 0, 212, 201], [0, 0, 100, 201]], "b": [[112, 0, 212, 201]]}
    for image, low, hits in zip("ab", [ON_LEFT, ON_RIGHT], found.hits, strict=True):
        expected = wsol.hits(wsol.score_map(np.array(low)), np.array(square[image]))
        assert (hits == expected).all() and hits.any()
    whole, half = wsol.SIDE**2, wsol.SIDE**2 / 2
    assert found.pixels.counts.sum(axis=1).tolist() == [whole, whole]
    assert found.pixels.counts[0, wsol.BINS // 2 :].sum() == 2 * half  # the brighter halves
    assert len(found.pixels.influence()) == 2


def test_boxes_on_the_square_are_scaled_by_their_own_images_sides(stored):
    split = stored()
    images = split.manifest.images.assign(width=[224, 448, 20, 20], height=[448, 224, 10, 10])
    split = dataclasses.replace(split, manifest=dataclasses.replace(split.manifest, images=images))
    split = with_boxes(split, ("b", "n2", 10, 10, 21, 20), ("a", "n1", 1, 2, 30, 40))
    square = thresholds.boxes_on_the_square(split)
    assert {image: boxes.tolist() for image, boxes in square.items()} == {
        "a": [[1, 1, 30, 20]],
        "b": [[5, 10, 10, 20]],
    }


def test_curves_of_no_image_are_empty():
    assert thresholds.stacked([]).shape == (0, 4, 255)
    assert thresholds.stacked([]).dtype == bool
    assert thresholds.stacked([np.ones((4, 255), bool)] * 2).shape == (2, 4, 255)


def made(level, *, pixels=(), images="ab"):
    """Curves of two images, of which the second alone is right at one level only."""
    hits = np.zeros((2, 4, 255), bool)
    hits[1, :, level] = True
    counts = wsol.PixelCounts()
    for object_counts in pixels:
        counts.add(np.array(object_counts))
    return Curves(hits, counts, list(images), list(images[: len(pixels)]))


def halves(bright, dark):
    """Pixels of an object and of background: the object's in the lowest or the highest bin."""
    counts = np.zeros((2, wsol.BINS + 1), int)
    counts[0, -1], counts[0, 0], counts[1, 0] = bright, dark, 100
    return counts


def test_measures_by_image_are_at_the_level_that_is_best_on_the_other_split():
    mine = made(20)
    at_20, at_30 = mine.by_image(made(20, images="xy")), mine.by_image(made(30, images="xy"))
    assert at_20.to_dict() == {name: {"a": 0, "b": 1} for name in ("max_box_acc", "max_box_acc_v2")}
    assert at_30.to_dict() == {name: {"a": 0, "b": 0} for name in ("max_box_acc", "max_box_acc_v2")}


def test_measures_of_whole_maps_are_called_as_they_are_stored():
    found = made(20, pixels=[halves(50, 0)] * 2).by_image(made(20))
    assert found.columns.tolist() == list(thresholds.WHOLE_MAP)
    assert list(thresholds.WHOLE_MAP.values()) == ["MaxBoxAcc", "MaxBoxAccV2", "1 − PxAP"]


def test_pxap_error_by_image_is_a_share_and_needs_no_other_split():
    """All of the objects comes first, or before half of the background."""
    found = made(20, pixels=[halves(50, 0), halves(50, 0)]).by_image(None)
    assert found["pxap_err"].to_dict() == pytest.approx({"a": 0, "b": 0})
    assert found.columns.tolist() == ["pxap_err"]
    one = made(20, pixels=[halves(0, 100)]).by_image(None)
    assert one["pxap_err"].to_dict() == pytest.approx({"a": 0.5})


def test_nothing_is_known_of_curves_without_another_split_or_an_object():
    nothing = Curves(thresholds.stacked([]), wsol.PixelCounts(), [], [])
    for found in (
        made(20).by_image(None),
        made(20).by_image(nothing),
        nothing.by_image(made(20)),
        made(20, pixels=[halves(0, 0)]).by_image(None),
    ):
        assert found.shape == (0, 0) and found.index.dtype == object


def test_each_split_is_held_out_for_the_other():
    curves = {"val": {"x": made(20, images="cd")}, "test": {"x": made(30)}}
    curves["val"]["x"].hits[0, :, 30] = True  # at 20 and 30 alike: the first counts
    whole = thresholds.whole_map(curves)
    assert whole["test"]["x"]["max_box_acc"].to_dict() == {"a": 0, "b": 0}  # at level 20
    assert whole["val"]["x"]["max_box_acc"].to_dict() == {"c": 1, "d": 0}  # at level 30
    assert thresholds.whole_map({"test": curves["test"]})["test"]["x"].empty


def test_summaries_are_of_every_split_and_row():
    curves = {"test": {"x": made(20, pixels=[halves(50, 0)]), "y": made(30)}}
    found = thresholds.over_thresholds(curves)
    assert found["test"]["x"]["levels"]["max_box_acc"] == 20
    assert found["test"]["y"]["best"]["max_box_acc"] == 50
    assert found["test"]["x"]["pxap"] == pytest.approx(100) and "pxap" not in found["test"]["y"]
