"""Confidence intervals, against resampled images."""

import numpy as np
import pandas as pd
import pytest

from camloc.evaluation.intervals import Resamples, bootstrap, interval, intervals


def slow_bootstrap(values, seed):
    rng = np.random.default_rng(seed)
    draws = values[rng.integers(0, len(values), (4000, len(values)))].mean(axis=1)
    return np.quantile(draws, [0.025, 0.975])


def test_bootstrap_is_that_of_resampled_images():
    values = np.array([0.0] * 130 + [50.0] * 7 + [100.0] * 63)
    assert bootstrap(values) == pytest.approx(tuple(slow_bootstrap(values, 1)), abs=1)
    # The normal approximation of a share of 30 % of 200: 1.96 · sqrt(.3 · .7 / 200) = 6.35 points.
    low, high = bootstrap(np.repeat([100.0, 0.0], [60, 140]))
    assert (high - low) / 2 == pytest.approx(6.35, abs=0.4)


def test_bootstrap_leaves_out_images_that_do_not_count():
    values = np.array([0.0, 100.0] * 50)
    assert bootstrap(np.append(values, [np.nan] * 40)) == bootstrap(values)
    assert np.isnan(bootstrap(np.array([np.nan]))).all()


def test_interval_is_in_percent_about_the_error_it_is_of():
    errors = pd.DataFrame({"cls_err_top1": np.arange(90) % 3 == 0})
    low, high = intervals(errors)["cls_err_top1"]
    assert low < 100 / 3 < high and high - low < 25


def test_resamples_of_a_mean_give_the_bootstraps_interval():
    values = np.random.default_rng(0).random(300)
    resamples = Resamples()
    for start in range(0, 300, 100):
        resamples.add(values[start : start + 100, None])
    assert resamples.means.shape == (2000, 1)
    assert interval(resamples.means[:, 0]) == pytest.approx(bootstrap(values), abs=0.01)
