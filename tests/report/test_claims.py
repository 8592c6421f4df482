"""Verdicts on made errors whose answer is known."""

from math import inf

import numpy as np
import pandas as pd
import pytest

from camloc.report import claims, paper
from camloc.report.claims import CANNOT_TELL, CLAIMS, FAILS, HOLDS, Comparison, Effect

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


def verdicts(measures):
    return {verdict.claim.number: verdict.word for verdict in claims.verdicts(measures)}


def test_there_are_the_eleven_claims_of_the_paper():
    assert [claim.number for claim in CLAIMS] == list(range(1, 12))


def test_papers_own_table_bears_out_every_claim_on_localization():
    for claim in (CLAIMS[number - 1] for number in (5, 7, 8, 9)):
        for comparison in claim.comparisons:
            (first, measure), (second, other) = comparison.difference
            assert measure == other == "loc_err_top5"
            points = paper.TABLE_2[first][1] - paper.TABLE_2[second][1]
            assert comparison.least < points < comparison.most


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
    measures = rows(googlenet_gap=0.3)
    del measures["nin"]
    assert verdicts(measures)[8] == CANNOT_TELL


def test_little_cost_is_up_to_two_points():
    assert verdicts(rows(googlenet_gap=0.51, vgg16_gap=0.49))[2] == HOLDS
    assert verdicts(rows(googlenet_gap=0.6))[2] == FAILS


def test_alexnet_suffers_most_if_its_cost_exceeds_each_other():
    assert verdicts(rows(alexnet_gap=0.6, alexnet2_gap=0.55, vgg16_gap=0.52))[3] == HOLDS
    assert verdicts(rows(alexnet_gap=0.52, alexnet2_gap=0.4, vgg16_gap=0.6))[3] == FAILS


def test_classes_point_at_their_objects_where_both_were_seen():
    measures = rows()
    measures["googlenet-gap"]["peak_on_own"] = np.where(np.arange(1000) < 100, 1.0, np.nan)
    measures["googlenet-gap"]["peak_on_other"] = np.where(np.arange(1000) < 100, 0.0, np.nan)
    verdict = claims.verdicts(measures)[10]
    assert verdict.word == HOLDS
    assert (verdict.effects[0].mean, verdict.effects[0].images) == (100, 100)


@pytest.mark.parametrize(("low", "high"), [(-3.0, 0.0), (0.0, 3.0), (-1.0, 1.0)])
def test_interval_that_touches_a_bound_is_no_verdict(low, high):
    below_zero = Comparison("", (("a", "x"), ("b", "x")), -inf, 0)
    assert Effect(below_zero, 0.0, low, high, 9, 1).verdict == CANNOT_TELL


def test_rows_of_several_seeds_say_how_many():
    found = claims.verdicts(rows(googlenet_gap=0.3), {"googlenet-gap": 3, "googlenet": 2})
    seeds = {verdict.claim.number: verdict.effects[0].seeds for verdict in found}
    assert seeds[9] == 2  # the fewer of the two rows'
    assert (seeds[5], seeds[11]) == (1, 3)
