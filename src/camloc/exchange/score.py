"""Results that people bring, scored as the study scores its own."""

import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from camloc.boxes.geometry import CORNERS, best_iou
from camloc.boxes.paper import boxes_from_maps, check_maps
from camloc.core.errors import UserError, reason, refuse, refusing
from camloc.core.files import write_text
from camloc.core.progress import progress
from camloc.data.masks import OBJECT, read_mask
from camloc.evaluation import wsol
from camloc.evaluation.errors import GT_KNOWN, image_errors, outcomes, percentages
from camloc.evaluation.estimates import estimate
from camloc.exchange import formats

RANKS = range(1, formats.MOST_PREDICTIONS + 1)


def score(
    truth: Path,
    predictions: Path,
    images: Path | None = None,
    blacklist: Path | None = None,
    classes: Path | None = None,
) -> dict:
    """Top-1 to top-5 classification and localization error of a file of predictions.

    As for the devkit, a prediction of a class that the ground truth lacks is wrong: of a few images
    it has a few of the classes.

    Args:
        truth, predictions: in the formats of `camloc.exchange.formats`.
        images: names of the images in the order of the devkit's text.
        blacklist: names of images that count for classification alone.
        classes: every label that there is, one per line; others are refused.

    Returns:
        Each error in percent, `intervals` of each, `images` and `located_images`, the images that
        count for localization, `predicted_labels`, and `unknown_labels`, how many of those are no
        class of the ground truth.

    Raises:
        UserError: a file that is missing, broken or does not fit the others.
    """
    with progress(total=4, unit="step") as bar:
        labels, boxes = formats.read_truth(truth)
        bar.update()
        order = formats.read_names(images) if images else None
        if images and formats.is_devkit_text(predictions):
            formats.check_images(truth, labels, images, pd.Index(order))
        predicted, names = formats.read_predictions(predictions, order)
        formats.check_images(truth, labels, predictions, names)
        formats.check_labels(truth, labels, predictions, predicted, classes)
        left_out = pd.Index(formats.read_names(blacklist) if blacklist else [])
        strange = left_out.difference(labels["image"])
        refuse(blacklist, strange, f"holds images that {truth} does not know")
        bar.update()
        errors = image_errors(outcomes(predicted, labels, boxes), top=RANKS, blacklist=left_out)
        errors = errors.drop(columns=GT_KNOWN, errors="ignore")
        bar.update()
        spans = _known({name: estimate(errors[name]).share_interval for name in errors})
        bar.update()
    located = int(errors["loc_err_top1"].notna().sum()) if "loc_err_top1" in errors else 0
    return percentages(errors) | {
        "intervals": spans,
        "images": len(errors),
        "located_images": located,
        "predicted_labels": len(predicted),
        "unknown_labels": int((~predicted["wnid"].isin(labels["wnid"])).sum()),
    }


def score_maps(
    truth: Path,
    sizes: Path,
    maps: Path,
    images: Path | None = None,
    masks: Path | None = None,
    ignore: int | None = None,
) -> dict:
    """Scores of one map per image, of its true class, over all thresholds and by the paper's rule.

    Args:
        truth: boxes, in the formats of `camloc.exchange.formats`.
        sizes: CSV of `image,width,height`.
        maps: one array (N, h, w) as .npy, or a folder of one .npy (h, w) per image.
        images: names of the images in the order of the array; that of `sizes` without it.
        masks: a folder of one .png per image (see `camloc.data.masks.read_mask`).
        ignore: the value of the masks' pixels that count for neither object nor background.

    Returns:
        `max_box_acc`, `max_box_acc_v2`, `box_acc_30`, `box_acc_50`, `box_acc_70` in percent, each
        at its best threshold, `thresholds` as shares of the map's range, `loc_err_gt_known` of
        the 20 % rule, with masks `pxap`, `intervals` of each, and `images`.

    Raises:
        UserError: a file that is missing, broken or does not fit the others.
    """
    boxes, size = _read_boxes(truth, sizes, maps, images)
    names = size["image"].tolist()
    read_map = _map_reader(maps, names)
    mask_paths = _paths(masks, names, ".png") if masks else None
    true = dict(list(boxes.groupby("image")[CORNERS]))
    sides = size[["width", "height"]].to_numpy()
    hits, missed, broken, empty = [], [], [], []
    pixels = wsol.PixelCounts()
    for i, name in enumerate(progress(names, unit="map")):
        low, own = read_map(i), true[name].to_numpy()
        try:
            full = wsol.score_map(low)
        except UserError:
            broken.append(name)
            continue
        hits.append(wsol.hits(full, wsol.resized_boxes(own, sides[i])))
        box = boxes_from_maps(low[None], sides[[i]])[0]
        missed.append(100.0 * (best_iou(box, own) < 0.5))
        if mask_paths:
            mask = read_mask(mask_paths[i], ignore)
            if not (mask == OBJECT).any():
                empty.append(name)
            pixels.add(wsol.pixel_counts(full, mask))
    what = "holds maps that single precision cannot hold, or that are not (h, w) of finite numbers"
    refuse(maps, broken, what)
    refuse(masks, empty, "holds masks without a pixel of an object")
    return _map_scores(np.array(hits), np.array(missed), pixels)


