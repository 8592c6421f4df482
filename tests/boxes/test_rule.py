"""The section `boxes` of params.yaml, resolved into what makes maps whole and boxes them."""

import numpy as np
import pandas as pd
import pytest

from camloc.boxes.authors import authors_boxes
from camloc.boxes.geometry import CORNERS
from camloc.boxes.heuristic import five_predictions
from camloc.boxes.paper import boxes_from_maps, upsample
from camloc.boxes.rule import Rule
from camloc.core.errors import UserError
from camloc.core.params import Boxes
from camloc.data import ten_crop
from camloc.maps import store

MAPS = np.random.default_rng(0).normal(size=(5, 6, 6)).astype(np.float32)
SIZES = np.array([[60, 40]] * 5)


def rule(**options) -> Rule:
    return Rule.of(Boxes(**{"threshold": 0.2} | options))


def test_rules_box_as_the_text_or_as_the_authors_code():
    text = boxes_from_maps(MAPS, SIZES, 0.3).tolist()
    code = [authors_boxes(np.abs(low), 60, 40)[0].tolist() for low in MAPS]
    for name, expected in {
        "largest-component": text,
        "heuristic-text": text,
        "authors": code,
        "heuristic": code,
    }.items():
        found = rule(threshold=0.3, rule=name)
        assert found.boxes(MAPS, SIZES).tolist() == expected
        assert (found.pairs is not None) == name.startswith("heuristic")


def test_pair_of_the_text_is_a_loose_box_and_a_tight_one():
    pairs = rule(rule="heuristic-text", threshold=0.1, tight=0.6).pairs(MAPS, SIZES)
    loose, tight = (boxes_from_maps(MAPS, SIZES, threshold) for threshold in (0.1, 0.6))
    assert pairs.tolist() == np.stack([loose, tight], axis=1).tolist()


def test_five_predictions_are_two_boxes_of_two_classes_and_one_of_the_third():
    table = pd.DataFrame({"image": "a", "rank": range(1, 6), "wnid": list("vwxyz")})
    table[["width", "height"]] = 60, 40
    found = rule(rule="heuristic", tight=0.6)
    pairs = found.pairs(MAPS, SIZES)
    five = five_predictions(table, MAPS, found.pairs)
    assert five.index.is_unique
    five = five.sort_values("rank")
    assert five["rank"].tolist() == [1, 2, 3, 4, 5]
    assert five["wnid"].tolist() == list("vvwwx")
    assert five[CORNERS].to_numpy().tolist() == pairs.reshape(-1, 4)[:5].tolist()


def test_changed_rule_keeps_what_is_not_changed():
    found = rule(threshold=0.3, normalise="min-max").changed(rule="authors")
    assert found.options == Boxes(threshold=0.3, normalise="min-max", rule="authors")


def test_minimum_counts_as_zero_if_asked_for(tmp_path):
    stored = MAPS.astype(np.float16)
    assert (rule().whole(stored, tmp_path) == stored).all()
    lifted = rule(normalise="min-max").whole(stored, tmp_path)
    assert (lifted.min(axis=(1, 2)) == 0).all()
    assert np.allclose(lifted, stored.astype(np.float32) - stored.min(axis=(1, 2), keepdims=True))


@pytest.mark.parametrize("merge", ["coverage-mean", "absolute-sum"])
def test_maps_of_ten_crops_are_merged(tmp_path, merge):
    store.write_geometry(tmp_path, store.Geometry(side=32, size=28, cells=None))
    stored = np.random.default_rng(1).normal(size=(2, 10, 4, 4)).astype(np.float16)
    whole = rule(crops=10, merge=merge).whole(stored, tmp_path)
    expected = [ten_crop.merge(low, 32, 28, merge == "absolute-sum") for low in stored]
    assert (whole == np.stack(expected)).all()


def test_cells_spread_evenly_are_where_resizing_puts_them(tmp_path):
    store.write_geometry(tmp_path, store.Geometry(24, 24, [(1.5, 4), (1.5, 4)]))
    placed = rule(cells="receptive-field").whole(MAPS, tmp_path)
    assert placed.shape == (5, 24, 24)
    np.testing.assert_allclose(placed, [upsample(low, 24, 24) for low in MAPS], atol=1e-5)


def test_cells_lie_at_the_centres_of_their_receptive_fields_if_asked_for(tmp_path):
    store.write_geometry(tmp_path, store.Geometry(6, 6, [(2, 2), (0, 5)]))
    low = np.array([[[0, 10], [20, 30]]], np.float32)
    placed = rule(cells="receptive-field").whole(low, tmp_path)[0]
    assert placed[:, 0].tolist() == [0, 0, 0, 10, 20, 20]  # at rows 2 and 4
    assert placed[0].tolist() == [0, 2, 4, 6, 8, 10]  # at columns 0 and 5
    assert rule(cells="receptive-field").whole(low, tmp_path, "backprop").shape == (1, 2, 2)


def test_cells_of_crops_are_placed_before_the_crops_are_merged(tmp_path):
    store.write_geometry(tmp_path, store.Geometry(10, 8, [(0, 3), (1, 3)]))
    stored = np.random.default_rng(2).normal(size=(2, 10, 3, 3)).astype(np.float16)
    found = rule(cells="receptive-field", crops=10).whole(stored, tmp_path)
    one = rule(cells="receptive-field").whole
    store.write_geometry(tmp_path, store.Geometry(8, 8, [(0, 3), (1, 3)]))
    for ten, whole in zip(stored, found, strict=True):
        expected = ten_crop.merge(one(ten, tmp_path), 10, 8, absolute_sum=False)
        np.testing.assert_allclose(whole, expected, atol=1e-5)


def test_cells_whose_place_is_not_known_are_refused(tmp_path):
    store.write_geometry(tmp_path, store.Geometry(6, 6, None))
    with pytest.raises(UserError, match=r"boxes\.cells: it is not known where"):
        rule(cells="receptive-field").whole(MAPS, tmp_path)


def test_only_cams_are_of_ten_crops():
    assert [rule(crops=10).crops(method) for method in ("cam", "backprop")] == [10, 1]
