"""What a map lights, by hand."""

import numpy as np

from camloc.evaluation.coverage import extent, peaks

# Two parts of 2×4 pixels side by side on the upper half of an image of 4×4, nothing below.
PARTS = np.array([[1, 1, 2, 2], [1, 1, 2, 2], [0, 0, 0, 0], [0, 0, 0, 0]], np.uint8)


def test_map_that_lights_one_part_covers_half_the_object():
    low = np.where(PARTS == 1, 1.0, 0.0)
    assert extent(low, PARTS, 0.2) == {"object_cover": 0.5, "part_cover": 0.5}


def test_map_that_lights_everything_covers_the_object_and_its_parts():
    assert extent(np.ones((4, 4)), PARTS, 0.2) == {"object_cover": 1.0, "part_cover": 1.0}


def test_part_counts_from_half_its_pixels_on():
    low = np.where(PARTS == 1, 1.0, 0.0)
    low[0, 2] = 1.0  # one of the four pixels of part 2
    assert extent(low, PARTS, 0.2)["part_cover"] == 0.5
    low[1, 3] = 1.0
    assert extent(low, PARTS, 0.2)["part_cover"] == 1.0


def test_map_without_a_positive_value_lights_nothing():
    assert extent(np.zeros((2, 2)), PARTS, 0.2) == {"object_cover": 0, "part_cover": 0}


def test_peak_is_looked_for_in_boxes_of_its_own_class_and_of_others():
    low = np.zeros((4, 4))
    low[3, 0] = 1
    left, right = np.array([[0, 0, 1, 3]]), np.array([[2, 0, 3, 3], [0, 0, 3, 2]])
    assert peaks(low, (4, 4), left, right) == (True, False)
    assert peaks(low, (4, 4), right, left) == (False, True)
