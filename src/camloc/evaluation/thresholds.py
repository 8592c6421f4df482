"""Maps over all thresholds."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from camloc.boxes.geometry import CORNERS
from camloc.boxes.paper import boxes_from_maps
from camloc.boxes.predictions import Split
from camloc.evaluation import wsol
from camloc.evaluation.coverage import masks_of
from camloc.evaluation.errors import GT_KNOWN, percentages, score
from camloc.evaluation.intervals import intervals

THRESHOLDS = (np.arange(20) / 20).tolist()  # at which the paper's rule is shown


@dataclass(frozen=True)
class Curves:
    """Maps over all thresholds: `hits` (images with a box, curves, levels), and the pixels of the
    images that have masks (see `camloc.evaluation.wsol`)."""

    hits: NDArray
    pixels: wsol.PixelCounts


def by_threshold(
    split: Split, guesses: pd.DataFrame, maps: Sequence[NDArray], iou: float
) -> pd.DataFrame:
    """The paper's rule at other thresholds: `threshold`, `loc_err_gt_known` in percent and its 95 %
    interval, `low` and `high`.

    Args:
        guesses, maps: of `Split.guesses`.
    """
    true = guesses[guesses["true"]].copy()
    low = np.array([maps[i] for i in true.index])
    lines = {}
    for threshold in THRESHOLDS:
        true[CORNERS] = boxes_from_maps(low, true[["width", "height"]].to_numpy(), threshold)
        errors = score(split, true, iou)[0].filter(items=[GT_KNOWN])
        for name, error in percentages(errors).items():
            lines[threshold] = [error, *intervals(errors)[name]]
    table = pd.DataFrame.from_dict(lines, orient="index", columns=[GT_KNOWN, "low", "high"])
    return table.rename_axis("threshold").reset_index()


def curves(split: Split, guesses: pd.DataFrame, maps: Sequence[NDArray]) -> Curves:
    """The maps of the true classes over all thresholds.

    Args:
        guesses, maps: of `Split.guesses`.
    """
    true = guesses[guesses["true"]]
    place = dict(zip(true["image"], true.index, strict=True))
    boxes = boxes_on_the_square(split, list(place))
    masks = masks_of(split, list(place))

    def look(image: str) -> tuple[NDArray | None, NDArray | None]:
        full = wsol.score_map(maps[place[image]])
        return (
            wsol.hits(full, boxes[image]) if image in boxes else None,
            wsol.pixel_counts(full, masks[image]()) if image in masks else None,
        )

    hits, pixels = [], wsol.PixelCounts()
    with ThreadPoolExecutor() as pool:  # OpenCV and compiled code let other threads run
        for found, counts in pool.map(look, place):
            if found is not None:
                hits.append(found)
            if counts is not None:
                pixels.add(counts)
    return Curves(stacked(hits), pixels)


def over_thresholds(found: dict[str, dict[str, Curves]]) -> dict[str, dict[str, dict]]:
    """`camloc.evaluation.wsol.summary` of every split and row, each split held out for the other.

    Args:
        found: curves by split and row, the same rows in each.
    """
    scores: dict[str, dict[str, dict]] = {split: {} for split in found}
    for split, rows in found.items():
        for row, own in rows.items():
            others = [found[other][row].hits for other in found if other != split]
            scores[split][row] = wsol.summary(own.hits, *others[:1], pixels=own.pixels)
    return scores


def boxes_on_the_square(split: Split, images: list[str]) -> dict[str, NDArray]:
    """The true boxes of those of the images that have some, by image."""
    boxes = split.manifest.boxes.merge(split.labels, on=["image", "wnid"])
    sized = boxes.merge(split.images[["image", "width", "height"]], on="image")
    return {
        image: wsol.resized_boxes(own[CORNERS], *own[["width", "height"]].iloc[0])
        for image, own in sized[sized["image"].isin(images)].groupby("image")
    }


def stacked(hits: list[NDArray]) -> NDArray[np.bool_]:
    """(images, curves, levels), of no image, too."""
    shape = (0, len(wsol.CURVES), wsol.LEVELS)
    return np.stack(hits) if hits else np.zeros(shape, dtype=bool)
