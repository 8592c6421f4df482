"""Image-independent baselines: boxes and a map that know nothing but the size of the image."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from camloc.boxes.geometry import CORNERS, whole_image_box
from camloc.boxes.paper import boxes_from_maps
from camloc.boxes.predictions import Split
from camloc.data.manifest import Manifest
from camloc.evaluation import wsol
from camloc.evaluation.errors import GT_KNOWN, image_errors, outcomes
from camloc.evaluation.rows import Row
from camloc.evaluation.thresholds import Curves, boxes_on_the_square, curves, stacked


def centre_box(sizes: NDArray) -> NDArray[np.int64]:
    """The baseline that boxes the centre: half the image's area, in its proportions.

    Sizes (N, 2) as width, height give boxes (N, 4).
    """
    sizes = np.asarray(sizes, dtype=np.int64)
    margin = np.round(sizes * (1 - np.sqrt(0.5)) / 2).astype(np.int64)
    return np.concatenate([margin, sizes - 1 - margin], axis=1)


BASELINES = {"whole-image": whole_image_box, "centre-box": centre_box}
CENTRE_GAUSSIAN = "centre-gaussian"


def baseline_curves(manifest: Manifest, name: str) -> dict[str, Curves]:
    """The same of what looks at nothing: the centred Gaussian as a map, and single boxes."""
    split = Split(Path(), manifest, name)  # nothing is read of any network
    labels = split.labels.assign(true=True)
    found = {CENTRE_GAUSSIAN: curves(split, labels, [centre_gaussian()] * len(labels))}
    boxes = boxes_on_the_square(split, labels["image"].tolist())
    square = np.array([[wsol.SIDE, wsol.SIDE]])
    for name, rule in BASELINES.items():
        hits = [wsol.box_hits(rule(square)[0], own) for own in boxes.values()]
        found[name] = Curves(stacked(hits), wsol.PixelCounts())
    return found


def baseline_rows(manifest: Manifest, split: str, iou: float) -> Iterator[Row]:
    """GT-known errors of boxes that look at nothing but the image's size."""
    images = manifest.split(split)
    labels = images.loc[images["wnid"].notna()].reset_index(drop=True)
    sizes = labels[["width", "height"]].to_numpy()
    rules = BASELINES | {CENTRE_GAUSSIAN: gaussian_box}
    for name, rule in rules.items():
        guesses = labels[["image", "wnid"]].assign(rank=1)
        guesses[CORNERS] = rule(sizes)
        outcome = outcomes(guesses, labels, manifest.boxes, iou)
        yield Row(name, image_errors(outcome, iou).filter(items=[GT_KNOWN]), outcome)


def gaussian_box(sizes: NDArray) -> NDArray[np.int64]:
    """The paper's rule on `centre_gaussian`: sizes (N, 2) give boxes (N, 4)."""
    return boxes_from_maps(np.broadcast_to(centre_gaussian(), (len(sizes), 224, 224)), sizes)


def centre_gaussian(side: int = 224) -> NDArray[np.float64]:
    """The baseline map of Choe et al. (2020): a Gaussian about the centre, deviation a quarter."""
    x = (np.arange(side) + 0.5) / side - 0.5
    return np.exp(-(x[:, None] ** 2 + x[None] ** 2) / (2 * 0.25**2))
