"""From the stored maps of one network to its rows of the tables."""

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from camloc.boxes.geometry import CORNERS
from camloc.boxes.heuristic import five_predictions
from camloc.boxes.predictions import Split
from camloc.boxes.rule import Rule
from camloc.core.rows import OWN, Row
from camloc.evaluation import error_types, thresholds
from camloc.evaluation.choices import choices
from camloc.evaluation.coverage import coverage
from camloc.evaluation.errors import score
from camloc.evaluation.store import Evaluation
from camloc.maps import store

Located = tuple[pd.DataFrame, NDArray]  # of `Split.predictions`


def evaluate(
    splits: Sequence[Split],
    network: str,
    rule: Rule,
    iou: float,
    earlier: Evaluation | None = None,
    curves_key: str = "",
) -> Evaluation:
    """All that is stored of one network on its labelled splits, each held out for the other.

    Curves over all thresholds cost most and do not depend on the rule's own threshold: those of an
    earlier evaluation are taken where its key, which is not empty, is the same.
    """
    kept = earlier if earlier and curves_key and earlier.curves_key == curves_key else None
    images, by_threshold, choices_of = [], [], {}
    curves: dict[str, dict[str, thresholds.Curves]] = {split.name: {} for split in splits}
    for split in splits:
        for row, table, located in _rows(split, network, rule, iou):
            key = {"network": row.network, "method": row.method, "split": split.name}
            images.append(table.assign(**key))
            if located and not kept:
                curves[split.name][row.name] = thresholds.curves(split, *located)
                by_threshold.append(thresholds.by_threshold(split, *located, iou).assign(**key))
        if split.stored(10).is_dir():
            choices_of[split.name] = choices(split, rule, iou)
    wsol = kept.wsol if kept else thresholds.over_thresholds(curves)
    by_threshold = [kept.thresholds] if kept else by_threshold
    return Evaluation.of(images, by_threshold, wsol=wsol, choices=choices_of, curves_key=curves_key)


def _rows(
    split: Split, network: str, rule: Rule, iou: float
) -> Iterator[tuple[Row, pd.DataFrame, Located | None]]:
    """The rows of one network on one split: its classes, its CAMs and its saliency; one row per
    image each, and the predictions and maps of those that have some.

    A network whose ten crops are stored has the heuristics' rows, too.
    """
    methods = store.methods_of(split.stored())
    if OWN not in methods:  # the network classifies but has no map of its own
        predictions = store.read(split.stored()).assign(**dict.fromkeys(CORNERS, np.nan))
        errors, outcome = score(split, predictions, iou)
        yield Row(network), _table(outcome, errors.filter(like="cls_err")), None
    for method in methods:
        predictions, maps = split.predictions(method, rule)
        errors, outcome = score(split, predictions, iou)
        if method != OWN:
            errors = errors.filter(like="loc_err")
        elif rule.pairs:
            five, _ = score(split, five_predictions(predictions, maps, rule.pairs), iou)
            errors["loc_err_top5"] = five["loc_err_top5"]
        table = _table(
            outcome,
            errors,
            coverage(split, predictions, maps, rule.threshold),
            error_types.error_types(predictions, split.boxes, iou),
            error_types.sizes(split.images, split.boxes),
        )
        yield Row(network, method), table, (predictions, maps)
        if method == OWN and split.stored(10).is_dir():
            for heuristic, pairs in rule.heuristics.items():
                errors, outcome = score(split, five_predictions(predictions, maps, pairs), iou)
                table = _table(outcome, errors.filter(items=["loc_err_top5"]))
                yield Row(network, heuristic), table, None


def _table(outcome: pd.DataFrame, *more: pd.DataFrame | pd.Series) -> pd.DataFrame:
    """The outcomes, with what is known of each image, by image, beside them."""
    for table in more:
        outcome = outcome.merge(table, left_on="image", right_index=True, how="left")
    return outcome
