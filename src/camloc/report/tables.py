"""The paper's tables with the study's figures beside them."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pandas as pd
from IPython.display import HTML

from camloc.core.params import Control, Model, Original
from camloc.core.rows import Row
from camloc.evaluation import agreement as rankings
from camloc.evaluation.agreement import METRICS
from camloc.evaluation.causes import CAUSES
from camloc.evaluation.error_types import ERROR_TYPES, SIZES
from camloc.evaluation.errors import ERRORS, GT_KNOWN
from camloc.evaluation.estimates import estimate
from camloc.evaluation.store import LOCALIZATION
from camloc.evaluation.thresholds import WHOLE_MAP
from camloc.report import leaderboard, paper
from camloc.report.claims import (
    DEPENDS,
    ONE_TRAINING,
    RULE,
    Comparison,
    Effect,
    Verdict,
    effect,
    headline,
)
from camloc.report.formatting import NONE, filled, interval, signed
from camloc.report.results import FIGURE, Measures, Results, figure_of

SHORT = {
    "cls_err_top1": "top-1",
    "cls_err_top5": "top-5",
    "loc_err_top1": "top-1",
    "loc_err_top5": "top-5",
    GT_KNOWN: "GT-known",
}
SHORT_WORDS = {DEPENDS: "depends", ONE_TRAINING: "one training"}
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
# What chooses a threshold, by the measure of the error at it.
CHOSEN_BY = {
    GT_KNOWN: "study's rule",
    "held_out_gt_known": "other split's boxes",
    "mean_gt_known": "map's mean",
    "otsu_gt_known": "Otsu",
    "triangle_gt_known": "triangle",
}
BEST_HERE = "best for this split"
_PART_OF = {"sharpness": "pool", "top_k": "pool"}
COMPARED = {
    "cls_err_top1": "class top-1",
    "loc_err_top1": "localization top-1",
    GT_KNOWN: "GT-known",
    "held_out_gt_known": "GT-known at the held-out threshold",
}


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
    known, table = results.errors()[GT_KNOWN].dropna(subset="percent"), pd.DataFrame()
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


def pairs(results: Results) -> list[tuple[str, str]]:
    """The rows to compare: `PAIRS`, and each network that the paper lacks with one of the same
    backbone: of those before it in params.yaml that which is declared most alike, the first where
    several are."""
    found = [
        (results.stand_ins.get(a, a), results.stand_ins.get(b, b))  # of the study's own
        for a, b in PAIRS
    ]
    earlier: dict[tuple, dict[str, Original | Model]] = {}
    for name, declared in results.networks.items():
        if isinstance(declared, Control):
            continue
        others = earlier.setdefault((type(declared), declared.backbone or name), {})
        if others and name not in paper.TITLES:
            base = min(others, key=lambda other: _apart(declared, others[other]))
            if not {(base, name), (name, base)} & set(found):
                found.append((name, base))
        others[name] = declared
    return found


def _apart(a: Original | Model, b: Original | Model) -> int:
    """In how many things two networks are declared otherwise; a pooling and its number are one."""
    one, other = (each.model_dump(mode="json", exclude={"stands_for"}) for each in (a, b))
    return len({_PART_OF.get(key, key) for key in one if one[key] != other[key]})


def differences(
    results: Results, compared: Sequence[tuple[str, str]] | None = None
) -> pd.DataFrame:
    """Paired differences of errors between rows on the same images, in points: negative where the
    first errs less; of `pairs` where none are given."""
    measures, lines = results.measures(), {}
    for first, second in pairs(results) if compared is None else compared:
        if {first, second} <= measures.keys():
            lines[f"{first} − {second}"] = line = {}
            wanted = [Comparison(((first, name), (second, name))) for name in COMPARED]
            found = [effect(each, measures, results.rows).found for each in wanted]
            for title, one in zip(COMPARED.values(), found, strict=True):
                line[f"{title} difference"] = one.mean
                line[f"{title} interval"] = signed(*one.interval)
            line |= {key: max(getattr(one, key) for one in found) for key in ("images", "runs")}
    return pd.DataFrame.from_dict(lines, orient="index").rename_axis("rows")


def wsol(results: Results) -> pd.DataFrame:
    """The WSOL metrics in percent: at the held-out split's level, and tuned on this one, which
    gives them no interval."""
    measures, lines = results.measures(), {}
    for row, tuned in results.wsol.items():
        if not tuned:
            continue
        lines[row] = line = {}
        for metric, title in list(WHOLE_MAP.items())[:2]:
            found = estimate(measures[row].get(metric, []))
            line[title] = 100 * found.mean
            line[f"{title} interval"] = interval(*(100 * end for end in found.interval))
            line[f"{title}, tuned here"] = tuned.get(metric, np.nan)
        found = estimate(1 - measures[row]["pxap_err"] if "pxap_err" in measures[row] else [])
        line["PxAP"] = 100 * found.mean
        line["PxAP interval"] = interval(*(100 * end for end in found.interval))
    return pd.DataFrame.from_dict(lines, orient="index").rename_axis("row")


def thresholds(results: Results) -> pd.DataFrame:
    """GT-known localization error in percent by what chooses the threshold: the study, the boxes of
    the other split, each map alone, or the best for this split, which has no interval."""
    rows = {row: own for row, own in results.measures().items() if row in results.curves and own}
    table = pd.DataFrame(index=list(rows))
    for measure, title in CHOSEN_BY.items():
        found = {row: figure_of(own.get(measure, [])) for row, own in rows.items()}
        _add(table, title, pd.DataFrame.from_dict(found, orient="index", columns=FIGURE))
    table[BEST_HERE] = {row: results.curves[row][GT_KNOWN].min() for row in rows}
    return table.rename_axis("row")


def threshold_costs(table: pd.DataFrame) -> pd.DataFrame:
    """By how many points each threshold of `thresholds` errs more than the best for this split,
    which is one threshold for all maps: one of each map's own may err less."""
    costs = {f"{title} difference": table[title] - table[BEST_HERE] for title in CHOSEN_BY.values()}
    return pd.DataFrame(costs).dropna(axis=1, how="all")


