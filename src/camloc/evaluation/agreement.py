"""Do two measures rank rows alike? Kendall's tau, and how sure it is."""

import numpy as np
from numpy.typing import NDArray

from camloc.evaluation.errors import GT_KNOWN

RESAMPLES = 2000
# The measures of maps that are tested, and whether more is better.
METRICS = {
    "insertion": True,
    "deletion": False,
    "average_drop": False,
    "peak_in_box": True,
    "energy_in_box": True,
    GT_KNOWN: False,
    "max_box_acc": True,
    "max_box_acc_v2": True,
    "pxap_err": False,
}


def kendall(first: NDArray, second: NDArray) -> NDArray[np.float64]:
    """Kendall's tau-b of the last axis (…, R), NaN where all are alike in one of both."""
    i, j = np.triu_indices(first.shape[-1], 1)
    a, b = (np.sign(values[..., i] - values[..., j]) for values in (first, second))
    with np.errstate(invalid="ignore"):
        return (a * b).sum(-1) / np.sqrt((a**2).sum(-1) * (b**2).sum(-1))


def agreement(truth: NDArray, measure: NDArray) -> tuple[float, float, float]:
    """Kendall's tau of the means of two measures, with the ends of its 95 % interval.

    The interval is the bootstrap's, by percentiles, over images: it says how sure the ranking of
    these rows is on such images, not what other rows would give.

    Args:
        truth, measure: of each image and row, (N, R), without NaN; more is better in both.

    Returns:
        NaN where all rows are alike in one of both.
    """
    tau = float(kendall(truth.mean(0), measure.mean(0)))
    if np.isnan(tau):
        return tau, tau, tau
    rng = np.random.default_rng(0)
    n = len(truth)
    weights = rng.multinomial(n, np.full(n, 1 / n), RESAMPLES) / n  # (resamples, N)
    drawn = kendall(weights @ truth, weights @ measure)
    low, high = np.nanpercentile(drawn, [2.5, 97.5])
    return tau, float(low), float(high)
