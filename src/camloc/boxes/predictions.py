"""The stored predictions of a split, with the box of each map."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache, partial
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from camloc.boxes.geometry import CORNERS
from camloc.boxes.heuristic import five_predictions
from camloc.boxes.rule import Rule
from camloc.data.manifest import Manifest
from camloc.data.masks import read_masks, read_parts
from camloc.maps import store

KEPT_MASKS = 1024  # of a split, in memory: each is read for every row's coverage and curves


@dataclass(frozen=True)
class Split:
    """The stored predictions of one network on one split, and the ground truth beside them."""

    folder: Path
    manifest: Manifest
    name: str

    @cached_property
    def images(self) -> pd.DataFrame:
        return self.manifest.split(self.name)

    @cached_property
    def labels(self) -> pd.DataFrame:
        """`image` and `wnid` of the images whose class is known."""
        images = self.images
        return images.loc[images["wnid"].notna(), ["image", "wnid"]].reset_index(drop=True)

    @cached_property
    def boxes(self) -> pd.DataFrame:
        """The ground-truth boxes of each image's own class."""
        return self.manifest.boxes.merge(self.labels, on=["image", "wnid"])

    @cached_property
    def masks(self) -> dict[str, Callable[[], NDArray[np.uint8]]]:
        """What reads the mask, with its parts if it tells any, of each image that has one."""
        manifest = self.manifest
        read = lru_cache(KEPT_MASKS)(read_parts if manifest.masks_have_parts else read_masks)
        masks = self.images.dropna(subset="mask")
        return {
            image: partial(read, manifest.root, mask)
            for image, mask in zip(masks["image"], masks["mask"], strict=True)
        }

    def stored(self, kind: str = "") -> Path:
        """The folder of the predictions (see `camloc.maps.store.folder_of`)."""
        return store.folder_of(self.folder / self.name, kind)

    def predictions(
        self,
        method: str,
        rule: Rule,
        images: Sequence[str] | None = None,
        ranks: int = 0,
        kind: str = "",
    ) -> tuple[pd.DataFrame, NDArray[np.float32]]:
        """The predictions of the classes that an image holds, whatever their rank, with the box of
        each one's map.

        Args:
            images: take those of these images only.
            ranks: take the first so many predictions of each image, too.
            kind: of what is stored, where the rule does not ask for ten crops.

        Returns:
            `image`, `rank`, `wnid`, `score`, `true` (whether its class is the image's), `width`,
            `height` and the corners; and the maps (N, h, w), merged where they are of ten crops.
        """
        folder = self.stored(store.TEN_CROP if rule.crops(method) == 10 else kind)
        predictions = store.read(folder)
        key = pd.MultiIndex.from_frame(predictions[["image", "wnid"]])
        held = pd.MultiIndex.from_frame(self.manifest.boxes[["image", "wnid"]])
        predictions["true"] = key.isin(pd.MultiIndex.from_frame(self.labels))
        counts = (predictions["rank"] <= ranks) | predictions["true"] | key.isin(held)
        if images is not None:
            counts &= predictions["image"].isin(images)
        rows = np.flatnonzero(counts)
        predictions = predictions.iloc[rows].reset_index(drop=True)
        maps = store.read_maps(folder, method)
        maps = rule.whole(maps.reshape(-1, *maps.shape[2:])[rows], folder, method)
        sides = ["width", "height"]
        size = self.images.set_index("image")[sides]
        predictions[sides] = size.loc[predictions["image"]].to_numpy()
        predictions[CORNERS] = rule.boxes(maps, predictions[sides].to_numpy())
        return predictions, maps

    def answers(self, rule: Rule) -> pd.DataFrame:
        """The network's five predictions of each image by its CAMs, as a server would be sent
        them."""
        predictions, maps = self.predictions("cam", rule, ranks=5)
        if rule.pairs:
            return five_predictions(predictions, maps, rule.pairs)
        return predictions[predictions["rank"] <= 5]


def places(predictions: pd.DataFrame) -> dict[tuple[str, str], int]:
    """Which of the maps of `Split.predictions` is that of a class, by image and wnid."""
    key = zip(predictions["image"], predictions["wnid"], strict=True)
    return dict(zip(key, predictions.index, strict=True))