def causes(results: Results) -> pd.DataFrame:
    """Percent of the pairs of parts that each row's maps order as their true effects are ordered,
    by what was done to the parts."""
    rows = _with_causes(results)
    table = pd.DataFrame(index=list(rows))
    for change, measure in CAUSES.items():
        found = {row: figure_of(own.get(measure, [])) for row, own in rows.items()}
        _add(table, change, pd.DataFrame.from_dict(found, orient="index", columns=FIGURE))
    return table.rename_axis("row")


def agreement(results: Results) -> pd.DataFrame:
    """Kendall's tau between the ranking of the rows by each metric and by `causes`, with the ends
    of its interval: `tau`, `low` and `high`, by metric and change."""
    rows, found = _with_causes(results), {}
    for measure, more_is_better in METRICS.items():
        for change, cause in CAUSES.items():
            both = {row: own for row, own in rows.items() if {measure, cause} <= own.keys()}
            means = [
                pd.DataFrame({row: own[name].mean(axis=1) for row, own in both.items()})
                for name in (cause, measure)
            ]
            known = pd.concat(means, axis=1, keys=["cause", "measure"]).dropna()
            if len(both) > 2 and len(known) > 1:
                sign = 1 if more_is_better else -1
                taus = rankings.agreement(
                    known["cause"].to_numpy(), sign * known["measure"].to_numpy()
                )
                if not np.isnan(taus[0]):  # the rows are not all alike
                    found[leaderboard.COLUMNS[measure][0], change] = taus
    table = pd.DataFrame.from_dict(found, orient="index", columns=["tau", "low", "high"])
    table.index = pd.MultiIndex.from_tuples(found, names=["metric", "change"])
    return table


