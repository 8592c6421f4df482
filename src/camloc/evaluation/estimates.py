"""Means over images and training runs, and how sure they are.

Both are samples: of the images that could have been drawn, and of the trainings that another seed
would have given. The variance of a mean over both is that of a crossed random-effects model with
one observation a cell (S. R. Searle, G. Casella, C. E. McCulloch, *Variance Components*, 1992, ch.
4): that of the runs' means over S, plus that of the images' means over N, less the mean square of
what neither explains over S·N, which both hold. Its degrees of freedom are Satterthwaite's (F. E.
Satterthwaite, *An approximate distribution of estimates of variance components*, 1946). Intervals
and tests are Student's by those; the interval of a share is Wilson's (E. B. Wilson, 1927) at the
number of independent images that would be as sure. `benchmarks/verdicts.py` measures how often they
hold what is true.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import stdtr, stdtrit

LEVEL = 0.95  # of intervals
POWER = 0.8  # with which the smallest difference that could be shown is shown


@dataclass(frozen=True)
class Estimate:
    """A mean over images and training runs, NaN of none.

    Attributes:
        of_images: its standard error if the trainings were given, and only images drawn.
        of_runs: what trainings add to it; 0 of one run, which tells nothing of others.
        freedom: degrees of freedom of `error`.
        deviation: standard deviation between the runs' means, NaN of one run.
    """

    mean: float
    images: int
    runs: int
    of_images: float
    of_runs: float
    freedom: float
    deviation: float

    @property
    def error(self) -> float:
        """The standard error of the mean."""
        return math.hypot(self.of_images, self.of_runs)

    @property
    def interval(self) -> tuple[float, float]:
        """The 95 % confidence interval of the mean of any figure; NaN where one image tells."""
        reach = self._t * self.error
        return self.mean - reach, self.mean + reach

    @property
    def share_interval(self) -> tuple[float, float]:
        """That of a mean of shares from 0 to 1, Wilson's: of no error among N it is not 0 to 0."""
        p, t = self.mean, self._t
        if math.isnan(t):
            return math.nan, math.nan
        spread = p * (1 - p)
        alike = spread / self.error**2 if self.error > 0 and spread > 0 else self.images
        n = min(alike, self.images * self.runs)
        middle = (p + t**2 / (2 * n)) / (1 + t**2 / n)
        reach = t / (1 + t**2 / n) * math.sqrt(max(spread, 0) / n + t**2 / (4 * n**2))
        return max(middle - reach, 0.0), min(middle + reach, 1.0)

    def below(self, bound: float) -> float:
        """The one-sided p-value of the mean not being below a bound."""
        if not self.error > 0:
            return 1.0
        return float(stdtr(self.freedom, (self.mean - bound) / self.error))

    def above(self, bound: float) -> float:
        """The one-sided p-value of the mean not being above a bound."""
        return self.scaled(-1).below(-bound)

    @property
    def detectable(self) -> float:
        """The smallest difference that is shown with a probability of 80 %."""
        return (self._t + float(stdtrit(self.freedom, POWER))) * self.error

    def runs_to_tell(self, distance: float) -> int | None:
        """How many runs would bring the interval's half width below a distance, on these images;
        None where no number does."""
        left = (distance / 1.96) ** 2 - self.of_images**2
        return math.ceil(self.runs * self.of_runs**2 / left) if left > 0 else None

    def images_to_tell(self, distance: float) -> int | None:
        """How many images would, with these runs; None where no number does."""
        left = (distance / self._t) ** 2 - self.of_runs**2
        return math.ceil(self.images * self.of_images**2 / left) if left > 0 else None

    def scaled(self, factor: float) -> "Estimate":
        """The estimate of the figure times a factor."""
        size = abs(factor)
        return Estimate(
            factor * self.mean,
            self.images,
            self.runs,
            size * self.of_images,
            size * self.of_runs,
            self.freedom,
            size * self.deviation,
        )

    @property
    def _t(self) -> float:
        return float(stdtrit(self.freedom, (1 + LEVEL) / 2)) if self.freedom > 0 else math.nan


NOTHING = Estimate(*[math.nan, 0, 0], *[math.nan] * 4)


def estimate(values: ArrayLike) -> Estimate:
    """The mean of a figure.

    Args:
        values: one an image (N,), or one an image and run (N, S). An image that lacks a value in
            some run (NaN) does not count. For a paired difference give each image's difference.
    """
    table = np.asarray(values, dtype=np.float64)
    table = table[:, None] if table.ndim == 1 else table
    table = table[~np.isnan(table).any(axis=1)]
    n, s = table.shape
    if not n or not s:
        return NOTHING
    of_image, of_run, mean = table.mean(axis=1), table.mean(axis=0), float(table.mean())
    images = float(of_image.var(ddof=1)) / n if n > 1 else math.nan
    between = float(of_run.var(ddof=1)) if s > 1 else 0.0
    runs = between / s
    if n == 1 or s == 1:
        deviation = math.sqrt(between) if s > 1 else math.nan
        return Estimate(mean, n, s, math.sqrt(images), math.sqrt(runs), n - 1, deviation)
    # The sum of squares that neither images nor runs explain, without a table of its own.
    square = np.einsum("ij,ij->", table, table) - n * s * mean**2
    square -= s * (n - 1) * images * n + n * (s - 1) * between
    rest = max(float(square), 0.0) / ((n - 1) * (s - 1)) / (n * s)
    variance = max(images + runs - rest, images, runs)
    parts = images**2 / (n - 1) + runs**2 / (s - 1) + rest**2 / ((n - 1) * (s - 1))
    freedom = variance**2 / parts if parts > 0 else n - 1
    added = math.sqrt(max(variance - images, 0.0))
    return Estimate(mean, n, s, math.sqrt(images), added, freedom, math.sqrt(between))


def of_shares(shares: ArrayLike, images: int) -> Estimate:
    """The mean of shares of the same images, one a run (S,), of which nothing is known by image:
    their standard error from images is taken to be that of one run, the most it can be."""
    of_run = np.asarray(shares, dtype=np.float64)
    s, mean = len(of_run), float(of_run.mean())
    of_images = mean * (1 - mean) / max(images - 1, 1)
    between = float(of_run.var(ddof=1)) if s > 1 else 0.0
    parts = of_images**2 / max(images - 1, 1) + (between / s) ** 2 / max(s - 1, 1)
    freedom = (of_images + between / s) ** 2 / parts if parts > 0 else images - 1
    added, deviation = math.sqrt(between / s), math.sqrt(between) if s > 1 else math.nan
    return Estimate(mean, images, s, math.sqrt(of_images), added, freedom, deviation)


def holm(p_values: ArrayLike) -> np.ndarray:
    """p-values adjusted for being several (S. Holm, 1979), in the order given."""
    p = np.asarray(p_values, dtype=np.float64)
    order = np.argsort(p, kind="stable")
    steps = np.maximum.accumulate(p[order] * (len(p) - np.arange(len(p))))
    adjusted = np.empty(len(p))
    adjusted[order] = np.minimum(steps, 1)
    return adjusted
