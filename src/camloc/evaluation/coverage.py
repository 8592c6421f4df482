"""What a map lights: the coverage of an object and of its parts, and the pointing game."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from camloc.boxes.paper import upsample
from camloc.boxes.predictions import Split

COVERAGE = ["object_cover", "part_cover", "peak_on_own", "peak_on_other"]


def coverage(
    split: Split, predictions: pd.DataFrame, maps: NDArray, threshold: float
) -> pd.DataFrame:
    """What the maps light, by image.

    Args:
        predictions, maps: of `Split.predictions`.
        threshold: share of a map's maximum.

    Returns:
        `object_cover` of the map of the image's class where the image has a mask, `part_cover`
        where that tells parts; `peak_on_own` and `peak_on_other` where it holds boxes of several
        classes, means over those of them whose maps are stored.
    """
    masks = split.masks
    true = predictions.loc[predictions["true"] & predictions["image"].isin(masks), "image"]
    covered = {image: cover(maps[i], masks[image](), threshold) for i, image in true.items()}
    table = pd.DataFrame.from_dict(covered, orient="index", columns=COVERAGE[:2])
    if not split.manifest.masks_have_parts:
        del table["part_cover"]
    return table.join(_pointing_game(split, predictions, maps), how="outer")


def _pointing_game(split: Split, predictions: pd.DataFrame, maps: NDArray) -> pd.DataFrame:
    """Whether the highest pixel of a map lies in a box of its own class, and in another class's;
    by image, means over its classes."""
    boxes = split.manifest.boxes
    boxes = boxes[boxes["image"].isin(split.labels["image"])]
    boxes = boxes[boxes.groupby("image")["wnid"].transform("nunique") > 1]
    held = boxes[["image", "wnid"]].drop_duplicates()
    columns = ["image", "wnid", "width", "height"]
    peaks = predictions[columns].reset_index(names="map").merge(held, on=["image", "wnid"])
    sides = peaks[["map", "width", "height"]].to_numpy()
    points = [highest_pixel(maps[i], width, height) for i, width, height in sides]
    peaks[["x", "y"]] = np.array(points, dtype=np.int64).reshape(-1, 2)
    pairs = peaks.merge(boxes, on="image", suffixes=("", "_box"))
    inside = pairs["x"].between(pairs["xmin"], pairs["xmax"])
    inside &= pairs["y"].between(pairs["ymin"], pairs["ymax"])
    own = pairs["wnid"] == pairs["wnid_box"]
    hits = pd.DataFrame({"peak_on_own": inside & own, "peak_on_other": inside & ~own})
    return hits.groupby(pairs["map"]).any().groupby(peaks.set_index("map")["image"]).mean()


def highest_pixel(low: NDArray, width: int, height: int) -> tuple[int, int]:
    """x and y of the highest pixel of a map (h, w) at the size of its image."""
    full = upsample(low, width, height)
    y, x = np.unravel_index(full.argmax(), full.shape)
    return int(x), int(y)


def cover(low: NDArray, mask: NDArray[np.uint8], threshold: float) -> tuple[float, float]:
    """What is above a share of the map's maximum, against the masks of an object and its parts.

    Args:
        low: map (h, w) of the object's class.
        mask: (height, width), 0 beside the object, on it the number of the part from 1.
        threshold: share of the maximum, 0 to 1.

    Returns:
        The share of the object's pixels that are above, and the share of its parts of which at
        least half is. Both 0 where the map has no positive value.
    """
    full = upsample(low, mask.shape[1], mask.shape[0])
    above = full > max(threshold * full.max(), 0)
    sizes = np.bincount(mask.ravel(), minlength=2)[1:]
    lit = np.bincount(mask[above], minlength=len(sizes) + 1)[1:]
    parts = sizes > 0
    return (
        lit.sum() / max(sizes.sum(), 1),
        float(np.mean(lit[parts] >= 0.5 * sizes[parts])) if parts.any() else 0.0,
    )
