"""From the stored maps of one network to its rows of the tables."""

from collections.abc import Iterator
from dataclasses import dataclass

import pandas as pd
from numpy.typing import NDArray

from camloc.boxes.geometry import CORNERS
from camloc.boxes.heuristic import five_guesses, heuristics
from camloc.boxes.predictions import Split
from camloc.core.params import Boxes
from camloc.evaluation import error_types
from camloc.evaluation.coverage import looked_at
from camloc.evaluation.errors import percentages, score
from camloc.evaluation.thresholds import Curves, by_threshold, curves
from camloc.maps import store
from camloc.maps.store import row_name

HEURISTICS = "heuristics"  # begins the rows of five guesses from three classes


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


def evaluate_split(split: Split, network: str, options: Boxes, iou: float) -> Iterator[Row]:
    """The rows of one network on one split: its classes, its CAMs and its saliency.

    A network whose ten crops are stored is looked at closely, and has the heuristics' rows, too.
    """
    methods = store.methods_of(split.stored())
    if "cam" not in methods:  # the network classifies but has no map of its own
        guesses = store.read(split.stored()).assign(**dict.fromkeys(CORNERS, 0))
        errors, outcome = score(split, guesses, iou)
        yield Row(network, errors.filter(like="cls_err"), outcome)
    for method in methods:
        guesses, maps = split.guesses(method, options)
        errors, outcome = score(split, guesses, iou)
        if method != "cam":
            errors = errors.filter(like="loc_err")
        elif pair_of := heuristics(options).get(options.rule):
            five, _ = score(split, five_guesses(guesses, maps, pair_of), iou)
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


def _with_kinds(
    split: Split, guesses: pd.DataFrame, outcome: pd.DataFrame, iou: float
) -> pd.DataFrame:
    """The outcomes, with the kind of each image's miss and the size of its object."""
    boxes = split.manifest.boxes
    kinds = error_types.kinds(guesses, split.labels, boxes, iou)
    own = boxes.merge(split.labels, on=["image", "wnid"])
    sizes = error_types.sizes(split.images, own).rename("size").astype(str)
    outcome = outcome.merge(kinds, on="image", how="left")
    return outcome.merge(sizes, left_on="image", right_index=True, how="left")


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
        errors, outcome = score(split, five_guesses(guesses, maps, pair_of), iou)
        name = f"{rule.replace('heuristic', HEURISTICS)}-{network}"
        yield Row(name, errors.filter(items=["loc_err_top5"]), outcome)
