"""Scores of whole maps over all thresholds: MaxBoxAcc, MaxBoxAccV2 and PxAP.

The protocols of Choe et al. (2020, *Evaluating Weakly Supervised Object Localization Methods
Right*, and its 2022 extension), as their `evaluation.py` computes them: a map is resized to
224×224, scaled from its minimum to its maximum, and cut at every level of 8 bits; the outlines
of what is left are boxed and compared with the true boxes on the same square.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

from camloc.boxes.geometry import iou
from camloc.boxes.paper import single_precision
from camloc.data.masks import BACKGROUND, IGNORED

SIDE = 224  # of the square that maps and boxes are brought to
LEVELS = 255  # of 8 bits; level t keeps what is above t
IOUS = (0.3, 0.5, 0.7)
CURVES = ("max_box_acc", "box_acc_30", "box_acc_50", "box_acc_70")
BINS = 1000  # of the map's values, for PxAP
BATCH = 256  # images that are left out, one by one, at a time


def score_map(low: NDArray) -> NDArray[np.float32]:
    """A map at 224×224, resized bicubically and scaled to 0…1; all zeros where it is constant.

    Raises:
        UserError: a map that `single_precision` refuses.
    """
    full = single_precision(low)
    if full.shape != (SIDE, SIDE):
        full = cv2.resize(full, (SIDE, SIDE), interpolation=cv2.INTER_CUBIC)
    full = full - full.min()
    peak = full.max()
    return full / peak if peak > 0 else full


def resized_boxes(boxes: NDArray, sizes: NDArray) -> NDArray[np.int64]:
    """Ground-truth boxes (N, 4) in the pixels of the 224×224 square, rounded down; sizes are width
    and height of their image, (2,), or of each box's own, (N, 2)."""
    scale = SIDE / np.tile(sizes, 2)
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
    # Numba takes seconds to load, and not all that use this module call this.
    from camloc.evaluation.component_tree import best_overlaps

    largest, best = best_overlaps(_gray(full), np.asarray(true, dtype=np.int64)).T
    return np.stack([largest >= 0.5, *(best >= threshold for threshold in IOUS)])


def box_hits(boxes: NDArray, true: NDArray) -> NDArray[np.bool_]:
    """`hits` of a box at each level.

    Args:
        boxes: (LEVELS, 4), or (1, 4) of one that is the same at every level.
        true: boxes (N, 4), of `resized_boxes`.
    """
    best = iou(boxes[:, None], true).max(axis=1)
    found = np.stack([best >= threshold for threshold in (0.5, *IOUS)])
    return np.broadcast_to(found, (len(CURVES), LEVELS))


def level_boxes(full: NDArray) -> NDArray[np.int64]:
    """The box at each level, (LEVELS, 4), of a map with one peak, above any level in one piece.

    Args:
        full: of `score_map`.
    """
    above = [_gray(full).max(axis=axis) > np.arange(LEVELS)[:, None] for axis in (0, 1)]
    first = [each.argmax(axis=1) for each in above]
    last = [SIDE - 1 - each[:, ::-1].argmax(axis=1) for each in above]
    return np.stack([*first, *np.minimum(np.array(last) + 1, SIDE - 1)], axis=1)


def accuracies(hit_rates: NDArray) -> dict[str, NDArray]:
    """MaxBoxAcc and MaxBoxAccV2 in percent, each at the level that is best on these images.

    Args:
        hit_rates: (..., curves, levels), means of `hits` over the images.
    """
    best = dict(zip(CURVES, np.moveaxis(100 * hit_rates.max(axis=-1), -1, 0), strict=True))
    return best | {"max_box_acc_v2": _version_2(best)}


def best_levels(hit_rates: NDArray) -> dict[str, int]:
    """The level, of 255, at which each curve is highest; the first where several are."""
    return dict(zip(CURVES, hit_rates.argmax(axis=1).tolist(), strict=True))


