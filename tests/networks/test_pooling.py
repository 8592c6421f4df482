"""Global pooling: values worked by hand, and the road from the mean to the maximum."""

import itertools
import math

import pytest
import torch

from camloc.core.errors import UserError
from camloc.networks.pooling import Pool

MAPS = torch.tensor([[[[0.0, math.log(3)], [0.0, math.log(3)]], [[4.0, 1.0], [3.0, 0.0]]]])


@pytest.mark.parametrize(
    ("pool", "first", "second"),
    [
        (Pool("gap"), math.log(3) / 2, 2.0),
        (Pool("gmp"), math.log(3), 4.0),
        (Pool("log-sum-exp", sharpness=1), math.log((1 + 3) / 2), None),
        (Pool("log-sum-exp", sharpness=2), math.log((1 + 9) / 2) / 2, None),
        (Pool("top-k-mean", top_k=1), math.log(3), 4.0),
        (Pool("top-k-mean", top_k=2), math.log(3), 3.5),
        (Pool("top-k-mean", top_k=4), math.log(3) / 2, 2.0),
    ],
)
def test_value_of_a_map_is_the_one_worked_by_hand(pool, first, second):
    values = pool(MAPS)
    assert values.shape == (1, 2)
    assert values[0, 0].item() == pytest.approx(first)
    if second is not None:
        assert values[0, 1].item() == pytest.approx(second)


def test_log_sum_exp_goes_from_the_mean_to_the_maximum():
    maps = torch.randn(2, 3, 7, 7, generator=torch.Generator().manual_seed(0))
    values = [Pool("log-sum-exp", sharpness=r)(maps) for r in (1e-3, 0.1, 1, 10, 1e4)]
    torch.testing.assert_close(values[0], maps.mean((2, 3)), atol=1e-3, rtol=0)
    torch.testing.assert_close(values[-1], maps.amax((2, 3)), atol=1e-3, rtol=0)
    assert all((less < more).all() for less, more in itertools.pairwise(values))


def test_pool_is_told_with_its_number():
    told = [str(Pool("gmp")), str(Pool("log-sum-exp", 2.5)), str(Pool("top-k-mean", top_k=9))]
    assert told == ["gmp", "log-sum-exp (sharpness 2.5)", "top-k-mean (top_k 9)"]


@pytest.mark.parametrize(
    ("declared", "refused"),
    [
        (("gmpp",), "unknown pool 'gmpp'; did you mean gmp"),
        (("log-sum-exp",), "pool log-sum-exp needs sharpness, a number above 0"),
        (("log-sum-exp", 0.0), "pool log-sum-exp needs sharpness, a number above 0"),
        (("top-k-mean", 3.0), "pool top-k-mean needs top_k|sharpness belongs to pool log-sum-exp"),
        (("gap", None, 3), "top_k belongs to pool top-k-mean, not gap; leave it out"),
    ],
)
def test_number_of_another_pool_or_none_is_refused(declared, refused):
    with pytest.raises(UserError, match=refused):
        Pool(*declared)


def test_more_positions_than_a_map_has_are_refused():
    with pytest.raises(UserError, match="top_k: maps of 2×2 have no 5 positions; give fewer"):
        Pool("top-k-mean", top_k=5)(MAPS)
