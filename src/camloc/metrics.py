"""From boxes to errors, as the ILSVRC classification-with-localization task counts them."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

NO_RANK = 2**31 - 1
CORNERS = ["xmin", "ymin", "xmax", "ymax"]


def iou(a: NDArray, b: NDArray) -> NDArray[np.float64]:
    """Intersection over union of boxes (N, 4) and (N, 4) in inclusive pixels, pair by pair."""
    a, b = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    sides = np.minimum(a[:, 2:], b[:, 2:]) - np.maximum(a[:, :2], b[:, :2]) + 1
    intersection = sides.clip(min=0).prod(axis=1)
    return intersection / (_area(a) + _area(b) - intersection)


def outcomes(
    guesses: pd.DataFrame, labels: pd.DataFrame, boxes: pd.DataFrame, threshold: float = 0.5
) -> pd.DataFrame:
    """What the guesses of each image are worth; every error follows from it.

    Args:
        guesses: `image`, `rank` (from 1, best first), `wnid` and the box, all images' guesses.
        labels: `image` and `wnid`, one row an image, the images that count.
        boxes: the ground truth, `image`, `wnid` and the box, any number an image.
        threshold: the smallest IoU that counts as found.

    Returns:
        For each row of `labels`: `image`; `cls_rank`, the rank of the first guess of the true
        class; `loc_rank`, the rank of the first guess of the true class whose box meets the
        threshold with any ground-truth box of that class; `NO_RANK` where there is none;
        `gt_known_iou`, the best IoU of any guess of the true class, whatever its rank (NaN
        without one); `has_box`, whether the image has a ground-truth box of its class.
    """
    right = guesses.merge(labels[["image", "wnid"]], on=["image", "wnid"])
    pairs = right.merge(boxes, on=["image", "wnid"], suffixes=("", "_true"))
    pairs["iou"] = iou(pairs[CORNERS], pairs[[f"{c}_true" for c in CORNERS]])
    found = pairs[pairs["iou"] >= threshold]
    result = labels[["image", "wnid"]].set_index("image")
    result["cls_rank"] = right.groupby("image")["rank"].min()
    result["loc_rank"] = found.groupby("image")["rank"].min()
    result["gt_known_iou"] = pairs.groupby("image")["iou"].max()
    ranks = ["cls_rank", "loc_rank"]
    result[ranks] = result[ranks].fillna(NO_RANK).astype("int64")
    true_boxes = boxes.merge(labels[["image", "wnid"]], on=["image", "wnid"])
    result["has_box"] = result.index.isin(true_boxes["image"])
    return result.drop(columns="wnid").reset_index()


def classification_errors(outcome: pd.DataFrame) -> dict[str, float]:
    """Top-1 and top-5 classification error in percent."""
    return {f"cls_err_top{k}": _percent(outcome["cls_rank"] > k) for k in (1, 5)}


def localization_errors(outcome: pd.DataFrame, threshold: float = 0.5) -> dict[str, float]:
    """Top-1, top-5 and GT-known localization error in percent, over images that have a box.

    Empty where no image has one. The GT-known error is left out where some image has no guess of
    its true class, because then the map of that class was not stored and nobody knows what its
    box would be worth.
    """
    boxed = outcome[outcome["has_box"]]
    if boxed.empty:
        return {}
    errors = {f"loc_err_top{k}": _percent(boxed["loc_rank"] > k) for k in (1, 5)}
    if boxed["gt_known_iou"].notna().all():
        errors["loc_err_gt_known"] = _percent(boxed["gt_known_iou"] < threshold)
    return errors


def _percent(wrong: pd.Series) -> float:
    return 100 * float(wrong.mean())


def _area(boxes: NDArray) -> NDArray:
    return (boxes[:, 2:] - boxes[:, :2] + 1).prod(axis=1)
