"""From maps to boxes. Boxes are xmin, ymin, xmax, ymax in inclusive pixels of the image.

Two rules: the paper's text (`boxes_from_maps`), and what the authors' released code does instead
(`authors_boxes`: `ILSVRC_generate_heatmap.m`, `dt_box.cpp`, `dt.c`, `ILSVRC_evaluate_bbox.m`).
"""

import math
import os
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
from numpy.typing import NDArray

from camloc.components import largest_component
from camloc.errors import UserError

AUTHORS_LEVELS = (20, 100, 110)  # of 255: 7.8, 39.2 and 43.1 % of the maximum
MOST_PIXELS = 178_956_970  # of an image or a map: what Pillow opens, 0.7 GB in single precision
_CHUNK = 64  # maps that a thread takes at a time
_FLOAT32 = np.finfo(np.float32)
_JPEG = [cv2.IMWRITE_JPEG_QUALITY, 75]  # MATLAB's default, which the authors' maps were kept in


def boxes_from_maps(maps: NDArray, sizes: NDArray, threshold: float = 0.2) -> NDArray[np.int64]:
    """The paper's rule: the box around the largest component above a share of the maximum.

    Each map is resized bilinearly to its image, pixels strictly above `threshold` times the
    map's maximum are kept, and the box covers the largest 8-connected component (Zhou et al.
    2016, section 3.2). Of components of one size the first in reading order counts.

    Args:
        maps: (N, h, w), any real type.
        sizes: width and height of each image in whole pixels, at most `MOST_PIXELS` an image,
            (N, 2).
        threshold: share of each map's maximum, 0 to 1.

    Returns:
        Integer boxes (N, 4). A map without a positive value holds no evidence: its box is the
        whole image.

    Raises:
        UserError: shapes that do not fit, sizes that are none, a threshold that is no share, or
            a map that `single_precision` refuses.
    """
    maps, sizes = np.asarray(maps), np.asarray(sizes)
    if maps.ndim != 3 or sizes.shape != (len(maps), 2):
        raise UserError(
            f"maps of shape {maps.shape} and sizes of shape {sizes.shape} do not fit; "
            "wanted (N, h, w) and (N, 2)"
        )
    if not 0 <= threshold <= 1:
        raise UserError(f"threshold {threshold} is no share of a map's maximum; wanted 0 to 1")
    if not (good := are_sizes(sizes)).all():
        raise UserError(
            f"size {sizes[~good][0].tolist()} is no width and height of an image; wanted whole "
            f"pixels, at most {MOST_PIXELS:,} in all"
        )
    sizes = sizes.astype(np.int64)
    boxes = np.empty((len(maps), 4), dtype=np.int64)

    def fill(start: int) -> None:
        for i in range(start, min(start + _CHUNK, len(maps))):
            low = single_precision(maps[i], f"map {i} (from 0)")
            boxes[i] = _box(low, sizes[i].tolist(), threshold)

    if len(maps) <= _CHUNK:
        fill(0)
    else:
        # OpenCV and compiled code let other threads run; of large images few are held at once.
        at_once = MOST_PIXELS // int(sizes.prod(axis=1).max())
        with ThreadPoolExecutor(min(at_once, 32, (os.cpu_count() or 1) + 4)) as pool:
            list(pool.map(fill, range(0, len(maps), _CHUNK)))
    return boxes


def are_sizes(sizes: NDArray) -> NDArray[np.bool_]:
    """Which of the sizes (N, 2) are whole pixels, from 1 a side and up to `MOST_PIXELS` in all."""
    # Clipped, so that no product overflows.
    sides = np.clip(np.asarray(sizes, dtype=np.float64), 0, MOST_PIXELS + 1)
    whole = (sides >= 1) & (sides == np.floor(sides))
    return whole.all(axis=1) & (sides.prod(axis=1) <= MOST_PIXELS)


def single_precision(low: NDArray, name: str = "a map") -> NDArray[np.float32]:
    """A map (h, w) as the numbers that every rule here reads.

    Values that could overflow when they are resized are divided by 8, which no box and no score
    depends on.

    Raises:
        UserError: another shape, what `check_maps` refuses, or a value that is not finite or that
            single precision cannot hold.
    """
    low = np.asarray(low)
    check_maps(low, name)
    if low.ndim != 2:
        raise UserError(f"{name} is of shape {low.shape}; wanted (h, w)")
    with np.errstate(over="ignore"):
        single = low.astype(np.float32)
    largest = np.abs(single).max()
    if not largest <= _FLOAT32.max:
        raise UserError(f"{name} holds a value that is not finite, or not in single precision")
    if largest < _FLOAT32.tiny and (single != low).any():
        raise UserError(f"{name} is too small for single precision; multiply it")
    return single / 8 if largest > _FLOAT32.max / 8 else single


def check_maps(maps: NDArray, name: str) -> None:
    """Refuse what can be no maps (..., h, w), by type and shape alone.

    Raises:
        UserError: complex numbers, dates, texts or objects; no value or more than `MOST_PIXELS` a
            map.
    """
    if maps.dtype.kind not in "biuf":
        raise UserError(f"{name} is of type {maps.dtype}; wanted real numbers")
    if maps.ndim < 2 or not 0 < math.prod(maps.shape[-2:]) <= MOST_PIXELS:
        raise UserError(
            f"{name} is of shape {maps.shape}; wanted (h, w) of each map, and 1 to "
            f"{MOST_PIXELS:,} values"
        )


def upsample(low: NDArray, width: int, height: int) -> NDArray[np.float32]:
    """A low-resolution map (h, w) at the resolution of its image, (height, width)."""
    low = low.astype(np.float32, copy=False)
    return cv2.resize(low, (width, height), interpolation=cv2.INTER_LINEAR)


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


def authors_boxes(merged: NDArray, width: int, height: int) -> NDArray[np.int64]:
    """Every box that the authors' code draws on one map, largest first: theirs are the first two.

    The map is resized to the image, divided by its maximum and kept as 8-bit JPEG. At each of
    `AUTHORS_LEVELS` the mask's distance transform is scaled to its own maximum and cut above 10
    of 255; the outlines of what is left, and of its holes, are boxed. Boxes end 5 pixels short of
    the right and the bottom edge, and reach one pixel further than what they enclose, because
    the code takes xmin + width for the last pixel.

    Args:
        merged: (h, w), the absolute maps of all crops summed (see `camloc.crops.merge`).

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


def _box(low: NDArray, size: list[int], threshold: float) -> tuple[int, int, int, int]:
    width, height = size
    full = upsample(low, width, height)
    _, peak, _, (x, y) = cv2.minMaxLoc(full)
    if peak <= 0:
        return 0, 0, width - 1, height - 1
    found = largest_component(full, threshold * full[y, x])
    return found if found[0] >= 0 else (x, y, x, y)  # threshold 1 keeps nothing but the peak
