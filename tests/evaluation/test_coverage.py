"""What a map lights, by hand."""

import numpy as np
from four_pictures import LEFT, MAPS, ON_RIGHT

from camloc.boxes.rule import Rule
from camloc.core.params import Boxes
from camloc.evaluation.coverage import cover, coverage, in_boxes

# Two parts of 2×4 pixels side by side on the upper half of an image of 4×4, nothing below.
PARTS = np.array([[1, 1, 2, 2], [1, 1, 2, 2], [0, 0, 0, 0], [0, 0, 0, 0]], np.uint8)


def test_map_that_lights_one_part_covers_half_the_object():
    """The second half of as many pixels as the object has lies anywhere, all being equally dark."""
    low = np.where(PARTS == 1, 1.0, 0.0)
    object_cover, equal, part_cover, _, energy = cover(low, PARTS, 0.2)
    assert (object_cover, part_cover, energy) == (0.5, 0.5, 1.0)
    assert equal >= 0.5


def test_map_that_lights_everything_covers_the_object_and_its_parts():
    object_cover, _, part_cover, _, energy = cover(np.ones((4, 4)), PARTS, 0.2)
    assert (object_cover, part_cover, energy) == (1.0, 1.0, 0.5)


def test_cover_at_equal_area_does_not_grow_with_the_area_that_is_lit():
    """A map that is above the threshold everywhere has its eight highest pixels, as many as the
    object's, on part 1 and beside the object: it covers half of it, as one that lights no more."""
    ranks = np.where(PARTS == 1, 3.0, np.where(PARTS == 0, 2.0, 1.0))
    assert cover(ranks, PARTS, 0.2) == (1.0, 0.5, 1.0, 0.5, 0.75)
    assert cover(np.maximum(ranks - 1, 0), PARTS, 0.2)[1:4] == (0.5, 0.5, 0.5)


def test_part_counts_from_half_its_pixels_on():
    low = np.where(PARTS == 1, 1.0, 0.0)
    low[0, 2] = 1.0  # one of the four pixels of part 2
    assert cover(low, PARTS, 0.2)[2] == 0.5
    low[1, 3] = 1.0
    assert cover(low, PARTS, 0.2)[2] == 1.0


def test_map_without_a_positive_value_lights_nothing():
    assert cover(np.zeros((2, 2)), PARTS, 0.2) == (0, 0, 0, 0, 0)


def test_peak_and_energy_in_a_box_are_those_of_the_map_at_its_images_size():
    """A map of 40×20 pixels, 3 on the two pixels at the left, 1 on two at the right end, and
    negative elsewhere: 6 of 8 lie on the left. Its peak is the first pixel of the left one."""
    low = np.full((20, 40), -1.0)
    low[5, [2, 3]], low[5, [38, 39]] = 3, 1
    left, right = [0, 0, 9, 9], [30, 0, 39, 9]
    assert in_boxes(low, 40, 20, np.array([left])) == (1.0, 0.75)
    assert in_boxes(low, 40, 20, np.array([right])) == (0.0, 0.25)
    assert in_boxes(low, 40, 20, np.array([right, left])) == (1.0, 1.0)
    assert in_boxes(low, 40, 20, np.array([[0, 0, 9, 9], [2, 5, 2, 5]])) == (1.0, 0.75)
    for beside, hit in ((17, 1.0), (18, 0.0)):  # 15 and 16 pixels to the right of the peak
        assert in_boxes(low, 40, 20, np.array([[beside, 5, 20, 6]]))[0] == hit
    assert in_boxes(-abs(low), 40, 20, np.array([left])) == (0.0, 0.0)


def test_peak_and_energy_in_boxes_are_of_the_images_own_class(stored):
    """The maps of a's and b's own class light their box's half, up to where it is enlarged."""
    split = stored(cam=MAPS)
    found = coverage(split, *split.predictions("cam", Rule.of(Boxes(threshold=0.5))), 0.5)
    assert found["peak_in_box"].dropna().to_dict() == {"a": 1.0, "b": 1.0}
    energy = found["energy_in_box"].dropna()
    assert energy.index.tolist() == ["a", "b"] and energy.between(0.8, 0.95).all()


def test_pointing_game_is_played_where_an_image_holds_several_classes(stored):
    """b also holds an n1 on the left: the map of n2 points at its own box, that of n1, too, at the
    box of n2. Nothing else holds two classes, and there are no masks."""
    split = stored(cam=[MAPS[0], [ON_RIGHT, ON_RIGHT], *MAPS[2:]])
    boxes = split.manifest.boxes
    boxes.loc[len(boxes)] = ["b", "n1", *LEFT]
    predictions, maps = split.predictions("cam", Rule.of(Boxes(threshold=0.5)))
    found = coverage(split, predictions, maps, 0.5)
    assert found["peak_on_own"].dropna().index.tolist() == ["b"]
    assert found.loc["b", ["peak_on_own", "peak_on_other"]].tolist() == [0.5, 0.5]
