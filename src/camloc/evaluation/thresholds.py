"""Maps over all thresholds."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from camloc.boxes.geometry import CORNERS, iou
from camloc.boxes.paper import boxes_over_thresholds
from camloc.boxes.predictions import Split
from camloc.evaluation import wsol
from camloc.evaluation.errors import GT_KNOWN
from camloc.evaluation.intervals import bootstrap

THRESHOLDS = (np.arange(20) / 20).tolist()  # at which the paper's rule is shown


@dataclass(frozen=True)
class Curves:
    """Maps over all thresholds: `hits` (images with a box, curves, levels), and the pixels of the
    images that have masks (see `camloc.evaluation.wsol`)."""

    hits: NDArray
    pixels: wsol.PixelCounts


def by_threshold(
    split: Split, predictions: pd.DataFrame, maps: NDArray, iou_threshold: float
) -> pd.DataFrame:
    """The paper's rule at other thresholds: `threshold`, `loc_err_gt_known` in percent and its 95 %
    interval, `low` and `high`; no row where that error is not known (see
    `camloc.evaluation.errors.image_errors`).

    Args:
        predictions, maps: of `Split.predictions`.
    """
    true = predictions[predictions["true"]]
    place = pd.DataFrame({"image": true["image"], "place": np.arange(len(true))})
    truth = split.boxes.merge(place, on="image", how="left").sort_values("place")
    rows = []
    if len(truth) and truth["place"].notna().all():
        sizes = true[["width", "height"]].to_numpy()
        boxes = boxes_over_thresholds(maps[true.index], sizes, THRESHOLDS)
        overlaps = iou(boxes[:, truth["place"].astype(int)], truth[CORNERS].to_numpy())
        _, first = np.unique(truth["place"], return_index=True)
        missed = np.maximum.reduceat(overlaps, first, axis=1) < iou_threshold
        rows = [
            (threshold, 100 * wrong.mean(), *bootstrap(100.0 * wrong))
            for threshold, wrong in zip(THRESHOLDS, missed, strict=True)
        ]
    return pd.DataFrame(rows, columns=["threshold", GT_KNOWN, "low", "high"])


def curves(split: Split, predictions: pd.DataFrame, maps: NDArray) -> Curves:
    """The maps of the true classes over all thresholds.

    Args:
        predictions, maps: of `Split.predictions`.
    """
    true = predictions.loc[predictions["true"], "image"]
    boxes, masks = boxes_on_the_square(split), split.masks

    def look(place: tuple[int, str]) -> tuple[NDArray | None, NDArray | None]:
        i, image = place
        full = wsol.score_map(maps[i])
        return (
            wsol.hits(full, boxes[image]) if image in boxes else None,
            wsol.pixel_counts(full, masks[image]()) if image in masks else None,
        )

    hits, pixels = [], wsol.PixelCounts()
    with ThreadPoolExecutor() as pool:  # OpenCV and compiled code let other threads run
        for found, counts in pool.map(look, true.items()):
            if found is not None:
                hits.append(found)
            if counts is not None:
                pixels.add(counts)
    return Curves(stacked(hits), pixels)


def over_thresholds(found: dict[str, dict[str, Curves]]) -> dict[str, dict[str, dict]]:
    """`camloc.evaluation.wsol.summary` of every split and row, each split held out for the other.

    Args:
        found: curves by split and row, the same rows in each.
    """
    scores: dict[str, dict[str, dict]] = {split: {} for split in found}
    for split, rows in found.items():
        for row, own in rows.items():
            others = [found[other][row].hits for other in found if other != split]
            scores[split][row] = wsol.summary(own.hits, *others[:1], pixels=own.pixels)
    return scores


def boxes_on_the_square(split: Split) -> dict[str, NDArray]:
    """The ground-truth boxes of each image that has some, in pixels of the square of the WSOL
    metrics, by image."""
    sized = split.boxes.merge(split.images[["image", "width", "height"]], on="image")
    sides = sized[["width", "height"]].to_numpy()
    square = wsol.resized_boxes(sized[CORNERS].to_numpy(), sides)
    return {image: square[rows] for image, rows in sized.groupby("image").indices.items()}


def stacked(hits: list[NDArray]) -> NDArray[np.bool_]:
    """(images, curves, levels), of no image, too."""
    shape = (0, len(wsol.CURVES), wsol.LEVELS)
    return np.stack(hits) if hits else np.zeros(shape, dtype=bool)
