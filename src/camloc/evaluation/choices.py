"""What each choice of the evaluation changes."""

from collections.abc import Iterator

import numpy as np
import pandas as pd

from camloc.boxes.geometry import CORNERS
from camloc.boxes.predictions import Split
from camloc.boxes.rule import Rule
from camloc.evaluation.errors import score
from camloc.evaluation.estimates import estimate
from camloc.maps import store

# What the text of the paper and the released code do differently, one change at a time.
DEVIATIONS: dict[str, dict] = {
    "threshold 7.8 %": {"threshold": 20 / 255},
    "min-max instead of max": {"normalise": "min-max"},
    "the authors' boxes": {"rule": "authors"},
    "ten crops, mean over coverage": {"crops": 10, "merge": "coverage-mean"},
    "ten crops, absolute sum": {"crops": 10, "merge": "absolute-sum"},
    "all that the authors' code does": {"crops": 10, "merge": "absolute-sum", "rule": "authors"},
}
# By how much wider cells of the saliency are, in place of `cams.saliency_cell`.
CELLS = {2: "saliency in cells twice as wide", 4: "saliency in cells four times as wide"}


def choices(split: Split, rule: Rule, iou: float) -> pd.DataFrame | None:
    """What each choice of the evaluation changes: on a network's CAMs where those of ten crops are
    stored, else on its gradient saliency; None where it has neither.

    Returns:
        A row for the study's own choices and one for each of `DEVIATIONS`, or of cells of the
        saliency; `loc_err_…` in percent, `loc_err_… change` against the first row in points, and
        `… low` and `… high`, the 95 % intervals of both.
    """
    if split.stored(10).is_dir():
        made = (
            (name, split.predictions("cam", rule.changed(**change))[0])
            for name, change in ({"this study": {}} | DEVIATIONS).items()
        )
    elif "backprop" in store.methods_of(split.stored()):
        made = _with_wider_cells(split, rule)
    else:
        return None
    rows, base = {}, None
    for name, predictions in made:
        errors = score(split, predictions, iou)[0].filter(like="loc_err")
        base = errors if base is None else base
        rows[name] = choice(errors, base)
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("choice")


def _with_wider_cells(split: Split, rule: Rule) -> Iterator[tuple[str, pd.DataFrame]]:
    """The predictions of a network by its gradient saliency, also averaged over wider cells."""
    predictions, maps = split.predictions("backprop", rule)
    yield "this study", predictions
    for factor, name in CELLS.items():
        sides = [side // factor for side in maps.shape[1:]]
        if min(sides):
            blocks = maps[:, : sides[0] * factor, : sides[1] * factor]
            wide = blocks.reshape(-1, sides[0], factor, sides[1], factor).mean(axis=(2, 4))
            boxes = rule.boxes(wide, predictions[["width", "height"]].to_numpy())
            yield name, predictions.assign(**dict(zip(CORNERS, boxes.T, strict=True)))


def choice(errors: pd.DataFrame, base: pd.DataFrame) -> dict[str, float]:
    """A row of `choices`: localization errors in percent, and how they differ from the base.

    Args:
        errors, base: of `camloc.evaluation.errors.image_errors`.
    """
    row = {}
    for name in errors.filter(like="loc_err"):
        own = estimate(errors[name])
        moved = estimate(errors[name] - base[name] if name in base else errors[name] * np.nan)
        both = ((name, own, own.share_interval), (f"{name} change", moved, moved.interval))
        for title, each, (low, high) in both:
            row |= {title: 100 * each.mean, f"{title} low": 100 * low, f"{title} high": 100 * high}
    return row
