"""What each choice of the evaluation changes."""

import numpy as np
import pandas as pd

from camloc.boxes.predictions import Split
from camloc.core.params import Boxes
from camloc.evaluation.errors import score
from camloc.evaluation.intervals import bootstrap

# What the text of the paper and the released code do differently, one change at a time.
DEVIATIONS = {
    "threshold 7.8 %": {"threshold": 20 / 255},
    "min-max instead of max": {"normalise": "min-max"},
    "the authors' boxes": {"rule": "authors"},
    "ten crops, mean over coverage": {"crops": 10, "merge": "coverage-mean"},
    "ten crops, absolute sum": {"crops": 10, "merge": "absolute-sum"},
    "all that the authors' code does": {"crops": 10, "merge": "absolute-sum", "rule": "authors"},
}


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
        errors = score(split, guesses, iou)[0].filter(like="loc_err")
        base = errors if base is None else base
        lines[name] = choice(errors, base)
    return pd.DataFrame.from_dict(lines, orient="index").rename_axis("choice")


def choice(errors: pd.DataFrame, base: pd.DataFrame) -> dict[str, float]:
    """A line of `deviations`: localization errors in percent, and how they differ from the base.

    Args:
        errors, base: of `camloc.evaluation.errors.image_errors`.
    """
    line = {}
    for name in errors.filter(like="loc_err"):
        values = 100 * errors[name]
        moved = values - 100 * base[name] if name in base else values * np.nan
        for title, each in ((name, values), (f"{name} change", moved)):
            low, high = bootstrap(each.to_numpy())
            line |= {title: float(each.mean()), f"{title} low": low, f"{title} high": high}
    return line
