"""What a map lights: how much of its object, how many of its parts, and whose."""

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from camloc.boxes.geometry import CORNERS
from camloc.boxes.paper import upsample
from camloc.boxes.predictions import Split, places
from camloc.data.masks import read_mask, read_parts


def looked_at(
    split: Split, guesses: pd.DataFrame, maps: Sequence[NDArray], threshold: float
) -> pd.DataFrame:
    """What the maps light, by image (see `camloc.evaluation.coverage`).

    Args:
        guesses, maps: of `Split.guesses`.
        threshold: share of a map's maximum.

    Returns:
        `object_cover` of the true class's map where the image has a mask, `part_cover` where that
        tells parts; `peak_on_own` and `peak_on_other` where it holds boxes of several classes,
        means over those of them whose maps are stored; an image without either has no row.
    """
    place = places(guesses)
    masks = masks_of(split, guesses["image"].unique())
    boxes = split.manifest.boxes.groupby("image")
    several = boxes.filter(lambda own: own["wnid"].nunique() > 1).groupby("image")
    several = dict(list(several))
    lines = {}
    for image in split.images.dropna(subset="wnid").itertuples():
        line = {}
        if image.image in masks and (image.image, image.wnid) in place:
            low = maps[place[image.image, image.wnid]]
            line |= extent(low, masks[image.image](), threshold)
            if not split.manifest.masks_have_parts:
                del line["part_cover"]
        if image.image in several:
            line |= _peaks(image, several[image.image], place, maps)
        if line:
            lines[image.image] = line
    return pd.DataFrame(list(lines.values()), index=pd.Index(list(lines), dtype=object))


def _peaks(
    image: tuple, boxes: pd.DataFrame, place: dict, maps: Sequence[NDArray]
) -> dict[str, float]:
    found = [
        peaks(
            maps[place[image.image, wnid]],
            (image.width, image.height),
            boxes.loc[boxes["wnid"] == wnid, CORNERS],
            boxes.loc[boxes["wnid"] != wnid, CORNERS],
        )
        for wnid in boxes["wnid"].unique()
        if (image.image, wnid) in place
    ]
    names = ["peak_on_own", "peak_on_other"]
    return dict(zip(names, np.mean(found, axis=0), strict=True)) if found else {}


def masks_of(split: Split, images: Sequence[str]) -> dict[str, Callable[[], NDArray[np.uint8]]]:
    """What reads the mask, with its parts if it tells any, of those of the images that have one."""
    masks = split.images[split.images["image"].isin(images)].dropna(subset="mask")
    manifest = split.manifest
    read = read_parts if manifest.masks_have_parts else read_mask
    return {
        image: partial(read, manifest.root / mask)
        for image, mask in zip(masks["image"], masks["mask"], strict=True)
    }


def extent(low: NDArray, mask: NDArray[np.uint8], threshold: float) -> dict[str, float]:
    """What is above a share of the map's maximum, against the masks of an object and its parts.

    Args:
        low: map (h, w) of the object's class.
        mask: (height, width), 0 beside the object, on it the number of the part from 1.
        threshold: share of the maximum, 0 to 1.

    Returns:
        `object_cover`, the share of the object's pixels that are above; `part_cover`, the share of
        its parts of which at least half is. Both 0 where the map has no positive value.
    """
    full = upsample(low, mask.shape[1], mask.shape[0])
    above = full > max(threshold * full.max(), 0)
    inside = mask > 0
    sizes = np.bincount(mask[inside], minlength=1)
    lit = np.bincount(mask[inside & above], minlength=len(sizes))
    parts = sizes > 0
    return {
        "object_cover": lit.sum() / max(sizes.sum(), 1),
        "part_cover": float(np.mean(lit[parts] >= 0.5 * sizes[parts])) if parts.any() else 0.0,
    }


def peaks(low: NDArray, size: tuple[int, int], own: NDArray, other: NDArray) -> tuple[bool, bool]:
    """Whether the highest pixel of a map lies in a box of its own class, and in another class's.

    Args:
        low: map (h, w).
        size: width and height of the image in pixels.
        own, other: boxes (N, 4) in inclusive pixels.
    """
    full = upsample(low, *size)
    y, x = np.unravel_index(full.argmax(), full.shape)

    def holds(boxes: NDArray) -> bool:
        xmin, ymin, xmax, ymax = np.asarray(boxes).T
        return bool(((xmin <= x) & (x <= xmax) & (ymin <= y) & (y <= ymax)).any())

    return holds(own), holds(other)
