"""Charts of the report: the rows of the tables, with their 95 % confidence intervals.

One look for all (see `figures.set_theme`), and a second sign (marker or hatching) beside each
colour, so that print without colour tells as much.
"""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike, NDArray

from camloc.evaluation.error_types import CORRECT, ERROR_TYPES
from camloc.evaluation.errors import ERRORS, GT_KNOWN
from camloc.evaluation.estimates import estimate
from camloc.report.claims import CANNOT_TELL, FAILS, HOLDS, ONE_TRAINING, OWN_RULE, Verdict
from camloc.report.figures import GRID, INK, PALETTE, set_theme

MARKERS = ["o", "s", "^", "D", "v", "P", "X", "<", ">", "*", "h", "p"]
STYLES = ["--", "-.", ":"]
HATCHES = ["", "//", "..", "xx", "\\\\", "++"]
PAPER = dict(marker="D", markerfacecolor="none", markeredgecolor=INK, linestyle="none")
ENDS = ["percent", "low", "high"]
NO_MAP = "no map could be scored: there are no maps, or no boxes"


def errors_of_rows(
    errors: pd.DataFrame,
    titles: Mapping[str, str],
    runs: Mapping[str, pd.DataFrame] | None = None,
    stated: Mapping[str, Sequence[float]] | None = None,
    lines: Sequence[str] = (),
) -> Figure:
    """Errors of the rows with their intervals, best first by the first error.

    Args:
        errors: of `Results.errors`.
        titles: the errors that are shown, and what they are called.
        runs: of an error each training run's, by row (see `Results.of_runs`), shown as dots.
        stated: the paper's figures of a row, one for each error, shown hollow.
        lines: rows that are shown as lines across, to be compared with.
    """
    first = next(iter(titles))
    known = errors.dropna(subset=[(first, "percent")])
    order = known[~known.index.isin(lines)].sort_values(
        (first, "percent"), ascending=False, kind="stable"
    )
    figure, panel = _subplots(8, 0.32 * len(order) + 1.2)
    for i, (error, title) in enumerate(titles.items()):
        at = np.arange(len(order)) + 0.18 * (0.5 * (len(titles) - 1) - i)
        own = order[error]
        style = {"fmt": MARKERS[i], "color": f"C{i}", "label": title}
        panel.errorbar(own["percent"], at, xerr=_whiskers(*own[ENDS].to_numpy().T), **style)
        for _, dots in (runs or {}).get(error, pd.DataFrame()).reindex(order.index).items():
            panel.plot(dots, at, ".", color=f"C{i}", alpha=0.5, markersize=3, zorder=1)
        if stated:
            in_paper = [stated.get(row, [np.nan] * len(titles))[i] for row in order.index]
            panel.plot(in_paper, at, **PAPER, label="in the paper, on ILSVRC")
    for row, style in zip(known.index.intersection(lines, sort=False), STYLES, strict=False):
        panel.axvline(known.loc[row, (first, "percent")], color=INK, linestyle=style, label=row)
    panel.set_yticks(range(len(order)), order.index)
    panel.set(xlabel="error (%)")
    _finish(panel, len(order), "no row was measured")
    return figure


