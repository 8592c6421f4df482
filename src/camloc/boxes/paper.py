"""From a map to a box, by the rule in the paper's text."""

import math
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
from numpy.typing import NDArray

from camloc.core.errors import UserError
from camloc.core.threads import cores

MOST_PIXELS = 178_956_970  # of an image or a map: what Pillow opens, 0.7 GB in single precision
_CHUNK = 8  # maps that a thread takes at a time
_FEW_CELLS = 1024  # of a map, which so has few components, however large its image
_FLOAT32 = np.finfo(np.float32)


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
    return boxes_over_thresholds(maps, sizes, [threshold])[0]


def boxes_over_thresholds(
    maps: NDArray, sizes: NDArray, thresholds: Sequence[float] | NDArray
) -> NDArray[np.int64]:
    """`boxes_from_maps` at several thresholds, (thresholds, N, 4), each map being resized once;
    `thresholds` are for all maps, or each map's own, (N, thresholds)."""
    maps, sizes, thresholds = np.asarray(maps), np.asarray(sizes), np.asarray(thresholds)
    if maps.ndim != 3 or sizes.shape != (len(maps), 2):
        raise UserError(
            f"maps of shape {maps.shape} and sizes of shape {sizes.shape} do not fit; "
            "wanted (N, h, w) and (N, 2)"
        )
    if not (shares := (thresholds >= 0) & (thresholds <= 1)).all():
        wrong = thresholds[~shares].flat[0]
        raise UserError(f"threshold {wrong} is no share of a map's maximum; wanted 0 to 1")
    if not (good := are_sizes(sizes)).all():
        raise UserError(
            f"size {sizes[~good][0].tolist()} is no width and height of an image; wanted whole "
            f"pixels, at most {MOST_PIXELS:,} in all"
        )
    sizes = sizes.astype(np.int64)
    own = np.broadcast_to(thresholds, (len(maps), thresholds.shape[-1])).tolist()
    boxes = np.empty((thresholds.shape[-1], len(maps), 4), dtype=np.int64)

    def fill(start: int) -> None:
        for i in range(start, min(start + _CHUNK, len(maps))):
            low = single_precision(maps[i], f"map {i} (from 0)")
            boxes[:, i] = _boxes(low, sizes[i].tolist(), own[i])

    if len(maps) <= _CHUNK:
        fill(0)
    else:
        # OpenCV lets other threads run; of large images few are held at once.
        at_once = MOST_PIXELS // int(sizes.prod(axis=1).max())
        with ThreadPoolExecutor(min(at_once, cores())) as pool:
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


def _boxes(low: NDArray, size: list[int], thresholds: Sequence[float]) -> list[tuple]:
    width, height = size
    full = upsample(low, width, height)
    y, x = divmod(int(full.argmax()), width)
    if full[y, x] <= 0:
        return [(0, 0, width - 1, height - 1)] * len(thresholds)
    largest = _box_of_largest if low.size > _FEW_CELLS else _box_of_one_or_largest
    # Threshold 1 keeps nothing but the peak.
    return [largest(full > t * full[y, x]) or (x, y, x, y) for t in thresholds]


def _box_of_one_or_largest(above: NDArray[np.bool_]) -> tuple[int, int, int, int] | None:
    """`_box_of_largest`, several times as fast where there are few components: mostly there is one,
    which its outline tells without a label for each pixel."""
    mask = above.view(np.uint8)
    _, levels = cv2.findContours(mask, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)
    if levels is None:
        return None
    outer = levels[0, :, 3] < 0  # the others are of holes
    return _corners(mask) if np.count_nonzero(outer) == 1 else _box_of_largest(above)


def _box_of_largest(above: NDArray[np.bool_]) -> tuple[int, int, int, int] | None:
    """The box around the largest 8-connected component of a mask (height, width); None for an empty
    mask."""
    count, labels = cv2.connectedComponents(above.view(np.uint8))  # 3 times as fast as with stats
    if count == 1:  # nothing but the background
        return None
    if count > 2:
        found = labels[above]  # in reading order, which OpenCV's numbers are not
        sizes = np.bincount(found)
        above = labels == found[(sizes == sizes.max())[found].argmax()]
    return _corners(above.view(np.uint8))


def _corners(mask: NDArray[np.uint8]) -> tuple[int, int, int, int]:
    x, y, width, height = cv2.boundingRect(mask)
    return x, y, x + width - 1, y + height - 1
