"""Five predictions from three classes, as the paper's text has it and as the authors' code does."""

from collections.abc import Callable

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from camloc.boxes.geometry import CORNERS
from camloc.boxes.paper import boxes_over_thresholds

Pairs = Callable[[NDArray, NDArray], NDArray]  # maps (N, h, w), sizes (N, 2) give (N, 2, 4)


def five_predictions(predictions: pd.DataFrame, maps: NDArray, pairs: Pairs) -> pd.DataFrame:
    """Five predictions from three classes: two boxes of the first two, one of the third.

    Args:
        predictions, maps: of `Split.predictions`.
    """
    first = predictions[predictions["rank"] <= 3]
    boxes = pairs(maps[first.index], first[["width", "height"]].to_numpy())
    both = [
        first[["image", "wnid"]].assign(
            rank=2 * first["rank"] - 1 + second,
            **dict(zip(CORNERS, boxes[:, second].T, strict=True)),
        )
        for second in (0, 1)
    ]
    five = pd.concat(both, ignore_index=True)
    return five[five["rank"] <= 5]


def loose_and_tight(
    thresholds: tuple[float, float], maps: NDArray, sizes: NDArray
) -> NDArray[np.int64]:
    """A loose box and a tight one of each map, (N, 2, 4), as the paper's text has it."""
    return boxes_over_thresholds(maps, sizes, thresholds).swapaxes(0, 1)
