"""Means over images and runs: by hand, and by how often intervals hold what is true."""

import math

import numpy as np
import pytest

from camloc.evaluation.estimates import NOTHING, Estimate, estimate, holm, of_shares


def test_one_run_has_students_interval_over_its_images():
    """Mean 2, deviation 1 of three images; Student's t of 2 is 4.303."""
    found = estimate([1.0, 2.0, 3.0])
    reach = 4.3027 / 3**0.5
    assert found.interval == pytest.approx((2 - reach, 2 + reach), abs=1e-3)
    assert (found.images, found.runs, found.of_runs) == (3, 1, 0.0)
    assert math.isnan(found.deviation)


def test_two_images_have_students_interval_of_one_degree_of_freedom():
    assert estimate([1.0, 3.0]).interval == pytest.approx((2 - 12.706, 2 + 12.706), abs=1e-3)


@pytest.mark.parametrize("kind", [bool, np.uint8, np.float32])
def test_errors_of_any_type_are_counted_alike(kind):
    wrong = np.random.default_rng(0).integers(0, 2, (40, 3))
    assert estimate(wrong.astype(kind)) == estimate(wrong.astype(float))


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


def slow_error(table):
    """The textbook's analysis of variance: mean squares of images, runs and what is left over, and
    Satterthwaite's degrees of freedom of their sum."""
    n, s = table.shape
    images, runs, mean = table.mean(axis=1), table.mean(axis=0), table.mean()
    of_images = sum(s * (image - mean) ** 2 for image in images) / (n - 1)
    of_runs = sum(n * (run - mean) ** 2 for run in runs) / (s - 1)
    rest = 0.0
    for i in range(n):
        for j in range(s):
            rest += (table[i, j] - images[i] - runs[j] + mean) ** 2 / ((n - 1) * (s - 1))
    variance = (of_images + of_runs - rest) / (n * s)
    parts = of_images**2 / (n - 1) + of_runs**2 / (s - 1) + rest**2 / ((n - 1) * (s - 1))
    return variance, (variance * n * s) ** 2 / parts


@pytest.mark.parametrize("shape", [(2, 2), (5, 3), (4, 9)])
def test_variance_and_freedom_are_those_of_the_textbooks_table(shape):
    rng = np.random.default_rng(sum(shape))
    table = rng.normal(3, 2, (shape[0], 1)) + rng.normal(0, 3, shape[1]) + rng.normal(size=shape)
    variance, freedom = slow_error(table)
    found = estimate(table)
    assert found.error**2 == pytest.approx(variance)
    assert found.freedom == pytest.approx(freedom)
    assert found.of_images**2 == pytest.approx(table.mean(axis=1).var(ddof=1) / shape[0])
    assert found.deviation == pytest.approx(table.mean(axis=0).std(ddof=1))
    assert (found.images, found.runs, found.mean) == (*shape, pytest.approx(table.mean()))


def test_error_is_never_below_that_of_images_or_of_runs_alone():
    """By hand: what neither explains, 36 of a degree of freedom, would take all of either away."""
    table = np.array([[3.0, -3.0], [-1.0, 5.0]])  # images' means 0 and 2, runs' means 1 and 1
    found = estimate(table)
    assert (found.error, found.of_runs, found.deviation) == (1.0, 0.0, 0.0)
    assert found.freedom == pytest.approx(1 / (1 + (36 / 4) ** 2))
    turned = estimate(table.T)
    assert (turned.error, turned.of_images, turned.of_runs) == (1.0, 0.0, 1.0)


@pytest.mark.filterwarnings("error")
def test_one_image_tells_nothing_of_others_whatever_the_runs():
    for values in ([2.0], [[1.0, 3.0]]):
        found = estimate(values)
        assert (found.mean, found.images, found.freedom) == (2, 1, 0)
        assert np.isnan([found.error, *found.interval, *found.share_interval]).all()
        assert found.above(0) == found.below(9) == 1
    assert (found.runs, found.of_runs, found.deviation) == (2, 1, pytest.approx(2**0.5))


def test_what_is_constant_has_no_error_and_as_many_degrees_of_freedom_as_images():
    for table in (np.full((7, 3), 0.5), np.full(7, 0.5)):
        found = estimate(table)
        assert (found.error, found.freedom, found.interval) == (0, 6, (0.5, 0.5))
        assert found.above(0) == 1  # nothing is sure of what does not vary
        reach = 0.5 - found.share_interval[0]  # Wilson's of half of 7, by Student's t of 6
        assert reach == pytest.approx(2.4469 / (2 * math.sqrt(7 + 2.4469**2)), abs=1e-4)


