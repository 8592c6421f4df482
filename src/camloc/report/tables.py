"""The paper's tables with the study's figures beside them."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pandas as pd
from IPython.display import HTML

from camloc.core.rows import Row
from camloc.evaluation.choices import choice
from camloc.evaluation.error_types import ERROR_TYPES, SIZES
from camloc.evaluation.errors import ERRORS, GT_KNOWN
from camloc.evaluation.intervals import bootstrap
from camloc.report import paper
from camloc.report.claims import RULE, Comparison, Effect, Verdict, effect
from camloc.report.formatting import filled, interval, signed
from camloc.report.results import Results

SHORT = {
    "cls_err_top1": "top-1",
    "cls_err_top5": "top-5",
    "loc_err_top1": "top-1",
    "loc_err_top5": "top-5",
    GT_KNOWN: "GT-known",
}
# GAP against GMP and against the uncut network, and CAMs against the gradient saliency.
PAIRS = [
    ("googlenet-gap", "googlenet-gmp"),
    ("googlenet-gap", "googlenet"),
    ("googlenet-gap", "nin"),
    ("googlenet-gap", Row("googlenet", "backprop").name),
    ("vgg16-gap", Row("vgg16", "backprop").name),
    ("alexnet-gap", Row("alexnet", "backprop").name),
    ("alexnet2-gap", "alexnet-gap"),
    ("googlenet-gap", "centre-box"),
]


def table_1(results: Results) -> pd.DataFrame:
    """Classification error in percent, paper beside measured, and their difference in points."""
    return _beside(results, paper.TABLE_1, ["cls_err_top1", "cls_err_top5"])


def table_2(results: Results) -> pd.DataFrame:
    """Localization error, paper beside measured, with GT-known error."""
    table = _beside(results, paper.TABLE_2, ["loc_err_top1", "loc_err_top5"])
    images = table.pop("images")
    _add(table, "GT-known", results.errors()[GT_KNOWN].reindex(table.index))
    return table.assign(images=images)


def table_3(results: Results) -> pd.DataFrame:
    """Top-5 localization error beside the paper's on its test set."""
    columns = ["method", "supervision", "top-5 paper", "row"]
    table = pd.DataFrame(paper.TABLE_3, columns=columns).set_index("method")
    measured = results.errors("test")["loc_err_top5"].reindex(table.pop("row"))
    _add(table, "top-5 measured", measured.set_axis(table.index))
    table["top-5 difference"] = table["top-5 measured"] - table["top-5 paper"]
    return _with_images(table, table[["top-5 measured"]], results.images("test"))


def baselines(results: Results) -> pd.DataFrame:
    """GT-known localization error of every row that has one, best first."""
    known, table = results.errors()[GT_KNOWN].dropna(), pd.DataFrame()
    _add(table, "GT-known", known.sort_values("percent", kind="stable"))
    return _with_images(table, table, results.images())


def by_split(results: Results) -> pd.DataFrame:
    """Every error with its interval, by row and split."""
    errors = [
        results.errors(split).rename(index=lambda row, split=split: f"{row}, {split}")
        for split in results.splits
    ]
    whole, table = pd.concat(errors).sort_index() if errors else results.errors(), pd.DataFrame()
    for error in ERRORS:
        if whole[error].notna().any(axis=None):
            _add(table, error, whole[error])
    return table.rename_axis("row, split")


def differences(results: Results, pairs: Sequence[tuple[str, str]] = tuple(PAIRS)) -> pd.DataFrame:
    """Paired differences of localization error between rows on the same images, in points:
    negative where the first errs less."""
    measures, lines = results.measures(), {}
    for first, second in pairs:
        if {first, second} <= measures.keys():
            lines[f"{first} − {second}"] = line = {}
            for name in ("loc_err_top1", GT_KNOWN):
                both = Comparison("", ((first, name), (second, name)))
                found = effect(both, measures, {})
                line[f"{SHORT[name]} difference"] = found.mean
                line[f"{SHORT[name]} interval"] = signed(found.low, found.high)
                line["images"] = found.images
    return pd.DataFrame.from_dict(lines, orient="index").rename_axis("rows")


def wsol(results: Results) -> pd.DataFrame:
    """The WSOL metrics in percent: at the held-out split's level, and tuned on this one."""
    lines: dict[str, dict] = {}
    for row, scores in results.wsol.items():
        if not scores:
            continue
        lines[row] = line = {}
        for which, end in (("held_out", ""), ("best", ", tuned here")):
            for metric, title in (("max_box_acc", "MaxBoxAcc"), ("max_box_acc_v2", "MaxBoxAccV2")):
                line[title + end] = scores.get(which, {}).get(metric, np.nan)
                ends = scores["intervals"].get(which, {}).get(metric, (np.nan, np.nan))
                line[f"{title}{end} interval"] = interval(*ends)
        line["PxAP"] = scores.get("pxap", np.nan)
        line["PxAP interval"] = interval(*scores["intervals"].get("pxap", (np.nan, np.nan)))
    return pd.DataFrame.from_dict(lines, orient="index").rename_axis("row")


def error_types(results: Results) -> pd.DataFrame:
    """Percent of the images that end in each error type (see `evaluation.error_types`)."""
    return _shares(dict(list(results.error_types.groupby("row", sort=False))))


