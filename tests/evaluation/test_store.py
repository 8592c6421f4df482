"""What is stored of an evaluation is what is read again, and one tidy table."""

import numpy as np
import pandas as pd
from four_pictures import MAPS

from camloc.boxes.rule import Rule
from camloc.core.params import Boxes
from camloc.evaluation.baselines import baselines
from camloc.evaluation.rows import evaluate
from camloc.evaluation.store import MEASURES, Evaluation, values


def evaluated(split, network="googlenet"):
    return evaluate([split], network, Rule.of(Boxes(threshold=0.5)), 0.5, curves_key="k")


def test_what_is_saved_is_loaded(stored, tmp_path):
    choices = {
        "val": pd.DataFrame({"a": [1.0, np.nan], "a low": [0.5, np.nan]}, index=["x", "y"]),
        "test": pd.DataFrame({"b": [2.0], "b change": [np.nan]}, index=["x"]),
    }
    for table in choices.values():
        table.index.name = "choice"
    found = evaluated(stored(cam=MAPS, backprop=MAPS))
    for saved in (found, Evaluation(found.images, found.thresholds, found.wsol, choices, "k")):
        folder = tmp_path / f"saved {len(saved.choices)}"
        folder.mkdir()
        saved.save(folder)
        loaded = Evaluation.load(folder)
        pd.testing.assert_frame_equal(loaded.images, saved.images, check_dtype=False)
        pd.testing.assert_frame_equal(loaded.thresholds, saved.thresholds, check_exact=True)
        assert loaded.percentages() == saved.percentages()
        assert loaded.wsol.keys() == saved.wsol.keys() and loaded.curves_key == "k"
        assert list(loaded.choices) == list(saved.choices)
        for split, table in saved.choices.items():
            pd.testing.assert_frame_equal(loaded.choices[split], table)


def test_evaluation_of_no_labelled_split_is_stored_too(tmp_path):
    evaluate([], "alexnet", Rule.of(Boxes(threshold=0.2)), 0.5).save(tmp_path)
    loaded = Evaluation.load(tmp_path)
    assert loaded.percentages() == {} and loaded.measures("test") == {}
    assert values([loaded]).empty


def test_values_are_one_row_per_row_split_image_and_measure(stored, manifest):
    """Localization counts for a and b alone, the GT-known error of a network for all or none."""
    table = values([evaluated(stored(cam=MAPS)), baselines(manifest, ["test"], 0.5)])
    assert list(table) == ["row", "split", "image", "measure", "value"]
    assert table["row"].cat.categories.tolist() == [
        "googlenet",
        "whole-image",
        "centre-box",
        "centre-gaussian",
    ]
    assert table["measure"].cat.categories.tolist() == MEASURES
    own = table[table["row"] == "googlenet"].groupby("measure", observed=True)
    images = own["image"].agg(list).to_dict()
    assert images == {
        "cls_err_top1": ["a", "b", "d"],
        "cls_err_top5": ["a", "b", "d"],
        "loc_err_top1": ["a", "b"],
        "loc_err_top5": ["a", "b"],
        "loc_err_gt_known": ["a", "b"],
    }
    assert own["value"].mean()["loc_err_top1"] == 0.5
    baseline = table[table["row"] == "centre-box"]
    assert baseline["measure"].unique().tolist() == ["loc_err_gt_known"]


def test_ious_are_those_of_the_true_class_by_image(stored):
    found = evaluated(stored(cam=MAPS)).ious("test", "cam")
    assert found[["a", "b"]].tolist() == [1, 1] and np.isnan(found["d"])