def test_what_neither_images_nor_runs_explain_is_not_counted_twice():
    """Where all is noise of one image in one run, the error is that of as many single values."""
    rng = np.random.default_rng(0)
    errors = [estimate(rng.normal(size=(400, 4))).error for _ in range(50)]
    assert np.mean(errors) == pytest.approx(1 / 1600**0.5, rel=0.15)


def test_images_that_lack_a_run_do_not_count():
    table = np.array([[0.0, 1.0], [1.0, 1.0], [np.nan, 1.0], [0.0, 0.0]])
    assert estimate(table).images == 3
    for nothing in ([np.nan], [], np.empty((3, 0)), np.empty((0, 3))):
        assert estimate(nothing) is NOTHING
    assert (NOTHING.images, NOTHING.runs) == (0, 0)
    assert np.isnan([NOTHING.mean, NOTHING.error, NOTHING.freedom, NOTHING.deviation]).all()


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


def test_share_of_several_runs_has_wilsons_interval_at_as_many_images_as_are_as_sure():
    """Shares 0.4 and 0.6 of two runs, 10 images alike in each: the error, 0.1 from runs and none
    from what is left over, is that of 0.25 / error² images."""
    table = np.repeat([[0.0, 0.0], [0.0, 1.0], [1.0, 1.0]], [4, 2, 4], axis=0)
    found = estimate(table)
    n, t = 0.25 / found.error**2, (found.interval[1] - 0.5) / found.error
    reach = t / (1 + t**2 / n) * math.sqrt(0.25 / n + t**2 / (4 * n**2))
    assert n < 10 and found.share_interval == pytest.approx((0.5 - reach, 0.5 + reach))


def test_share_is_never_surer_than_by_every_image_of_every_run():
    """Of 0.9 each in any run and image the error is none, as if of endless images; 6 · 4 count."""
    found = estimate(np.tile([[0.8], [1.0]], (3, 4)))
    t = 2.5706  # Student's of 5
    assert found.error**2 == pytest.approx(0.01 * 6 / 5 / 6)
    low, high = found.share_interval
    n = 24  # 0.09 / 0.002 = 45 would be as sure
    middle = (0.9 + t**2 / (2 * n)) / (1 + t**2 / n)
    reach = t / (1 + t**2 / n) * math.sqrt(0.09 / n + t**2 / (4 * n**2))
    assert (low, high) == pytest.approx((middle - reach, middle + reach), abs=1e-4)


def test_shares_of_runs_alone_are_as_sure_as_one_run_of_images():
    rng = np.random.default_rng(0)
    table = (rng.random((500, 1)) < 0.4).astype(float) * np.ones(4)  # all runs alike
    known, alone = estimate(table), of_shares(table.mean(axis=0), 500)
    assert alone.error == pytest.approx(known.error)
    two = of_shares([0.2, 0.4], 500)
    images, runs = 0.3 * 0.7 / 499, 0.02 / 2  # each run's share is 0.1 from the mean
    assert (two.of_images**2, two.of_runs**2) == pytest.approx((images, runs))
    assert two.freedom == pytest.approx((images + runs) ** 2 / (images**2 / 499 + runs**2 / 1))
    assert (two.mean, two.images, two.runs) == (pytest.approx(0.3), 500, 2)
    assert two.deviation == pytest.approx(0.02**0.5)


def test_share_of_one_run_alone_is_that_of_its_images():
    one, same = of_shares([0.3], 100), estimate(np.repeat([1.0, 0.0], [30, 70]))
    assert (one.error, one.freedom, one.of_runs) == (pytest.approx(same.error), 99, 0)
    assert one.share_interval == pytest.approx(same.share_interval)
    assert math.isnan(one.deviation)
    two = of_shares([0.5], 2)
    assert (two.of_images, two.freedom) == (0.5, 1)
    assert of_shares([0.0], 100).share_interval == estimate(np.zeros(100)).share_interval