def agreement_by_change(found: pd.DataFrame) -> pd.DataFrame:
    """`agreement` as text to read: a row a metric, a column a change."""
    table = pd.DataFrame(index=pd.Index(found.index.unique("metric"), name="metric"))
    for change in found.index.unique("change"):
        own = found.xs(change, level="change")
        table[change] = own["tau"]
        table[f"{change} interval"] = _in_hundredths(own).reindex(table.index, fill_value=NONE)
    return table


def sanity(results: Results) -> pd.DataFrame:
    """The mean rank correlation of each row's maps with those of the same network, of which so many
    layers from the top have lost their weights; with the ends of its interval, by row and share of
    the layers. Empty maps are left out."""
    checked = results.sanity
    if checked.empty:
        return pd.DataFrame(columns=["row", "share", "mean", "low", "high"])
    lines = []
    for (row, layers, of), own in checked.groupby(["row", "layers", "of"], sort=False):
        found = estimate(own["correlation"])
        lines.append((row, layers / of, found.mean, *np.clip(found.interval, -1, 1)))
    return pd.DataFrame(lines, columns=["row", "share", "mean", "low", "high"])


def sanity_by_depth(found: pd.DataFrame) -> pd.DataFrame:
    """`sanity` as text to read: a column the top layer, and each quarter of the layers."""
    table = pd.DataFrame(index=pd.Index(found["row"].unique(), name="row"))
    for title, share in {"top layer": 0.0, "a quarter": 0.25, "half": 0.5, "all": 1.0}.items():
        own = found.assign(apart=(found["share"] - share).abs()).sort_values("apart", kind="stable")
        own = own.drop_duplicates("row").set_index("row").reindex(table.index)
        table[title] = own["mean"]
        table[f"{title} interval"] = _in_hundredths(own)
    return table


def _in_hundredths(table: pd.DataFrame) -> pd.Series:
    ends = zip(table["low"], table["high"], strict=True)
    return pd.Series([signed(*each, decimals=2) for each in ends], index=table.index)


def _with_causes(results: Results) -> dict[str, Measures]:
    measures = CAUSES.values()
    return {row: own for row, own in results.measures().items() if own.keys() & set(measures)}


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
            ends = part.assign(own=part["error_type"] == kind).pivot(
                index="image", columns="run", values="own"
            )
            percent, low, high, _ = figure_of(ends.astype(float))
            line |= {kind: percent, f"{kind} interval": interval(low, high)}
        lines[name] = line | {"images": part["image"].nunique()}
    return pd.DataFrame.from_dict(lines, orient="index").rename_axis("row")


def choices(results: Results) -> pd.DataFrame:
    """Localization error of each row with one choice of the evaluation changed (see
    `evaluation.choices`), or of its training where a network is declared with that, and the paired
    difference from the row's own in points."""
    lines = {
        f"{row}, {choice}": _changed(errors, results.measures()[row])
        for row in [row for row in results.rows if row in results.choices]
        for choice, errors in _changes(results, row).items()
    }
    table = pd.DataFrame.from_dict(lines, orient="index").rename_axis("row, choice")
    return table.dropna(axis=1, how="all")


def _changes(results: Results, row: str) -> dict[str, Measures]:
    """The measures of a row by each choice, its own first, and those of networks that are declared
    as its network is, but for their groups or how they were trained."""
    measures = results.measures()
    found = {"this study": measures[row]} | results.choices[row]
    for key in ("groups", "training"):
        members = next((found for found in results.alike(key) if row in found), [])
        for other in [other for other in members if other != row and other in measures]:
            found[f"{_told(results.networks[other], key)} (`{other}`)"] = measures[other]
    return found


def _told(network: Model, key: str) -> str:
    if key == "groups":
        return f"{network.groups} groups"
    own = ", ".join(f"{name} {value}" for name, value in network.training.model_dump().items())
    return f"trained with {own}" if own else "trained as section finetune says"


