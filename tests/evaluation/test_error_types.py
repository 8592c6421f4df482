"""Kinds of misses, by hand."""

import pandas as pd
import pytest

from camloc.boxes.geometry import CORNERS
from camloc.evaluation import error_types

OBJECT = [20, 20, 39, 39]


def kind_of(box, wnid="n1", true=(OBJECT,)):
    guesses = pd.DataFrame([["a", 1, wnid, *box]], columns=["image", "rank", "wnid", *CORNERS])
    labels = pd.DataFrame([["a", "n1"]], columns=["image", "wnid"])
    boxes = pd.DataFrame([["a", "n1", *b] for b in true], columns=["image", "wnid", *CORNERS])
    return error_types.kinds(guesses, labels, boxes).set_index("image").loc["a", "kind"]


@pytest.mark.parametrize(
    ("box", "kind"),
    [
        (OBJECT, error_types.RIGHT),
        ([20, 20, 29, 39], error_types.RIGHT),  # IoU of exactly one half
        ([20, 20, 29, 29], error_types.PART),  # all of it inside, a quarter of the object
        ([0, 0, 59, 59], error_types.LARGE),  # holds all of the object, IoU 1/9
        ([60, 60, 79, 79], error_types.PLACE),
        ([35, 35, 54, 54], error_types.PLACE),  # 25 of 400 pixels of either
    ],
)
def test_miss_is_named_by_how_the_box_lies(box, kind):
    assert kind_of(box) == kind


def test_wrong_class_is_a_miss_of_its_own_even_in_the_right_place():
    assert kind_of(OBJECT, wnid="n2") == error_types.WRONG_CLASS


def test_box_over_two_objects_is_told_from_one_that_is_only_too_large():
    second = [50, 20, 69, 39]
    assert kind_of([15, 15, 74, 44], true=(OBJECT, second)) == error_types.SEVERAL
    assert kind_of([0, 0, 49, 59], true=(OBJECT, second)) == error_types.LARGE


def test_image_without_a_guess_is_of_the_wrong_class():
    labels = pd.DataFrame([["a", "n1"]], columns=["image", "wnid"])
    boxes = pd.DataFrame([["a", "n1", *OBJECT]], columns=["image", "wnid", *CORNERS])
    none = pd.DataFrame(columns=["image", "rank", "wnid", *CORNERS])
    assert error_types.kinds(none, labels, boxes)["kind"].tolist() == [error_types.WRONG_CLASS]


def test_size_is_that_of_the_largest_box():
    images = pd.DataFrame([["a", 10, 10]], columns=["image", "width", "height"])
    rows = [["a", "n1", 0, 0, 1, 1], ["a", "n1", 0, 0, 4, 4]]  # 4 and 25 of 100 pixels
    boxes = pd.DataFrame(rows, columns=["image", "wnid", *CORNERS])
    assert error_types.sizes(images, boxes).tolist() == ["medium"]
