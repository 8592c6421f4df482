"""From the stored maps of one network to its rows of the tables."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from camloc import anatomy, predictions, protocols
from camloc.boxes import authors_boxes, boxes_from_maps, centre_box, whole_image_box
from camloc.crops import merge
from camloc.extent import extent, peaks
from camloc.manifest import Manifest
from camloc.masks import read_mask, read_parts
from camloc.metrics import (
    CORNERS,
    GT_KNOWN,
    bootstrap,
    image_errors,
    intervals,
    outcomes,
    percentages,
)
from camloc.params import Boxes
from camloc.predictions import row_name

BASELINES = {"whole-image": whole_image_box, "centre-box": centre_box}
CENTRE_GAUSSIAN = "centre-gaussian"
THRESHOLDS = (np.arange(20) / 20).tolist()  # at which the paper's rule is shown
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
class Curves:
    """Maps over all thresholds: `hits` (images with a box, curves, levels), and the pixels of the
    images that have masks (see `camloc.protocols`)."""

    hits: NDArray
    pixels: protocols.PixelCounts


@dataclass(frozen=True)
class Row:
    """A row of the tables on one split: `outcome` and `errors` have a line an image; where the row
    has maps, `curves` and `by_threshold` are of those of the true classes."""

    name: str
    errors: pd.DataFrame
    outcome: pd.DataFrame
    curves: Curves | None = None
    by_threshold: pd.DataFrame | None = None

    @property
    def figures(self) -> dict[str, float]:
        """The row's errors in percent."""
        return percentages(self.errors)


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
        guesses = predictions.read(folder)
        key = pd.MultiIndex.from_frame(guesses[["image", "wnid"]])
        held = pd.MultiIndex.from_frame(self.manifest.boxes[["image", "wnid"]])
        guesses["true"] = key.isin(pd.MultiIndex.from_frame(self.labels))
        counts = (guesses["rank"] <= 5) | guesses["true"] | key.isin(held)
        if images is not None:
            counts &= guesses["image"].isin(images)
        rows = np.flatnonzero(counts)
        guesses = guesses.iloc[rows].reset_index(drop=True)
        maps = predictions.read_maps(folder, method)
        flat = maps.reshape(-1, *maps.shape[2:])
        whole = [_one_map(flat[row], folder, options) for row in rows]
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


def evaluate_split(split: Split, network: str, options: Boxes, iou: float) -> Iterator[Row]:
    """The rows of one network on one split: its classes, its CAMs and its saliency.

    A network whose ten crops are stored is looked at closely, and has the heuristics' rows, too.
    """
    methods = predictions.methods_of(split.stored())
    if "cam" not in methods:  # the network classifies but has no map of its own
        guesses = predictions.read(split.stored()).assign(**dict.fromkeys(CORNERS, 0))
        errors, outcome = _score(split, guesses, iou)
        yield Row(network, errors.filter(like="cls_err"), outcome)
    for method in methods:
        guesses, maps = split.guesses(method, options)
        errors, outcome = _score(split, guesses, iou)
        if method != "cam":
            errors = errors.filter(like="loc_err")
        elif pair_of := heuristics(options).get(options.rule):
            five, _ = _score(split, five_guesses(guesses, maps, pair_of), iou)
            errors["loc_err_top5"] = five["loc_err_top5"]
        outcome = _with_kinds(split, guesses, outcome, iou)
        lit = looked_at(split, guesses, maps, options.threshold)
        outcome = outcome.merge(lit, left_on="image", right_index=True, how="left")
        yield Row(
            row_name(network, method),
            errors,
            outcome,
            curves(split, guesses, maps),
            by_threshold(split, guesses, maps, iou),
        )
        if method == "cam" and split.stored(10).is_dir():
            yield from _heuristics(split, network, guesses, maps, options, iou)


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
        errors = _score(split, true, iou)[0].filter(items=[GT_KNOWN])
        for name, error in percentages(errors).items():
            lines[threshold] = [error, *intervals(errors)[name]]
    table = pd.DataFrame.from_dict(lines, orient="index", columns=[GT_KNOWN, "low", "high"])
    return table.rename_axis("threshold").reset_index()


def five_guesses(
    guesses: pd.DataFrame, maps: Sequence[NDArray], pair_of: Callable[[NDArray, int, int], NDArray]
) -> pd.DataFrame:
    """Five guesses from three classes: both boxes of the first two, the first box of the third.

    Args:
        guesses, maps: of `Split.guesses`.
        pair_of: of a map and its image's width and height the two boxes (2, 4).
    """
    first = guesses[guesses["rank"] <= 3]
    pairs = [
        pair_of(maps[i], w, h)
        for i, w, h in zip(first.index, first["width"], first["height"], strict=True)
    ]
    boxes = np.array(pairs).reshape(-1, 2, 4)
    both = [
        first[["image", "wnid"]].assign(
            rank=2 * first["rank"] - 1 + second,
            **dict(zip(CORNERS, boxes[:, second].T, strict=True)),
        )
        for second in (0, 1)
    ]
    five = pd.concat(both, ignore_index=True)
    return five[five["rank"] <= 5]


