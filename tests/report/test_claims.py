"""Verdicts on made errors whose answer is known."""

import typing
from math import inf
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from camloc.core.params import Control, Model, Original, PaperNetwork
from camloc.core.rows import BASELINES, HEURISTICS, Row
from camloc.evaluation import coverage, store
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
    Verdict,
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


# Where the paper puts each comparison: below 0, above it, or as near to it as it calls little.
LOWER, HIGHER, LITTLE_MORE, ALIKE = (-inf, 0), (0, inf), (-inf, 2), (-2, 2)
BOUNDS = {
    **{number: {LOWER} for number in (1, 5, 7, 8, 9, 10)},
    **{2: {LITTLE_MORE}, 3: {HIGHER, LOWER}, 4: {ALIKE}, 6: {HIGHER, LOWER}, 11: {HIGHER}},
}


def test_comparisons_lie_where_the_paper_puts_them():
    bounds = {c.number: {(each.least, each.most) for each in c.comparisons} for c in CLAIMS}
    assert bounds == BOUNDS
    of_coverage = {c.difference[0][1]: (c.least, c.most) for c in CLAIMS[5].comparisons}
    assert of_coverage == {
        **dict.fromkeys(("object_cover_equal", "part_cover_equal"), HIGHER),
        "top_part_energy": LOWER,
    }
    cost, _, second = CLAIMS[2].comparisons
    assert (cost.least, second.difference[0][0]) == (0, "alexnet2-gap")


def measures_of(figure):
    first, second = figure
    return {second} if isinstance(first, str) else measures_of(first) | measures_of(second)


def test_claims_are_decided_by_what_is_measured_and_shown_by_figures_of_the_report():
    notebook = (Path(__file__).parents[2] / "notebooks/05_report.ipynb").read_text(encoding="utf-8")
    measured = {*store.MEASURES, *coverage.POINTING}
    for claim in CLAIMS:
        assert f'id=\\"fig-{claim.figure}\\"' in notebook
        for comparison in claim.comparisons:
            assert measures_of(comparison.difference) <= measured
            assert bool(comparison.by) == (claim.number in (1, 5, 7, 8, 9))


def test_comparison_is_called_by_its_measure_and_rows():
    titles = {claim.number: [each.title for each in claim.comparisons] for claim in CLAIMS}
    assert titles[4] == ["top-1 classification error: googlenet-gap − googlenet-gmp"]
    assert titles[3][0] == "cost of the surgery: alexnet-gap − vgg16-gap"
    assert titles[6][0].startswith("coverage of the object at equal area: googlenet-gap")
    assert titles[11] == ["pointing game, own object − the other class's: googlenet-gap"]


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


def test_equal_rows_differ_by_nothing_as_unsurely_as_if_one_image_did():
    measures = rows()
    measures["googlenet-gmp"] = measures[BEST]
    found_equal = found(measures)[3].effects[0].found
    assert (found_equal.mean, found_equal.error) == (0, pytest.approx(0.1))  # 100 points of 1000


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


def test_two_trainings_give_a_verdict():
    assert verdicts(rows(runs=2, googlenet_gap=0.1))[5] == HOLDS


def test_one_training_of_one_of_the_rows_is_no_verdict():
    measures = rows(googlenet_gap=0.3)
    measures["nin"] = {name: table[[1]] for name, table in measures["nin"].items()}
    verdict = found(measures)[7]
    assert verdict.word == ONE_TRAINING
    assert verdict.support <= 0.025  # by the others
    once = found(rows(runs=1, googlenet_gap=0.3))[7]
    assert (once.support, once.against) == (1, 1)


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
    assert verdict.more == (
        "By this study's rule it holds; by the held-out threshold it holds; by PxAP it does not "
        "hold."
    )


def test_claim_of_the_best_names_the_rows_that_it_is_not_told_from():
    verdict = found(rows(googlenet_gap=0.4, vgg16_gap=0.4))[7]
    assert verdict.word == CANNOT_TELL
    assert verdict.more == "Not told from, or behind: vgg16-gap."
    assert found(rows(googlenet_gap=0.3))[7].more == ""
    assert found(rows())[4].more == ""  # not the claim of the best


def test_rows_are_told_from_the_best_by_the_studys_own_rule():
    measures = rows(googlenet_gap=0.3)
    measures["nin"] = measures["nin"] | {"pxap_err": measures[BEST]["pxap_err"]}
    verdict = found(measures)[7]
    assert verdict.by["PxAP"] == CANNOT_TELL and verdict.not_told_from == []


def test_runs_that_one_row_lacks_are_left_out():
    measures = rows(googlenet_gap=0.3)
    measures["googlenet-gmp"] = {
        name: table[[1, 2, 4]] for name, table in measures["googlenet-gmp"].items()
    }
    assert found(measures)[4].effects[0].found.runs == 3


def effect(mean, error, runs_error=0.0, told=True, **bounds):
    between = Comparison((("a", "x"), ("b", "x")), **bounds or {"most": 0.0})
    return Effect(between, Estimate(mean, 900, 8, error, runs_error, 1e6, 1.0), told)


@pytest.mark.parametrize(
    ("mean", "word"), [(-2.0, HOLDS), (-1.9, CANNOT_TELL), (1.9, CANNOT_TELL), (3.0, FAILS)]
)
def test_claim_fails_only_beyond_the_smallest_effect_that_matters(mean, word):
    """Of an error of 1 point, 1.96 points are told from 0, and from 1 what is beyond 2.96."""
    assert effect(mean, 1.0).verdict == word


