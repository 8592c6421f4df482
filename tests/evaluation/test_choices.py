"""What each choice of the evaluation changes, by hand."""

import numpy as np
import pandas as pd
from four_pictures import CLASSES, MAPS, WNIDS

from camloc.boxes.rule import Rule
from camloc.core.params import Boxes
from camloc.evaluation.choices import DEVIATIONS, choice, choices
from camloc.maps.store import MapWriter, write_crops


def test_choice_has_its_errors_and_its_paired_difference():
    """The choice is wrong on a and b, the base on a alone."""
    base = pd.DataFrame({"loc_err_top1": [1.0, 0, 0, 0]}, index=list("abcd"))
    found = pd.DataFrame({"loc_err_top1": [0.0, 0, 1, 1]}, index=list("dcba"))
    row = choice(found, base)
    assert (row["loc_err_top1"], row["loc_err_top1 change"]) == (50, 25)
    assert row["loc_err_top1 change low"] <= 25 <= row["loc_err_top1 change high"]
    assert choice(base, base)["loc_err_top1 change high"] == 0
    assert np.isnan(choice(found, base.iloc[:, :0])["loc_err_top1 change"])


def test_every_choice_is_compared_with_the_studys_own(stored):
    split = stored(cam=MAPS)
    folder = split.stored(10)
    writer = MapWriter(folder, ["a", "b", "c", "d"], WNIDS)
    ranks = np.tile([1, 2], (4, 1))
    crops = np.repeat(np.array(MAPS)[:, :, None], 10, axis=2)
    writer.write(np.array(CLASSES), ranks, 1 / ranks, {"cam": crops})
    writer.close()
    write_crops(folder, side=20, size=20)
    table = choices(split, Rule.of(Boxes(threshold=0.5)), iou=0.5)
    assert table.index.tolist() == ["this study", *DEVIATIONS]
    assert table.loc["this study", ["loc_err_top1", "loc_err_top5"]].tolist() == [50, 0]
    assert (table["loc_err_top1 change"] == table["loc_err_top1"] - 50).all()