def error_types(table: pd.DataFrame) -> Figure:
    """One bar per row, divided by the error type of the first prediction; percent."""
    table = table.reindex(columns=ERROR_TYPES).sort_values(CORRECT)
    figure, panel = _subplots(8, 0.34 * len(table) + 1.2)
    _stack(panel, table)
    panel.set(xlabel="share of the images (%)", xlim=(0, 100))
    _finish(panel, len(table), "no row was measured", columns=len(ERROR_TYPES) // 2)
    return figure


def coverage(measures: Mapping[str, Mapping[str, pd.DataFrame]]) -> Figure:
    """How many of an object's parts each row's maps cover, against how much of the object: above
    the study's threshold, and where all rows light as much of the image; where masks tell no parts,
    the object alone, a row below the other.

    Args:
        measures: of each row `evaluation.coverage.COVERAGE`, where measured.
    """
    measured = {row: own for row, own in measures.items() if "object_cover" in own}
    has_parts = any("part_cover" in own for own in measured.values())
    figure, axes = _subplots(8, 4.5, 2, sharey=True)
    panels = {"": "above the threshold", "_equal": "as many pixels lit as the object has"}
    for panel, (end, title) in zip(axes, panels.items(), strict=True):
        for i, (row, own) in enumerate(measured.items()):
            across = estimate(own[f"object_cover{end}"]).scaled(100)
            at, reach = -i, None
            if has_parts:
                up = estimate(own[f"part_cover{end}"]).scaled(100)
                at, reach = up.mean, _whiskers(up.mean, *up.interval)
            wide = _whiskers(across.mean, *across.interval)
            panel.errorbar(across.mean, at, xerr=wide, yerr=reach, **_look(i, len(measured), row))
        panel.set(xlabel=f"pixels of the object (%),\n{title}")
        if measured and not has_parts:
            panel.set(yticks=[])
    axes[0].set_ylabel("parts of the object (%)" if has_parts else "")
    _finish(axes[0], len(measured), "no masks to measure by", figure=figure)
    return figure


def claims(verdicts: Sequence[Verdict]) -> Figure:
    """Every comparison's effect with its interval, and in grey where its claim puts it; those of
    localization by the study's own rule."""
    known = [
        (verdict.claim.number, effect)
        for verdict in verdicts
        for effect in verdict.effects
        if effect.found.images and effect.comparison.by in ("", OWN_RULE)
    ]
    figure, panel = _subplots(9, 0.3 * len(known) + 1.2)
    reach = 1.08 * max([1.0, *(abs(end) for _, e in known for end in e.found.interval)])
    looks = {HOLDS: ("C0", "o"), FAILS: ("C3", "X"), CANNOT_TELL: ("C7", "s")}
    looks[ONE_TRAINING] = ("C7", "D")
    for y, (_, effect) in enumerate(known):
        bounds = effect.comparison.least, effect.comparison.most
        least, most = np.clip(bounds, -reach, reach)
        panel.barh(y, most - least, left=least, height=0.8, color=GRID, alpha=0.5, linewidth=0)
        colour, marker = looks[effect.verdict]
        ends = _whiskers(effect.found.mean, *effect.found.interval)
        style = {"fmt": marker, "color": colour, "label": effect.verdict}
        panel.errorbar(effect.found.mean, y, xerr=ends, **style)
    panel.axvline(0, color=INK, linewidth=0.8)
    names = [f"{number}. {effect.comparison.title}" for number, effect in known]
    panel.set_yticks(range(len(known)), names, fontsize=8)
    panel.set_xscale("symlog", linthresh=10)  # most differ little, a few much
    panel.set(xlabel="difference (points; beyond 10 on a logarithmic scale)", xlim=(-reach, reach))
    ticks = [t for t in (-100, -30, -10, -5, -2, 0, 2, 5, 10, 30, 100) if abs(t) <= reach]
    panel.set_xticks(ticks, [f"{t:+d}" if t else "0" for t in ticks])
    panel.invert_yaxis()
    panel.grid(axis="y", visible=False)
    _finish(panel, len(known), "nothing could be compared")
    return figure


def differences(found: Mapping[str, pd.DataFrame]) -> Figure:
    """How each row's errors differ between two revisions, a panel per error.

    Args:
        found: by the error's title, `difference`, `low` and `high` of each row, in points.
    """
    rows = list(dict.fromkeys(row for table in found.values() for row in table.index))
    panels = max(1, len(found))
    figure, axes = _subplots(3 * panels, 0.3 * len(rows) + 1.4, panels, sharey=True)
    for panel, (title, table) in zip(axes, found.items(), strict=False):
        at = [rows.index(row) for row in table.index]
        ends = _whiskers(table["difference"], table["low"], table["high"])
        panel.errorbar(table["difference"], at, xerr=ends, fmt="o", color="C0")
        panel.axvline(0, color=INK, linewidth=0.8)
        panel.set_title(title, fontsize=9)
        panel.set_xlabel("B − A (points)")
    axes[0].set_yticks(range(len(rows)), rows)
    axes[0].invert_yaxis()
    return figure


def parallel(
    params: pd.DataFrame, axes: Mapping[str, Sequence[str]], errors: pd.DataFrame
) -> Figure:
    """Experiments as lines across parallel axes: their parameters, and below them their errors.

    The axes lie one below the other, so that names of any length can be read.

    Args:
        params: values as text, a row per experiment.
        axes: of each parameter its values in their order, which are evenly spaced.
        errors: percent, a row per experiment in the same order, all on one scale.
    """
    # Names are anybody's, and $x$ is no formula.
    with plt.rc_context({"text.parse_math": False}):
        heights = [*range(len(axes)), *(len(axes) + 0.3 + np.arange(errors.shape[1]))]
        figure, panel = _subplots(7.2, 0.45 * len(heights) + 1.4)
        low, high = float(errors.min(axis=None)), float(errors.max(axis=None))
        reach = (high - low) or 1.0
        for height, values in enumerate(axes.values()):
            _values(panel, height, values, low, reach)
        for i, name in enumerate(errors.index):
            own = zip(params.iloc[i], axes.values(), strict=True)
            at = [low + reach * values.index(value) / (len(values) - 1) for value, values in own]
            look = _look(i, len(errors), name if len(errors) <= 24 else None)
            panel.plot([*at, *errors.iloc[i]], heights, look.pop("fmt") + "-", **look)
        panel.set_yticks(heights, [*axes, *errors])
        panel.set(xlabel="error (%)", ylim=(heights[-1] + 0.5, -0.7))
        panel.grid(axis="x", visible=False)
        _finish(panel, len(errors), "")
    return figure


def _values(panel: Axes, height: float, values: Sequence[str], low: float, reach: float) -> None:
    """A parameter's values above its axis, as many as there is room for."""
    short = [text if len(text) <= 24 else f"{text[:22]} …" for text in values]
    step = 1 + sum(len(text) + 2 for text in short) // 50
    last = len(values) - 1
    for i in {0, last, *range(step, last - step + 1, step)}:
        side = {0: "left", last: "right"}.get(i, "center")
        at = (low + reach * i / last, height)
        above = {"xytext": (0, 5), "textcoords": "offset points", "fontsize": 10}
        panel.annotate(short[i], at, ha=side, va="bottom", **above)


def by_threshold(curves: Mapping[str, pd.DataFrame], chosen: float) -> Figure:
    """Error of the paper's rule against its threshold, the one chosen as a line across.

    Args:
        curves: of each row `threshold`, `loc_err_gt_known`, `low` and `high`.
        chosen: the study's threshold, a share of the maximum.
    """
    figure, panel = _subplots(8, 4.5)
    for i, (row, curve) in enumerate(curves.items()):
        _line(panel, 100 * curve["threshold"], curve, GT_KNOWN, _look(i, len(curves), row))
    panel.axvline(100 * chosen, color=INK, linestyle="--", label=f"chosen: {100 * chosen:g} %")
    panel.set(xlabel="threshold (% of the map's maximum)", ylabel="GT-known error (%)")
    _finish(panel, len(curves), NO_MAP)
    return figure


def agreement(table: pd.DataFrame) -> Figure:
    """Kendall's tau of each metric, a marker for each change (see `tables.agreement`)."""
    metrics, changes = (table.index.unique(name) for name in ("metric", "change"))
    figure, panel = _subplots(8, 1.2 + 0.45 * len(metrics))
    for i, change in enumerate(changes):
        own = table.xs(change, level="change").reindex(metrics)
        at = np.arange(len(metrics)) + 0.2 * (i - (len(changes) - 1) / 2)
        whiskers = _whiskers(own["tau"], own["low"], own["high"])
        panel.errorbar(own["tau"], at, xerr=whiskers, ls="", **_look(i, len(changes), change))
    panel.axvline(0, color=INK, linewidth=1)
    panel.set(yticks=range(len(metrics)), yticklabels=metrics, xlim=(-1.05, 1.05))
    panel.set(xlabel="Kendall's tau with the ranking by true causes")
    panel.invert_yaxis()
    _finish(panel, len(metrics), "")
    return figure


def sanity(table: pd.DataFrame) -> Figure:
    """The rank correlation of each row's maps with those before against the layers that lost their
    weights (see `tables.sanity`)."""
    figure, panel = _subplots(8, 4.5)
    rows = table["row"].unique()
    for i, row in enumerate(rows):
        own = table[table["row"] == row]
        _line(panel, 100 * own["share"], own, "mean", _look(i, len(rows), row))
    panel.axhline(0, color=INK, linewidth=1)
    panel.set(xlabel="layers without their weights, from the top (%)", ylabel="rank correlation")
    panel.set_ylim(-1.05, 1.05)
    _finish(panel, len(rows), "", columns=3)
    return figure


def by_resolution(
    errors: pd.DataFrame, sides: Mapping[str, int], measures: Sequence[str]
) -> Figure:
    """Errors of the rows against the cells a side of their maps, a panel per error.

    Args:
        errors: of `Results.errors`.
    """
    figure, axes = _subplots(4.5 * len(measures), 4, len(measures))
    for panel, measure in zip(axes, measures, strict=True):
        known = errors[measure][ENDS].reindex(sides).dropna()
        for i, (row, own) in enumerate(known.iterrows()):
            aside = sides[row] + 0.12 * (i - len(known) / 2)  # rows of one resolution side by side
            panel.errorbar(aside, own["percent"], yerr=_whiskers(*own), **_look(i, len(known), row))
        panel.set(xlabel="cells a side of the map", ylabel=f"{ERRORS[measure]} (%)")
        _finish(panel, len(known), NO_MAP, columns=3)
    return figure


def parameters(before: dict[str, int], after: dict[str, int]) -> Figure:
    """Parameters of a network by part, before and after surgery, as two bars."""
    figure, panel = _subplots(8, 1.9)
    table = pd.DataFrame({"before": before, "after": after}).T.fillna(0) / 1e6
    _stack(panel, table[list(dict.fromkeys([*before, *after]))])
    panel.invert_yaxis()
    panel.set(xlabel="parameters (millions)")
    _finish(panel, len(table), "", columns=table.shape[1])
    return figure


def _subplots(width: float, height: float, panels: int | None = None, **options):
    """A figure of so many inches with its panel, or with several beside each other."""
    set_theme()
    figure, axes = plt.subplots(
        1, panels or 1, figsize=(width, height), squeeze=False, layout="constrained", **options
    )
    return figure, axes[0] if panels else axes[0, 0]


def _look(i: int, rows: int, name: str | None) -> dict[str, object]:
    """Colour and marker of one of so many rows, as `Axes.errorbar` takes them."""
    colours: Sequence[object] = PALETTE
    if rows > len(PALETTE):
        import seaborn  # takes seconds, and few figures have so many rows

        colours = seaborn.husl_palette(rows)
    return {"color": colours[i], "fmt": MARKERS[i % len(MARKERS)], "label": name}


def _line(panel: Axes, at: pd.Series, table: pd.DataFrame, value: str, look: dict) -> None:
    """A line of a column with the band of its interval, `low` to `high`; `look` is of `_look`."""
    panel.plot(at, table[value], look.pop("fmt") + "-", markersize=4, **look)
    panel.fill_between(at, table["low"], table["high"], color=look["color"], alpha=0.12, lw=0)


def _stack(panel: Axes, table: pd.DataFrame) -> None:
    """A bar for each row of the table, divided by its columns."""
    left = np.zeros(len(table))
    for i, part in enumerate(table):
        width = table[part].to_numpy(dtype=float)
        style = {"hatch": HATCHES[i], "edgecolor": "white", "linewidth": 0.5}
        panel.barh(table.index, width, left=left, color=f"C{i}", label=part, **style)
        left += width
    panel.grid(axis="y", visible=False)


def _finish(
    panel: Axes, shown: int, nothing: str, columns: int = 4, figure: Figure | None = None
) -> None:
    """A legend above the panel, or above the whole figure, each name once; where nothing is shown,
    a word that says so."""
    if not shown:
        panel.text(0.5, 0.5, nothing, ha="center", va="center", transform=panel.transAxes)
    named = dict(zip(*reversed(panel.get_legend_handles_labels()), strict=True))
    if named:
        above = {"loc": "lower center", "bbox_to_anchor": (0.5, 1)}
        if figure:
            figure.legend(
                named.values(), named, ncols=columns, fontsize=8, loc="outside upper center"
            )
        else:
            panel.legend(named.values(), named, ncols=columns, fontsize=8, **above)


def _whiskers(value: ArrayLike, low: ArrayLike, high: ArrayLike) -> NDArray:
    """How far intervals reach to either side of their values, (2, N), as errorbar takes it."""
    return np.abs(np.array([np.atleast_1d(low), np.atleast_1d(high)]) - np.atleast_1d(value))
