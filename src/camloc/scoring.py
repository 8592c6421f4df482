"""Results that people bring, scored as the study scores its own."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from camloc import protocols, submissions
from camloc.boxes import boxes_from_maps
from camloc.errors import UserError
from camloc.masks import OBJECT, read_mask
from camloc.metrics import (
    CORNERS,
    GT_KNOWN,
    best_iou,
    bootstrap,
    image_errors,
    intervals,
    outcomes,
    percentages,
)
from camloc.progress import progress

RANKS = range(1, submissions.MOST_GUESSES + 1)


def score(
    truth: Path, predictions: Path, images: Path | None = None, blacklist: Path | None = None
) -> dict:
    """Top-1 to top-5 classification and localization error of a file of predictions.

    Args:
        truth, predictions: in the formats of `camloc.submissions`.
        images: names of the images in the order of the devkit's text.
        blacklist: names of images that count for classification alone.

    Returns:
        Each error in percent, `intervals` of each, `images` and `located_images`, the images that
        count for localization.

    Raises:
        UserError: a file that is missing, broken or does not fit the others.
    """
    with progress(total=4, unit="step") as bar:
        labels, boxes = submissions.read_truth(truth)
        bar.update()
        order = submissions.read_names(images) if images else None
        guesses, names = submissions.read_predictions(predictions, order)
        submissions.check_answers(truth, labels, predictions, guesses, names)
        left_out = pd.Index(submissions.read_names(blacklist) if blacklist else [])
        strange = left_out.difference(labels["image"])
        submissions.refuse(blacklist, strange, f"images that {truth} does not know,")
        bar.update()
        errors = image_errors(outcomes(guesses, labels, boxes), top=RANKS, blacklist=left_out)
        errors = errors.drop(columns=GT_KNOWN, errors="ignore")
        bar.update()
        spans = intervals(errors)
        bar.update()
    located = int(errors["loc_err_top1"].notna().sum()) if "loc_err_top1" in errors else 0
    return percentages(errors) | {
        "intervals": spans,
        "images": len(errors),
        "located_images": located,
    }


def score_maps(
    truth: Path,
    sizes: Path,
    maps: Path,
    images: Path | None = None,
    masks: Path | None = None,
    ignore: int | None = None,
) -> dict:
    """Scores of one map an image, of its true class, over all thresholds and by the paper's rule.

    Args:
        truth: boxes, in the formats of `camloc.submissions`.
        sizes: CSV of `image,width,height`.
        maps: one array (N, h, w) as .npy, or a folder of a .npy (h, w) an image.
        images: names of the images in the order of the array; that of `sizes` without it.
        masks: a folder of a .png an image (see `camloc.masks.read_mask`).
        ignore: the value of the masks' pixels that count for neither object nor background.

    Returns:
        `max_box_acc`, `max_box_acc_v2`, `box_acc_30`, `box_acc_50`, `box_acc_70` in percent, each
        at its best threshold, `thresholds` as shares of the map's range, `loc_err_gt_known` of
        the 20 % rule, with masks `pxap`, `intervals` of each, and `images`.

    Raises:
        UserError: a file that is missing, broken or does not fit the others.
    """
    _, boxes = submissions.read_truth(truth)
    size = submissions.read_sizes(sizes)
    names = submissions.read_names(images) if images else size["image"].tolist()
    submissions.refuse(truth, pd.Index(names).difference(boxes["image"]), "no boxes of")
    submissions.refuse(sizes, pd.Index(names).difference(size["image"]), "no sizes of")
    unanswered = pd.Index(boxes["image"].unique()).difference(names)
    submissions.refuse(truth, unanswered, f"images without a map in {maps}:")
    submissions.check_inside(truth, boxes, size)
    read_map = _map_reader(maps, names)
    mask_of = _mask_reader(masks, names, ignore) if masks else None
    true = dict(list(boxes.groupby("image")[CORNERS]))
    size = size.set_index("image").loc[names, ["width", "height"]].to_numpy()
    hits, missed, broken, empty = [], [], [], []
    pixels = protocols.PixelCounts()
    for i, name in enumerate(progress(names, unit="map")):
        low, own = read_map(i), true[name].to_numpy()
        if low.ndim != 2 or not np.isfinite(low).all():
            broken.append(name)
            continue
        width, height = size[i]
        full = protocols.score_map(low)
        hits.append(protocols.hits(full, protocols.resized_boxes(own, width, height)))
        box = boxes_from_maps(low[None], np.array([[width, height]]))[0]
        missed.append(100.0 * (best_iou(box, own) < 0.5))
        if mask_of:
            mask = mask_of(name)
            if not (mask == OBJECT).any():
                empty.append(name)
            pixels.add(protocols.pixel_counts(full, mask))
    submissions.refuse(maps, broken, "maps that are not (h, w) of finite numbers, for")
    submissions.refuse(masks, empty, "masks without a pixel of an object, for")
    found = protocols.summary(np.array(hits), pixels=pixels)
    scores = found["best"] | {GT_KNOWN: float(np.mean(missed))}
    spans = found["intervals"]["best"] | {GT_KNOWN: bootstrap(np.array(missed))}
    if "pxap" in found:
        scores["pxap"], spans["pxap"] = found["pxap"], found["intervals"]["pxap"]
    levels = found["levels"]["best"].items()
    thresholds = {curve: level / protocols.LEVELS for curve, level in levels}
    return scores | {"thresholds": thresholds, "intervals": spans, "images": len(names)}


def write_scores(scores: dict, target: Path | None) -> str:
    """The scores as text for people, after writing them as JSON to `target` where it is given."""
    if target:
        target.write_text(json.dumps(scores, indent=2) + "\n", encoding="utf-8")
    spans, thresholds = scores.get("intervals", {}), scores.get("thresholds", {})
    lines = [f"{scores['images']:,} images"]
    for name, value in scores.items():
        if isinstance(value, float):
            line = f"{name:18} {value:6.2f} %"
            if name in spans:
                line += "   95 % interval {:6.2f} to {:6.2f}".format(*spans[name])
            if name in thresholds:
                line += f"   tuned on these images: threshold {thresholds[name]:.3f}"
            lines.append(line)
    return "\n".join(lines)


def _map_reader(maps: Path, names: Sequence[str]) -> Callable[[int], NDArray]:
    """A function that gives map i of the array or the folder."""
    if maps.is_dir():
        paths = [maps / f"{name}.npy" for name in names]
        submissions.refuse(maps, [path.name for path in paths if not path.is_file()], "no", "has")
        return lambda i: _load(paths[i])
    array = _load(maps, mmap_mode="r")
    if array.ndim != 3 or len(array) != len(names):
        raise UserError(
            f"{maps} is of shape {array.shape}; wanted (N, h, w) with one map for each of the "
            f"{len(names)} images"
        )
    return lambda i: array[i]


def _load(path: Path, **options) -> NDArray:
    try:
        return np.load(path, allow_pickle=False, **options)
    except (OSError, ValueError, EOFError) as error:
        raise UserError(f"{path} is not an array as NumPy writes it ({error})") from None


def _mask_reader(masks: Path, names: Sequence[str], ignore: int | None) -> Callable:
    """A function that gives the mask of an image."""
    lacking = [f"{name}.png" for name in names if not (masks / f"{name}.png").is_file()]
    submissions.refuse(masks, lacking, "", "lacks")
    return lambda name: read_mask(masks / f"{name}.png", ignore)
