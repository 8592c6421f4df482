"""Image-independent baselines: boxes and a map that follow from the size of the image alone."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from camloc.boxes.geometry import CORNERS, whole_image_box
from camloc.boxes.paper import boxes_from_maps
from camloc.boxes.predictions import Split
from camloc.core.rows import BASELINES
from camloc.data.manifest import Manifest
from camloc.evaluation import wsol
from camloc.evaluation.errors import GT_KNOWN, score
from camloc.evaluation.store import Evaluation
from camloc.evaluation.thresholds import (
    Curves,
    boxes_on_the_square,
    over_thresholds,
    stacked,
    whole_map,
)
from camloc.maps.uninformed import centre_gaussian


def centre_box(sizes: NDArray) -> NDArray[np.int64]:
    """Boxes (N, 4) about the centre, of half the image's area and in its proportions, by widths and
    heights (N, 2)."""
    sizes = np.asarray(sizes, dtype=np.int64)
    margin = np.round(sizes * (1 - np.sqrt(0.5)) / 2).astype(np.int64)
    return np.concatenate([margin, sizes - 1 - margin], axis=1)


WHOLE, CENTRE, GAUSSIAN = BASELINES
BOXES = {WHOLE: whole_image_box, CENTRE: centre_box}


def baselines(manifest: Manifest, splits: Sequence[str], iou: float) -> Evaluation:
    """The GT-known errors and the WSOL metrics of the image-independent baselines."""
    every = [Split(Path(), manifest, name) for name in splits]  # no network's predictions are read
    curves = {split.name: _curves(split) for split in every}
    added = whole_map(curves)
    images = [table for split in every for table in _images(split, iou, added[split.name])]
    return Evaluation.of(images, wsol=over_thresholds(curves))


def _images(split: Split, iou: float, added: dict[str, pd.DataFrame]) -> Iterator[pd.DataFrame]:
    labelled = split.images.dropna(subset="wnid", ignore_index=True)
    sizes = labelled[["width", "height"]].to_numpy()
    for name, rule in (BOXES | {GAUSSIAN: gaussian_box}).items():
        predictions = labelled[["image", "wnid"]].assign(rank=1)
        predictions[CORNERS] = rule(sizes)
        errors, outcome = score(split, predictions, iou)
        known = errors.filter(items=[GT_KNOWN])
        if GT_KNOWN in known:  # a rule without a threshold is the same at any
            known["held_out_gt_known"] = known[GT_KNOWN]
        table = outcome.join(known, on="image").join(added[name], on="image")
        yield table.assign(network=None, method=name, split=split.name)


def _curves(split: Split) -> dict[str, Curves]:
    """The boxes of the centred Gaussian at each level, and single boxes, the same at every level;
    pixels are those of the Gaussian."""
    full, square = wsol.score_map(centre_gaussian()), np.array([[wsol.SIDE, wsol.SIDE]])
    pixels = wsol.PixelCounts()
    masked = split.labels["image"][split.labels["image"].isin(split.masks)].tolist()
    for image in masked:
        pixels.add(wsol.pixel_counts(full, split.masks[image]()))
    levels = {GAUSSIAN: wsol.level_boxes(full)} | {n: box(square) for n, box in BOXES.items()}
    truth = boxes_on_the_square(split)
    nothing = wsol.PixelCounts()
    return {
        name: Curves(
            stacked([wsol.box_hits(boxes, own) for own in truth.values()]),
            *((pixels, list(truth), masked) if name == GAUSSIAN else (nothing, list(truth), [])),
        )
        for name, boxes in levels.items()
    }


def gaussian_box(sizes: NDArray) -> NDArray[np.int64]:
    """The paper's rule on `centre_gaussian`: sizes (N, 2) give boxes (N, 4)."""
    return boxes_from_maps(np.broadcast_to(centre_gaussian(), (len(sizes), 224, 224)), sizes)
