"""What each choice of the evaluation changes."""

import numpy as np
import pandas as pd

from camloc.boxes.predictions import Split
from camloc.boxes.rule import Rule
from camloc.evaluation.errors import score
from camloc.evaluation.estimates import estimate

# What the text of the paper and the released code do differently, one change at a time.
DEVIATIONS: dict[str, dict] = {
    "threshold 7.8 %": {"threshold": 20 / 255},
    "min-max instead of max": {"normalise": "min-max"},
    "the authors' boxes": {"rule": "authors"},
    "ten crops, mean over coverage": {"crops": 10, "merge": "coverage-mean"},
    "ten crops, absolute sum": {"crops": 10, "merge": "absolute-sum"},
    "all that the authors' code does": {"crops": 10, "merge": "absolute-sum", "rule": "authors"},
}


def choices(split: Split, rule: Rule, iou: float) -> pd.DataFrame:
    """What each choice of the evaluation changes, on one network's CAMs.

    Needs the maps of ten crops.

    Returns:
        A row for the study's own choices and one for each of `DEVIATIONS`; `loc_err_…` in percent,
        `loc_err_… change` against the first row in points, and `… low` and `… high`, the 95 %
        intervals of both.
    """
    rows, base = {}, None
    for name, change in ({"this study": {}} | DEVIATIONS).items():
        predictions, _ = split.predictions("cam", rule.changed(**change))
        errors = score(split, predictions, iou)[0].filter(like="loc_err")
        base = errors if base is None else base
        rows[name] = choice(errors, base)
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("choice")


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
