"""Error types: how the first prediction of an image ends."""

import numpy as np
import pandas as pd

from camloc.boxes.geometry import CORNERS, areas, intersections, iou

CORRECT, CLASSIFICATION, MULTI_INSTANCE = "correct", "classification", "multi-instance"
PART, OVERSIZED, MISLOCALIZED = "part", "oversized", "mislocalized"
ERROR_TYPES = [CORRECT, CLASSIFICATION, MULTI_INSTANCE, PART, OVERSIZED, MISLOCALIZED]
SIZES = ["small", "medium", "large"]
SIZE_EDGES = [0, 0.2, 0.5, np.inf]  # shares of the image that its largest object takes


def error_types(
    predictions: pd.DataFrame, boxes: pd.DataFrame, threshold: float = 0.5
) -> pd.Series:
    """How the first prediction of each image ends, by the rules of TS-CAM (Gao et al. 2021, sec.
    4.4).

    The box of a right class that finds no object holds parts of two or more ground-truth boxes
    (over 30 % of each: multi-instance), or lies mostly within one (over half of its own area:
    part), or holds most of one (over 70 % of it: oversized), or is mislocalized.

    Args:
        predictions: as for `camloc.evaluation.errors.outcomes`.
        boxes: the ground truth, `image`, `wnid` and the box, of one class per image.

    Returns:
        One of `ERROR_TYPES` by image, for the images of `boxes`.
    """
    first = predictions.loc[predictions["rank"] == 1, ["image", "wnid", *CORNERS]]
    pairs = boxes.merge(first, on=["image", "wnid"], suffixes=("", "_predicted"))
    truth = pairs[CORNERS].to_numpy(dtype=np.float64)
    predicted = pairs[[f"{c}_predicted" for c in CORNERS]].to_numpy(dtype=np.float64)
    both = intersections(predicted, truth)
    overlaps = pd.DataFrame(
        {
            "iou": iou(predicted, truth),
            "of_predicted": both / areas(predicted),
            "of_truth": both / areas(truth),
        }
    )
    images = pd.Index(boxes["image"].unique(), name="image")
    best = overlaps.groupby(pairs["image"]).max().reindex(images)
    objects = (overlaps["of_truth"] > 0.3).groupby(pairs["image"]).sum().reindex(images)
    tests = {
        CLASSIFICATION: best["iou"].isna(),  # no box of the right class
        CORRECT: best["iou"] >= threshold,
        MULTI_INSTANCE: objects >= 2,
        PART: best["of_predicted"] > 0.5,
        OVERSIZED: best["of_truth"] > 0.7,
    }
    types = np.select([test.to_numpy() for test in tests.values()], list(tests), MISLOCALIZED)
    return pd.Series(types, images, name="error_type")


def sizes(images: pd.DataFrame, boxes: pd.DataFrame) -> pd.Series:
    """The size class of each image's largest box: up to 20, up to 50 and over 50 % of the image."""
    sized = boxes.merge(images[["image", "width", "height"]], on="image")
    share = areas(sized[CORNERS].to_numpy()) / (sized["width"] * sized["height"])
    largest = share.groupby(sized["image"]).max()
    return pd.cut(largest, SIZE_EDGES, labels=SIZES).astype(str).rename("size")