@pytest.mark.parametrize(
    ("mean", "word"), [(2.0, HOLDS), (1.9, CANNOT_TELL), (-1.9, CANNOT_TELL), (-3.0, FAILS)]
)
def test_claim_of_a_larger_figure_fails_likewise(mean, word):
    assert effect(mean, 1.0, least=0).verdict == word


@pytest.mark.parametrize(
    ("mean", "word"),
    [
        *((0, HOLDS), (1.9, CANNOT_TELL), (-1.9, CANNOT_TELL)),
        *((5.3, FAILS), (-5.3, FAILS), (5.2, CANNOT_TELL), (-5.2, CANNOT_TELL)),
    ],
)
def test_claim_of_alike_figures_fails_by_either_side_at_half_the_chance(mean, word):
    """Of an error of 1 point, 2.24 points are told from 3 at 1.25 % on either side."""
    found = effect(mean, 1.0, least=-2, most=2)
    assert found.verdict == word
    assert 0 <= found.against <= 1 and effect(0, 1.0, least=-2, most=2).against == 1


def test_what_could_be_shown_and_what_would_settle_it():
    """An error of 1 point shows 1.96 + 0.84 points; half a point takes 16 times the images."""
    found = effect(0.5, 1.0)
    assert found.found.detectable == pytest.approx(2.80, abs=0.01)
    assert found.to_settle == "13,830 images"
    nearest = effect(1.5, 1.0, least=-2, most=2)  # half a point from 2
    assert nearest.to_settle == effect(2.5, 1.0, most=2).to_settle == "13,830 images"


def test_runs_settle_what_images_cannot():
    """1.96² / 0.5² of a variance of 1 are 15.4 times the 8 runs."""
    assert effect(0.5, 0.0, 1.0).to_settle == "123 runs"
    assert effect(0.5, 1.0, 1.0).to_settle == "more runs and more images"
    assert effect(0.5, 0.24, 0.2).to_settle == "43 runs or 2,068 images"


def test_nothing_more_is_wanted_of_a_difference_that_is_told_but_too_small_to_count():
    """Half a point, 5 errors above 0, does not hold and misses by less than a point."""
    found = effect(0.5, 0.1)
    assert (found.verdict, found.to_settle) == (CANNOT_TELL, "")


def test_nothing_settles_one_training_or_no_difference_at_all():
    assert effect(0.5, 1.0, told=False).verdict == ONE_TRAINING
    assert effect(0.5, 1.0, told=False).to_settle == effect(0.0, 1.0).to_settle == ""


def test_nothing_measured_has_nothing_to_settle():
    missing = Effect(Comparison((("a", "x"), ("b", "x")), most=0), NOTHING, told=False)
    assert missing.verdict == "not measured" and missing.to_settle == ""


def test_headline_counts_what_holds_after_correction_for_all_claims():
    text = claims.headline(found(rows(googlenet_gap=0.3)))
    assert text.startswith("Of 11 claims ") and "One training" not in text


def headline(*means, told=True):
    """Of claims with one comparison each, of an error of 1 point."""
    return claims.headline(
        [Verdict(CLAIMS[i], [effect(mean, 1.0, told=told)]) for i, mean in enumerate(means)]
    )


def test_headline_corrects_by_holm_what_holds_and_what_does_not():
    """Chances of 2.3 % at −2 (twice that of one of two), 0.1 % at −3, and at 5 of 0.003 % that it
    is not 1 point above 0."""
    after = ", after Holm's correction."
    assert headline(-2) == f"Of 1 claims 1 holds and 0 do not{after}"
    assert headline(-2, -2) == f"Of 2 claims 0 hold and 0 do not{after}"
    assert headline(-3, -2) == f"Of 2 claims 2 hold and 0 do not{after}"
    assert headline(-4, -2, 5) == f"Of 3 claims 1 holds and 1 does not{after}"
    assert headline(5, 5, 0) == f"Of 3 claims 0 hold and 2 do not{after}"
    once = headline(-9, 9, told=False)
    assert once.startswith(f"Of 2 claims 0 hold and 0 do not{after} One training of each network")


def test_claim_is_as_sure_as_its_least_sure_comparison_and_refuted_by_any():
    sure, unsure, wrong = effect(-4, 1.0), effect(-1, 1.0), effect(5, 1.0)
    assert Verdict(CLAIMS[0], [sure, unsure]).support == unsure.support > sure.support
    assert Verdict(CLAIMS[0], [sure, wrong]).against == 2 * wrong.against < 0.025
    assert Verdict(CLAIMS[0], [sure, unsure]).against == 1
    nothing = Verdict(CLAIMS[0], [])
    assert (nothing.support, nothing.against, nothing.word) == (1, 1, claims.NOT_MEASURED)


def test_networks_that_stand_for_nothing_have_no_stand_ins():
    networks = {"a": Original(), "b": Original(stands_for="nin"), "c": Control(original="b")}
    placed = claims.stand_ins(networks)
    assert placed["nin"] == "b" and placed["nin-control"] == "b-control"
    assert placed["backprop-nin"] == "backprop-b"
    assert all(place.removesuffix("-control").endswith("nin") for place in placed)
    assert claims.stand_ins({"a": Original(), "c": Control(original="a")}) == {}


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
