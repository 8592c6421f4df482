"""Charts of the report: the rows of the tables, with their intervals.

One look for all: seaborn's palette for colour-blind readers, and a second sign (marker or hatching)
beside each colour, so that print without colour tells as much.
"""

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike, NDArray

from camloc.evaluation.error_types import KINDS
from camloc.evaluation.errors import ERRORS, GT_KNOWN
from camloc.evaluation.intervals import bootstrap
from camloc.report.claims import CANNOT_TELL, FAILS, HOLDS, Claim
from camloc.report.figures import GRID, INK, set_theme

MARKERS = ["o", "s", "^", "D", "v", "P", "X", "<", ">", "*", "h", "p"]
STYLES = ["-", "--", "-.", ":"]
COLOURS = 10  # of seaborn's palette, after which they come again
HATCHES = ["", "//", "..", "xx", "\\\\", "++"]
PAPER = dict(marker="D", markerfacecolor="none", markeredgecolor=INK, linestyle="none")


def errors_of_rows(
    rows: dict[str, dict[str, float]],
    spans: dict[str, dict[str, tuple[float, float]]],
    errors: dict[str, str],
    beside: dict[str, Sequence[float]] | None = None,
    lines: Sequence[str] = (),
) -> Figure:
    """Errors of the rows with their intervals, best first by the first error.

    Args:
        errors: the errors that are shown, and what they are called.
        beside: the paper's figures of a row, one for each error, shown hollow.
        lines: rows that are shown as lines across, to be compared with.
    """
    set_theme()
    first = next(iter(errors))
    shown = {row: found for row, found in rows.items() if first in found and row not in lines}
    order = sorted(shown, key=lambda row: shown[row][first], reverse=True)
    figure, panel = plt.subplots(figsize=(8, 0.32 * len(order) + 1.2), layout="constrained")
    for i, (error, title) in enumerate(errors.items()):
        at = np.arange(len(order)) + 0.18 * (0.5 * (len(errors) - 1) - i)
        value = np.array([shown[row].get(error, np.nan) for row in order])
        span = np.array([spans.get(row, {}).get(error, (np.nan, np.nan)) for row in order])
        panel.errorbar(
            value,
            at,
            xerr=_whiskers(value, *span.reshape(-1, 2).T),
            fmt=MARKERS[i],
            color=f"C{i}",
            label=title,
        )
        if beside:
            stated = [beside.get(row, [np.nan] * len(errors))[i] for row in order]
            panel.plot(stated, at, **PAPER, label="in the paper, on ILSVRC" if i == 0 else None)
    for row, style in zip(lines, STYLES[1:], strict=False):
        if first in rows.get(row, {}):
            panel.axvline(rows[row][first], color=INK, linestyle=style, label=row)
    panel.set_yticks(range(len(order)), order)
    panel.set(xlabel="error (%)")
    _finish(panel, len(order), "no row was measured")
    return figure


def kinds_of_misses(table: pd.DataFrame) -> Figure:
    """One bar a row, divided by what becomes of the first guess; percent."""
    set_theme()
    table = table.reindex(columns=KINDS).sort_values(KINDS[0])
    figure, panel = plt.subplots(figsize=(8, 0.34 * len(table) + 1.2), layout="constrained")
    _stack(panel, table)
    panel.set(xlabel="share of the images (%)", xlim=(0, 100))
    panel.grid(axis="y", visible=False)
    _finish(panel, len(table), "no row was measured", columns=len(KINDS))
    return figure


