"""What is read of stored predictions, by hand: which of them, with which maps and boxes."""

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from camloc.boxes.geometry import CORNERS
from camloc.boxes.predictions import Split, places
from camloc.boxes.rule import Rule
from camloc.core.params import Boxes
from camloc.data import ten_crop
from camloc.data.manifest import Manifest
from camloc.maps.store import BF16, TEN_CROP, Geometry, MapWriter, write_geometry

WNIDS = [f"n{i}" for i in range(1, 7)]
# Of each picture of the split: its classes, best first. a's n1 is second, b's n2 last.
ORDER = {"a": [2, 1, 3, 4, 5, 6], "b": [1, 3, 4, 5, 6, 2], "c": [1, 2, 3, 4, 5, 6]}
RULE = Rule.of(Boxes(threshold=0.5))
HALF = {"a": [0, 0, 9, 9], "b": [0, 0, 14, 19], "c": [0, 0, 9, 9]}  # of each picture the left one


@pytest.fixture
def split(tmp_path):
    """Maps that light the left half, by the number of the picture and the rank, such as 21."""
    rows = [("c", None, 20, 10, "c.png"), ("b", "n2", 30, 20, None), ("a", "n1", 20, 10, "a.png")]
    images = pd.DataFrame(rows, columns=["image", "wnid", "width", "height", "mask"])
    images = images.assign(path="", split="test")
    images = pd.concat([images, images.iloc[[1]].assign(image="v", split="val")])
    boxes = [("a", "n1", 0, 0, 9, 9), ("a", "n3", 2, 2, 3, 3), ("b", "n2", 0, 0, 14, 19)]
    boxes += [("v", "n2", 1, 1, 2, 2)]
    boxes = pd.DataFrame(boxes, columns=["image", "wnid", "xmin", "ymin", "xmax", "ymax"])
    manifest = Manifest("cub", tmp_path, dict.fromkeys(WNIDS, ""), images, boxes)
    found = Split(tmp_path / "predictions", manifest, "test")
    numbers = np.arange(3)[:, None] * 10 + np.arange(1, 7)
    store(found, "", numbers[:, :, None, None] * np.array([[1.0, 0.0]]))
    return found


def store(split, kind, maps):
    writer = MapWriter(split.stored(kind), list(ORDER), WNIDS)
    ranks = np.tile(np.arange(1, 7), (3, 1))
    writer.write(np.array(list(ORDER.values())) - 1, ranks, 1 / ranks, {"cam": maps})
    writer.close()
    write_geometry(split.stored(kind), Geometry(24, 20, None))


def told(predictions):
    return predictions[["image", "rank", "wnid", "true"]].to_numpy().tolist()


def test_labels_and_boxes_are_those_of_the_splits_own_classes(split):
    assert split.images["image"].tolist() == ["a", "b", "c"]
    labels = split.labels
    assert labels.to_numpy().tolist() == [["a", "n1"], ["b", "n2"]]
    assert labels.columns.tolist() == ["image", "wnid"] and labels.index.tolist() == [0, 1]
    assert split.boxes.to_numpy().tolist() == [["a", "n1", *HALF["a"]], ["b", "n2", *HALF["b"]]]


def test_index_is_that_of_labels_alone(split):
    """Of b, a and c, the unlabelled first."""
    images = split.manifest.images.assign(wnid=[None, "n2", "n1", "n2"], image=["a", "b", "c", "v"])
    manifest = Manifest("cub", split.folder, split.manifest.classes, images, split.manifest.boxes)
    assert Split(split.folder, manifest, "test").labels.index.tolist() == [0, 1]


def test_predictions_are_of_the_classes_that_an_image_holds_whatever_their_rank(split):
    predictions, maps = split.predictions("cam", RULE)
    columns = ["image", "wnid", "rank", "score", "true", "width", "height", *CORNERS]
    assert predictions.columns.tolist() == columns
    expected = [["a", 2, "n1", True], ["a", 3, "n3", False], ["b", 6, "n2", True]]
    assert told(predictions) == expected
    assert predictions.index.tolist() == [0, 1, 2]
    assert maps.tolist() == [[[2, 0]], [[3, 0]], [[16, 0]]]
    assert predictions["score"].tolist() == pytest.approx([1 / 2, 1 / 3, 1 / 6])
    assert predictions[["width", "height"]].to_numpy().tolist() == [[20, 10], [20, 10], [30, 20]]
    assert predictions[CORNERS].to_numpy().tolist() == [HALF["a"], HALF["a"], HALF["b"]]


