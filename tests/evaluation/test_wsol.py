"""Scores over all thresholds, by hand and against the rule written out slowly."""

import cv2
import numpy as np
import pytest

from camloc.core.errors import UserError
from camloc.data.masks import IGNORED, OBJECT
from camloc.evaluation import wsol
from camloc.evaluation.wsol import (
    LEVELS,
    SIDE,
    PixelCounts,
    box_hits,
    hits,
    level_boxes,
    pixel_counts,
    resized_boxes,
    score_map,
)
from camloc.maps.uninformed import centre_gaussian


def square(*parts):
    """A map at full size: zero but for the parts, each xmin, ymin, xmax, ymax and a value."""
    full = np.zeros((SIDE, SIDE), np.float32)
    for xmin, ymin, xmax, ymax, value in parts:
        full[ymin : ymax + 1, xmin : xmax + 1] = value
    return full


TRUE = np.array([[50, 50, 100, 100]])


def test_box_reaches_one_pixel_further_than_its_outline():
    """A block [50, 99]² is boxed [50, 100]², just the true box; its IoU is 1 at every level."""
    assert hits(square((50, 50, 99, 99, 1.0)), TRUE).all()


def test_level_keeps_what_is_above_it():
    """The block of 0.5 is 127 of 255: it joins the box up to level 126 and makes it too large."""
    found = hits(square((50, 50, 199, 99, 0.5), (50, 50, 99, 99, 1.0)), TRUE)
    assert not found[0, :127].any() and found[0, 127:].all()


def test_largest_outline_alone_counts_for_the_first_version_and_any_for_the_second():
    full = square((50, 50, 99, 99, 1.0), (110, 110, 210, 210, 1.0))
    found = hits(full, TRUE)
    assert not found[0].any() and found[1:].all()


def test_hole_has_an_outline_too():
    """A frame around [50, 99]²: the hole's outline runs through the frame's inner pixels."""
    full = square((20, 20, 199, 199, 1.0), (50, 50, 99, 99, 0.0))
    found = hits(full, TRUE)
    assert not found[0].any() and found[1:].all()


def test_constant_map_holds_no_box():
    flat = score_map(np.full((7, 7), 3.0))
    assert (flat == 0).all() and not hits(flat, TRUE).any()


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_value_that_is_not_finite_is_refused(value):
    with pytest.raises(UserError, match="not finite"):
        score_map(np.array([[0.0, value]]))


@pytest.mark.parametrize(
    "low",
    [np.ones((2, 2), complex), np.full((2, 2), "1"), np.full((2, 2), 1e39), np.ones(4)],
    ids=["complex", "text", "large", "flat"],
)
def test_map_that_gives_no_box_gives_no_scores(low):
    with pytest.raises(UserError, match="a map"):
        score_map(low)


def test_largest_values_are_scaled_as_all_others_are():
    """Bicubic weights and the range from minimum to maximum go beyond single precision."""
    low = np.random.default_rng(0).uniform(-1, 1, (5, 5)).astype(np.float32)
    assert np.abs(score_map(low * np.float32(3.4e38)) - score_map(low)).max() < 1e-5


def test_ground_truth_boxes_are_scaled_and_rounded_down():
    boxes = resized_boxes(np.array([[10, 20, 499, 374]]), np.array([500, 375]))
    assert boxes.tolist() == [[4, 11, 223, 223]]


def slow_hits(full, true):
    """The rule by loops: threshold, outlines, boxes, at each level on its own."""
    gray = (full * 255).astype(np.uint8)
    rows = []
    for level in range(LEVELS):
        if rows and not (gray == level).any():  # as at the level before
            rows.append(rows[-1])
            continue
        contours, _ = cv2.findContours(
            (gray > level).astype(np.uint8), cv2.RETR_TREE, cv2.CHAIN_APPROX_SIMPLE
        )
        boxes = [cv2.boundingRect(c) for c in contours]
        boxes = [(x, y, min(x + w, 223), min(y + h, 223)) for x, y, w, h in boxes]
        overlaps = [max(slow_iou(box, t) for t in true) for box in boxes or [(0, 0, 0, 0)]]
        areas = [cv2.contourArea(c) for c in contours] or [0]
        largest = overlaps[areas.index(max(areas))]
        rows.append([largest >= 0.5, *(max(overlaps) >= d for d in (0.3, 0.5, 0.7))])
    return np.array(rows).T


def slow_iou(a, b):
    width = min(a[2], b[2]) - max(a[0], b[0]) + 1
    height = min(a[3], b[3]) - max(a[1], b[1]) + 1
    both = max(0, width) * max(0, height)
    sides = [(box[2] - box[0] + 1) * (box[3] - box[1] + 1) for box in (a, b)]
    return both / (sum(sides) - both)