def summary(hits: NDArray, pixels: "PixelCounts | None" = None) -> dict:
    """The scores of a split in percent, tuned on the split itself, and what the levels are.

    Args:
        hits: (N, curves, levels) of the split.
        pixels: of the images that have masks.

    Returns:
        `accuracies`, `levels` and `pxap`; nothing where no image has a box.
    """
    if not len(hits):
        return {}
    rates = hits.mean(axis=0)
    found: dict = {"levels": best_levels(rates)}
    found |= {"best": {name: float(value) for name, value in accuracies(rates).items()}}
    if pixels is not None and not np.isnan(pxap := pixels.average_precision()):
        found["pxap"] = pxap
    return found


def hits_at(hits: NDArray, levels: dict[str, int]) -> dict[str, NDArray[np.float64]]:
    """What each image adds to MaxBoxAcc and MaxBoxAccV2, shares (N,), at levels that were chosen on
    other images.

    Args:
        hits: (N, curves, levels).
        levels: of `best_levels`.
    """
    at = {curve: hits[:, i, levels[curve]].astype(float) for i, curve in enumerate(CURVES)}
    return {"max_box_acc": at["max_box_acc"], "max_box_acc_v2": _version_2(at)}


def pixel_counts(full: NDArray, mask: NDArray) -> NDArray[np.int64]:
    """Pixels of the object and of the background by the value of their map, (2, BINS + 1).

    Args:
        full: of `score_map`.
        mask: any size, 0 beside the object, `IGNORED` on pixels that count for neither, and any
            other value on the object (see `camloc.data.masks`).
    """
    small = cv2.resize(mask, (SIDE, SIDE), interpolation=cv2.INTER_NEAREST)
    values = (full * BINS).astype(np.int64)
    parts = ((small != BACKGROUND) & (small != IGNORED), small == BACKGROUND)
    return np.stack([np.bincount(values[part], minlength=BINS + 1) for part in parts])


class PixelCounts:
    """`pixel_counts` of any number of maps, 4 KB each."""

    def __init__(self) -> None:
        self.counts = np.zeros((2, BINS + 1))  # of objects, of background
        self._of_images: list[NDArray[np.uint16]] = []

    def add(self, counts: NDArray) -> None:
        """Count one map, by its `pixel_counts`."""
        self.counts += counts
        self._of_images.append(counts.astype(np.uint16))  # a map has fewer pixels than that holds

    def average_precision(self) -> float:
        """PxAP: area under the precision-recall curve of the pixels, in percent.

        NaN where no pixel belongs to an object.
        """
        return float(_average_precision(self.counts)) if self.counts[0].any() else np.nan

    def influence(self) -> NDArray[np.float64]:
        """What each image adds to `average_precision`, (N,): their mean is that, and they vary as
        the jackknife has it (B. Efron, *The jackknife, the bootstrap and other resampling plans*,
        1982), so that it can be compared like a mean over images."""
        every = self._of_images
        without = [
            _average_precision(self.counts - np.array(every[start : start + BATCH]))
            for start in range(0, len(every), BATCH)
        ]
        found = np.concatenate([np.empty(0), *without])
        return self.average_precision() + (len(found) - 1) * (found.mean() - found)


def _gray(full: NDArray) -> NDArray[np.uint8]:
    return (full * 255).astype(np.uint8)


def _average_precision(counts: NDArray) -> NDArray:
    """Counts (..., 2, BINS + 1) of pixels of objects and of background, in percent."""
    found, wrong = np.moveaxis(counts[..., ::-1].cumsum(axis=-1), -2, 0)
    precision = found / np.maximum(found + wrong, 1)
    recall = found / np.maximum(found[..., -1:], 1)
    return 100 * (precision * np.diff(recall, prepend=0, axis=-1)).sum(axis=-1)


def _version_2(scores: dict) -> NDArray:
    return np.mean([scores[curve] for curve in CURVES[1:]], axis=0)