def test_first_predictions_and_those_of_some_images_may_be_asked_for(split):
    predictions, maps = split.predictions("cam", RULE, ranks=2)
    a = [["a", 1, "n2", False], ["a", 2, "n1", True], ["a", 3, "n3", False]]
    b = [["b", 1, "n1", False], ["b", 2, "n3", False], ["b", 6, "n2", True]]
    assert told(predictions) == a + b + [["c", 1, "n1", False], ["c", 2, "n2", False]]
    assert maps[:, 0, 0].tolist() == [1, 2, 3, 11, 12, 16, 21, 22]
    predictions, maps = split.predictions("cam", RULE, images=["c", "b"], ranks=1)
    assert told(predictions) == [b[0], b[2], ["c", 1, "n1", False]]
    assert maps[:, 0, 0].tolist() == [11, 16, 21]


def test_predictions_of_another_kind_are_read_where_they_are_stored(split):
    assert split.stored() == split.folder / "test"
    assert split.stored(BF16) == split.folder / "test-bf16"
    store(split, BF16, np.full((3, 6, 1, 2), 7.0))
    assert (split.predictions("cam", RULE, kind=BF16)[1] == 7).all()
    crops = np.random.default_rng(0).random((3, 6, 10, 2, 2)).astype(np.float16)
    store(split, TEN_CROP, crops)
    _, maps = split.predictions("cam", RULE.changed(crops=10))
    expected = [ten_crop.merge(crops[i, k], 24, 20, False) for i, k in ((0, 1), (0, 2), (1, 5))]
    assert maps.tolist() == np.array(expected).tolist()


def test_answers_are_the_first_five_predictions_or_five_of_three_classes(split):
    answers = split.answers(RULE)
    assert answers["image"].tolist() == ["a"] * 5 + ["b"] * 5 + ["c"] * 5
    assert answers["rank"].tolist() == [1, 2, 3, 4, 5] * 3
    assert answers["wnid"].tolist()[5:10] == ["n1", "n3", "n4", "n5", "n6"]
    five = split.answers(RULE.changed(rule="heuristic-text")).sort_values(["image", "rank"])
    assert five["rank"].tolist() == [1, 2, 3, 4, 5] * 3
    assert five["wnid"].tolist()[:5] == ["n2", "n2", "n1", "n1", "n3"]
    assert five["wnid"].tolist()[5:10] == ["n1", "n1", "n3", "n3", "n4"]


def test_masks_are_read_of_the_images_that_have_one_and_once(split, tmp_path):
    Image.fromarray(np.array([[16 + 3, 0], [32 + 1, 16 + 2]], np.uint8)).save(tmp_path / "a.png")
    masks = split.masks
    assert list(masks) == ["a", "c"]  # whether the class is known or not
    first = masks["a"]()
    assert first.tolist() == [[1, 0], [1, 1]]
    (tmp_path / "a.png").unlink()
    assert masks["a"]() is first


def test_masks_of_shapes_tell_the_parts_of_the_labelled_object(split, tmp_path):
    Image.fromarray(np.array([[16 + 3, 0], [32 + 1, 16 + 2]], np.uint8)).save(tmp_path / "a.png")
    of = split.manifest
    manifest = Manifest("shapes", of.root, of.classes, of.images, of.boxes)
    assert Split(split.folder, manifest, "test").masks["a"]().tolist() == [[3, 0], [0, 2]]


def test_place_of_a_map_is_found_by_image_and_class(split):
    predictions, _ = split.predictions("cam", RULE)
    assert places(predictions) == {("a", "n1"): 0, ("a", "n3"): 1, ("b", "n2"): 2}
