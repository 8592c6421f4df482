"""Ten crops of a picture, and their maps laid over one another again.

The four corners and the centre of the warped square, then the mirror of each, as Caffe's MATLAB
wrapper takes them and the authors' `mergeTenCrop.m` puts them back.
"""

import cv2
import numpy as np
from numpy.typing import NDArray


def places(side: int, size: int) -> list[tuple[int, int]]:
    """Top and left of the five crops of `size` in a square of `side` pixels; the centre is where
    the authors' code rounds it to."""
    edge = side - size
    centre = (edge + 1) // 2
    return [(0, 0), (0, edge), (edge, 0), (edge, edge), (centre, centre)]


def merge(maps: NDArray, side: int, size: int, absolute_sum: bool = True) -> NDArray[np.float32]:
    """The maps of ten crops as one map of the square that they were taken from.

    Args:
        maps: (10, h, w), in the order of `camloc.data.loading.ten_crops`.
        side: of the square, and `size` of the crops, in pixels.
        absolute_sum: sum absolute values, as the authors do: where more crops overlap, more is
            summed. Otherwise each place is the mean over the crops that cover it.

    Returns:
        (side, side).
    """
    total = np.zeros((side, side), np.float32)
    covered = np.zeros((side, side), np.float32)
    for i, low in enumerate(maps.astype(np.float32)):
        full = cv2.resize(low, (size, size), interpolation=cv2.INTER_CUBIC)
        y, x = places(side, size)[i % 5]
        full = full[:, ::-1] if i >= 5 else full
        total[y : y + size, x : x + size] += np.abs(full) if absolute_sum else full
        covered[y : y + size, x : x + size] += 1
    return total if absolute_sum else total / np.maximum(covered, 1)
