"""From the stored maps of one network to its rows of the tables."""

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd

from camloc.boxes.geometry import CORNERS
from camloc.boxes.heuristic import five_predictions
from camloc.boxes.predictions import Split
from camloc.boxes.rule import Rule
from camloc.core.rows import OWN, Row
from camloc.evaluation import error_types, thresholds
from camloc.evaluation.causes import causes
from camloc.evaluation.choices import Located, choices
from camloc.evaluation.coverage import coverage
from camloc.evaluation.errors import score, score_cams
from camloc.evaluation.store import FAITHFULNESS, Evaluation
from camloc.maps import store


def evaluate(
    splits: Sequence[Split],
    network: str,
    rule: Rule,
    iou: float,
    earlier: Evaluation | None = None,
    curves_key: str = "",
) -> Evaluation:
    """All that is stored of one network on its labelled splits, each held out for the other.

    What is taken over all thresholds costs most and does not depend on the rule's own threshold:
    that of an earlier evaluation is taken where its key, which is not empty, is the same.
    """
    kept = earlier if earlier and curves_key and earlier.curves_key == curves_key else None
    tables: dict[tuple[str, Row], pd.DataFrame] = {}
    curves: dict[str, dict[str, thresholds.Curves]] = {split.name: {} for split in splits}
    by_threshold: dict[tuple[str, Row], pd.DataFrame] = {}
    by_map: dict[tuple[str, Row], pd.DataFrame] = {}
    changed: list[pd.DataFrame] = []
    for split in splits:
        for row, table, located in _rows(split, network, rule, iou):
            tables[split.name, row] = table
            if located:
                found = choices(split, row.method, located, rule, iou)
                changed += [found.assign(**_key(split.name, row))] if len(found) else []
            if located and not kept:
                curves[split.name][row.name] = thresholds.curves(split, *located)
                by_threshold[split.name, row] = thresholds.by_threshold(split, *located, iou)
                by_map[split.name, row] = thresholds.by_map(split, *located, iou)
    if kept:
        added = {key: kept.over_thresholds(*key) for key in tables}
    else:
        added = _over_thresholds(splits, rule, iou, curves, by_threshold)
        added = {key: table.join(by_map[key], how="outer") for key, table in added.items()}
    images = [
        _table(table, added[key]).assign(**_key(*key))
        if key in added
        else table.assign(**_key(*key))
        for key, table in tables.items()
    ]
    return Evaluation.of(
        images,
        [kept.thresholds] if kept else [t.assign(**_key(*k)) for k, t in by_threshold.items()],
        wsol=kept.wsol if kept else thresholds.over_thresholds(curves),
        choices=changed,
        curves_key=curves_key,
    )


def _key(split: str, row: Row) -> dict:
    return {"network": row.network, "method": row.method, "split": split}


def _over_thresholds(
    splits: Sequence[Split],
    rule: Rule,
    iou: float,
    curves: dict[str, dict[str, thresholds.Curves]],
    by_threshold: dict[tuple[str, Row], pd.DataFrame],
) -> dict[tuple[str, Row], pd.DataFrame]:
    """`store.OVER_THRESHOLDS` of each split and row that has maps, by image."""
    added = {}
    whole = thresholds.whole_map(curves)
    for split in splits:
        others = [other.name for other in splits if other.name != split.name]
        for row in [row for name, row in by_threshold if name == split.name]:
            found = whole[split.name][row.name]
            held_out = by_threshold.get((others[0], row)) if others else None
            best = None if held_out is None else thresholds.best_threshold(held_out)
            if best is not None:
                at = rule.changed(rule="largest-component", threshold=best)
                errors, _ = score(split, split.predictions(row.method, at)[0], iou)
                errors = errors.filter(like="loc_err")
                names = errors.columns.str.replace("loc_err", "held_out")
                found = errors.set_axis(names, axis=1).join(found, how="outer")
            added[split.name, row] = found
    return added


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
        if method == OWN:
            errors, outcome = score_cams(split, predictions, maps, rule, iou)
        else:
            errors, outcome = score(split, predictions, iou)
            errors = errors.filter(like="loc_err")
        table = _table(
            outcome,
            errors,
            coverage(split, predictions, maps, rule.threshold),
            _faithfulness(split, method),
            causes(split, method),
            error_types.error_types(predictions, split.boxes, iou),
            error_types.sizes(split.images, split.boxes),
        )
        yield Row(network, method), table, (predictions, maps)
        if method == OWN and split.stored(store.TEN_CROP).is_dir():
            for heuristic, pairs in rule.heuristics.items():
                errors, outcome = score(split, five_predictions(predictions, maps, pairs), iou)
                table = _table(outcome, errors.filter(items=["loc_err_top5"]))
                yield Row(network, heuristic), table, None


def _faithfulness(split: Split, method: str) -> pd.DataFrame:
    """What was measured of a method's maps, by image; may have no rows."""
    shares = store.read_faithfulness(split.stored(), method)
    images = [] if shares is None else split.images["image"]
    return pd.DataFrame([] if shares is None else shares, index=images, columns=FAITHFULNESS)


def _table(outcome: pd.DataFrame, *more: pd.DataFrame | pd.Series) -> pd.DataFrame:
    """The outcomes, with what is known of each image, by image, beside them."""
    for table in more:
        outcome = outcome.merge(table, left_on="image", right_index=True, how="left")
    return outcome