def test_shares_of_four_runs_have_three_degrees_of_freedom_if_images_add_nothing():
    found = of_shares([1.0, 1.0, 1.0, 1.0], 50)
    assert (found.error, found.freedom) == (0, 49)
    found = of_shares([0.4, 0.6, 0.4, 0.6], 10**9)
    assert found.freedom == pytest.approx(3)
    assert found.of_runs**2 == pytest.approx(0.04 / 3 / 4)


def test_p_values_are_one_sided_students():
    found = estimate([1.0, 2.0, 3.0])
    assert found.below(2) == pytest.approx(0.5) and found.above(2) == pytest.approx(0.5)
    low, high = found.interval
    assert found.above(low) == pytest.approx(0.025) and found.below(high) == pytest.approx(0.025)
    assert found.above(high) == found.below(low) == pytest.approx(0.975)


def test_estimate_of_a_multiple_is_that_much_larger_in_all_but_numbers():
    found = estimate([[1.0, 2.0], [3.0, 5.0], [4.0, 9.0]])
    twice = found.scaled(-2)
    for name in ("of_images", "of_runs", "deviation", "error", "detectable"):
        assert getattr(twice, name) == pytest.approx(2 * getattr(found, name))
        assert getattr(found, name) > 0
    assert (twice.mean, twice.images, twice.runs) == (-8, 3, 2)
    assert twice.freedom == found.freedom
    small = estimate(np.array([[1.0, 2.0], [3.0, 5.0], [4.0, 9.0]]) / 1000)
    assert small.freedom == pytest.approx(found.freedom)
    assert twice.interval == pytest.approx((-2 * found.interval[1], -2 * found.interval[0]))


def test_smallest_difference_that_is_shown_is_that_of_the_normal_test_of_many_images():
    """1.96 + 0.84 errors; of few, Student's t of 4 at 97.5 % and 80 %, 2.776 + 0.941."""
    many = estimate(np.tile([-1.0, 1.0], 50_000))
    assert many.detectable == pytest.approx((1.95996 + 0.84162) / 100_000**0.5, rel=1e-4)
    few = estimate([1.0, 2.0, 3.0, 4.0, 5.0])
    assert few.detectable == pytest.approx((2.7764 + 0.9410) * 0.5**0.5, rel=1e-4)


def test_numbers_that_settle_bring_the_interval_down_to_the_distance():
    rng = np.random.default_rng(0)
    found = estimate(rng.normal(0, 1, (400, 1)) + rng.normal(0, 0.2, 6))
    runs = found.runs_to_tell(0.15)
    assert 1.96 * math.hypot(found.of_images, found.of_runs * (6 / runs) ** 0.5) <= 0.15
    assert found.runs_to_tell(found.of_images) is None  # no number of runs: images are too few
    assert found.images_to_tell(found.of_runs) is None


def test_numbers_that_settle_are_the_smallest():
    """Errors 3 from 100 images and 4 from 8 runs; a million degrees of freedom, so t is 1.96."""
    found = Estimate(0.0, 100, 8, 3.0, 4.0, 1e6, 1.0)
    distance = 1.96 * 5  # as sure as it is: the error may be 5
    assert (found.runs_to_tell(distance), found.images_to_tell(distance + 0.01)) == (8, 100)
    assert found.runs_to_tell(1.96 * 3.1) == math.ceil(8 * 16 / 0.61) == 210
    assert found.images_to_tell(1.96 * 4.2) == math.ceil(100 * 9 / (4.2**2 - 16)) == 549
    assert found.runs_to_tell(1.96 * 3) is None and found.images_to_tell(1.95 * 4) is None
    of_runs = Estimate(0.0, 100, 8, 0.0, 4.0, 1e6, 1.0).interval[1]
    assert found.images_to_tell(of_runs) is None  # endless images bring it down to just that


def test_few_images_need_students_t_to_tell():
    """Of t 2.776 with 4 degrees of freedom: half the reach takes 4 times the images."""
    few = estimate([1.0, 2.0, 3.0, 4.0, 5.0])
    low, high = few.interval
    assert few.images_to_tell((high - low) / 4 * 1.0001) == 20


def test_holm_multiplies_the_smallest_by_all_and_never_falls():
    assert holm([0.01, 0.04, 0.03]).tolist() == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.8, 0.9]).tolist() == [1, 1]
    assert holm([]).tolist() == []
    assert holm([0.03, 0.2, 0.001, 0.04]).tolist() == pytest.approx([0.09, 0.2, 0.004, 0.09])
