"""From the stored maps of one network to its rows of the tables."""

from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from camloc import predictions
from camloc.boxes import boxes_from_maps, centre_box, whole_image_box
from camloc.manifest import Manifest
from camloc.metrics import CORNERS, classification_errors, localization_errors, outcomes

BASELINES = {"whole-image": whole_image_box, "centre-box": centre_box}
Errors = dict[str, float]


def row_name(network: str, method: str) -> str:
    """A row of the tables: the network's name for its CAMs, `backprop-…` for its saliency."""
    return network if method == "cam" else f"{method}-{network}"


def guesses_of(folder: Path, method: str, images: pd.DataFrame, threshold: float) -> pd.DataFrame:
    """The predictions of a split with the box of each one's map.

    Args:
        folder: of the network's predictions on the split.
        images: `image`, `width`, `height` of the split.
        threshold: of the box rule, a share of the map's maximum.
    """
    guesses = predictions.read(folder)
    maps = predictions.read_maps(folder, method)
    size = images.set_index("image")[["width", "height"]]
    sizes = size.loc[guesses["image"]].to_numpy()
    flat = maps.reshape(-1, *maps.shape[2:])
    guesses[CORNERS] = boxes_from_maps(flat, sizes, threshold)
    return guesses


def evaluate_split(
    folder: Path, network: str, manifest: Manifest, split: str, threshold: float, iou: float
) -> Iterator[tuple[str, Errors, pd.DataFrame]]:
    """The rows of one network on one split.

    Yields:
        The row's name, its errors in percent and the outcome of each image (see
        `camloc.metrics.outcomes`).
    """
    images = manifest.split(split)
    labels = images.loc[images["wnid"].notna(), ["image", "wnid"]]
    methods = predictions.methods_of(folder)
    if "cam" not in methods:  # the network classifies but has no map of its own
        guesses = predictions.read(folder).assign(**dict.fromkeys(CORNERS, 0))
        outcome = outcomes(guesses, labels, manifest.boxes, iou)
        yield network, classification_errors(outcome), outcome
    for method in methods:
        guesses = guesses_of(folder, method, images, threshold)
        outcome = outcomes(guesses, labels, manifest.boxes, iou)
        errors = classification_errors(outcome) if method == "cam" else {}
        yield row_name(network, method), errors | localization_errors(outcome, iou), outcome


def baseline_rows(manifest: Manifest, split: str, iou: float) -> Iterator[tuple[str, Errors]]:
    """GT-known errors of boxes that look at nothing but the image's size."""
    images = manifest.split(split)
    labels = images.loc[images["wnid"].notna()].reset_index(drop=True)
    for name, rule in BASELINES.items():
        guesses = labels[["image", "wnid"]].assign(rank=1)
        guesses[CORNERS] = rule(labels[["width", "height"]].to_numpy())
        errors = localization_errors(outcomes(guesses, labels, manifest.boxes, iou), iou)
        yield name, {"loc_err_gt_known": errors["loc_err_gt_known"]}
