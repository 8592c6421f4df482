"""How a stored map becomes a box: the section `boxes` of params.yaml, resolved once."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from camloc.boxes import authors
from camloc.boxes.heuristic import Pairs, loose_and_tight
from camloc.boxes.paper import boxes_from_maps
from camloc.core.errors import UserError
from camloc.core.params import Boxes
from camloc.core.rows import HEURISTICS
from camloc.data.ten_crop import merge
from camloc.maps import store


@dataclass(frozen=True)
class Rule:
    """What makes a stored map whole, and boxes it.

    Attributes:
        options: what the rule was made of.
        boxes: of maps (N, h, w) and their images' widths and heights (N, 2) gives boxes (N, 4).
        heuristics: of each of `camloc.core.rows.HEURISTICS` what gives the two boxes of each map.
        pairs: that of the heuristics by which the study makes five predictions from three classes;
            None where it makes one prediction of each of the first five classes.
    """

    options: Boxes
    boxes: Callable[[NDArray, NDArray], NDArray]
    heuristics: dict[str, Pairs]
    pairs: Pairs | None

    @classmethod
    def of(cls, options: Boxes) -> "Rule":
        code, text = HEURISTICS
        heuristics: dict[str, Pairs] = {
            code: authors.pairs,
            text: partial(loose_and_tight, (options.threshold, options.tight)),
        }
        by_text = partial(boxes_from_maps, threshold=options.threshold)
        boxes, pairs = {
            "largest-component": (by_text, None),
            "authors": (authors.largest_boxes, None),
            "heuristic": (authors.largest_boxes, heuristics[code]),
            "heuristic-text": (by_text, heuristics[text]),
        }[options.rule]
        return cls(options, boxes, heuristics, pairs)

    def changed(self, **options) -> "Rule":
        """The rule with some keys of the section `boxes` changed."""
        return Rule.of(self.options.model_copy(update=options))

    @property
    def threshold(self) -> float:
        """Share of a map's maximum above which it counts as lit."""
        return self.options.threshold

    def crops(self, method: str) -> int:
        """Of how many crops of a picture the maps of a method are read."""
        return self.options.crops if method == "cam" else 1

    def whole(self, maps: NDArray, folder: Path, method: str = "cam") -> NDArray[np.float32]:
        """Stored maps as one each, of their crops where they have several, the minimum at 0 if
        asked for, and CAMs with their cells where they are to lie.

        Args:
            maps: (N, h, w), or of ten crops (N, 10, h, w).
            folder: where they are stored.

        Returns:
            (N, h, w), or (N, side, side) of the square that the crops are from, or of the pixels
            on which the cells are placed.

        Raises:
            UserError: it is not known where the cells lie.
        """
        places = method == "cam" and self.options.cells == "receptive-field"
        if maps.ndim == 4 or places:
            geometry = store.read_geometry(folder)
            stored, side, sums = maps, geometry.side, self.options.merge == "absolute-sum"
            maps = np.empty((len(maps), side, side), np.float32)
            height, width = placement(stored.shape[-2:], geometry) if places else (None, None)
            for i, low in enumerate(stored):
                low = height.T @ low.astype(np.float32) @ width if places else low
                maps[i] = low if low.ndim == 2 else merge(low, side, geometry.size, sums)
        found = maps.astype(np.float32, copy=False)
        if self.options.normalise == "min-max":
            found = found - found.min(axis=(1, 2), keepdims=True)
        return found


def placement(shape: tuple[int, ...], geometry: store.Geometry) -> tuple[NDArray, NDArray]:
    """What puts maps of a shape (h, w) on the pixels that the network saw, H.T @ map @ W: cells at
    the centres of their receptive fields, bilinear between them, level beyond the outermost.

    Returns:
        H (h, size) and W (w, size), how much each cell counts at each pixel.

    Raises:
        UserError: it is not known where the cells lie.
    """
    if geometry.cells is None:
        raise UserError(
            "boxes.cells: it is not known where the receptive fields of this network lie; use even"
        )
    pixels = np.arange(geometry.size)
    height, width = (
        np.array([np.interp(pixels, first + step * np.arange(count), one) for one in np.eye(count)])
        for count, (first, step) in zip(shape, geometry.cells, strict=True)
    )
    return height, width