def heuristics(options: Boxes) -> dict[str, Callable[[NDArray, int, int], NDArray]]:
    """The heuristic as the authors' code has it and as their text does, by its rule: of a map and
    its image's width and height the two boxes (2, 4)."""
    return {"heuristic": authors_pair, "heuristic-text": partial(loose_and_tight, options)}


def authors_pair(low: NDArray, width: int, height: int) -> NDArray:
    """The first two of the authors' boxes, as their code submits them; one twice if it is alone."""
    boxes = authors_boxes(np.abs(low), width, height)
    return boxes[[0, min(1, len(boxes) - 1)]]


def loose_and_tight(options: Boxes, low: NDArray, width: int, height: int) -> NDArray:
    """A loose box and a tight one, as the paper's text has it; the third class keeps the loose."""
    size = np.array([[width, height]])
    pair = (boxes_from_maps(low[None], size, t) for t in (options.threshold, options.tight))
    return np.concatenate(list(pair))


def deviations(split: Split, options: Boxes, iou: float) -> pd.DataFrame:
    """What each choice of the evaluation moves, on one network's CAMs.

    Needs the maps of ten crops.

    Returns:
        A row for the study's own choices and one for each of `DEVIATIONS`; `loc_err_…` in percent,
        `loc_err_… change` against the first row in points, and `… low` and `… high`, the 95 %
        intervals of both.
    """
    lines, base = {}, None
    for name, change in ({"this study": {}} | DEVIATIONS).items():
        guesses, _ = split.guesses("cam", options.model_copy(update=change))
        errors = _score(split, guesses, iou)[0].filter(like="loc_err")
        base = errors if base is None else base
        lines[name] = choice(errors, base)
    return pd.DataFrame.from_dict(lines, orient="index").rename_axis("choice")


def choice(errors: pd.DataFrame, base: pd.DataFrame) -> dict[str, float]:
    """A line of `deviations`: localization errors in percent, and how they differ from the base.

    Args:
        errors, base: of `camloc.metrics.image_errors`.
    """
    line = {}
    for name in errors.filter(like="loc_err"):
        values = 100 * errors[name]
        moved = values - 100 * base[name] if name in base else values * np.nan
        for title, each in ((name, values), (f"{name} change", moved)):
            low, high = bootstrap(each.to_numpy())
            line |= {title: float(each.mean()), f"{title} low": low, f"{title} high": high}
    return line


def curves(split: Split, guesses: pd.DataFrame, maps: Sequence[NDArray]) -> Curves:
    """The maps of the true classes over all thresholds.

    Args:
        guesses, maps: of `Split.guesses`.
    """
    true = guesses[guesses["true"]]
    place = dict(zip(true["image"], true.index, strict=True))
    boxes = _boxes_on_the_square(split, list(place))
    masks = _masks(split, list(place))

    def look(image: str) -> tuple[NDArray | None, NDArray | None]:
        full = protocols.score_map(maps[place[image]])
        return (
            protocols.hits(full, boxes[image]) if image in boxes else None,
            protocols.pixel_counts(full, masks[image]()) if image in masks else None,
        )

    hits, pixels = [], protocols.PixelCounts()
    with ThreadPoolExecutor() as pool:  # OpenCV and compiled code let other threads run
        for found, counts in pool.map(look, place):
            if found is not None:
                hits.append(found)
            if counts is not None:
                pixels.add(counts)
    return Curves(_stack(hits), pixels)


def baseline_curves(manifest: Manifest, name: str) -> dict[str, Curves]:
    """The same of what looks at nothing: the centred Gaussian as a map, and single boxes."""
    split = Split(Path(), manifest, name)  # nothing is read of any network
    labels = split.labels.assign(true=True)
    found = {CENTRE_GAUSSIAN: curves(split, labels, [centre_gaussian()] * len(labels))}
    boxes = _boxes_on_the_square(split, labels["image"].tolist())
    square = np.array([[protocols.SIDE, protocols.SIDE]])
    for name, rule in BASELINES.items():
        hits = [protocols.box_hits(rule(square)[0], own) for own in boxes.values()]
        found[name] = Curves(_stack(hits), protocols.PixelCounts())
    return found


