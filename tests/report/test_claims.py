"""Verdicts on made errors whose answer is known."""

import typing
from math import inf

import numpy as np
import pandas as pd
import pytest

from camloc.core.params import Model, Original, PaperNetwork
from camloc.core.rows import BASELINES, HEURISTICS, Row
from camloc.evaluation.estimates import NOTHING, Estimate
from camloc.report import claims, paper
from camloc.report.claims import (
    BEST,
    CANNOT_TELL,
    CLAIMS,
    DEPENDS,
    FAILS,
    HOLDS,
    ONE_TRAINING,
    TOP_5,
    Comparison,
    Effect,
)

CONTROLS = ["alexnet-control", "vgg16-control", "googlenet-control", "nin-control"]
SALIENCY = [Row(name, "backprop").name for name in CONTROLS]
EVERY = [*paper.TABLE_1, *paper.TABLE_2, *CONTROLS, *SALIENCY, "heuristics-googlenet-gap"]
EVERY += ["centre-box", "whole-image"]
MEASURES = ["cls_err_top1", "loc_err_gt_known", "held_out_gt_known", *TOP_5.values()]


def rows(*, runs=5, **rates):
    """A thousand images of each row in each run, wrong at the rate given, 0.5 without one, but for
    one image more or less from run to run."""
    names = {name.replace("_", "-"): rate for name, rate in rates.items()}
    tables = {}
    for number, row in enumerate(EVERY):
        counts = 1000 * names.get(row, 0.5) + np.arange(runs) % 2 * (number % 3 - 1)
        wrong = (np.arange(1000)[:, None] < counts).astype(float)  # (images, runs)
        columns = [1] if row in BASELINES else range(1, runs + 1)
        table = pd.DataFrame(wrong[:, : len(columns)], columns=columns)
        tables[row] = dict.fromkeys(MEASURES, table)
    return tables


def row_of(name):
    """The row that is called so."""
    if name in BASELINES:
        return Row(None, name)
    method, _, network = name.partition("-")
    return Row(network, method) if method in (*HEURISTICS, "backprop") else Row(name)


def found(measures):
    return claims.verdicts(measures, {name: row_of(name) for name in measures})


def verdicts(measures):
    return {verdict.claim.number: verdict.word for verdict in found(measures)}


def test_there_are_the_eleven_claims_of_the_paper():
    assert [claim.number for claim in CLAIMS] == list(range(1, 12))


def test_papers_own_table_bears_out_every_claim_on_localization():
    for claim in (CLAIMS[number - 1] for number in (5, 7, 8, 9)):
        for comparison in claim.comparisons:
            (first, measure), (second, other) = comparison.difference
            assert measure == other == TOP_5[comparison.by]
            first, second = (row.removesuffix("-control") for row in (first, second))
            points = paper.TABLE_2[first][1] - paper.TABLE_2[second][1]
            assert comparison.least < points < comparison.most


def test_claims_of_a_study_without_rows_are_not_measured():
    assert set(verdicts({}).values()) == {"not measured"}


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


def test_little_cost_is_up_to_two_points_more_than_the_control():
    assert verdicts(rows(googlenet_gap=0.51, vgg16_gap=0.49, vgg16=0.2))[2] == HOLDS
    assert verdicts(rows(googlenet_gap=0.6))[2] == FAILS


def test_study_without_controls_compares_with_the_originals():
    measures = rows(vgg16_gap=0.49, vgg16=0.2)
    assert verdicts(measures)[2] == HOLDS
    del measures["vgg16-control"]
    verdict = found(measures)[1]
    assert verdict.word == FAILS
    assert verdict.effects[0].comparison.title.endswith("vgg16-gap − vgg16")


def test_alexnet_suffers_most_if_its_cost_exceeds_each_other():
    assert verdicts(rows(alexnet_gap=0.6, alexnet2_gap=0.55, vgg16_gap=0.52))[3] == HOLDS
    assert verdicts(rows(alexnet_gap=0.52, alexnet2_gap=0.4, vgg16_gap=0.6))[3] == FAILS


def test_classes_point_at_their_objects_where_both_were_seen():
    measures = rows()
    seen = np.arange(1000)[:, None] < 100
    for name, value in (("peak_on_own", 1.0), ("peak_on_other", 0.0)):
        measures[BEST][name] = pd.DataFrame(np.where(seen, value, np.nan), columns=[1])
    verdict = found(measures)[10]
    assert (verdict.effects[0].found.mean, verdict.effects[0].found.images) == (100, 100)