def _changed(errors: Measures, base: Measures) -> dict[str, float | str]:
    line: dict[str, float | str] = {}
    for name in LOCALIZATION:
        if name in errors and name in base:
            percent, low, high, _ = figure_of(errors[name])
            both = (errors[name] - base[name]).dropna(axis=1, how="all")  # the runs that both have
            moved = estimate(both).scaled(100)
            line |= {
                SHORT[name]: percent,
                f"{SHORT[name]} interval": interval(low, high),
                f"{SHORT[name]} difference": moved.mean,
                f"{SHORT[name]} difference interval": signed(*moved.interval),
            }
    return line


def answer(results: Results) -> pd.DataFrame:
    """The errors of the rows that have any, but for boxes of no network, in one narrow table."""
    rows = [name for name, row in results.rows.items() if row.network]
    errors = results.errors().reindex(rows)
    table = pd.DataFrame(index=errors.index.rename("row"))
    columns = {
        "cls_err_top1": "classification, top-1",
        "loc_err_top1": "localization, top-1",
        "loc_err_top5": "localization, top-5",
        GT_KNOWN: "GT-known",
    }
    for error, title in columns.items():
        table[title] = errors[error, "percent"]
        ends = zip(errors[error, "low"], errors[error, "high"], strict=True)
        table[f"{title} interval"] = [interval(low, high) for low, high in ends]
    return table.loc[errors.xs("percent", axis=1, level=1).notna().any(axis=1)]


def strip(found: Sequence[Verdict]) -> HTML:
    """The verdicts in a word each, with links to their claims."""
    return HTML(filled("strip.html.j2", verdicts=found, short=SHORT_WORDS))


def verdicts(found: Sequence[Verdict]) -> HTML:
    """The claims as a list: verdict, the comparisons behind it, and a link to the figure."""
    helpers = {"signed": signed, "bounds": _bounds, "rule": RULE, "headline": headline(found)}
    return HTML(filled("verdicts.html.j2", verdicts=found, **helpers))


def claims(verdicts: Sequence[Verdict]) -> pd.DataFrame:
    """The comparisons that decide the claims: effects in points, where a claim puts them, their
    standard errors from images and from training runs, the smallest difference that could have been
    shown, and what would settle what cannot be told."""
    lines = [
        {
            "claim": str(verdict.claim.number),
            "by": effect.comparison.by,
            "comparison": effect.comparison.title,
            "difference": effect.found.mean,
            "interval": signed(*effect.found.interval),
            "claimed": _bounds(effect),
            "error from images": effect.found.of_images,
            "from runs": effect.found.of_runs if effect.found.runs > 1 else np.nan,
            "could show": effect.found.detectable,
            "images": effect.found.images,
            "runs": effect.found.runs,
            "verdict": effect.verdict,
            "to settle": effect.to_settle,
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
    """The paper's rows in its order, or those that stand for them, then the study's own that have
    the first of the measures; the other way round where the study has none of the paper's."""
    errors, placed = results.errors(), results.stand_ins
    if placed:
        stated = {placed[row]: figures for row, figures in stated.items() if row in placed}
        stated = {row: figures for row, figures in stated.items() if row in errors.index}
    measured = errors.index[errors[measures[0], "percent"].notna()]
    own = measured.difference(stated, sort=False)
    errors = errors.reindex([*own, *stated] if len(own) == len(measured) else [*stated, *own])
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
    """Add a figure and its interval as two columns, and the deviation between training runs, where
    there are several, as a third; `figures` are `FIGURE`."""
    table[title] = figures["percent"]
    ends = zip(figures["low"], figures["high"], strict=True)
    table[f"{title} interval"] = [text(low, high) for low, high in ends]
    if "deviation" in figures and figures["deviation"].notna().any():
        table[f"{title} between runs"] = figures["deviation"]


def _with_images(table: pd.DataFrame, measured: pd.DataFrame, images: int) -> pd.DataFrame:
    return table.assign(images=np.where(measured.notna().any(axis=1), images, 0))
