"""What is stored of an evaluation is what is read again."""

import pandas as pd
from four_pictures import MAPS

from camloc.boxes.rule import Rule
from camloc.core.params import Boxes
from camloc.evaluation.rows import evaluate
from camloc.evaluation.store import Evaluation


def evaluated(split, network="googlenet"):
    return evaluate([split], network, Rule.of(Boxes(threshold=0.5)), 0.5, curves_key="k")


def test_what_is_saved_is_loaded(stored, tmp_path):
    saved = evaluated(stored(cam=MAPS, backprop=MAPS))
    saved.save(tmp_path)
    loaded = Evaluation.load(tmp_path)
    pd.testing.assert_frame_equal(loaded.images, saved.images, check_dtype=False)
    pd.testing.assert_frame_equal(loaded.thresholds, saved.thresholds, check_exact=True)
    assert loaded.percentages() == saved.percentages()
    assert loaded.wsol.keys() == saved.wsol.keys() and loaded.curves_key == "k"
    assert len(saved.choices) == 3  # one choice of the CAMs of three labelled pictures
    pd.testing.assert_frame_equal(loaded.choices, saved.choices, check_dtype=False)


def test_evaluation_of_no_labelled_split_is_stored_too(tmp_path):
    evaluate([], "alexnet", Rule.of(Boxes(threshold=0.2)), 0.5).save(tmp_path)
    loaded = Evaluation.load(tmp_path)
    assert loaded.percentages() == {} and loaded.measures("test") == {}