def test_one_training_is_no_verdict_but_for_what_lies_within_one_network():
    words = verdicts(rows(runs=1, googlenet_gap=0.3, heuristics_googlenet_gap=0.2))
    assert words[10] == HOLDS
    assert {words[number] for number in (1, 2, 3, 4, 5, 7, 8, 9)} == {ONE_TRAINING}
    assert "One training of each network is no verdict on 8" in claims.headline(
        found(rows(runs=1, googlenet_gap=0.3))
    )


def test_ways_of_comparing_localization_that_differ_are_told():
    measures = rows(googlenet_gap=0.3)
    measures[BEST] = measures[BEST] | {"pxap_err": measures["nin"]["pxap_err"] + 0.2}
    verdict = found(measures)[4]
    assert verdict.word == DEPENDS
    assert verdict.by == {
        "this study's rule": HOLDS,
        "the held-out threshold": HOLDS,
        "PxAP": FAILS,
    }
    assert verdict.more.endswith("by PxAP it does not hold.")


def test_claim_of_the_best_names_the_rows_that_it_is_not_told_from():
    verdict = found(rows(googlenet_gap=0.4, vgg16_gap=0.4))[7]
    assert verdict.word == CANNOT_TELL
    assert verdict.more == "Not told from, or behind: vgg16-gap."


def test_runs_that_one_row_lacks_are_left_out():
    measures = rows(googlenet_gap=0.3)
    measures["googlenet-gmp"] = {
        name: table[[1, 2, 4]] for name, table in measures["googlenet-gmp"].items()
    }
    assert found(measures)[4].effects[0].found.runs == 3


def effect(mean, error, least=-inf, most=0.0):
    between = Comparison((("a", "x"), ("b", "x")), least, most)
    return Effect(between, Estimate(mean, 900, 8, error, 0.0, 1000, 1.0), told=True)


@pytest.mark.parametrize(
    ("mean", "word"), [(-2.0, HOLDS), (-1.9, CANNOT_TELL), (1.9, CANNOT_TELL), (3.0, FAILS)]
)
def test_claim_fails_only_beyond_the_smallest_effect_that_matters(mean, word):
    """Of an error of 1 point, 1.96 points are told from 0, and from 1 what is beyond 2.96."""
    assert effect(mean, 1.0).verdict == word


def test_what_could_be_shown_and_what_would_settle_it():
    """An error of 1 point shows 1.96 + 0.84 points; half a point takes 16 times the images."""
    found = effect(0.5, 1.0)
    assert found.found.detectable == pytest.approx(2.80, abs=0.01)
    assert found.to_settle == "13,863 images"


def test_nothing_measured_has_nothing_to_settle():
    missing = Effect(Comparison((("a", "x"), ("b", "x")), most=0), NOTHING, told=False)
    assert missing.verdict == "not measured" and missing.to_settle == ""


def test_headline_counts_what_holds_after_correction_for_all_claims():
    text = claims.headline(found(rows(googlenet_gap=0.3)))
    assert text.startswith("Of 11 claims ") and "One training" not in text


def test_networks_that_stand_for_the_papers_give_verdicts_on_the_claims_between_these():
    places = {"uncut": "googlenet", "gap": "googlenet-gap", "gmp": "googlenet-gmp"}
    networks = {
        "uncut": Original(stands_for="googlenet"),
        "gap": Model(backbone="uncut", cut="a", stands_for="googlenet-gap"),
        "gmp": Model(backbone="uncut", cut="a", stands_for="googlenet-gmp"),
    }
    paper_rows = rows(googlenet_gap=0.2, googlenet_gmp=0.2, googlenet=0.5, googlenet_control=0.5)
    own = {name: paper_rows[place] for name, place in places.items()}
    own |= {name: paper_rows[name] for name in ("centre-box", "whole-image")}
    own["backprop-uncut"] = paper_rows["backprop-googlenet"]
    placed = claims.stand_ins(networks)
    found = claims.verdicts(own, {name: row_of(name) for name in own}, placed)
    words = {verdict.claim.number: verdict.word for verdict in found}
    assert [n for n, word in words.items() if word == claims.NOT_MEASURED] == [3, 6, 10, 11]
    assert words[1] == words[7] == words[9] == HOLDS and words[5] != HOLDS
    compared = {
        row for v in found for e in v.effects for row in claims.rows_of(e.comparison.difference)
    }
    assert compared == {"uncut", "gap", "gmp", "backprop-uncut", "centre-box", "whole-image"} | {
        "heuristics-gap"
    }


def test_networks_that_can_be_stood_for_are_those_of_the_claims():
    compared = {
        row_of(row).network.removesuffix("-control")
        for claim in CLAIMS
        for comparison in claim.comparisons
        for row in claims.rows_of(comparison.difference)
        if row not in BASELINES
    }
    assert compared == set(typing.get_args(PaperNetwork))
