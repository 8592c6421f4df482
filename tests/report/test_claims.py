"""Verdicts on made errors whose answer is known."""

import numpy as np
import pandas as pd

from camloc.report import paper
from camloc.report.claims import CANNOT_TELL, FAILS, HOLDS, Comparison, ledger

EVERY = [*paper.TABLE_1, *paper.TABLE_2, "heuristics-googlenet-gap", "centre-box", "whole-image"]


def rows(**rates):
    """A thousand images of each row, wrong at the rate given, 0.5 without one."""
    names = {name.replace("_", "-"): rate for name, rate in rates.items()}
    tables = {}
    for row in EVERY:
        wrong = (np.arange(1000) < 1000 * names.get(row, 0.5)).astype(float)
        columns = ["cls_err_top1", "loc_err_top5", "loc_err_gt_known"]
        tables[row] = pd.DataFrame(dict.fromkeys(columns, wrong))
    return tables


def verdicts(images):
    return {claim.number: claim.verdict for claim in ledger(images)}


def test_every_claim_of_the_paper_is_in_the_ledger():
    assert [claim.number for claim in ledger({})] == list(range(1, 12))


def test_study_without_rows_cannot_tell():
    assert set(verdicts({}).values()) == {CANNOT_TELL}


def test_better_row_holds_and_worse_row_does_not():
    better = verdicts(rows(googlenet_gap=0.3))
    assert better[5] == better[8] == better[9] == HOLDS
    worse = verdicts(rows(googlenet_gap=0.7))
    assert worse[5] == worse[8] == worse[9] == FAILS


def test_equal_rows_cannot_tell_who_is_better_but_classify_alike():
    equal = verdicts(rows())
    assert equal[5] == CANNOT_TELL
    assert equal[2] == equal[4] == HOLDS


def test_claim_of_many_comparisons_fails_with_one_of_them():
    assert verdicts(rows(googlenet_gap=0.3, alexnet_gap=0.3, googlenet_gmp=0.2))[8] == FAILS


def test_claim_that_lacks_one_row_cannot_tell():
    images = rows(googlenet_gap=0.3)
    del images["nin"]
    assert verdicts(images)[8] == CANNOT_TELL


def test_little_cost_is_up_to_two_points():
    assert verdicts(rows(googlenet_gap=0.51, vgg16_gap=0.49))[2] == HOLDS
    assert verdicts(rows(googlenet_gap=0.6))[2] == FAILS


def test_alexnet_suffers_most_if_its_cost_exceeds_each_other():
    assert verdicts(rows(alexnet_gap=0.6, alexnet2_gap=0.55, vgg16_gap=0.52))[3] == HOLDS
    assert verdicts(rows(alexnet_gap=0.52, alexnet2_gap=0.4, vgg16_gap=0.6))[3] == FAILS


def test_classes_point_at_their_objects_where_both_were_seen():
    images = rows()
    images["googlenet-gap"]["peak_on_own"] = np.where(np.arange(1000) < 100, 1.0, np.nan)
    images["googlenet-gap"]["peak_on_other"] = np.where(np.arange(1000) < 100, 0.0, np.nan)
    claim = ledger(images)[10]
    assert claim.verdict == HOLDS
    assert (claim.comparisons[0].effect, claim.comparisons[0].images) == (100, 100)


def test_interval_that_touches_a_bound_is_no_verdict():
    for low, high in ((-3.0, 0.0), (0.0, 3.0), (-1.0, 1.0)):
        assert Comparison("", 0.0, low, high, 9, 1, -np.inf, 0).verdict == CANNOT_TELL


def test_rows_of_several_seeds_say_how_many():
    images = rows(googlenet_gap=0.3)
    found = {c.number: c for c in ledger(images, {"googlenet-gap": 3, "googlenet": 2})}
    assert found[9].comparisons[0].seeds == 2  # the fewer of the two rows'
    assert found[5].comparisons[0].seeds == 1
    assert found[11].comparisons[0].seeds == 3
