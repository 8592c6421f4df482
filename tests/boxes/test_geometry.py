"""Boxes as numbers, by hand."""

import numpy as np
import pytest

from camloc.boxes.geometry import areas, best_iou, intersections, iou, whole_image_box


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


def test_boxes_are_broadcast_against_each_other():
    boxes = np.array([[0, 0, 9, 9], [5, 0, 14, 9], [20, 20, 29, 29]])
    assert areas(boxes).tolist() == [100, 100, 100]
    both = intersections(boxes[:, None], boxes)
    assert both.tolist() == [[100, 50, 0], [50, 100, 0], [0, 0, 100]]
    assert iou(boxes[:, None], boxes)[0, 1] == 50 / 150
    assert best_iou(boxes[0], boxes[1:]) == 50 / 150


def test_whole_image_box_runs_to_the_last_pixel():
    sizes = np.array([[500, 375], [1, 2]])
    assert whole_image_box(sizes).tolist() == [[0, 0, 499, 374], [0, 0, 0, 1]]
