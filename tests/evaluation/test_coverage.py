"""What a map lights, by hand."""

import numpy as np
from four_pictures import LEFT, MAPS, ON_RIGHT

from camloc.boxes.rule import Rule
from camloc.core.params import Boxes
from camloc.evaluation.coverage import cover, coverage

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


def test_pointing_game_is_played_where_an_image_holds_several_classes(stored):
    """b also holds an n1 on the left: the map of n2 points at its own box, that of n1, too, at the
    box of n2. Nothing else holds two classes, and there are no masks."""
    split = stored(cam=[MAPS[0], [ON_RIGHT, ON_RIGHT], *MAPS[2:]])
    boxes = split.manifest.boxes
    boxes.loc[len(boxes)] = ["b", "n1", *LEFT]
    predictions, maps = split.predictions("cam", Rule.of(Boxes(threshold=0.5)))
    found = coverage(split, predictions, maps, 0.5)
    assert found.index.tolist() == ["b"]
    assert found.loc["b", ["peak_on_own", "peak_on_other"]].tolist() == [0.5, 0.5]