def test_hits_agree_with_a_slow_implementation():
    rng = np.random.default_rng(0)
    for case in range(60):
        low = rng.normal(size=rng.integers(2, 15, 2))
        if case % 3 == 0:
            low = rng.integers(0, 4, low.shape)  # plateaus and ties
        corners = np.sort(rng.integers(0, 223, (rng.integers(1, 4), 2, 2)), axis=1)
        true = np.concatenate([corners[:, 0], corners[:, 1]], axis=1)
        full = score_map(low)
        assert (hits(full, true) == slow_hits(full, true)).all(), case


@pytest.mark.parametrize("cell", [1, 2, 7, 32])
def test_hits_agree_with_a_slow_implementation_on_noise_and_plateaus(cell):
    """Blocks of few values: thousands of components and holes that touch, join and tie."""
    rng = np.random.default_rng(cell)
    side = -(-SIDE // cell)
    for values in (2, 4)[: 1 if cell == 1 else 2]:
        low = rng.integers(0, values, (side, side)) / (values - 1)
        full = np.kron(low, np.ones((cell, cell)))[:SIDE, :SIDE].astype(np.float32)
        true = np.array([[20, 30, 120, 160], [5, 5, 6, 6], [100, 100, 131, 131]])
        assert (hits(full, true) == slow_hits(full, true)).all(), values


def test_box_of_no_map_hits_alike_at_every_level():
    whole = np.array([[0, 0, SIDE - 1, SIDE - 1]])
    found = box_hits(whole, np.array([[0, 0, 99, 99], [0, 0, SIDE - 1, 133]]))  # IoU 134 / 224
    assert found.shape == (4, LEVELS)
    assert found[:3].all() and not found[3].any()  # 0.6: over 0.3 and 0.5, not 0.7


def test_boxes_of_a_map_with_one_peak_hit_as_its_outlines_do():
    full = score_map(centre_gaussian())
    rng = np.random.default_rng(0)
    for _ in range(20):
        corners = np.sort(rng.integers(0, 223, (2, 2, 2)), axis=1)
        true = np.concatenate([corners[:, 0], corners[:, 1]], axis=1)
        assert (box_hits(level_boxes(full), true) == hits(full, true)).all()


def test_pxap_of_a_map_that_is_the_mask_is_perfect():
    pixels = PixelCounts()
    full = square((50, 50, 99, 99, 1.0))
    pixels.add(pixel_counts(full, (full > 0).astype(np.uint8)))
    assert pixels.average_precision() == pytest.approx(100)


def test_pxap_by_hand():
    """Half of the object is found first with as much background, the rest only with all of it.

    Precision is 1/2 at a recall of 1/2, then the object's share of all pixels."""
    full = square((0, 0, 9, 9, 1.0))
    mask = np.zeros((SIDE, SIDE), np.uint8)
    mask[0:10, 0:5] = 1  # 50 of the 100 bright pixels
    mask[100:105, 100:110] = 1  # and 50 dark ones
    pixels = PixelCounts()
    pixels.add(pixel_counts(full, mask))
    expected = 100 * (0.5 * 0.5 + 0.5 * 100 / SIDE**2)
    assert pixels.average_precision() == pytest.approx(expected)
    assert pixels.influence() == pytest.approx([expected])  # of one image


def test_influence_of_images_is_the_jackknifes():
    """Their mean is PxAP, and they vary with what it is without each image, worked out anew."""
    rng, pixels, every = np.random.default_rng(0), PixelCounts(), []
    for _ in range(5):
        full = score_map(rng.random((7, 7)))
        every.append(pixel_counts(full, (rng.random((9, 9)) < 0.3).astype(np.uint8)))
        pixels.add(every[-1])
    without = []
    for i in range(5):
        others = PixelCounts()
        for counts in every[:i] + every[i + 1 :]:
            others.add(counts)
        without.append(others.average_precision())
    influence = pixels.influence()
    assert influence.mean() == pytest.approx(pixels.average_precision())
    assert influence - influence[0] == pytest.approx(4 * (without[0] - np.array(without)))


def test_held_out_level_is_not_tuned_on_the_split_itself():
    mine, other = (np.zeros((4, 4, LEVELS), bool) for _ in range(2))
    mine[:, :, 10] = True
    mine[:1, :, 20] = True
    other[:, :, 20] = True
    assert wsol.summary(mine)["best"]["max_box_acc"] == 100
    levels = wsol.best_levels(other.mean(axis=0))
    assert levels["max_box_acc"] == 20
    at = wsol.hits_at(mine, levels)
    assert at["max_box_acc"].tolist() == at["max_box_acc_v2"].tolist() == [1, 0, 0, 0]


def test_ignored_pixels_count_for_neither_object_nor_background():
    """By hand: of four quarters one is object, one ignored; the map lights those two alike."""
    full = np.zeros((224, 224), np.float32)
    full[:112] = 1.0
    mask = np.zeros((4, 4), np.uint8)
    mask[:2, :2], mask[:2, 2:] = OBJECT, IGNORED
    counts = PixelCounts()
    counts.add(pixel_counts(full, mask))
    assert counts.average_precision() == 100.0  # 50 if the ignored quarter were background
    assert counts.counts.sum() == 224 * 224 * 3 / 4


def test_maps_are_resized_bicubically():
    low = np.random.default_rng(0).random((7, 7)).astype(np.float32)
    full = cv2.resize(low, (SIDE, SIDE), interpolation=cv2.INTER_CUBIC)
    expected = (full - full.min()) / (full.max() - full.min())
    np.testing.assert_allclose(score_map(low), expected, atol=1e-6)


def test_accuracies_are_those_of_each_curves_best_level_and_their_mean():
    rates = np.zeros((4, LEVELS))
    rates[[0, 1, 2, 3], [5, 9, 100, 254]] = 0.5, 0.25, 0.5, 0.75
    rates[:, 7] = 0.125
    assert wsol.accuracies(rates) == {
        "max_box_acc": 50,
        "box_acc_30": 25,
        "box_acc_50": 50,
        "box_acc_70": 75,
        "max_box_acc_v2": 50,
    }
    assert list(wsol.best_levels(rates).values()) == [5, 9, 100, 254]


def test_version_2_is_the_mean_over_the_three_ious_alone_also_of_several_rates_at_once():
    rates = np.zeros((2, 4, LEVELS))
    rates[:, 0, 3] = 1.0  # of the first version
    rates[0, 1:, 5], rates[1, 1:, 9] = [0.25, 0.5, 0.75], [0.0, 0.25, 0.5]
    found = wsol.accuracies(rates)
    assert found["max_box_acc"].tolist() == [100, 100]
    assert found["max_box_acc_v2"].tolist() == [50, 25]


def test_iou_of_exactly_the_smallest_hits():
    half = box_hits(np.array([[0, 0, 9, 9]]), np.array([[0, 0, 9, 19]]))  # 100 of 200 pixels
    assert half[:, 0].tolist() == [True, True, True, False]


def test_boxes_of_a_peak_at_the_border_end_there():
    """The last pixel of a box is the one after it, where there is one."""
    corner = level_boxes(square((SIDE - 3, 0, SIDE - 1, 4, 1.0)))
    assert corner[[0, 100, LEVELS - 1]].tolist() == [[SIDE - 3, 0, SIDE - 1, 5]] * 3
    below = level_boxes(square((0, SIDE - 2, 1, SIDE - 1, 1.0)))
    assert below[0].tolist() == [0, SIDE - 2, 2, SIDE - 1]


def test_influence_is_the_same_in_whatever_batches(monkeypatch):
    rng, pixels = np.random.default_rng(1), PixelCounts()
    for _ in range(5):
        full = score_map(rng.random((7, 7)))
        pixels.add(pixel_counts(full, (rng.random((9, 9)) < 0.3).astype(np.uint8)))
    at_once = pixels.influence()
    monkeypatch.setattr(wsol, "BATCH", 2)
    assert len(at_once) == 5 and (pixels.influence() == at_once).all()


def test_pixels_are_counted_at_a_thousand_and_one_values():
    counts = pixel_counts(square((0, 0, 0, 0, 1.0)), np.ones((SIDE, SIDE), np.uint8))
    assert counts.shape == (2, 1001)
    assert counts[0, [0, 1000]].tolist() == [SIDE**2 - 1, 1]


def test_precision_of_a_single_pixel_is_whole():
    """The brightest pixel is the object's only one."""
    mask = np.zeros((SIDE, SIDE), np.uint8)
    mask[7, 9] = 1
    pixels = PixelCounts()
    pixels.add(pixel_counts(square((9, 7, 9, 7, 1.0)), mask))
    assert pixels.average_precision() == pytest.approx(100)


def test_pxap_is_the_sum_over_every_value_of_precision_by_gained_recall():
    rng = np.random.default_rng(2)
    full = score_map(rng.random((224, 224)))
    mask = (rng.random((SIDE, SIDE)) < 0.3).astype(np.uint8)
    pixels = PixelCounts()
    pixels.add(pixel_counts(full, mask))
    values, expected, before = (full * 1000).astype(int), 0.0, 0.0
    for value in range(1000, -1, -1):
        lit = values >= value
        if lit.any():
            recall = (mask[lit] == 1).sum() / mask.sum()
            expected += (mask[lit] == 1).mean() * (recall - before)
            before = recall
    assert pixels.average_precision() == pytest.approx(100 * expected)
