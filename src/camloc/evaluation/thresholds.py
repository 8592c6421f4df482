"""Maps over all thresholds."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import cv2
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from camloc.boxes.geometry import CORNERS, iou
from camloc.boxes.paper import boxes_over_thresholds, single_precision, upsample
from camloc.boxes.predictions import Split
from camloc.evaluation import wsol
from camloc.evaluation.errors import GT_KNOWN, score

WHOLE_MAP = {  # what they are called
    "max_box_acc": "MaxBoxAcc",
    "max_box_acc_v2": "MaxBoxAccV2",
    "pxap_err": "1 − PxAP",
}
# The paper's rule at a threshold of each map's own, which no box decides.
BY_MAP = {
    "mean_gt_known": "GT-known error at each map's mean",
    "otsu_gt_known": "GT-known error at Otsu's threshold of each map",
    "triangle_gt_known": "GT-known error at the triangle method's threshold of each map",
}
THRESHOLDS = (np.arange(20) / 20).tolist()  # at which the paper's rule is shown


@dataclass(frozen=True)
class Curves:
    """Maps over all thresholds: `hits` (N, curves, levels) of the images with a box, which `boxed`
    names, and the pixels of those with a mask, `masked` (see `camloc.evaluation.wsol`)."""

    hits: NDArray
    pixels: wsol.PixelCounts
    boxed: list[str]
    masked: list[str]

    def by_image(self, held_out: "Curves | None") -> pd.DataFrame:
        """`WHOLE_MAP`, by image: MaxBoxAcc and MaxBoxAccV2 at the levels that are best on the
        held-out split, and 1 − PxAP; shares, as far as there are any."""
        columns = {}
        if held_out is not None and len(held_out.hits) and len(self.hits):
            at = wsol.hits_at(self.hits, wsol.best_levels(held_out.hits.mean(axis=0)))
            columns = {name: pd.Series(hits, self.boxed) for name, hits in at.items()}
        if self.masked and not np.isnan(self.pixels.average_precision()):
            columns["pxap_err"] = pd.Series(1 - self.pixels.influence() / 100, self.masked)
        return pd.DataFrame(columns) if columns else pd.DataFrame(index=pd.Index([], dtype=object))


def by_threshold(
    split: Split, predictions: pd.DataFrame, maps: NDArray, iou_threshold: float
) -> pd.DataFrame:
    """The paper's rule at other thresholds: `threshold`, `loc_err_gt_known` in percent and of how
    many `images`; no row where that error is not known (see
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
            (threshold, 100 * wrong.mean(), len(wrong))
            for threshold, wrong in zip(THRESHOLDS, missed, strict=True)
        ]
    return pd.DataFrame(rows, columns=["threshold", GT_KNOWN, "images"])


def by_map(
    split: Split, predictions: pd.DataFrame, maps: NDArray, iou_threshold: float
) -> pd.DataFrame:
    """`BY_MAP`, by image, as shares.

    Args:
        predictions, maps: of `Split.predictions`.
    """
    sizes, own = predictions[["width", "height"]].to_numpy(), own_thresholds(maps)
    columns = {}
    for name, boxes in zip(BY_MAP, boxes_over_thresholds(maps, sizes, own), strict=True):
        placed = predictions.assign(**dict(zip(CORNERS, boxes.T, strict=True)))
        columns[name] = score(split, placed, iou_threshold)[0].get(GT_KNOWN)
    return pd.DataFrame({name: errors for name, errors in columns.items() if errors is not None})


def own_thresholds(maps: NDArray) -> NDArray[np.float64]:
    """A threshold that each map (N, h, w) gives itself, as a share of its maximum, by the methods
    of `BY_MAP`, (N, 3).

    The map at 224×224, in 256 levels from 0 to its maximum: its mean (Glasbey 1993); the level that
    divides its values best in two classes (Otsu 1979); the level furthest below the line from its
    histogram's peak to its end (Zack, Rogers and Latt 1977). 0 where no value is positive.
    """
    own = np.zeros((len(maps), len(BY_MAP)))
    for i, low in enumerate(maps):
        full = np.maximum(upsample(single_precision(low), wsol.SIDE, wsol.SIDE), 0)
        if peak := full.max():
            levels = (255 / peak * full).astype(np.uint8)
            kinds = (cv2.THRESH_OTSU, cv2.THRESH_TRIANGLE)
            cut = [cv2.threshold(levels, 0, 255, kind)[0] for kind in kinds]
            own[i] = np.array([levels.mean(), *cut]) / 255
    return own


def best_threshold(table: pd.DataFrame) -> float | None:
    """The threshold at which the paper's rule errs least, by `by_threshold`; None of no row."""
    return None if table.empty else float(table["threshold"][table[GT_KNOWN].idxmin()])


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

    hits, pixels = {}, wsol.PixelCounts()
    masked = [image for image in true if image in masks]
    with ThreadPoolExecutor() as pool:  # OpenCV and compiled code let other threads run
        for image, (found, counts) in zip(true, pool.map(look, true.items()), strict=True):
            if found is not None:
                hits[image] = found
            if counts is not None:
                pixels.add(counts)
    return Curves(stacked([*hits.values()]), pixels, list(hits), masked)


def over_thresholds(found: dict[str, dict[str, Curves]]) -> dict[str, dict[str, dict]]:
    """`camloc.evaluation.wsol.summary` of every split and row.

    Args:
        found: curves by split and row.
    """
    return {
        split: {row: wsol.summary(own.hits, own.pixels) for row, own in rows.items()}
        for split, rows in found.items()
    }


def whole_map(found: dict[str, dict[str, Curves]]) -> dict[str, dict[str, pd.DataFrame]]:
    """`Curves.by_image` of every split and row, each split held out for the other.

    Args:
        found: curves by split and row, the same rows in each.
    """
    return {
        split: {
            row: own.by_image(next((found[o][row] for o in found if o != split), None))
            for row, own in rows.items()
        }
        for split, rows in found.items()
    }


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
