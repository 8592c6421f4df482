"""From maps to boxes. Boxes are xmin, ymin, xmax, ymax in inclusive pixels of the image."""

import cv2
import numpy as np
from numpy.typing import NDArray

from camloc.errors import UserError


def boxes_from_maps(maps: NDArray, sizes: NDArray, threshold: float = 0.2) -> NDArray[np.int64]:
    """The paper's rule: the box around the largest component above a share of the maximum.

    Each map is resized bilinearly to its image, pixels strictly above `threshold` times the
    map's maximum are kept, and the box covers the largest 8-connected component (Zhou et al.
    2016, section 3.2). Of components of one size the first in reading order counts.

    Args:
        maps: (N, h, w), any real type.
        sizes: width and height of each image in pixels, (N, 2).
        threshold: share of each map's maximum, 0 to 1.

    Returns:
        Integer boxes (N, 4). A map without a positive value holds no evidence: its box is the
        whole image.

    Raises:
        UserError: shapes that do not fit, or a map with a value that is not finite.
    """
    maps, sizes = np.asarray(maps), np.asarray(sizes)
    if maps.ndim != 3 or sizes.shape != (len(maps), 2):
        raise UserError(
            f"maps of shape {maps.shape} and sizes of shape {sizes.shape} do not fit; "
            "wanted (N, h, w) and (N, 2)"
        )
    boxes = np.empty((len(maps), 4), dtype=np.int64)
    for i, (low, size) in enumerate(zip(maps, sizes.tolist(), strict=True)):
        if not np.isfinite(low).all():
            raise UserError(f"map {i} (from 0) holds a value that is not finite")
        boxes[i] = _box(low, size, threshold)
    return boxes


def upsample(low: NDArray, width: int, height: int) -> NDArray[np.float32]:
    """A low-resolution map (h, w) at the resolution of its image, (height, width)."""
    return cv2.resize(low.astype(np.float32), (width, height), interpolation=cv2.INTER_LINEAR)


def whole_image_box(sizes: NDArray) -> NDArray[np.int64]:
    """The baseline that boxes the whole image: sizes (N, 2) give boxes (N, 4)."""
    sizes = np.asarray(sizes, dtype=np.int64)
    return np.concatenate([np.zeros_like(sizes), sizes - 1], axis=1)


def centre_box(sizes: NDArray) -> NDArray[np.int64]:
    """The baseline that boxes the centre: half the image's area, in its proportions.

    Sizes (N, 2) as width, height give boxes (N, 4).
    """
    sizes = np.asarray(sizes, dtype=np.int64)
    margin = np.round(sizes * (1 - np.sqrt(0.5)) / 2).astype(np.int64)
    return np.concatenate([margin, sizes - 1 - margin], axis=1)


def _box(low: NDArray, size: list[int], threshold: float) -> tuple[int, int, int, int]:
    width, height = size
    full = upsample(low, width, height)
    peak = full.max()
    if peak <= 0:
        return 0, 0, width - 1, height - 1
    mask = (full > threshold * peak).astype(np.uint8)
    # OpenCV's default algorithm labels blocks of 2×2 pixels; this one labels in reading order.
    _, _, stats, _ = cv2.connectedComponentsWithStatsWithAlgorithm(
        mask, 8, cv2.CV_32S, cv2.CCL_SAUF
    )
    if len(stats) == 1:  # threshold 1 keeps nothing: the peak itself is the box
        y, x = np.unravel_index(full.argmax(), full.shape)
        return int(x), int(y), int(x), int(y)
    x, y, w, h, _ = stats[1 + stats[1:, cv2.CC_STAT_AREA].argmax()].tolist()
    return x, y, x + w - 1, y + h - 1