def error_types_by_size(results: Results) -> pd.DataFrame:
    """The same by the size of the object."""
    parts = {
        f"{row}, {size}": part
        for row, own in results.error_types.groupby("row", sort=False)
        for size in SIZES
        if len(part := own[own["size"] == size])
    }
    return _shares(parts)


def _shares(parts: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    lines = {}
    for name, part in parts.items():
        line: dict[str, object] = {}
        for kind in ERROR_TYPES:
            ends = 100.0 * (part["error_type"] == kind).to_numpy()
            line |= {kind: float(ends.mean()), f"{kind} interval": interval(*bootstrap(ends))}
        lines[name] = line | {"images": len(part)}
    return pd.DataFrame.from_dict(lines, orient="index").rename_axis("row")


def choices(results: Results) -> dict[str, pd.DataFrame]:
    """Of each network what the choices of the evaluation change (see `evaluation.choices`), and
    another number of groups, where a network is declared with it."""
    measures, found = results.measures(), {}
    for name, changes in results.choices.items():
        others = [o for members in results.alike("groups") if name in members for o in members]
        trained = {
            f"{results.networks[other].groups} groups (`{other}`)": choice(
                measures[other], measures[name]
            )
            for other in others
            if other != name and other in measures
        }
        found[name] = _changes(pd.concat([changes, pd.DataFrame.from_dict(trained, "index")]))
    return found


def _changes(changes: pd.DataFrame) -> pd.DataFrame:
    table = pd.DataFrame(index=changes.index)
    for name in changes.columns.intersection(list(ERRORS)):
        for column, title, text in (
            (name, SHORT[name], interval),
            (f"{name} change", f"{SHORT[name]} difference", signed),
        ):
            if column in changes:
                ends = changes[[column, f"{column} low", f"{column} high"]]
                _add(table, title, ends.set_axis(["percent", "low", "high"], axis=1), text)
    return table


def over_seeds(results: Results) -> pd.DataFrame:
    """Mean and standard deviation of each error over networks that differ in their seed alone."""
    percent, lines = results.errors().xs("percent", axis=1, level=1), {}
    for name, members in results.seeds.items():
        table = percent[percent.index.isin(members)].dropna(axis=1, how="all")
        line: dict[str, object] = {"seeds": len(table)}
        for error in table:
            line[f"{error} mean"] = table[error].mean()
            line[f"{error} deviation"] = table[error].std()
        lines[name] = line
    return pd.DataFrame.from_dict(lines, orient="index").rename_axis("row")


def verdicts(found: Sequence[Verdict]) -> HTML:
    """The claims as a list: verdict, the comparisons behind it, and a link to the figure."""
    helpers = {"signed": signed, "bounds": _bounds, "rule": RULE}
    return HTML(filled("verdicts.html.j2", verdicts=found, **helpers))


def claims(verdicts: Sequence[Verdict]) -> pd.DataFrame:
    """The comparisons that decide the claims: effects in points, and where a claim puts them."""
    lines = [
        {
            "claim": str(verdict.claim.number),
            "comparison": effect.comparison.what,
            "difference": effect.mean,
            "interval": signed(effect.low, effect.high),
            "claimed": _bounds(effect),
            "images": effect.images,
            "seeds": effect.seeds if effect.images else 0,
            "verdict": effect.verdict,
        }
        for verdict in verdicts
        for effect in verdict.effects
    ]
    return pd.DataFrame(lines).set_index("claim")


def _bounds(effect: Effect) -> str:
    """Where a difference is claimed to lie."""
    least, most = effect.comparison.least, effect.comparison.most
    if np.isinf(least):
        return f"under {most:g}"
    return f"over {least:g}" if np.isinf(most) else f"{least:g} to {most:g}"


def _beside(results: Results, stated: dict, measures: list[str]) -> pd.DataFrame:
    """The paper's rows in its order, then the study's own that have the first of the measures."""
    errors = results.errors()
    own = errors.index[errors[measures[0], "percent"].notna()].difference(stated, sort=False)
    errors = errors.reindex([*stated, *own])
    in_paper = pd.DataFrame.from_dict(stated, "index", columns=measures).reindex(errors.index)
    table = pd.DataFrame(index=errors.index.rename("row"))
    for measure in measures:
        title = SHORT[measure]
        table[f"{title} paper"] = in_paper[measure]
        _add(table, f"{title} measured", errors[measure])
        table[f"{title} difference"] = errors[measure, "percent"] - in_paper[measure]
    return _with_images(table, errors[measures], results.images())


def _add(
    table: pd.DataFrame,
    title: str,
    figures: pd.DataFrame,
    text: Callable[[float, float], str] = interval,
) -> None:
    """Add a figure and its interval as two columns; `figures` are `percent`, `low` and `high`."""
    table[title] = figures["percent"]
    ends = zip(figures["low"], figures["high"], strict=True)
    table[f"{title} interval"] = [text(low, high) for low, high in ends]


def _with_images(table: pd.DataFrame, measured: pd.DataFrame, images: int) -> pd.DataFrame:
    return table.assign(images=np.where(measured.notna().any(axis=1), images, 0))