def extent_of_maps(images: dict[str, pd.DataFrame]) -> Figure:
    """How many of an object's parts each row's maps cover, against how much of the object; where
    masks tell no parts, the object alone, a row below the other.

    Args:
        images: of each row `object_cover` and `part_cover` of each image, where measured.
    """
    measured = {row: table for row, table in images.items() if "object_cover" in table}
    has_parts = any("part_cover" in table for table in measured.values())
    set_theme()
    figure, panel = plt.subplots(figsize=(8, 4.5), layout="constrained")
    for i, (row, table) in enumerate(measured.items()):
        across, at, reach = 100 * table["object_cover"].dropna(), -i, None
        if has_parts:
            up = 100 * table["part_cover"].dropna()
            at, reach = up.mean(), _whiskers(up.mean(), *bootstrap(up))
        panel.errorbar(
            across.mean(),
            at,
            xerr=_whiskers(across.mean(), *bootstrap(across)),
            yerr=reach,
            fmt=MARKERS[i % len(MARKERS)],
            color=f"C{i}",
            label=row,
        )
    panel.set(xlabel="pixels of the object covered (%)", ylabel="parts of the object covered (%)")
    if measured and not has_parts:
        panel.set(ylabel="", yticks=[])
    _finish(panel, len(measured), "no masks to measure by")
    return figure


def claims(ledger: Sequence[Claim]) -> Figure:
    """Every comparison's effect with its interval, and in grey where its claim puts it."""
    set_theme()
    known = [
        (claim, comparison)
        for claim in ledger
        for comparison in claim.comparisons
        if comparison.images
    ]
    figure, panel = plt.subplots(figsize=(9, 0.3 * len(known) + 1.2), layout="constrained")
    reach = 1.08 * max([1.0, *(abs(end) for _, c in known for end in (c.low, c.high))])
    looks = {HOLDS: ("C0", "o"), FAILS: ("C3", "X"), CANNOT_TELL: ("C7", "s")}
    for y, (_, comparison) in enumerate(known):
        least, most = np.clip([comparison.least, comparison.most], -reach, reach)
        panel.barh(y, most - least, left=least, height=0.8, color=GRID, alpha=0.5, linewidth=0)
        colour, marker = looks[comparison.verdict]
        ends = _whiskers(comparison.effect, comparison.low, comparison.high)
        style = {"fmt": marker, "color": colour, "label": comparison.verdict}
        panel.errorbar(comparison.effect, y, xerr=ends, **style)
    panel.axvline(0, color=INK, linewidth=0.8)
    names = [f"{claim.number}. {comparison.what}" for claim, comparison in known]
    panel.set_yticks(range(len(known)), names, fontsize=8)
    panel.set_xscale("symlog", linthresh=10)  # most differ little, a few much
    panel.set(xlabel="difference (points; beyond 10 on a logarithmic scale)", xlim=(-reach, reach))
    ticks = [t for t in (-100, -30, -10, -5, -2, 0, 2, 5, 10, 30, 100) if abs(t) <= reach]
    panel.set_xticks(ticks, [f"{t:+d}" if t else "0" for t in ticks])
    panel.invert_yaxis()
    panel.grid(axis="y", visible=False)
    _finish(panel, len(known), "nothing could be compared")
    return figure


def differences(found: dict[str, pd.DataFrame]) -> Figure:
    """How each row's errors differ between two revisions, a panel an error.

    Args:
        found: by the error's title, `difference`, `low` and `high` of each row, in points.
    """
    set_theme()
    rows = list(dict.fromkeys(row for table in found.values() for row in table.index))
    size = (3 * max(1, len(found)), 0.3 * len(rows) + 1.4)
    figure, axes = plt.subplots(
        1, max(1, len(found)), figsize=size, sharey=True, squeeze=False, layout="constrained"
    )
    for panel, (title, table) in zip(axes[0], found.items(), strict=False):
        at = [rows.index(row) for row in table.index]
        ends = _whiskers(table["difference"], table["low"], table["high"])
        panel.errorbar(table["difference"], at, xerr=ends, fmt="o", color="C0")
        panel.axvline(0, color=INK, linewidth=0.8)
        panel.set_title(title, fontsize=9)
        panel.set_xlabel("B − A (points)")
    axes[0, 0].set_yticks(range(len(rows)), rows)
    axes[0, 0].invert_yaxis()
    return figure


