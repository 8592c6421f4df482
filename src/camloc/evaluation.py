"""From the stored maps of one network to its rows of the tables."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from camloc import anatomy, predictions, protocols
from camloc.boxes import authors_boxes, boxes_from_maps, centre_box, whole_image_box
from camloc.crops import merge
from camloc.manifest import Manifest
from camloc.metrics import CORNERS, GT_KNOWN, bootstrap, image_errors, outcomes, percentages
from camloc.params import Boxes

BASELINES = {"whole-image": whole_image_box, "centre-box": centre_box}
CENTRE_GAUSSIAN = "centre-gaussian"
HEURISTICS = "heuristics"  # begins the rows of five guesses from three classes
# What the text of the paper and the released code do differently, one change at a time.
DEVIATIONS = {
    "threshold 7.8 %": {"threshold": 20 / 255},
    "min-max instead of max": {"normalise": "min-max"},
    "the authors' boxes": {"rule": "authors"},
    "ten crops, mean over coverage": {"crops": 10, "merge": "coverage-mean"},
    "ten crops, absolute sum": {"crops": 10, "merge": "absolute-sum"},
    "all that the authors' code does": {"crops": 10, "merge": "absolute-sum", "rule": "authors"},
}


@dataclass(frozen=True)
class Row:
    """A row of the tables on one split: `outcome` and `errors` have a line an image."""

    name: str
    errors: pd.DataFrame
    outcome: pd.DataFrame

    @property
    def figures(self) -> dict[str, float]:
        """The row's errors in percent."""
        return percentages(self.errors)


def row_name(network: str, method: str) -> str:
    """A row of the tables: the network's name for its CAMs, `backprop-…` for its saliency."""
    return network if method == "cam" else f"{method}-{network}"


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

    def guesses(self, method: str, options: Boxes) -> tuple[pd.DataFrame, list[NDArray]]:
        """The predictions that count, of the first five ranks or of a true class, with the box of
        each one's map.

        Returns:
            `image`, `rank`, `wnid`, `width`, `height` and the corners; and the maps (h, w), merged
            where they are of ten crops.
        """
        folder = self.stored(options.crops if method == "cam" else 1)
        guesses = predictions.read(folder)
        labelled = pd.MultiIndex.from_frame(self.labels)
        true = pd.MultiIndex.from_frame(guesses[["image", "wnid"]]).isin(labelled)
        rows = np.flatnonzero((guesses["rank"] <= 5) | true)
        guesses = guesses.iloc[rows].reset_index(drop=True)
        maps = predictions.read_maps(folder, method)
        flat = maps.reshape(-1, *maps.shape[2:])
        whole = [_one_map(flat[row], folder, options) for row in rows]
        size = self.images.set_index("image")[["width", "height"]]
        guesses[["width", "height"]] = size.loc[guesses["image"]].to_numpy()
        sizes = guesses[["width", "height"]].to_numpy()
        if options.rule == "authors":
            boxes = [
                authors_boxes(np.abs(m), w, h)[0] for m, (w, h) in zip(whole, sizes, strict=True)
            ]
            guesses[CORNERS] = np.array(boxes).reshape(-1, 4)
        else:
            guesses[CORNERS] = boxes_from_maps(np.stack(whole), sizes, options.threshold)
        return guesses, whole


def evaluate_split(split: Split, network: str, options: Boxes, iou: float) -> Iterator[Row]:
    """The rows of one network on one split: its classes, its CAMs and its saliency.

    A network whose ten crops are stored is looked at closely, and has the heuristics' rows, too.
    """
    methods = predictions.methods_of(split.stored())
    if "cam" not in methods:  # the network classifies but has no map of its own
        guesses = predictions.read(split.stored()).assign(**dict.fromkeys(CORNERS, 0))
        outcome = outcomes(guesses, split.labels, split.manifest.boxes, iou)
        errors = image_errors(outcome, iou)
        yield Row(network, errors[[c for c in errors if c.startswith("cls")]], outcome)
    for method in methods:
        guesses, maps = split.guesses(method, options)
        outcome = _outcome(split, guesses, iou)
        errors = image_errors(outcome, iou)
        if method != "cam":
            errors = errors[[c for c in errors if c.startswith("loc")]]
        yield Row(row_name(network, method), errors, outcome)
        if method == "cam" and split.stored(10).is_dir():
            yield from _heuristics(split, network, guesses, maps, options, iou)


def deviations(split: Split, options: Boxes, iou: float) -> pd.DataFrame:
    """What each choice of the evaluation moves, on one network's CAMs.

    Needs the maps of ten crops.

    Returns:
        A row for the study's own choices and one for each of `DEVIATIONS`; `loc_err_…` in percent,
        and the change of the top-1 and the GT-known error against the first row in points with
        its paired 95 % interval.
    """
    lines, base = {}, None
    for name, change in ({"this study": {}} | DEVIATIONS).items():
        guesses, _ = split.guesses("cam", options.model_copy(update=change))
        found = outcomes(guesses, split.labels, split.manifest.boxes, iou)
        errors = image_errors(found, iou).filter(like="loc_err")
        base = errors if base is None else base
        lines[name] = percentages(errors) | _change(errors, base)
    return pd.DataFrame.from_dict(lines, orient="index").rename_axis("choice")


