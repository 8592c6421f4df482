"""What the authors' released code does instead of the rule in their text.

`ILSVRC_generate_heatmap.m`, `dt_box.cpp`, `dt.c`, `ILSVRC_evaluate_bbox.m`.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

from camloc.boxes.geometry import areas, intersections, whole_image_box

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
    gray = np.round(255 * (full / full.max()).clip(0)).astype(np.uint8)
    gray = cv2.imdecode(cv2.imencode(".jpg", gray, _JPEG)[1], cv2.IMREAD_GRAYSCALE)
    found = [box for level in AUTHORS_LEVELS for box in _outlines(gray > level)]
    if not found:
        return whole_image_box(np.array([[width, height]]))
    boxes = np.array(found)
    boxes = _without_overlaps(boxes[np.argsort(-areas(boxes), kind="stable")])
    start, end = boxes[:, :2], boxes[:, 2:] + 1
    return np.concatenate([np.minimum(start, end), np.maximum(start, end)], axis=1)


def largest_boxes(maps: NDArray, sizes: NDArray) -> NDArray[np.int64]:
    """The largest of `authors_boxes` of each map (N, h, w), whose absolute values count.

    Args:
        sizes: width and height of each image, (N, 2).

    Returns:
        (N, 4).
    """
    return pairs(maps, sizes)[:, 0]


def pairs(maps: NDArray, sizes: NDArray) -> NDArray[np.int64]:
    """The first two of the authors' boxes of each map, (N, 2, 4), as their code submits them; one
    twice if it is alone."""
    found = np.zeros((len(maps), 2, 4), dtype=np.int64)
    for i, (low, (width, height)) in enumerate(zip(maps, sizes, strict=True)):
        boxes = authors_boxes(np.abs(low), width, height)
        found[i] = boxes[[0, min(1, len(boxes) - 1)]]
    return found


def _outlines(mask: NDArray) -> list[tuple[int, int, int, int]]:
    """The box of every outline of the eroded mask, as `fromDT` and `getBBox` have them; the last
    corner of one at the far edges may lie before the first."""
    height, width = mask.shape
    if not mask.all():  # a full mask has no distance to anything and stays as it is
        distance = cv2.distanceTransform(mask.astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
        mask = np.floor(255 * distance / max(distance.max(), 1e-12) + 0.5) > 10
    contours, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)
    boxes = []
    for x, y, w, h in map(cv2.boundingRect, contours):
        left, top = min(x, width - 5), min(y, height - 5)
        right, bottom = left + min(w, width - x - 5), top + min(h, height - y - 5)
        boxes.append((left, top, right - 1, bottom - 1))
    return boxes


def _without_overlaps(boxes: NDArray) -> NDArray:
    """Drop what overlaps a larger one by over half of the larger's area, as `mergeBBox` does.

    The box after a dropped one is never looked at: the code erases while it counts.
    """
    area = areas(boxes)
    half = (np.maximum(area[:, None], area) * 0.5).astype(np.int64)
    overlap = intersections(boxes[:, None], boxes) > half
    kept = list(range(len(boxes)))
    i = 0
    while i < len(kept):
        j = i + 1
        while j < len(kept):
            if overlap[kept[i], kept[j]]:
                del kept[j]
            j += 1
        i += 1
    return boxes[kept]