def by_threshold(curves: dict[str, pd.DataFrame], chosen: float) -> Figure:
    """Error of the paper's rule against its threshold, the one chosen as a line across.

    Args:
        curves: of each row `threshold`, `loc_err_gt_known`, `low` and `high`.
        chosen: the study's threshold, a share of the maximum.
    """
    set_theme()
    figure, panel = plt.subplots(figsize=(8, 4.5), layout="constrained")
    for i, (row, curve) in enumerate(curves.items()):
        colour, dashes = f"C{i}", STYLES[i // COLOURS % len(STYLES)]
        style = {"color": colour, "marker": MARKERS[i % len(MARKERS)], "markersize": 4}
        panel.plot(100 * curve["threshold"], curve[GT_KNOWN], dashes, label=row, **style)
        panel.fill_between(
            100 * curve["threshold"], curve["low"], curve["high"], color=colour, alpha=0.12, lw=0
        )
    panel.axvline(100 * chosen, color=INK, linestyle="--", label=f"chosen: {100 * chosen:g} %")
    panel.set(xlabel="threshold (% of the map's maximum)", ylabel="GT-known error (%)")
    _finish(panel, len(curves), "no map could be scored: there are no maps, or no boxes")
    return figure


def parameters(before: dict[str, int], after: dict[str, int]) -> Figure:
    """Parameters of a network by part, before and after surgery, as two bars."""
    set_theme()
    figure, panel = plt.subplots(figsize=(8, 1.9), layout="constrained")
    table = pd.DataFrame({"before": before, "after": after}).T.fillna(0) / 1e6
    _stack(panel, table[list(dict.fromkeys([*before, *after]))])
    panel.invert_yaxis()
    panel.set(xlabel="parameters (millions)")
    panel.grid(axis="y", visible=False)
    _finish(panel, len(table), "", columns=table.shape[1])
    return figure


def by_resolution(
    rows: dict[str, dict[str, float]],
    spans: dict[str, dict[str, tuple[float, float]]],
    cells: dict[str, int],
    errors: Sequence[str],
) -> Figure:
    """Errors of the rows against the cells a side of their maps, a panel an error."""
    set_theme()
    size = (4.5 * len(errors), 4)
    figure, axes = plt.subplots(1, len(errors), figsize=size, squeeze=False, layout="constrained")
    for panel, error in zip(axes[0], errors, strict=True):
        known = {row: side for row, side in cells.items() if error in rows.get(row, {})}
        for i, (row, side) in enumerate(known.items()):
            value = rows[row][error]
            reach = _whiskers(value, *spans[row][error])
            aside = side + 0.12 * (i - len(known) / 2)  # rows of one resolution beside each other
            style = {"fmt": MARKERS[i % len(MARKERS)], "color": f"C{i}"}
            panel.errorbar(aside, value, yerr=reach, label=row, **style)
        panel.set(xlabel="cells a side of the map", ylabel=f"{ERRORS[error]} (%)")
        _finish(panel, len(known), "no map could be scored: there are no maps, or no boxes")
    return figure


def _stack(panel: Axes, table: pd.DataFrame) -> None:
    """A bar for each line of the table, divided by its columns."""
    left = np.zeros(len(table))
    for i, part in enumerate(table):
        width = table[part].to_numpy(dtype=float)
        style = {"hatch": HATCHES[i], "edgecolor": "white", "linewidth": 0.5}
        panel.barh(table.index, width, left=left, color=f"C{i}", label=part, **style)
        left += width


def _finish(panel: Axes, shown: int, nothing: str, columns: int = 4) -> None:
    """A legend above the panel, each name once; where nothing is shown, a word that says so."""
    if not shown:
        panel.text(0.5, 0.5, nothing, ha="center", va="center", transform=panel.transAxes)
    named = dict(zip(*reversed(panel.get_legend_handles_labels()), strict=True))
    if named:
        above = {"loc": "lower center", "bbox_to_anchor": (0.5, 1)}
        panel.legend(named.values(), named, ncols=columns, fontsize=8, **above)


def _whiskers(value: ArrayLike, low: ArrayLike, high: ArrayLike) -> NDArray:
    """How far intervals reach to either side of their values, (2, N), as errorbar takes it."""
    return np.abs(np.array([np.atleast_1d(low), np.atleast_1d(high)]) - np.atleast_1d(value))
