"""What each choice of the evaluation changes."""

from collections.abc import Iterable, Iterator

import pandas as pd
from numpy.typing import NDArray

from camloc.boxes.geometry import CORNERS
from camloc.boxes.predictions import Split
from camloc.boxes.rule import Rule
from camloc.core.rows import OF_PIXELS, OWN
from camloc.evaluation.errors import score, score_cams
from camloc.maps import store

# What the text of the paper, the released code and the geometry of networks do differently, one
# change at a time.
DEVIATIONS: dict[str, dict] = {
    "cells at the centres of their receptive fields": {"cells": "receptive-field"},
    "threshold 7.8 %": {"threshold": 20 / 255},
    "min-max instead of max": {"normalise": "min-max"},
    "the authors' boxes": {"rule": "authors"},
    "ten crops, mean over coverage": {"crops": 10, "merge": "coverage-mean"},
    "ten crops, absolute sum": {"crops": 10, "merge": "absolute-sum"},
    "all that the authors' code does": {"crops": 10, "merge": "absolute-sum", "rule": "authors"},
}
PLACEMENT = next(iter(DEVIATIONS))
IN_BF16 = "computed in bfloat16"
# By how much wider cells of the saliency are, in place of `cams.saliency_cell`.
CELLS = {2: "saliency in cells twice as wide", 4: "saliency in cells four times as wide"}

Located = tuple[pd.DataFrame, NDArray]  # of `Split.predictions`


def choices(split: Split, method: str, located: Located, rule: Rule, iou: float) -> pd.DataFrame:
    """The localization errors of a row with one choice of the evaluation changed at a time.

    CAMs have `PLACEMENT`, all of `DEVIATIONS` where ten crops are stored, and `IN_BF16` where
    bfloat16 is; maps of pixels have `CELLS`, and those of layers nothing.

    Args:
        located: the row's own predictions and maps.

    Returns:
        `choice`, `image` and the errors, a row for each of both; may be empty.
    """
    made: Iterable[tuple[str, pd.DataFrame]] = ()
    if method == OWN:
        made = (
            (name, score_cams(split, *changed, by, iou)[0])
            for name, by, changed in _of_cams(split, rule)
        )
    elif method in OF_PIXELS:
        made = ((name, score(split, wide, iou)[0]) for name, wide in _wider(*located, rule))
    tables = {name: errors.filter(like="loc_err") for name, errors in made}
    return pd.concat(tables, names=["choice"]).reset_index() if tables else pd.DataFrame()


def _of_cams(split: Split, rule: Rule) -> Iterator[tuple[str, Rule, Located]]:
    """What is changed of a network's CAMs, by which rule, and what that gives."""
    everything = split.stored(store.TEN_CROP).is_dir()
    known = store.read_geometry(split.stored()).cells is not None
    for name, change in DEVIATIONS.items():
        if known if name == PLACEMENT else everything:
            changed = rule.changed(**change)
            yield name, changed, split.predictions(OWN, changed)
    if split.stored(store.BF16).is_dir() and rule.crops(OWN) == 1:
        yield IN_BF16, rule, split.predictions(OWN, rule, kind=store.BF16)


def _wider(
    predictions: pd.DataFrame, maps: NDArray, rule: Rule
) -> Iterator[tuple[str, pd.DataFrame]]:
    """The predictions by maps of pixels that are also averaged over wider cells."""
    for factor, name in CELLS.items():
        sides = [side // factor for side in maps.shape[1:]]
        if min(sides):
            blocks = maps[:, : sides[0] * factor, : sides[1] * factor]
            wide = blocks.reshape(-1, sides[0], factor, sides[1], factor).mean(axis=(2, 4))
            boxes = rule.boxes(wide, predictions[["width", "height"]].to_numpy())
            yield name, predictions.assign(**dict(zip(CORNERS, boxes.T, strict=True)))
