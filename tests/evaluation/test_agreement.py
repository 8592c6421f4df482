"""Kendall's tau of two rankings and its interval, against scipy's and by simulation."""

import numpy as np
import pytest
from scipy.stats import kendalltau

from camloc.evaluation.agreement import agreement, kendall


def test_tau_is_scipys_also_with_ties():
    rng = np.random.default_rng(0)
    for _ in range(50):
        first, second = rng.integers(0, 6, (2, 9)).astype(float)
        assert kendall(first, second) == pytest.approx(kendalltau(first, second).statistic)


def test_tau_of_rows_that_are_all_alike_is_not_a_number():
    assert np.isnan(kendall(np.ones(4), np.arange(4.0)))


def test_same_ranking_is_1_the_opposite_is_minus_1_and_sure_where_rows_lie_apart():
    rng = np.random.default_rng(1)
    rows = np.arange(6.0)
    truth = rows + rng.normal(0, 0.1, (200, 6))
    measure = 10 * rows + rng.normal(0, 0.1, (200, 6))
    assert agreement(truth, measure) == (1, 1, 1)
    assert agreement(truth, -measure) == (-1, -1, -1)


def test_measure_that_tells_no_rows_apart_has_no_tau():
    assert np.isnan(agreement(np.arange(12.0).reshape(4, 3), np.ones((4, 3)))).all()


def test_interval_is_wide_where_images_do_not_tell_rows_apart():
    rng = np.random.default_rng(2)
    truth = np.arange(6.0) + rng.normal(0, 0.1, (200, 6))
    tau, low, high = agreement(truth, rng.normal(0, 1, (200, 6)))
    assert low <= tau <= high and high - low > 0.5


def test_interval_holds_the_tau_of_the_whole_population():
    """Of rows 1.4 standard errors of their difference apart, in at least 80 of 100 samples: the
    bootstrap's percentiles are known to be a little narrow for ranks."""
    rng, held = np.random.default_rng(3), 0
    for _ in range(100):
        truth = np.arange(5) * 0.2 + rng.normal(0, 1, (100, 5))
        measure = np.array([0, 1, 3, 2, 4]) * 0.2 + rng.normal(0, 1, (100, 5))
        _, low, high = agreement(truth, measure)
        held += low <= 0.8 <= high
    assert held >= 80
