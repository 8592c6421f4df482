"""From boxes to errors, as the ILSVRC classification-with-localization task counts them.

The rules are those of the ILSVRC devkit (`eval_clsloc.m`, `compute_overlap.m`): boxes are
inclusive pixels and are not clipped to the image, a guess is right if it names a true class and,
for localization, its box has an IoU of at least one half with any ground-truth box of that class;
an image with several true classes counts as the mean over them.
"""

from collections.abc import Collection, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

NO_RANK = 2**31 - 1
CORNERS = ["xmin", "ymin", "xmax", "ymax"]
GT_KNOWN = "loc_err_gt_known"
ERRORS = {  # what they are called
    "cls_err_top1": "top-1 classification error",
    "cls_err_top5": "top-5 classification error",
    "loc_err_top1": "top-1 localization error",
    "loc_err_top5": "top-5 localization error",
    GT_KNOWN: "GT-known localization error",
}
RESAMPLES, LEVEL = 2000, 0.95


def iou(a: NDArray, b: NDArray) -> NDArray[np.float64]:
    """Intersection over union of boxes (N, 4) and (N, 4) in inclusive pixels, pair by pair."""
    a, b = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    sides = np.minimum(a[:, 2:], b[:, 2:]) - np.maximum(a[:, :2], b[:, :2]) + 1
    intersection = sides.clip(min=0).prod(axis=1)
    with np.errstate(over="ignore"):  # a box of endless area overlaps nothing
        return intersection / (_area(a) + _area(b) - intersection)


def best_iou(box: NDArray, boxes: NDArray) -> float:
    """The largest IoU of one box (4,) with any of several (N, 4), in inclusive pixels."""
    return float(iou(np.broadcast_to(box, np.shape(boxes)), boxes).max())


def outcomes(
    guesses: pd.DataFrame, labels: pd.DataFrame, boxes: pd.DataFrame, threshold: float = 0.5
) -> pd.DataFrame:
    """What the guesses of each image are worth; every error follows from it.

    Args:
        guesses: `image`, `rank` (from 1, best first), `wnid` and the box, all images' guesses. A
            class may be guessed several times, with a box each.
        labels: `image` and `wnid` of the images that count, one row a true class.
        boxes: the ground truth, `image`, `wnid` and the box, any number an image.
        threshold: the smallest IoU that counts as found.

    Returns:
        For each row of `labels`: `image`, `wnid`; `cls_rank`, the rank of the first guess of the
        true class; `loc_rank`, the rank of the first guess of the true class whose box meets the
        threshold with any ground-truth box of that class; `NO_RANK` where there is none;
        `gt_known_iou`, the best IoU of any guess of the true class, whatever its rank (NaN
        without one); `has_box`, whether the image has a ground-truth box of its class.
    """
    key = ["image", "wnid"]
    labels = labels[key].reset_index(drop=True)
    places = labels.assign(label=labels.index)  # merged on, so that rows are told apart by number
    right = guesses.merge(places, on=key)
    true = boxes.merge(places[[*key]], on=key)
    pairs = right.merge(true, on=key, suffixes=("", "_true"))
    pairs["iou"] = iou(pairs[CORNERS], pairs[[f"{c}_true" for c in CORNERS]])
    found = pairs[pairs["iou"] >= threshold]
    result = labels
    result["cls_rank"] = right.groupby("label")["rank"].min()
    result["loc_rank"] = found.groupby("label")["rank"].min()
    result["gt_known_iou"] = pairs.groupby("label")["iou"].max()
    ranks = ["cls_rank", "loc_rank"]
    result[ranks] = result[ranks].fillna(NO_RANK).astype("int64")
    result["has_box"] = result.index.isin(true.merge(places, on=key)["label"])
    return result


def image_errors(
    outcome: pd.DataFrame,
    threshold: float = 0.5,
    top: Sequence[int] = (1, 5),
    blacklist: Collection[str] = (),
) -> pd.DataFrame:
    """Each image's errors: 0 or 1, or between where it has several true classes.

    Args:
        outcome: of `outcomes`, with the same threshold.
        top: the numbers of guesses that are looked at.
        blacklist: images that count for classification alone.

    Returns:
        A row an image: `cls_err_top…`, `loc_err_top…` and `loc_err_gt_known`; localization is NaN
        where the image has no box of its class or is on the blacklist. Columns of which nothing
        is known are left out: localization without any box, and GT-known where some image has no
        guess of its true class, because nobody knows what the box of that class would be worth.
    """
    boxed = outcome["has_box"] & ~outcome["image"].isin(blacklist)
    known = outcome["gt_known_iou"]
    wrong = {f"cls_err_top{k}": outcome["cls_rank"] > k for k in top}
    if boxed.any():
        wrong |= {f"loc_err_top{k}": (outcome["loc_rank"] > k).where(boxed) for k in top}
        if known[boxed].notna().all():
            wrong[GT_KNOWN] = (known < threshold).where(boxed)
    columns = {name: values.astype(float) for name, values in wrong.items()}
    return pd.DataFrame(columns).groupby(outcome["image"], sort=False).mean()


def percentages(errors: pd.DataFrame) -> dict[str, float]:
    """Errors in percent, by column, over the images that count for it."""
    return {name: 100 * float(mean) for name, mean in errors.mean().items()}


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


def _area(boxes: NDArray) -> NDArray:
    return (boxes[:, 2:] - boxes[:, :2] + 1).prod(axis=1)