def curves(split: Split, method: str, options: Boxes) -> tuple[NDArray, float]:
    """The maps of the true classes over all thresholds (see `camloc.protocols`).

    Returns:
        Hits (images with a box, curves, levels), and PxAP where the images have masks, else NaN.
    """
    guesses, maps = split.guesses(method, options)
    true = guesses.reset_index(names="map").merge(split.labels, on=["image", "wnid"])
    boxes = dict(list(split.manifest.boxes.merge(split.labels).groupby("image")[CORNERS]))
    true = true[true["image"].isin(boxes)]

    def hits_of(guess) -> NDArray[np.bool_]:
        own = boxes[guess.image].to_numpy()
        full = protocols.score_map(maps[guess.map])
        return protocols.hits(full, protocols.resized_boxes(own, guess.width, guess.height))

    with ThreadPoolExecutor() as pool:  # compiled code lets other threads run
        hits = list(pool.map(hits_of, true.itertuples()))
    pixels = protocols.PixelCounts()
    masked = true.merge(split.images[["image", "mask"]].dropna(), on="image")
    for guess in masked.itertuples():
        full = protocols.score_map(maps[guess.map])
        pixels.add(full, read_mask(split.manifest.root / guess.mask))
    shape = (0, len(protocols.CURVES), protocols.LEVELS)
    return np.stack(hits) if hits else np.zeros(shape, bool), pixels.average_precision()


def read_mask(path: Path) -> NDArray[np.uint8]:
    """The mask of an image's labelled object, above zero on it; object 1 of the file."""
    return (cv2.imread(str(path), cv2.IMREAD_GRAYSCALE) // 16 == 1).astype(np.uint8)


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
        yield Row(name, image_errors(outcome, iou)[[GT_KNOWN]], outcome)


def gaussian_box(sizes: NDArray) -> NDArray[np.int64]:
    """The paper's rule on `centre_gaussian`: sizes (N, 2) give boxes (N, 4)."""
    return boxes_from_maps(np.broadcast_to(centre_gaussian(), (len(sizes), 224, 224)), sizes)


def centre_gaussian(side: int = 224) -> NDArray[np.float64]:
    """The baseline map of Choe et al. (2020): a Gaussian about the centre, deviation a quarter."""
    x = (np.arange(side) + 0.5) / side - 0.5
    return np.exp(-(x[:, None] ** 2 + x[None] ** 2) / (2 * 0.25**2))


def _outcome(split: Split, guesses: pd.DataFrame, iou: float) -> pd.DataFrame:
    """The outcome of each image, with the kind of its miss and the size of its object."""
    boxes = split.manifest.boxes
    outcome = outcomes(guesses, split.labels, boxes, iou)
    kinds = anatomy.kinds(guesses, split.labels, boxes, iou)
    own = boxes.merge(split.labels, on=["image", "wnid"])
    sizes = anatomy.sizes(split.images, own).rename("size").astype(str)
    outcome = outcome.merge(kinds, on="image", how="left")
    return outcome.merge(sizes, left_on="image", right_index=True, how="left")


def _one_map(low: NDArray, folder: Path, options: Boxes) -> NDArray[np.float32]:
    """A stored map as one (h, w), of its crops if there are several, its minimum at 0 if asked."""
    low = low.astype(np.float32)
    if low.ndim == 3:
        side, size = predictions.read_crops(folder)
        low = merge(low, side, size, absolute_sum=options.merge == "absolute-sum")
    return low - low.min() if options.normalise == "min-max" else low


def _heuristics(
    split: Split,
    network: str,
    guesses: pd.DataFrame,
    maps: list[NDArray],
    options: Boxes,
    iou: float,
) -> Iterator[Row]:
    """Two boxes of each of the first two classes and one of the third, as five guesses.

    As the code has it, the first two and the first of the authors' boxes; as the text has it, a
    tight box and a loose one, and the loose one.
    """
    first = guesses[guesses["rank"] <= 3]
    for name, boxes_of in ((HEURISTICS, _authors_pair), (f"{HEURISTICS}-text", _tight_and_loose)):
        pairs = [
            boxes_of(maps[i], w, h, options)
            for i, w, h in zip(first.index, first["width"], first["height"], strict=True)
        ]
        rows = [
            first[["image", "wnid"]].assign(
                rank=2 * first["rank"] - 1 + second,
                **dict(zip(CORNERS, np.array(pairs)[:, second].T, strict=True)),
            )
            for second in (0, 1)
        ]
        five = pd.concat(rows)
        outcome = outcomes(five[five["rank"] <= 5], split.labels, split.manifest.boxes, iou)
        errors = image_errors(outcome, iou)
        yield Row(f"{name}-{network}", errors.filter(items=["loc_err_top5"]), outcome)


def _authors_pair(low: NDArray, width: int, height: int, options: Boxes) -> NDArray:
    boxes = authors_boxes(np.abs(low), width, height)
    return boxes[[0, min(1, len(boxes) - 1)]]


def _tight_and_loose(low: NDArray, width: int, height: int, options: Boxes) -> NDArray:
    """The loose box first: it is the one that the third class keeps."""
    size = np.array([[width, height]])
    loose, tight = (boxes_from_maps(low[None], size, t) for t in (options.threshold, options.tight))
    return np.concatenate([loose, tight])


def _change(errors: pd.DataFrame, base: pd.DataFrame) -> dict[str, float]:
    changes = {}
    for name in ("loc_err_top1", GT_KNOWN):
        if name in errors and name in base:
            moved = 100 * (errors[name] - base[name].reindex(errors.index)).to_numpy()
            low, high = bootstrap(moved)
            changes |= {f"{name} change": float(np.nanmean(moved))}
            changes |= {f"{name} low": low, f"{name} high": high}
    return changes
