"""What each choice of the evaluation changes, by hand."""

import numpy as np
import pytest
from four_pictures import CLASSES, MAPS, WNIDS

from camloc.boxes.rule import Rule
from camloc.core.params import Boxes
from camloc.evaluation.choices import CELLS, DEVIATIONS, IN_BF16, PLACEMENT, choices
from camloc.maps.store import BF16, TEN_CROP, Geometry, MapWriter, write_geometry

RULE = Rule.of(Boxes(threshold=0.5))


def more(split, kind, maps):
    """Store the same predictions of a kind with these maps."""
    writer = MapWriter(split.stored(kind), ["a", "b", "c", "d"], WNIDS)
    ranks = np.tile([1, 2], (4, 1))
    writer.write(np.array(CLASSES), ranks, 1 / ranks, {"cam": np.array(maps)})
    writer.close()
    write_geometry(split.stored(kind), Geometry(20, 20, None))


def changed(split, method="cam", rule=RULE):
    return choices(split, method, split.predictions(method, rule), rule, iou=0.5)


def test_every_choice_has_the_errors_of_every_image(stored):
    split = stored(cam=MAPS)
    more(split, TEN_CROP, np.repeat(np.array(MAPS)[:, :, None], 10, axis=2))
    more(split, BF16, MAPS)
    table = changed(split)
    assert table["choice"].unique().tolist() == [*DEVIATIONS, IN_BF16]
    same = table[table["choice"] == IN_BF16].set_index("image")
    assert same["loc_err_top1"].dropna().to_dict() == {"a": 0, "b": 1}
    assert same["loc_err_top5"].dropna().to_dict() == {"a": 0, "b": 0}


def test_other_networks_have_the_placement_of_their_cells_where_it_is_known(stored):
    split = stored(cam=MAPS)
    assert changed(split)["choice"].unique().tolist() == [PLACEMENT]
    write_geometry(split.stored(), Geometry(20, 20, None))
    assert changed(split).empty


def test_choice_is_scored_by_its_own_maps(stored):
    split = stored(cam=MAPS)
    more(split, BF16, np.flip(MAPS, axis=-1))  # each object's map lies where the object is not
    assert changed(split).set_index(["choice", "image"]).loc[(IN_BF16, "a"), "loc_err_top5"] == 1


def test_saliency_has_wider_cells(stored):
    wide = np.kron(np.array(MAPS), np.ones((1, 1, 4, 4)))
    split = stored(backprop=wide)
    table = changed(split, "backprop").set_index(["choice", "image"])
    assert table.index.get_level_values("choice").unique().tolist() == list(CELLS.values())
    for name in CELLS.values():  # blocks of 2 and 4 are those of the maps
        assert table.loc[name, "loc_err_top5"].dropna().to_dict() == {"a": 0, "b": 0}
    assert len(changed(stored(backprop=MAPS), "backprop")) < len(table)
    assert changed(stored(**{"grad-cam": wide}), "grad-cam").empty  # whose cells are its layer's


@pytest.mark.parametrize(("rule", "error"), [("largest-component", 1), ("heuristic-text", 0)])
def test_top_5_error_is_of_five_predictions_of_three_classes_where_the_rule_makes_those(
    stored, rule, error
):
    """The loose box is the whole picture, which at an IoU of 0.6 is wrong, the tight one right."""
    blurred = [[[[1.0, 0.9]], [[1.0, 0.9]]]] * 4
    split, rule = stored(cam=blurred), Rule.of(Boxes(threshold=0.5, tight=0.95, rule=rule))
    more(split, BF16, blurred)
    found = choices(split, "cam", split.predictions("cam", rule), rule, iou=0.6)
    assert found.set_index(["choice", "image"]).loc[(IN_BF16, "a"), "loc_err_top5"] == error
