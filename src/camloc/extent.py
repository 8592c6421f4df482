"""What a map lights: how much of its object, how many of its parts, and whose."""

import numpy as np
from numpy.typing import NDArray

from camloc.boxes import upsample


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
