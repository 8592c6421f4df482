"""What a map lights: the coverage of an object and of its parts, and the pointing game."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from camloc.boxes.geometry import CORNERS
from camloc.boxes.paper import upsample
from camloc.boxes.predictions import Split
from camloc.data.masks import BACKGROUND, IGNORED

OF_OBJECT = ["object_cover", "object_cover_equal"]
OF_PARTS = ["part_cover", "part_cover_equal", "top_part_energy"]
POINTING = ["peak_on_own", "peak_on_other"]
IN_BOX = ["peak_in_box", "energy_in_box"]
COVERAGE = [*OF_OBJECT, *OF_PARTS, *POINTING, *IN_BOX]
TOLERANCE = 15  # pixels by which a peak may miss a box (Zhang et al. 2018, the pointing game)


def coverage(
    split: Split, predictions: pd.DataFrame, maps: NDArray, threshold: float
) -> pd.DataFrame:
    """What the maps light, by image.

    Args:
        predictions, maps: of `Split.predictions`.
        threshold: share of a map's maximum.

    Returns:
        `OF_OBJECT` of the map of the image's class where the image has a mask, `OF_PARTS` where
        that tells parts (see `cover`); `POINTING` where it holds boxes of several classes, means
        over those of them whose maps are stored; `IN_BOX` of that map where it has a box of its
        class (see `in_boxes`).
    """
    masks = split.masks
    true = predictions.loc[predictions["true"] & predictions["image"].isin(masks), "image"]
    covered = {image: cover(maps[i], masks[image](), threshold) for i, image in true.items()}
    table = pd.DataFrame.from_dict(covered, orient="index", columns=[*OF_OBJECT, *OF_PARTS])
    if not split.manifest.masks_have_parts:
        table = table[OF_OBJECT]
    table = table.join(_pointing_game(split, predictions, maps), how="outer")
    return table.join(_in_boxes(split, predictions, maps), how="outer")


def _in_boxes(split: Split, predictions: pd.DataFrame, maps: NDArray) -> pd.DataFrame:
    """`IN_BOX`, by image, means over its classes."""
    boxes = split.boxes.groupby(["image", "wnid"])[CORNERS].apply(pd.DataFrame.to_numpy)
    true = predictions[predictions["true"]]
    key = zip(true["image"], true["wnid"], true["width"], true["height"], true.index, strict=True)
    found = [
        (image, *in_boxes(maps[i], width, height, boxes[image, wnid]))
        for image, wnid, width, height, i in key
        if (image, wnid) in boxes.index
    ]
    return pd.DataFrame(found, columns=["image", *IN_BOX]).groupby("image").mean()


def in_boxes(low: NDArray, width: int, height: int, boxes: NDArray) -> tuple[float, float]:
    """Whether the highest pixel of a map (h, w) lies in one of the boxes (N, 4), or up to
    `TOLERANCE` beside it, and the share of all that the map holds above zero that lies in them
    (Wang et al. 2020, the energy-based pointing game); 0 and 0 where it has no positive value.

    The map is enlarged to its image of `width` and `height` pixels.
    """
    full = np.maximum(upsample(low, width, height), 0)
    inside = np.zeros((height, width), dtype=bool)
    for xmin, ymin, xmax, ymax in boxes:
        inside[ymin : ymax + 1, xmin : xmax + 1] = True
    if not (total := full.sum(dtype=np.float64)):
        return 0.0, 0.0
    peak = _peak(full)
    beyond = np.maximum(boxes[:, :2] - peak, peak - boxes[:, 2:]).max(axis=1)
    return float(beyond.min() <= TOLERANCE), float(full[inside].sum(dtype=np.float64) / total)


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
    return _peak(upsample(low, width, height))


def _peak(full: NDArray) -> tuple[int, int]:
    y, x = np.unravel_index(full.argmax(), full.shape)
    return int(x), int(y)


def cover(low: NDArray, mask: NDArray[np.uint8], threshold: float) -> tuple[float, ...]:
    """How much of an object a map covers.

    A map that lights more of the picture covers more of anything in it. So both shares are also
    taken where as many of the map's highest pixels are lit as the object has, which is the same
    area for every map of an image.

    Args:
        low: map (h, w).
        mask: (height, width), 0 beside the object, on it the number of the part from 1; what is
            `IGNORED` counts as beside it.
        threshold: share of the maximum, 0 to 1.

    Returns:
        The share of the object's pixels that are above the threshold, and of its highest pixels;
        the share of its parts of which at least half is, of either; and of all that the map holds
        on the object, above zero, the share on the part that has most. 0 where the map has no
        positive value.
    """
    mask = np.where(mask == IGNORED, BACKGROUND, mask)
    full = upsample(low, mask.shape[1], mask.shape[0])
    above = full > max(threshold * full.max(), 0)
    highest = np.zeros(full.size, dtype=bool)
    object_size = np.count_nonzero(mask)
    if object_size and full.max() > 0:
        highest[np.argpartition(full, full.size - object_size, axis=None)[-object_size:]] = True
    energy = np.bincount(mask.ravel(), np.maximum(full, 0).ravel(), minlength=2)[1:]
    first, second = _covered(mask, above), _covered(mask, highest.reshape(full.shape))
    top = energy.max() / energy.sum() if energy.any() else 0.0
    return first[0], second[0], first[1], second[1], float(top)


def _covered(mask: NDArray[np.uint8], lit: NDArray[np.bool_]) -> tuple[float, float]:
    """The share of an object's pixels that are lit, and of its parts of which at least half is."""
    sizes = np.bincount(mask.ravel(), minlength=2)[1:]
    inside = np.bincount(mask[lit], minlength=len(sizes) + 1)[1:]
    parts = sizes > 0
    return (
        float(inside.sum() / max(sizes.sum(), 1)),
        float(np.mean(inside[parts] >= 0.5 * sizes[parts])) if parts.any() else 0.0,
    )
