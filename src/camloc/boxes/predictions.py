"""The stored predictions of a split, with the box of each map."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from camloc.boxes.authors import authors_boxes
from camloc.boxes.geometry import CORNERS
from camloc.boxes.heuristic import five_guesses, heuristics
from camloc.boxes.paper import boxes_from_maps
from camloc.core.params import Boxes
from camloc.data.manifest import Manifest
from camloc.data.ten_crop import merge
from camloc.maps import store


@dataclass(frozen=True)
class Split:
    """The stored results of one network on one split, and the truth beside them."""

    folder: Path
    manifest: Manifest
    name: str

    @property
    def images(self) -> pd.DataFrame:
        return self.manifest.split(self.name)

    @property
    def labels(self) -> pd.DataFrame:
        images = self.images
        return images.loc[images["wnid"].notna(), ["image", "wnid"]].reset_index(drop=True)

    def stored(self, crops: int = 1) -> Path:
        """The folder of the predictions from so many crops."""
        return self.folder / (self.name if crops == 1 else f"{self.name}-ten-crop")

    def guesses(
        self, method: str, options: Boxes, images: Sequence[str] | None = None
    ) -> tuple[pd.DataFrame, list[NDArray]]:
        """The predictions that count, of the first five ranks or of a class that the image holds,
        with the box of each one's map.

        Args:
            images: take those of these images only.

        Returns:
            `image`, `rank`, `wnid`, `score`, `true` (whether its class is the image's), `width`,
            `height` and the corners; and the maps (h, w), merged where they are of ten crops.
        """
        folder = self.stored(options.crops if method == "cam" else 1)
        guesses = store.read(folder)
        key = pd.MultiIndex.from_frame(guesses[["image", "wnid"]])
        held = pd.MultiIndex.from_frame(self.manifest.boxes[["image", "wnid"]])
        guesses["true"] = key.isin(pd.MultiIndex.from_frame(self.labels))
        counts = (guesses["rank"] <= 5) | guesses["true"] | key.isin(held)
        if images is not None:
            counts &= guesses["image"].isin(images)
        rows = np.flatnonzero(counts)
        guesses = guesses.iloc[rows].reset_index(drop=True)
        maps = store.read_maps(folder, method)
        flat = maps.reshape(-1, *maps.shape[2:])
        whole = [one_map(flat[row], folder, options) for row in rows]
        size = self.images.set_index("image")[["width", "height"]]
        guesses[["width", "height"]] = size.loc[guesses["image"]].to_numpy()
        sizes = guesses[["width", "height"]].to_numpy()
        if options.rule in ("largest-component", "heuristic-text"):
            guesses[CORNERS] = boxes_from_maps(np.stack(whole), sizes, options.threshold)
        else:
            boxes = [
                authors_boxes(np.abs(m), w, h)[0] for m, (w, h) in zip(whole, sizes, strict=True)
            ]
            guesses[CORNERS] = np.array(boxes).reshape(-1, 4)
        return guesses, whole

    def answers(self, options: Boxes) -> pd.DataFrame:
        """The network's five guesses of each image by its CAMs, as a server would be sent them."""
        guesses, maps = self.guesses("cam", options)
        if pair_of := heuristics(options).get(options.rule):
            return five_guesses(guesses, maps, pair_of)
        return guesses[guesses["rank"] <= 5]


def places(guesses: pd.DataFrame) -> dict[tuple[str, str], int]:
    """Which of the maps of `Split.guesses` is that of an image's class, by image and wnid."""
    key = zip(guesses["image"], guesses["wnid"], strict=True)
    return dict(zip(key, guesses.index, strict=True))


def one_map(low: NDArray, folder: Path, options: Boxes) -> NDArray[np.float32]:
    """A stored map as one (h, w), of its crops if there are several, its minimum at 0 if asked."""
    low = low.astype(np.float32)
    if low.ndim == 3:
        side, size = store.read_crops(folder)
        low = merge(low, side, size, absolute_sum=options.merge == "absolute-sum")
    return low - low.min() if options.normalise == "min-max" else low
