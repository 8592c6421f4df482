"""Boxes as numbers, by hand."""

import numpy as np
import pytest

from camloc.boxes.geometry import CORNERS, areas, best_iou, intersections, iou, whole_image_box
from camloc.data.manifest import BOX_COLUMNS


def test_corners_are_called_as_in_the_manifest():
    assert ["image", "wnid", *CORNERS] == BOX_COLUMNS


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        ([3, 4, 10, 12], [3, 4, 10, 12], 1.0),
        ([0, 0, 9, 9], [5, 0, 14, 9], 50 / 150),
        ([0, 0, 9, 9], [5, 5, 14, 14], 25 / 175),
        ([0, 0, 9, 9], [9, 9, 18, 18], 1 / 199),
        ([0, 0, 9, 9], [10, 0, 19, 9], 0.0),
        ([0, 0, 9, 9], [20, 20, 29, 29], 0.0),
        ([0, 0, 9, 9], [2, 3, 3, 4], 4 / 100),
        ([5, 5, 5, 5], [5, 5, 5, 5], 1.0),
        ([5, 5, 5, 5], [5, 5, 6, 5], 0.5),
    ],
)
def test_iou_counts_inclusive_pixels(a, b, expected):
    assert iou(np.array([a]), np.array([b])) == pytest.approx([expected])
    assert iou(np.array([b]), np.array([a])) == pytest.approx([expected])


def test_numbers_of_8_bits_are_compared_as_numbers():
    """Neither a side of 256 pixels nor a negative distance is one of theirs."""
    a, b = (np.array([box], np.uint8) for box in ([0, 0, 255, 255], [0, 0, 127, 255]))
    assert iou(a, b) == iou(b, a) == [0.5]


@pytest.mark.filterwarnings("error")
def test_box_without_end_overlaps_nothing():
    assert iou(np.array([0, 0, 1e308, 1e308]), np.array([0, 0, 9, 9])) == 0


def test_boxes_are_broadcast_against_each_other():
    boxes = np.array([[0, 0, 9, 9], [5, 0, 14, 9], [20, 20, 29, 29]])
    assert areas(boxes).tolist() == [100, 100, 100]
    both = intersections(boxes[:, None], boxes)
    assert both.tolist() == [[100, 50, 0], [50, 100, 0], [0, 0, 100]]
    assert iou(boxes[:, None], boxes)[0, 1] == 50 / 150
    assert best_iou(boxes[0], boxes[1:]) == 50 / 150


def test_whole_image_box_runs_to_the_last_pixel():
    sizes = np.array([[500, 375], [1, 2]])
    for given in (sizes, sizes.astype(float), sizes.tolist()):
        assert whole_image_box(given).tolist() == [[0, 0, 499, 374], [0, 0, 0, 1]]
    assert whole_image_box(sizes.astype(float)).dtype == np.int64
