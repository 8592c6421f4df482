"""Scores of whole maps over all thresholds: MaxBoxAcc, MaxBoxAccV2 and PxAP.

The protocols of Choe et al. (2020, *Evaluating Weakly Supervised Object Localization Methods
Right*, and its 2022 extension), as their `evaluation.py` computes them: a map is resized to
224×224, scaled from its minimum to its maximum, and cut at every level of 8 bits; the outlines
of what is left are boxed and compared with the true boxes on the same square.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

from camloc.components import SIDE, best_overlaps
from camloc.errors import UserError
from camloc.metrics import bootstrap

LEVELS = 255  # of 8 bits; level t keeps what is above t
IOUS = (0.3, 0.5, 0.7)
CURVES = ("max_box_acc", "box_acc_30", "box_acc_50", "box_acc_70")
BINS = 1000  # of the map's values, for PxAP


def score_map(low: NDArray) -> NDArray[np.float32]:
    """A map at 224×224, resized bicubically and scaled to 0…1; all zeros where it is constant.

    Raises:
        UserError: a value that is not finite.
    """
    if not np.isfinite(low).all():
        raise UserError("a map holds a value that is not finite")
    full = low.astype(np.float32)
    if full.shape != (SIDE, SIDE):
        full = cv2.resize(full, (SIDE, SIDE), interpolation=cv2.INTER_CUBIC)
    full = full - full.min()
    peak = full.max()
    return full / peak if peak > 0 else full


def resized_boxes(boxes: NDArray, width: int, height: int) -> NDArray[np.int64]:
    """True boxes (N, 4) of an image in the pixels of the 224×224 square, rounded down."""
    scale = SIDE / np.array([width, height, width, height], dtype=np.float64)
    return (np.asarray(boxes, dtype=np.float64) * scale).astype(np.int64)


def hits(full: NDArray, true: NDArray) -> NDArray[np.bool_]:
    """Whether the boxes of a map find an object, at every level.

    Args:
        full: of `score_map`.
        true: boxes (N, 4), of `resized_boxes`.

    Returns:
        (len(CURVES), LEVELS); level t keeps 8-bit values above t. MaxBoxAcc takes the box around
        the outline of the largest area, MaxBoxAccV2 the best of the boxes around all outlines,
        those of holes among them. A box's last pixel is the one after it, as in their code.
    """
    gray = (full * 255).astype(np.uint8)
    largest, best = best_overlaps(gray, np.asarray(true, dtype=np.int64)).T
    return np.stack([largest >= 0.5, *(best >= threshold for threshold in IOUS)])


def accuracies(hit_rates: NDArray) -> dict[str, float]:
    """MaxBoxAcc and MaxBoxAccV2 in percent, each at the level that is best on these images.

    Args:
        hit_rates: the mean of `hits` over the images.
    """
    best = dict(zip(CURVES, 100 * hit_rates.max(axis=1), strict=True))
    return best | {"max_box_acc_v2": float(np.mean([best[name] for name in CURVES[1:]]))}


def best_levels(hit_rates: NDArray) -> dict[str, int]:
    """The level, of 255, at which each curve is highest; the first where several are."""
    return dict(zip(CURVES, hit_rates.argmax(axis=1).tolist(), strict=True))


def summary(hits: NDArray, held_out: NDArray | None) -> dict:
    """The scores of a split, with thresholds of its own and of a held-out split.

    Args:
        hits: (N, curves, levels) of the split, and of the held-out one, which may be missing.

    Returns:
        `best`: `accuracies`, tuned on the split itself; `held_out`: the same at the levels that
        are best on the held-out split, and `intervals` of it; `levels`: the levels of either.
    """
    if not len(hits):
        return {}
    rates = hits.mean(axis=0)
    found = {"best": accuracies(rates), "levels": {"best": best_levels(rates)}}
    if held_out is not None and len(held_out):
        levels = best_levels(held_out.mean(axis=0))
        at = {curve: hits[:, i, levels[curve]] for i, curve in enumerate(CURVES)}
        at["max_box_acc_v2"] = np.mean([at[curve] for curve in CURVES[1:]], axis=0)
        found["held_out"] = {curve: 100 * float(values.mean()) for curve, values in at.items()}
        found["intervals"] = {curve: bootstrap(100 * values) for curve, values in at.items()}
        found["levels"]["held_out"] = levels
    return found


class PixelCounts:
    """Pixels of objects and of background by the value of their map, over any number of maps."""

    def __init__(self) -> None:
        self.object, self.background = np.zeros(BINS + 1), np.zeros(BINS + 1)

    def add(self, full: NDArray, mask: NDArray) -> None:
        """Count one map of `score_map` against its mask, any size, above zero on the object."""
        inside = cv2.resize(mask, (SIDE, SIDE), interpolation=cv2.INTER_NEAREST) > 0
        values = (full * BINS).astype(np.int64)
        self.object += np.bincount(values[inside], minlength=BINS + 1)
        self.background += np.bincount(values[~inside], minlength=BINS + 1)

    def average_precision(self) -> float:
        """PxAP: area under the precision-recall curve of the pixels, in percent.

        NaN where no pixel belongs to an object.
        """
        found, wrong = self.object[::-1].cumsum(), self.background[::-1].cumsum()
        if not found[-1]:
            return np.nan
        precision = found / np.maximum(found + wrong, 1)
        return 100 * float((precision * np.diff(found / found[-1], prepend=0)).sum())
