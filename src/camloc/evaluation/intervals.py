"""Confidence intervals, by the bootstrap over images."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

RESAMPLES, LEVEL = 2000, 0.95


def intervals(errors: pd.DataFrame, seed: int = 0) -> dict[str, tuple[float, float]]:
    """95 % bootstrap intervals of `percentages`, by column, in percent."""
    return {name: bootstrap(100 * errors[name].to_numpy(), seed) for name in errors}


def bootstrap(values: NDArray, seed: int = 0) -> tuple[float, float]:
    """The percentile interval of a mean, from resamples of the images with replacement.

    For a paired difference give each image's difference.

    Args:
        values: one an image; NaN does not count, and of none there is no interval (NaN).
    """
    drawn = resampled_means(values, seed)
    return interval(drawn) if len(drawn) else (np.nan, np.nan)


def resampled_means(values: NDArray, seed: int = 0) -> NDArray[np.float64]:
    """Means of resamples of the images with replacement, (RESAMPLES,); of no image none.

    How often each distinct value comes up in a resample is multinomial, so that is drawn instead
    of the images: the same distribution, at a cost that does not grow with them.

    Args:
        values: one an image; NaN does not count.
    """
    values = np.asarray(values, dtype=np.float64)
    distinct, counts = np.unique(values[~np.isnan(values)], return_counts=True)
    if not len(distinct):
        return np.empty(0)
    n = counts.sum()
    drawn = np.random.default_rng(seed).multinomial(n, counts / n, size=RESAMPLES)
    return drawn @ distinct / n


class Resamples:
    """Sums over the images of Poisson resamples, in memory that does not grow with the images.

    For figures that are no means over images. Each image counts Poisson(1) times in a resample,
    which is the bootstrap's multinomial but for the number of images in all.
    """

    def __init__(self, seed: int = 0) -> None:
        self.rng = np.random.default_rng(seed)
        self.images = np.zeros(RESAMPLES)
        self.sums: NDArray | float = 0.0

    def add(self, values: NDArray) -> None:
        """Values (B, ...) of a batch of images; `sums` has the shape (RESAMPLES, ...)."""
        weights = self.rng.poisson(1, (RESAMPLES, len(values))).astype(np.float32)
        sums = weights @ values.reshape(len(values), -1).astype(np.float32)
        self.images = self.images + weights.sum(axis=1)
        self.sums = self.sums + sums.reshape(RESAMPLES, *values.shape[1:]).astype(np.float64)

    @property
    def means(self) -> NDArray:
        """The mean over the images of each resample that has some, (RESAMPLES or less, ...)."""
        some = self.images > 0
        images = self.images[some].reshape(-1, *[1] * (self.sums.ndim - 1))
        return self.sums[some] / images


def interval(drawn: NDArray) -> tuple[float, float]:
    """The 95 % percentile interval of a figure's resampled values."""
    low, high = np.quantile(drawn, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)