def as_text(scores: dict, truth: Path) -> str:
    """The scores against `truth` as text for people."""
    spans, thresholds = scores.get("intervals", {}), scores.get("thresholds", {})
    lines = [f"{scores['images']:,} images"]
    if unknown := scores.get("unknown_labels"):
        labels = f"{unknown:,} of {scores['predicted_labels']:,} predicted labels"
        lines.append(f"{labels} are no class of {truth.name} and count as wrong")
    for name, value in scores.items():
        if isinstance(value, float):
            line = f"{name:18} {value:6.2f} %"
            if name in spans:
                line += "   95 % CI {:6.2f} to {:6.2f}".format(*spans[name])
            if name in thresholds:
                line += f"   tuned on these images: threshold {thresholds[name]:.3f}"
            lines.append(line)
    return "\n".join(lines)


def check_target(target: Path) -> None:
    """Refuse a file that could not be written, before the work that is to be written there."""
    folder = target.parent
    if not folder.is_dir():
        raise UserError(f"{target} cannot be written: there is no folder {folder}; make it first")
    if target.is_dir():
        raise UserError(f"{target} is a folder; name a file to write the scores to")
    if not os.access(target if target.exists() else folder, os.W_OK):
        raise UserError(f"{target} cannot be written: permission denied; name another file")


def _is_written_through(target: Path) -> bool:
    """Whether no new file may take its place: a link, such as /dev/stdout, a pipe, or a file in a
    folder that is closed."""
    replaced = target.is_file() and os.access(target.parent, os.W_OK)
    return target.is_symlink() or (target.exists() and not replaced)


def write_scores(scores: dict, target: Path) -> None:
    """Write the scores as JSON.

    Raises:
        UserError: the file cannot be written, such as on a full disk.
    """
    text = json.dumps(scores, indent=2) + "\n"
    try:
        if _is_written_through(target):
            target.write_text(text, encoding="utf-8")
        else:
            write_text(target, text)
    except OSError as error:
        raise UserError(f"{target} cannot be written ({reason(error)})") from None


def _read_boxes(
    truth: Path, sizes: Path, maps: Path, images: Path | None
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The boxes, and the sizes of the images in the order of the maps."""
    _, boxes = formats.read_truth(truth)
    size = formats.read_sizes(sizes)
    if boxes.empty:
        raise UserError(f"{truth} holds no boxes, only labels; wanted one per image at least")
    boxed, sized = pd.Index(boxes["image"].unique()), pd.Index(size["image"])
    names = pd.Index(formats.read_names(images)) if images else sized
    strange = names.difference(boxed).difference(sized)
    refuse(images, strange, f"holds images that neither {truth} nor {sizes} knows")
    beside = f"{truth}, beside {images or sizes},"
    refuse(beside, names.difference(boxed), "holds no boxes of")
    refuse(sizes, names.difference(sized), "holds no sizes of")
    refuse(beside, boxed.difference(names), f"holds images without a map in {maps}")
    formats.check_inside(f"{truth}, by the sizes of {sizes},", boxes, size)
    return boxes, size.set_index("image").loc[names].reset_index()


def _map_scores(hits: NDArray, missed: NDArray, pixels: wsol.PixelCounts) -> dict:
    """What `score_maps` returns, from `wsol.hits` and the paper's errors of each image."""
    found = wsol.summary(hits, pixels=pixels)
    scores = found["best"] | {GT_KNOWN: float(missed.mean())}
    spans = {GT_KNOWN: estimate(missed / 100).share_interval}
    if "pxap" in found:
        scores["pxap"] = found["pxap"]
        spans["pxap"] = estimate(pixels.influence() / 100).interval
    spans = _known(spans)
    thresholds = {curve: level / wsol.LEVELS for curve, level in found["levels"].items()}
    return scores | {"thresholds": thresholds, "intervals": spans, "images": len(hits)}


def _known(intervals: dict[str, tuple[float, float]]) -> dict[str, tuple[float, float]]:
    """Intervals in percent, without those that nothing is known of: of one image."""
    return {
        name: (100 * low, 100 * high)
        for name, (low, high) in intervals.items()
        if not np.isnan([low, high]).any()
    }


def _map_reader(maps: Path, names: Sequence[str]) -> Callable[[int], NDArray]:
    """A function that gives map i of the array or the folder."""
    if os.path.isdir(maps):  # noqa: PTH112, see `_paths`
        paths = _paths(maps, names, ".npy")
        return lambda i: _load(paths[i])
    array = _load(maps)
    if array.ndim != 3 or len(array) != len(names):
        raise UserError(
            f"{maps} is of shape {array.shape}; wanted (N, h, w) with one map for each of the "
            f"{len(names)} images"
        )
    return lambda i: array[i]


def _load(path: Path) -> NDArray:
    """An array of one or several maps, whose values stay in the file until they are used."""
    with refusing(f"{path} is not an array as NumPy writes it", "save one with np.save"):
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    if not isinstance(array, np.ndarray):
        raise UserError(f"{path} is an archive, as .npz and .pt are; save one array with np.save")
    check_maps(array, str(path))
    return array


def _paths(folder: Path, names: Sequence[str], suffix: str) -> list[Path]:
    """The file of each image in a folder; that of an image `a/b` lies in its subfolder `a`."""
    paths = [Path(f"{name}{suffix}") for name in names]
    outside = [path for path in paths if path.is_absolute() or ".." in path.parts]
    refuse(folder, outside, "cannot hold files that lie elsewhere")
    # `Path.is_file` raises for a name that is too long for any file.
    lacking = [path for path in paths if not os.path.isfile(folder / path)]  # noqa: PTH113
    refuse(folder, lacking, "lacks")
    return [folder / path for path in paths]
