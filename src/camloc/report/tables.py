"""The paper's tables with the study's figures beside them."""

from collections.abc import Callable, Sequence
from html import escape

import numpy as np
import pandas as pd
from IPython.display import HTML

from camloc.evaluation.error_types import KINDS
from camloc.evaluation.errors import GT_KNOWN
from camloc.evaluation.intervals import bootstrap
from camloc.report import paper
from camloc.report.claims import Claim, Comparison
from camloc.report.formatting import signed, span

Errors = dict[str, float]
Rows = dict[str, Errors]
Spans = dict[str, dict[str, tuple[float, float]]]
NOT_RUN = float("nan")
SHORT = {"loc_err_top1": "top-1", "loc_err_top5": "top-5", GT_KNOWN: "GT-known"}


def table_1(rows: Rows, images: int, spans: Spans | None = None) -> pd.DataFrame:
    """Classification error on `images` pictures, paper beside measured (percent and points).

    Args:
        spans: the 95 % interval of each row's errors.
    """
    return _beside(rows, paper.TABLE_1, "cls_err", images, spans or {})


def table_2(rows: Rows, images: int, spans: Spans | None = None) -> pd.DataFrame:
    """Localization error on `images` pictures, paper beside measured, with GT-known error."""
    spans = spans or {}
    table = _beside(rows, paper.TABLE_2, "loc_err", images, spans)
    last = len(table.columns) - 1
    table.insert(last, "GT-known interval", [_span(spans, row, GT_KNOWN) for row in table.index])
    known = [rows.get(row, {}).get(GT_KNOWN, NOT_RUN) for row in table.index]
    table.insert(last, "GT-known", known)
    return table


def table_3(rows: Rows, images: int, spans: Spans | None = None) -> pd.DataFrame:
    """Top-5 localization error beside the paper's on its test set."""
    spans = spans or {}
    lines = []
    for title, supervision, stated, row in paper.TABLE_3:
        measured = rows.get(row, {}).get("loc_err_top5", NOT_RUN)
        lines.append(
            {
                "method": title,
                "supervision": supervision,
                "top-5 paper": stated,
                "top-5 measured": measured,
                "top-5 interval": _span(spans, row, "loc_err_top5"),
                "top-5 difference": measured - stated,
                "images": images if pd.notna(measured) else 0,
            }
        )
    return pd.DataFrame(lines).set_index("method")


def baselines(rows: Rows, images: int, spans: Spans | None = None) -> pd.DataFrame:
    """GT-known localization error in percent of every row that has one, best first."""
    errors = {row: errors[GT_KNOWN] for row, errors in rows.items() if GT_KNOWN in errors}
    table = pd.DataFrame({"GT-known": errors}).rename_axis("row")
    table["interval"] = [_span(spans or {}, row, GT_KNOWN) for row in table.index]
    table["images"] = images
    return table.sort_values("GT-known", kind="stable")


def differences(errors: dict[str, pd.DataFrame], pairs: Sequence[tuple[str, str]]) -> pd.DataFrame:
    """Paired differences between rows, in points: negative where the first errs less.

    Args:
        errors: of each row, its images' errors (see `camloc.evaluation.errors.image_errors`).
        pairs: first and second row.
    """
    lines = []
    for first, second in pairs:
        line: dict[str, object] = {"rows": f"{first} − {second}"}
        for name in ("loc_err_top1", GT_KNOWN):
            title = SHORT[name]
            moved = pd.Series(dtype=float)
            if name in errors[first] and name in errors[second]:
                moved = 100 * (errors[first][name] - errors[second][name]).dropna()
            line[f"{title} difference"] = moved.mean()
            low, high = bootstrap(moved.to_numpy())
            line[f"{title} interval"] = signed(low, high)
            line["images"] = len(moved)
        lines.append(line)
    return pd.DataFrame(lines, columns=None if lines else ["rows"]).set_index("rows")


def claims(ledger: Sequence[Claim]) -> pd.DataFrame:
    """The comparisons that decide the claims: effects in points, and where a claim puts them."""
    lines = [
        {
            "claim": str(claim.number),
            "comparison": comparison.what,
            "difference": comparison.effect,
            "interval": signed(comparison.low, comparison.high),
            "claimed": _bounds(comparison.least, comparison.most),
            "images": comparison.images,
            "seeds": comparison.seeds if comparison.images else 0,
            "verdict": comparison.verdict,
        }
        for claim in ledger
        for comparison in claim.comparisons
    ]
    return pd.DataFrame(lines).set_index("claim")


def verdicts(ledger: Sequence[Claim]) -> HTML:
    """The claims as a list: verdict, the comparisons behind it, and a link to the figure."""
    items = []
    for claim in ledger:
        tests = "".join(f"<li>{escape(_told(c))}</li>" for c in claim.comparisons)
        items.append(
            f'<li value="{claim.number}" class="{claim.verdict.replace(" ", "-")}">'
            f"<strong>{claim.verdict.capitalize()}</strong> {escape(claim.text)} "
            f'<a href="#fig-{claim.figure}">Figure for claim {claim.number}</a>'
            f"<details><summary>{_tests(len(claim.comparisons))}</summary>"
            f"<ul>{tests}</ul></details></li>"
        )
    return HTML(f'<ol class="verdicts">{"".join(items)}</ol>')


def _tests(count: int) -> str:
    return "The comparison behind it" if count == 1 else f"The {count} comparisons behind it"


def _told(comparison: Comparison) -> str:
    if not comparison.images:
        return f"{comparison.what}: not measured in this study"
    return (
        f"{comparison.what}: {comparison.effect:+.1f} points "
        f"({signed(comparison.low, comparison.high)}), claimed "
        f"{_bounds(comparison.least, comparison.most)}; {comparison.images:,} images, "
        f"{comparison.seeds} training {'run' if comparison.seeds == 1 else 'runs'}: "
        f"{comparison.verdict}"
    )


