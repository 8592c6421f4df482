"""Boxes as numbers: xmin, ymin, xmax, ymax in inclusive pixels of the image."""

import numpy as np
from numpy.typing import NDArray

CORNERS = ["xmin", "ymin", "xmax", "ymax"]


def areas(boxes: NDArray) -> NDArray:
    """Pixels of boxes (..., 4)."""
    return (boxes[..., 2:] - boxes[..., :2] + 1).prod(axis=-1)


def intersections(a: NDArray, b: NDArray) -> NDArray:
    """Pixels that boxes (..., 4) and (..., 4) have in common, broadcast against each other."""
    sides = np.minimum(a[..., 2:], b[..., 2:]) - np.maximum(a[..., :2], b[..., :2]) + 1
    return sides.clip(min=0).prod(axis=-1)


def iou(a: NDArray, b: NDArray) -> NDArray[np.float64]:
    """Intersection over union of boxes (..., 4) and (..., 4), broadcast against each other."""
    a, b = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    both = intersections(a, b)
    with np.errstate(over="ignore"):  # a box of endless area overlaps nothing
        return both / (areas(a) + areas(b) - both)


def best_iou(box: NDArray, boxes: NDArray) -> float:
    """The largest IoU of one box (4,) with any of several (N, 4)."""
    return float(iou(box, boxes).max())


def whole_image_box(sizes: NDArray) -> NDArray[np.int64]:
    """Boxes (N, 4) of whole images, by their widths and heights (N, 2)."""
    sizes = np.asarray(sizes, dtype=np.int64)
    return np.concatenate([np.zeros_like(sizes), sizes - 1], axis=1)
