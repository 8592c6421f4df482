"""Which parts' order by true effects a map tells, by hand."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from camloc.boxes.predictions import Split
from camloc.data.manifest import BOX_COLUMNS, IMAGE_COLUMNS, Manifest
from camloc.evaluation.causes import causes, ordered
from camloc.maps import store


def test_pairs_are_counted_that_both_order_alike():
    """Of the effects 3, 2, 1 the map has the first two in order, and two of three pairs."""
    effects = np.array([3.0, 2.0, 1.0])
    assert ordered(effects, np.array([9.0, 8.0, 7.0])) == 1
    assert ordered(effects, np.array([7.0, 8.0, 9.0])) == 0
    assert ordered(effects, np.array([8.0, 7.0, 7.5])) == pytest.approx(2 / 3)


def test_pair_that_the_map_does_not_order_counts_half_and_one_of_equal_effects_not():
    assert ordered(np.array([2.0, 1.0]), np.array([5.0, 5.0])) == 0.5
    assert ordered(np.array([1.0, 1.0, 0.0]), np.array([1.0, 2.0, 0.0])) == 1
    assert np.isnan(ordered(np.array([1.0]), np.array([1.0])))
    assert np.isnan(ordered(np.array([1.0, 1.0]), np.array([1.0, 2.0])))


@pytest.fixture
def split(tmp_path):
    """Two images of 4×2 pixels, a part of the labelled object on each quarter of their width."""
    mask = np.array([[17, 18, 19, 33]] * 2, np.uint8)  # the last is of another object
    Image.fromarray(mask).save(tmp_path / "mask.png")
    images = [(name, name, "test", "n1", 4, 2, "mask.png") for name in ("a", "b")]
    manifest = Manifest(
        "shapes",
        Path(tmp_path),
        {"n1": "one", "n2": "two"},
        pd.DataFrame(images, columns=IMAGE_COLUMNS),
        pd.DataFrame(columns=BOX_COLUMNS),
    )
    folder = tmp_path / "predictions"
    writer = store.MapWriter(folder / "test", ["a", "b"], ["n1", "n2"])
    low = np.zeros((2, 2, 2, 4), np.float32)
    low[0, 0] = [3, 2, -5, 9]  # of the likeliest class: 6, 4 and 0 on the parts
    low[0, 1] = [0, 1, 2, 3]
    low[1, 0] = [1, 2, 3, 0]
    classes = np.array([[0, 1], [1, 0]])
    writer.write(classes, np.array([[1, 2]] * 2), np.full((2, 2), 0.5), {"cam": low})
    writer.close()
    return Split(folder, manifest, "test")


def test_map_of_the_likeliest_class_is_held_against_the_effects_of_each_change(split):
    effects = [("a", 1, "removed", 4.0), ("a", 2, "removed", 5.0), ("a", 3, "removed", 1.0)]
    effects += [("a", 1, "moved", 4.0), ("a", 2, "moved", 3.0)]
    columns = ["image", "part", "change", "effect"]
    store.write_effects(split.stored(), pd.DataFrame(effects, columns=columns))
    found = causes(split, "cam")
    assert found.index.tolist() == ["a"]
    assert found.loc["a", "causes_removed"] == pytest.approx(2 / 3)
    assert found.loc["a", "causes_moved"] == 1
    assert np.isnan(found.loc["a", "causes_recoloured"])


def test_without_effects_there_is_nothing(split):
    assert causes(split, "cam").empty
