"""One table of every network and method, to sort and filter, beside the records that came since."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.special import stdtrit

from camloc.evaluation.causes import CAUSES
from camloc.evaluation.errors import GT_KNOWN
from camloc.evaluation.estimates import LEVEL
from camloc.report import paper
from camloc.report.formatting import NONE
from camloc.report.results import Results, figure_of

FILE = "leaderboard.csv"
# By measure: what it is called, and whether it is shown as what is missing to 100 %.
COLUMNS = {
    "cls_err_top1": ("class error, top-1", False),
    "cls_err_top5": ("class error, top-5", False),
    "loc_err_top1": ("localization error, top-1", False),
    "loc_err_top5": ("localization error, top-5", False),
    GT_KNOWN: ("localization error, GT-known", False),
    "max_box_acc": ("MaxBoxAcc", False),
    "max_box_acc_v2": ("MaxBoxAccV2", False),
    "pxap_err": ("PxAP", True),
    "peak_in_box": ("pointing game", False),
    "energy_in_box": ("energy in the box", False),
    CAUSES["removed"]: ("true causes", False),
    "insertion": ("insertion", False),
    "deletion": ("deletion", False),
    "average_drop": ("average drop", False),
}
# At the level that is best on the reported split itself, where no other is there to choose it on:
# as many papers have it, and without an interval.
TUNED = {m: f"{COLUMNS[m][0]}, tuned here" for m in ("max_box_acc", "max_box_acc_v2")}
SECONDS, MEMORY = "seconds a picture", "memory, MiB"  # of the machine that made the maps
_KEY = ["row", "network", "method", "map side"]


def table(results: Results) -> pd.DataFrame:
    """A line for each row of the reported split: its network, method and the cells a side of its
    maps, and each measure in percent with the ends of its 95 % interval, `… low` and `… high`."""
    lines = []
    for name, row in results.rows.items():
        own = results.measures()[name]
        line = dict(
            zip(_KEY, (name, row.network, row.method, results.map_sides.get(name)), strict=True)
        )
        for measure, (title, missing) in COLUMNS.items():
            values = own.get(measure, [])
            figures = figure_of(1 - values if missing and measure in own else values)[:3]
            line |= dict(zip((title, *_ends(title)), figures, strict=True))
        for measure, title in TUNED.items():
            line[title] = None if measure in own else results.wsol.get(name, {}).get(measure)
        lines.append(line)
    columns = [name for title, _ in COLUMNS.values() for name in (title, *_ends(title))]
    table = pd.DataFrame(lines, columns=[*_KEY, *columns, *TUNED.values()])
    return table.dropna(axis=1, how="all")


def contents(reports: Path, costs: Mapping[str, Mapping[str, float]]) -> dict:
    """What the page is filled with: the `columns` that some row has, of each row its `names` and of
    its `cells` the number to sort by, the figure and its interval; all as CSV; and the records that
    were not run here.

    Args:
        reports: the folder of the file that `table` was written to.
        costs: of rows, by name, what `camloc.maps.cost` told.
    """
    path = reports / FILE
    whole = pd.read_csv(path) if path.is_file() else pd.DataFrame(columns=_KEY)
    whole = whole.join(_of_costs(costs), on="row")
    measures = [*(title for title, _ in COLUMNS.values()), *TUNED.values()]
    titles = [title for title in (*measures, SECONDS, MEMORY) if title in whole]
    records = [
        (title, [NONE if accuracy is None else f"{accuracy:g}" for accuracy in accuracies], source)
        for title, *accuracies, source in paper.RECORDS
    ]
    return {
        "title": "Leaderboard",
        "columns": titles,
        "rows": [
            {
                "names": [_name(line.get(key)) for key in _KEY[1:]],
                "cells": [
                    _cell(*line.reindex([title, *_ends(title)]), exact=title in measures)
                    for title in titles
                ],
            }
            for _, line in whole.iterrows()
        ],
        "csv": whole.to_csv(index=False),
        "records": records,
    }


def _of_costs(costs: Mapping[str, Mapping[str, float]]) -> pd.DataFrame:
    """Seconds for a picture with their interval over the batches, and memory, by row."""
    lines = {}
    for row, cost in costs.items():
        reach = stdtrit(max(cost["batches"] - 1, 1), (1 + LEVEL) / 2) * cost.get("error", np.nan)
        mean, (low, high) = cost["seconds"], _ends(SECONDS)
        lines[row] = {SECONDS: mean, low: max(mean - reach, 0.0), high: mean + reach}
        lines[row][MEMORY] = cost.get("mib")
    return pd.DataFrame.from_dict(lines, orient="index").dropna(axis=1, how="all")


def _ends(title: str) -> list[str]:
    return [f"{title} low", f"{title} high"]


def _name(value: object) -> str:
    if pd.isna(value):
        return NONE
    return f"{value:.0f}" if isinstance(value, float) else str(value)


def _cell(figure: float, low: float, high: float, exact: bool) -> tuple[float | None, str, str]:
    """A figure to a tenth of a percent, or to three digits, with its interval if it has one."""
    if pd.isna(figure):
        return None, NONE, ""
    ends = [f"{end:.1f}" if exact else _three_digits(end) for end in (figure, low, high)]
    return figure, ends[0], "" if pd.isna(low) else f"({ends[1]} to {ends[2]})"


def _three_digits(number: float) -> str:
    return f"{number:,.0f}" if abs(number) >= 100 else f"{number:.3g}"
