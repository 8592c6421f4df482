"""Error types, by hand."""

import pandas as pd
import pytest

from camloc.boxes.geometry import CORNERS
from camloc.evaluation.error_types import error_types, sizes

OBJECT = [20, 20, 39, 39]


def error_type(box, wnid="n1", truth=(OBJECT,)):
    predictions = pd.DataFrame([["a", 1, wnid, *box]], columns=["image", "rank", "wnid", *CORNERS])
    boxes = pd.DataFrame([["a", "n1", *b] for b in truth], columns=["image", "wnid", *CORNERS])
    return error_types(predictions, boxes)["a"]


@pytest.mark.parametrize(
    ("box", "expected"),
    [
        (OBJECT, "correct"),
        ([20, 20, 29, 39], "correct"),  # IoU of exactly one half
        ([20, 20, 29, 29], "part"),  # all of it inside, a quarter of the object
        ([0, 0, 59, 59], "oversized"),  # holds all of the object, IoU 1/9
        ([60, 60, 79, 79], "mislocalized"),
        ([35, 35, 54, 54], "mislocalized"),  # 25 of 400 pixels of either
    ],
)
def test_error_is_named_by_how_the_box_lies(box, expected):
    assert error_type(box) == expected


def test_wrong_class_is_an_error_of_its_own_even_in_the_right_place():
    assert error_type(OBJECT, wnid="n2") == "classification"


def test_box_over_two_objects_is_told_from_one_that_is_only_too_large():
    second = [50, 20, 69, 39]
    assert error_type([15, 15, 74, 44], truth=(OBJECT, second)) == "multi-instance"
    assert error_type([0, 0, 49, 59], truth=(OBJECT, second)) == "oversized"


def test_image_without_a_prediction_of_its_class_is_a_classification_error():
    boxes = pd.DataFrame([["a", "n1", *OBJECT]], columns=["image", "wnid", *CORNERS])
    none = pd.DataFrame(columns=["image", "rank", "wnid", *CORNERS])
    assert error_types(none, boxes).tolist() == ["classification"]


def test_size_is_that_of_the_largest_box():
    images = pd.DataFrame([["a", 10, 10]], columns=["image", "width", "height"])
    rows = [["a", "n1", 0, 0, 1, 1], ["a", "n1", 0, 0, 4, 4]]  # 4 and 25 of 100 pixels
    boxes = pd.DataFrame(rows, columns=["image", "wnid", *CORNERS])
    assert sizes(images, boxes)["a"] == "medium"
