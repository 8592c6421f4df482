"""What is stored of an evaluation is what is read again."""

import numpy as np
import pandas as pd
from four_pictures import MAPS

from camloc.boxes.rule import Rule
from camloc.core.params import Boxes
from camloc.evaluation.rows import evaluate
from camloc.evaluation.store import Evaluation


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
