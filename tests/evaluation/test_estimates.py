"""Means over images and runs: by hand, and by how often intervals hold what is true."""

import math

import numpy as np
import pytest

from camloc.evaluation.estimates import NOTHING, estimate, holm, of_shares


def test_one_run_has_students_interval_over_its_images():
    """Mean 2, deviation 1 of three images; Student's t of 2 is 4.303."""
    found = estimate([1.0, 2.0, 3.0])
    reach = 4.3027 / 3**0.5
    assert found.interval == pytest.approx((2 - reach, 2 + reach), abs=1e-3)
    assert (found.images, found.runs, found.of_runs) == (3, 1, 0.0)
    assert math.isnan(found.deviation)


def test_variance_of_two_ways_is_that_of_the_analysis_of_variance():
    """By hand on 3 images and 2 runs: images' means 1, 2, 6, runs' means 2 and 4; what neither
    explains is 0, 0, ±1 in the last rows after their means."""
    table = np.array([[0.0, 2.0], [1.0, 3.0], [5.0, 7.0]])
    found = estimate(table)
    assert (found.mean, found.deviation) == (3.0, pytest.approx(2**0.5))
    images, runs = np.var([1, 2, 6], ddof=1) / 3, np.var([2, 4], ddof=1) / 2
    assert found.error**2 == pytest.approx(images + runs)  # nothing is left over here
    assert found.of_images**2 == pytest.approx(images)
    freedom = (images + runs) ** 2 / (images**2 / 2 + runs**2 / 1)
    assert found.freedom == pytest.approx(freedom)


def test_what_neither_images_nor_runs_explain_is_not_counted_twice():
    """Where all is noise of one image in one run, the error is that of as many single values."""
    rng = np.random.default_rng(0)
    errors = [estimate(rng.normal(size=(400, 4))).error for _ in range(50)]
    assert np.mean(errors) == pytest.approx(1 / 1600**0.5, rel=0.15)


def test_images_that_lack_a_run_do_not_count():
    table = np.array([[0.0, 1.0], [1.0, 1.0], [np.nan, 1.0], [0.0, 0.0]])
    assert estimate(table).images == 3
    assert estimate([np.nan]) is NOTHING and math.isnan(NOTHING.error)


@pytest.mark.parametrize("runs", [3, 8])
def test_intervals_hold_what_is_true(runs):
    """Of 300 draws from known effects of runs, images and both; see benchmarks/verdicts.py."""
    rng, held = np.random.default_rng(runs), 0
    for _ in range(300):
        run, image = rng.normal(0, 2, runs), rng.normal(0, 30, (200, 1))
        low, high = estimate(run + image + rng.normal(0, 20, (200, runs))).interval
        held += low <= 0 <= high
    assert 0.92 <= held / 300 <= 0.98


def test_share_of_nothing_is_not_surely_nothing():
    """Wilson's interval of 0 of 720: up to z² / (n + z²)."""
    low, high = estimate(np.zeros(720)).share_interval
    assert low == 0 and high == pytest.approx(1.963**2 / (720 + 1.963**2), rel=1e-3)
    low, high = estimate(np.ones((720, 3))).share_interval
    assert high == 1 and 0.99 < low < 1


def test_share_of_one_run_has_wilsons_interval():
    """Of 30 in 100, by the formula with Student's t of 99, at 99 images that are as sure."""
    p, n, t = 0.3, 99, 1.9842
    middle, reach = (p + t**2 / (2 * n)), t * math.sqrt(p * (1 - p) / n + t**2 / (4 * n**2))
    expected = [(middle + sign * reach) / (1 + t**2 / n) for sign in (-1, 1)]
    found = estimate(np.repeat([1.0, 0.0], [30, 70]))
    assert found.share_interval == pytest.approx(expected, abs=1e-4)


def test_shares_of_runs_alone_are_as_sure_as_one_run_of_images():
    rng = np.random.default_rng(0)
    table = (rng.random((500, 1)) < 0.4).astype(float) * np.ones(4)  # all runs alike
    known, alone = estimate(table), of_shares(table.mean(axis=0), 500)
    assert alone.error == pytest.approx(known.error)
    assert of_shares([0.2, 0.4], 500).of_runs == pytest.approx(0.1)


def test_p_values_are_one_sided_students():
    found = estimate([1.0, 2.0, 3.0])
    assert found.below(2) == pytest.approx(0.5) and found.above(2) == pytest.approx(0.5)
    low, high = found.interval
    assert found.above(low) == pytest.approx(0.025) and found.below(high) == pytest.approx(0.025)


def test_numbers_that_settle_bring_the_interval_down_to_the_distance():
    rng = np.random.default_rng(0)
    found = estimate(rng.normal(0, 1, (400, 1)) + rng.normal(0, 0.2, 6))
    runs = found.runs_to_tell(0.15)
    assert 1.96 * math.hypot(found.of_images, found.of_runs * (6 / runs) ** 0.5) <= 0.15
    assert found.runs_to_tell(found.of_images) is None  # no number of runs: images are too few
    assert found.images_to_tell(found.of_runs) is None


def test_holm_multiplies_the_smallest_by_all_and_never_falls():
    assert holm([0.01, 0.04, 0.03]).tolist() == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.5, 0.9]).tolist() == [1, 1]
    assert holm([]).tolist() == []