def over_thresholds(found: dict[str, dict[str, Curves]]) -> dict[str, dict[str, dict]]:
    """`camloc.protocols.summary` of every split and row, each split held out for the other.

    Args:
        found: curves by split and row, the same rows in each.
    """
    scores: dict[str, dict[str, dict]] = {split: {} for split in found}
    for split, rows in found.items():
        for row, own in rows.items():
            others = [found[other][row].hits for other in found if other != split]
            scores[split][row] = protocols.summary(own.hits, *others[:1], pixels=own.pixels)
    return scores


def looked_at(
    split: Split, guesses: pd.DataFrame, maps: Sequence[NDArray], threshold: float
) -> pd.DataFrame:
    """What the maps light, by image (see `camloc.extent`).

    Args:
        guesses, maps: of `Split.guesses`.
        threshold: share of a map's maximum.

    Returns:
        `object_cover` of the true class's map where the image has a mask, `part_cover` where that
        tells parts; `peak_on_own` and `peak_on_other` where it holds boxes of several classes,
        means over those of them whose maps are stored; an image without either has no row.
    """
    place = places(guesses)
    masks = _masks(split, guesses["image"].unique())
    boxes = split.manifest.boxes.groupby("image")
    several = boxes.filter(lambda own: own["wnid"].nunique() > 1).groupby("image")
    several = dict(list(several))
    lines = {}
    for image in split.images.dropna(subset="wnid").itertuples():
        line = {}
        if image.image in masks and (image.image, image.wnid) in place:
            low = maps[place[image.image, image.wnid]]
            line |= extent(low, masks[image.image](), threshold)
            if not split.manifest.masks_have_parts:
                del line["part_cover"]
        if image.image in several:
            line |= _peaks(image, several[image.image], place, maps)
        if line:
            lines[image.image] = line
    return pd.DataFrame(list(lines.values()), index=pd.Index(list(lines), dtype=object))


def _peaks(
    image: tuple, boxes: pd.DataFrame, place: dict, maps: Sequence[NDArray]
) -> dict[str, float]:
    found = [
        peaks(
            maps[place[image.image, wnid]],
            (image.width, image.height),
            boxes.loc[boxes["wnid"] == wnid, CORNERS],
            boxes.loc[boxes["wnid"] != wnid, CORNERS],
        )
        for wnid in boxes["wnid"].unique()
        if (image.image, wnid) in place
    ]
    names = ["peak_on_own", "peak_on_other"]
    return dict(zip(names, np.mean(found, axis=0), strict=True)) if found else {}


def _masks(split: Split, images: Sequence[str]) -> dict[str, Callable[[], NDArray[np.uint8]]]:
    """What reads the mask, with its parts if it tells any, of those of the images that have one."""
    masks = split.images[split.images["image"].isin(images)].dropna(subset="mask")
    manifest = split.manifest
    read = read_parts if manifest.masks_have_parts else read_mask
    return {
        image: partial(read, manifest.root / mask)
        for image, mask in zip(masks["image"], masks["mask"], strict=True)
    }


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


def _with_kinds(
    split: Split, guesses: pd.DataFrame, outcome: pd.DataFrame, iou: float
) -> pd.DataFrame:
    """The outcomes, with the kind of each image's miss and the size of its object."""
    boxes = split.manifest.boxes
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


def _boxes_on_the_square(split: Split, images: list[str]) -> dict[str, NDArray]:
    """The true boxes of those of the images that have some, by image."""
    boxes = split.manifest.boxes.merge(split.labels, on=["image", "wnid"])
    sized = boxes.merge(split.images[["image", "width", "height"]], on="image")
    return {
        image: protocols.resized_boxes(own[CORNERS], *own[["width", "height"]].iloc[0])
        for image, own in sized[sized["image"].isin(images)].groupby("image")
    }


def _stack(hits: list[NDArray]) -> NDArray[np.bool_]:
    """(images, curves, levels), of no image, too."""
    shape = (0, len(protocols.CURVES), protocols.LEVELS)
    return np.stack(hits) if hits else np.zeros(shape, dtype=bool)


def _score(split: Split, guesses: pd.DataFrame, iou: float) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Each image's errors, and the outcome that they follow from."""
    outcome = outcomes(guesses, split.labels, split.manifest.boxes, iou)
    return image_errors(outcome, iou), outcome


def _heuristics(
    split: Split,
    network: str,
    guesses: pd.DataFrame,
    maps: list[NDArray],
    options: Boxes,
    iou: float,
) -> Iterator[Row]:
    """Rows of five guesses from three classes, as the code has them and as the text does."""
    for rule, pair_of in heuristics(options).items():
        errors, outcome = _score(split, five_guesses(guesses, maps, pair_of), iou)
        name = f"{rule.replace('heuristic', HEURISTICS)}-{network}"
        yield Row(name, errors.filter(items=["loc_err_top5"]), outcome)
