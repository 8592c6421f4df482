"""Five predictions from three classes, as the paper's text has it and as the authors' code does."""

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from camloc.boxes.authors import authors_boxes
from camloc.boxes.geometry import CORNERS
from camloc.boxes.paper import boxes_from_maps
from camloc.core.params import Boxes


def five_guesses(
    guesses: pd.DataFrame, maps: Sequence[NDArray], pair_of: Callable[[NDArray, int, int], NDArray]
) -> pd.DataFrame:
    """Five guesses from three classes: both boxes of the first two, the first box of the third.

    Args:
        guesses, maps: of `Split.guesses`.
        pair_of: of a map and its image's width and height the two boxes (2, 4).
    """
    first = guesses[guesses["rank"] <= 3]
    pairs = [
        pair_of(maps[i], w, h)
        for i, w, h in zip(first.index, first["width"], first["height"], strict=True)
    ]
    boxes = np.array(pairs).reshape(-1, 2, 4)
    both = [
        first[["image", "wnid"]].assign(
            rank=2 * first["rank"] - 1 + second,
            **dict(zip(CORNERS, boxes[:, second].T, strict=True)),
        )
        for second in (0, 1)
    ]
    five = pd.concat(both, ignore_index=True)
    return five[five["rank"] <= 5]


def heuristics(options: Boxes) -> dict[str, Callable[[NDArray, int, int], NDArray]]:
    """The heuristic as the authors' code has it and as their text does, by its rule: of a map and
    its image's width and height the two boxes (2, 4)."""
    return {"heuristic": authors_pair, "heuristic-text": partial(loose_and_tight, options)}


def authors_pair(low: NDArray, width: int, height: int) -> NDArray:
    """The first two of the authors' boxes, as their code submits them; one twice if it is alone."""
    boxes = authors_boxes(np.abs(low), width, height)
    return boxes[[0, min(1, len(boxes) - 1)]]


def loose_and_tight(options: Boxes, low: NDArray, width: int, height: int) -> NDArray:
    """A loose box and a tight one, as the paper's text has it; the third class keeps the loose."""
    size = np.array([[width, height]])
    pair = (boxes_from_maps(low[None], size, t) for t in (options.threshold, options.tight))
    return np.concatenate(list(pair))