def over_thresholds(scores: dict[str, dict]) -> pd.DataFrame:
    """MaxBoxAcc and its kin in percent: at the held-out split's level, and tuned on this one.

    Args:
        scores: of each row, `camloc.evaluation.wsol.summary`.
    """
    lines = {}
    for row, found in scores.items():
        if not found:
            continue
        held, best, spans = found.get("held_out", {}), found["best"], found["intervals"]
        lines[row] = {
            "MaxBoxAcc": held.get("max_box_acc", NOT_RUN),
            "interval": _span(spans, "held_out", "max_box_acc"),
            "MaxBoxAccV2": held.get("max_box_acc_v2", NOT_RUN),
            "V2 interval": _span(spans, "held_out", "max_box_acc_v2"),
            "MaxBoxAcc, tuned here": best["max_box_acc"],
            "tuned interval": _span(spans, "best", "max_box_acc"),
            "V2, tuned here": best["max_box_acc_v2"],
            "tuned V2 interval": _span(spans, "best", "max_box_acc_v2"),
            "PxAP": found.get("pxap", NOT_RUN),
            "PxAP interval": span(*spans.get("pxap", (NOT_RUN, NOT_RUN))),
        }
    return pd.DataFrame.from_dict(lines, orient="index").rename_axis("row")


def kinds_of_misses(outcomes: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """Percent of the images that end in each kind of miss (see `camloc.evaluation.error_types`).

    Args:
        outcomes: of each line of the table, `kind` of each image.
    """
    lines = {}
    for name, outcome in outcomes.items():
        line: dict[str, object] = {}
        for kind in KINDS:
            ends = 100.0 * (outcome["kind"] == kind).to_numpy()
            line |= {kind: float(ends.mean()), f"{kind} interval": span(*bootstrap(ends))}
        lines[name] = line | {"images": len(outcome)}
    return pd.DataFrame.from_dict(lines, orient="index").rename_axis("row")


def moved_by_choices(changes: pd.DataFrame) -> pd.DataFrame:
    """What each choice of the evaluation moves (see `camloc.evaluation.choices.deviations`)."""
    table = pd.DataFrame(index=changes.index)
    for name in [c for c in changes if " " not in c]:
        title = SHORT[name]
        table[title] = changes[name]
        table[f"{title} interval"] = _ranges(changes, name, span)
        if f"{name} change" in changes:
            table[f"{title} difference"] = changes[f"{name} change"]
            table[f"{title} difference interval"] = _ranges(changes, f"{name} change", signed)
    return table


def over_seeds(rows: Rows, groups: dict[str, Sequence[str]]) -> pd.DataFrame:
    """Mean and deviation of each error over networks that differ in their seed alone.

    Args:
        groups: of each name, the rows of the same declaration.
    """
    lines = {}
    for name, members in groups.items():
        table = pd.DataFrame([rows[member] for member in members if member in rows])
        line: dict[str, object] = {"seeds": len(table)}
        for error in table:
            line[f"{error} mean"], line[f"{error} deviation"] = (
                table[error].mean(),
                table[error].std(),
            )
        lines[name] = line
    return pd.DataFrame.from_dict(lines, orient="index").rename_axis("row")


def by_split(rows: dict[str, Rows], spans: dict[str, Spans]) -> pd.DataFrame:
    """Every error in percent with its interval, rows by row and split."""
    lines = {
        f"{row}, {split}": errors for split, found in rows.items() for row, errors in found.items()
    }
    table = pd.DataFrame(list(lines.values()), index=list(lines))
    for error in list(table):
        of = [_span(spans[split], row, error) for split, found in rows.items() for row in found]
        table.insert(table.columns.get_loc(error) + 1, f"{error} interval", of)
    return table.sort_index().rename_axis("row, split")


def _span(spans: Spans, row: str, name: str) -> str:
    """The interval of a row's figure as text."""
    return span(*spans.get(row, {}).get(name, (NOT_RUN, NOT_RUN)))


def _ranges(table: pd.DataFrame, name: str, text: Callable[[float, float], str]) -> list[str]:
    """The intervals in the columns `<name> low` and `<name> high` as text."""
    return [
        text(low, high)
        for low, high in zip(table[f"{name} low"], table[f"{name} high"], strict=True)
    ]


def _bounds(least: float, most: float) -> str:
    """Where a difference is claimed to lie."""
    if np.isinf(least):
        return f"under {most:g}"
    return f"over {least:g}" if np.isinf(most) else f"{least:g} to {most:g}"


def _beside(rows: Rows, stated: dict, prefix: str, images: int, spans: Spans) -> pd.DataFrame:
    """The paper's rows in its order, then the study's own that have both such errors."""
    own = [row for row in rows if row not in stated and f"{prefix}_top1" in rows[row]]
    lines = {}
    for row in [*stated, *own]:
        line = {}
        for k, figure in zip((1, 5), stated.get(row, (NOT_RUN, NOT_RUN)), strict=True):
            measured = rows.get(row, {}).get(f"{prefix}_top{k}", NOT_RUN)
            line[f"top-{k} paper"] = figure
            line[f"top-{k} measured"] = measured
            line[f"top-{k} interval"] = _span(spans, row, f"{prefix}_top{k}")
            line[f"top-{k} difference"] = measured - figure
        line["images"] = images if _has(rows.get(row, {}), prefix) else 0
        lines[row] = line
    table = pd.DataFrame.from_dict(lines, orient="index")
    return table.rename_axis("row")


def _has(errors: Errors, prefix: str) -> bool:
    return any(key.startswith(prefix) for key in errors)
