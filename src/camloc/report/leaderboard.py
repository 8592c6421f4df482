"""One table of every network and method, to sort and filter, beside the records that came since."""

from pathlib import Path

import pandas as pd

from camloc.evaluation.errors import GT_KNOWN
from camloc.report import paper
from camloc.report.formatting import NONE, interval
from camloc.report.results import Results, figure_of

FILE = "leaderboard.csv"
# By measure: what it is called, and whether it is shown as what is missing to 100 %.
COLUMNS = {
    "cls_err_top1": ("class error, top-1", False),
    "loc_err_top1": ("localization error, top-1", False),
    "loc_err_top5": ("localization error, top-5", False),
    GT_KNOWN: ("localization error, GT-known", False),
    "max_box_acc": ("MaxBoxAcc", False),
    "max_box_acc_v2": ("MaxBoxAccV2", False),
    "pxap_err": ("PxAP", True),
    "peak_in_box": ("pointing game", False),
    "energy_in_box": ("energy in the box", False),
}
ENDS = ("low", "high")
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
            line |= dict(zip((title, *(f"{title} {end}" for end in ENDS)), figures, strict=True))
        lines.append(line)
    columns = [title + end for title, _ in COLUMNS.values() for end in ("", " low", " high")]
    return pd.DataFrame(lines, columns=[*_KEY, *columns]).dropna(axis=1, how="all")


def contents(reports: Path) -> dict:
    """What the page is filled with: the `columns` that some row has, and of each row its `cells` as
    number to sort by and text; the file's text; and the records that were not run here."""
    path = reports / FILE
    whole = pd.read_csv(path) if path.is_file() else pd.DataFrame(columns=_KEY)
    titles = [title for title, _ in COLUMNS.values() if title in whole]
    rows = []
    for _, line in whole.iterrows():
        cells = [
            (line[title], _text(*line[[title, *(f"{title} {e}" for e in ENDS)]]))
            for title in titles
        ]
        names = ["" if pd.isna(line.get(key)) else line[key] for key in _KEY[1:]]
        rows.append({"names": names, "cells": [(None if pd.isna(n) else n, t) for n, t in cells]})
    records = [
        (title, [NONE if accuracy is None else f"{accuracy:g}" for accuracy in accuracies], source)
        for title, *accuracies, source in paper.RECORDS
    ]
    return {
        "title": "Leaderboard",
        "columns": titles,
        "rows": rows,
        "csv": path.read_text(encoding="utf-8") if path.is_file() else "",
        "records": records,
    }


def _text(figure: float, low: float, high: float) -> str:
    return NONE if pd.isna(figure) else f"{figure:.1f} ({interval(low, high)})"
