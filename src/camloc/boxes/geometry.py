"""Boxes as numbers: xmin, ymin, xmax, ymax in inclusive pixels of the image."""

import numpy as np
from numpy.typing import NDArray


def whole_image_box(sizes: NDArray) -> NDArray[np.int64]:
    """The baseline that boxes the whole image: sizes (N, 2) give boxes (N, 4)."""
    sizes = np.asarray(sizes, dtype=np.int64)
    return np.concatenate([np.zeros_like(sizes), sizes - 1], axis=1)


CORNERS = ["xmin", "ymin", "xmax", "ymax"]


def iou(a: NDArray, b: NDArray) -> NDArray[np.float64]:
    """Intersection over union of boxes (N, 4) and (N, 4) in inclusive pixels, pair by pair."""
    a, b = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    sides = np.minimum(a[:, 2:], b[:, 2:]) - np.maximum(a[:, :2], b[:, :2]) + 1
    intersection = sides.clip(min=0).prod(axis=1)
    with np.errstate(over="ignore"):  # a box of endless area overlaps nothing
        return intersection / (areas(a) + areas(b) - intersection)


def best_iou(box: NDArray, boxes: NDArray) -> float:
    """The largest IoU of one box (4,) with any of several (N, 4), in inclusive pixels."""
    return float(iou(np.broadcast_to(box, np.shape(boxes)), boxes).max())


def areas(boxes: NDArray) -> NDArray:
    return (boxes[:, 2:] - boxes[:, :2] + 1).prod(axis=1)
