"""What the authors' released code does instead of the rule in their text.

`ILSVRC_generate_heatmap.m`, `dt_box.cpp`, `dt.c`, `ILSVRC_evaluate_bbox.m`.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

from camloc.boxes.geometry import whole_image_box

AUTHORS_LEVELS = (20, 100, 110)  # of 255: 7.8, 39.2 and 43.1 % of the maximum
_JPEG = [cv2.IMWRITE_JPEG_QUALITY, 75]  # MATLAB's default, which the authors' maps were kept in


def authors_boxes(merged: NDArray, width: int, height: int) -> NDArray[np.int64]:
    """Every box that the authors' code draws on one map, largest first: theirs are the first two.

    The map is resized to the image, divided by its maximum and kept as 8-bit JPEG. At each of
    `AUTHORS_LEVELS` the mask's distance transform is scaled to its own maximum and cut above 10
    of 255; the outlines of what is left, and of its holes, are boxed. Boxes end 5 pixels short of
    the right and the bottom edge, and reach one pixel further than what they enclose, because
    the code takes xmin + width for the last pixel.

    Args:
        merged: (h, w), the absolute maps of all crops summed (see `camloc.data.ten_crop.merge`).

    Returns:
        Integer boxes (M, 4), at least one: the whole image where nothing is enclosed.
    """
    full = cv2.resize(merged.astype(np.float32), (width, height), interpolation=cv2.INTER_CUBIC)
    if full.max() <= 0:
        return whole_image_box(np.array([[width, height]]))
    gray = np.round(255 * (full / full.max()).clip(0, 1)).astype(np.uint8)
    gray = cv2.imdecode(cv2.imencode(".jpg", gray, _JPEG)[1], cv2.IMREAD_GRAYSCALE)
    rectangles = [r for level in AUTHORS_LEVELS for r in _outlines(gray > level)]
    kept = _without_overlaps(sorted(rectangles, key=lambda r: -r[2] * r[3]))
    if not kept:
        return whole_image_box(np.array([[width, height]]))
    x, y, w, h = np.array(kept, dtype=np.int64).T
    return np.stack(
        [np.minimum(x, x + w), np.minimum(y, y + h), np.maximum(x, x + w), np.maximum(y, y + h)], 1
    )


def _outlines(mask: NDArray) -> list[tuple[int, int, int, int]]:
    """x, y, width, height of every outline of the eroded mask, as `fromDT` and `getBBox` do."""
    height, width = mask.shape
    if not mask.all():  # a full mask has no distance to anything and stays as it is
        distance = cv2.distanceTransform(mask.astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
        mask = np.floor(255 * distance / max(distance.max(), 1e-12) + 0.5) > 10
    contours, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)
    outlines = []
    for x, y, w, h in map(cv2.boundingRect, contours):
        right, bottom = width - x - 5, height - y - 5
        outlines.append((min(x, width - 5), min(y, height - 5), min(w, right), min(h, bottom)))
    return outlines


def _without_overlaps(rectangles: list[tuple]) -> list[tuple]:
    """Drop what overlaps a larger one by over half of the larger's area, as `mergeBBox` does.

    The rectangle after a dropped one is never looked at: the code erases while it counts.
    """
    kept = list(rectangles)
    i = 0
    while i < len(kept):
        j = i + 1
        while j < len(kept):
            if _overlap(kept[i], kept[j]) > int(max(_area(kept[i]), _area(kept[j])) * 0.5):
                del kept[j]
            j += 1
        i += 1
    return kept


def _overlap(a: tuple, b: tuple) -> int:
    width = min(a[0] + a[2], b[0] + b[2]) - max(a[0], b[0])
    height = min(a[1] + a[3], b[1] + b[3]) - max(a[1], b[1])
    return max(0, width) * max(0, height)


def _area(rectangle: tuple) -> int:
    return rectangle[2] * rectangle[3]
