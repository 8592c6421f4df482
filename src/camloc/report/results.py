"""The results of a study, collected from what the evaluations left."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from camloc.core.params import Control, Evaluate, Model, Original
from camloc.core.paths import Study
from camloc.core.rows import HEURISTICS, OWN, Row
from camloc.data.manifest import Manifest
from camloc.evaluation.baselines import baselines
from camloc.evaluation.errors import ERRORS, GT_KNOWN
from camloc.evaluation.estimates import estimate, of_shares
from camloc.evaluation.store import LOCALIZATION, MEASURES, Evaluation, by_row
from camloc.maps import store
from camloc.report import claims, paper
from camloc.report.claims import BEST, MAX_POOLED, Verdict

# Of an error in percent: the mean, the ends of its 95 % confidence interval, and the standard
# deviation between training runs.
FIGURE = ["percent", "low", "high", "deviation"]
Networks = Mapping[str, Original | Model | Control]
# Of a row each measure as shares: one row per image, its index, and a column per training run.
Measures = Mapping[str, pd.DataFrame]


@dataclass(frozen=True)
class Results:
    """The results of a study: the measures of every image in every training run, and of the
    reported split what is no figure of an image."""

    manifest: Manifest
    split: str  # the reported one
    networks: Networks
    seeds: int  # the training runs of each network that were asked for
    rows: dict[str, Row]  # of the reported split, by name
    tables: dict[str, dict[str, Measures]]  # by split and row
    error_types: pd.DataFrame  # row, run, image, error_type and size of the object
    wsol: dict[str, dict]  # of each row `evaluation.wsol.summary`, means over the runs
    curves: dict[str, pd.DataFrame]  # of each row the paper's rule over thresholds
    choices: dict[str, dict[str, Measures]]  # of each row its errors by `evaluation.choices`
    map_sides: dict[str, int]  # of each row that has maps their cells a side
    sanity: pd.DataFrame  # `camloc.maps.sanity.SANITY` of the first runs, by `row`

    @cached_property
    def _errors(self) -> dict[str, pd.DataFrame]:
        return {split: _errors_of(rows) for split, rows in self.tables.items()}

    @property
    def splits(self) -> list[str]:
        return list(self.tables)

    def measures(self, split: str | None = None) -> dict[str, Measures]:
        """The measures of each row of a split, by itself the reported one."""
        return self.tables.get(split or self.split, {})

    def errors(self, split: str | None = None) -> pd.DataFrame:
        """The errors of a split, by itself the reported one, in percent, NaN where a row has none:
        by row; columns are pairs of `ERRORS` and `FIGURE`."""
        return self._errors.get(split or self.split, _errors_of({}))

    def of_runs(self, error: str) -> pd.DataFrame:
        """An error of the reported split in percent, by row and training run."""
        found = {
            row: 100 * own[error].mean() for row, own in self.measures().items() if error in own
        }
        return pd.DataFrame.from_dict(found, orient="index")

    def runs(self, row: str) -> int:
        """How many training runs a row has; 0 of the image-independent baselines."""
        if self.rows[row].network is None:
            return 0
        return max((len(table.columns) for table in self.measures()[row].values()), default=0)

    def images(self, split: str | None = None) -> int:
        """How many images of a split, by itself the reported one, have a label."""
        return int(self.manifest.split(split or self.split)["wnid"].notna().sum())

    @cached_property
    def metrics(self) -> dict[str, dict[str, float]]:
        """The rows of metrics.json: errors in percent of the networks' classes, CAMs and
        saliency, means over the training runs."""
        errors = self.errors().xs("percent", axis=1, level=1)
        return {
            name: errors.loc[name].dropna().to_dict() if name in errors.index else {}
            for name, row in self.rows.items()
            if row.network and row.method not in HEURISTICS
        }

    @cached_property
    def verdicts(self) -> list[Verdict]:
        """On the paper's claims."""
        return claims.verdicts(self.measures(), self.rows, self.stand_ins)

    @cached_property
    def stand_ins(self) -> dict[str, str]:
        """The rows that stand for rows of the paper, by these."""
        return claims.stand_ins(self.networks)

    def alike(self, but: str) -> list[list[str]]:
        """Networks made by surgery that are declared alike but for one key, two or more
        together."""
        groups: dict[str, list[str]] = {}
        for name, declared in self.networks.items():
            if isinstance(declared, Model):
                rest = declared.model_dump(mode="json", exclude={but, "stands_for"})
                groups.setdefault(json.dumps(rest, sort_keys=True), []).append(name)
        return [members for members in groups.values() if len(members) > 1]

    @property
    def rivals(self) -> list[str]:
        """The two networks whose pooling the paper compares, else others that differ in it
        alone."""
        rivals = [self.stand_ins.get(row, row) for row in (BEST, MAX_POOLED)]
        if set(rivals) <= set(self.networks):
            return rivals
        return next(iter(self.alike("pool")), [])

    @property
    def sides(self) -> dict[str, int]:
        """Of each network that has CAMs their cells a side."""
        own = {name for name, row in self.rows.items() if row.method == OWN}
        return {row: side for row, side in self.map_sides.items() if row in own}

    @property
    def best(self) -> str | None:
        """The network whose CAMs localize best; None where none of them could be scored."""
        known = self.errors()["loc_err_top1", "percent"].reindex(self.sides).dropna()
        return None if known.empty else known.idxmin()

    @property
    def headline(self) -> str:
        """What was run on what, and which row localizes best."""
        classes = len(self.manifest.classes)
        studied = (
            f"{self.images():,} {self.split} images of {self.manifest.source} "
            f"({classes} {'class' if classes == 1 else 'classes'})"
        )
        found = self.errors()["loc_err_top1"].dropna(subset="percent")
        if found.empty:
            return f"On {studied}: no row localizes, since there are no boxes or no maps."
        best = found["percent"].idxmin()
        percent, low, high, _ = found.loc[best]
        runs = self.runs(best)
        trained = f", {runs} training runs" if runs > 1 else ", one training" if runs else ""
        return (
            f"On {studied}, {paper.TITLES.get(best, best)} localizes best of {len(found)} rows: "
            f"{percent:.1f} % top-1 localization error (95 % CI {low:.1f} to {high:.1f}{trained})."
            + self._told_stand_ins
        )

    @property
    def _told_stand_ins(self) -> str:
        """Which networks stand for the paper's, as a further sentence."""
        told = [
            f"{name} stands for {paper.TITLES[place]}"
            for place, name in self.stand_ins.items()
            if name in self.networks
        ]
        return f" In the paper's claims {', '.join(told)}." if told else ""


def figure_of(values: pd.DataFrame) -> list[float]:
    """`FIGURE` of a measure that is a share, in percent."""
    found = estimate(values)
    return [100 * part for part in (found.mean, *found.share_interval, found.deviation)]


def _errors_of(rows: Mapping[str, Measures]) -> pd.DataFrame:
    """Errors as `Results.errors` gives them, from each row's measures."""
    found = {
        row: {
            (error, part): figure
            for error in ERRORS
            if error in own
            for part, figure in zip(FIGURE, figure_of(own[error]), strict=True)
        }
        for row, own in rows.items()
    }
    found = {row: figures for row, figures in found.items() if figures}
    columns = pd.MultiIndex.from_product([ERRORS, FIGURE])
    table = pd.DataFrame(list(found.values()), index=list(found))
    return table.reindex(columns=columns).astype(float).rename_axis("row")


def collect(study: Study, networks: Networks, evaluate: Evaluate, seeds: int = 1) -> Results:
    """What the evaluations of the networks left, and the image-independent baselines.

    Networks that were not evaluated, and a split without labels, have no rows.

    Args:
        networks: originals first.
        seeds: how many training runs were asked for.
    """
    manifest, split = Manifest.load(study.manifest).with_truth(study.truth), evaluate.split
    own = {
        name: {one.run: Evaluation.load(one.evaluation(name)) for one in study.evaluated(name)}
        for name in networks
    }
    every = [found for runs in own.values() for found in runs.values()]
    splits = dict.fromkeys([split, *(s for e in every for s in e.images["split"].unique())])
    fixed = {1: baselines(manifest, list(splits), evaluate.iou)}
    tables: dict[str, dict[str, Measures]] = {}
    rows: dict[str, Row] = {}
    for runs in (*own.values(), fixed):
        for name, found in tables_of(runs).items():
            tables.setdefault(name, {}).update({row.name: table for row, table in found.items()})
            rows |= {row.name: row for row in found if name == split}
    return Results(
        manifest=manifest,
        split=split,
        networks=networks,
        seeds=seeds,
        rows=rows,
        tables=tables,
        error_types=_error_types([*own.values()], split),
        wsol={k: v for runs in (*own.values(), fixed) for k, v in _wsol(runs, split).items()},
        curves={k: v for runs in own.values() for k, v in _curves(runs, split).items()},
        choices={k: v for runs in own.values() for k, v in _choices(runs, split).items()},
        map_sides={
            Row(name, method).name: store.read_maps(folder, method).shape[-1]
            for name, runs in own.items()
            for run in list(runs)[:1]
            for folder in [study.of_run(run).predictions(name) / split]
            for method in store.methods_of(folder)
        },
        sanity=_sanity(study, {name: min(runs) for name, runs in own.items() if runs}, split),
    )


def _sanity(study: Study, runs: Mapping[str, int], split: str) -> pd.DataFrame:
    """What `camloc.maps.sanity` found of a run of each network."""
    found = {
        name: store.read_sanity(study.of_run(run).predictions(name) / split)
        for name, run in runs.items()
    }
    tables = [
        own.assign(row=Row(name, method).name)
        for name, table in found.items()
        if table is not None
        for method, own in table.groupby("method", sort=False)
    ]
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=["row"])


def tables_of(runs: Mapping[int, Evaluation]) -> dict[str, dict[Row, Measures]]:
    """The measures of the rows of one network, by split, from the evaluations of its runs."""
    parts: dict[tuple[str, Row], dict[int, pd.DataFrame]] = {}
    for run, found in runs.items():
        for row, table in by_row(found.images):
            for split, images in table.groupby("split", sort=False):
                parts.setdefault((split, row), {})[run] = images.set_index("image")[MEASURES]
    tables: dict[str, dict[Row, Measures]] = {}
    for (split, row), of_runs in parts.items():
        tables.setdefault(split, {})[row] = _by_run(of_runs, MEASURES)
    return tables


def _choices(runs: Mapping[int, Evaluation], split: str) -> dict[str, dict[str, Measures]]:
    """Of each row of a network and each choice the errors, from the evaluations of its runs."""
    parts: dict[tuple[str, str], dict[int, pd.DataFrame]] = {}
    for run, found in runs.items():
        own = found.choices[found.choices["split"] == split]
        for row, table in by_row(own):
            for choice, images in table.groupby("choice", sort=False):
                parts.setdefault((row.name, choice), {})[run] = images.set_index("image")
    choices: dict[str, dict[str, Measures]] = {}
    for (row, choice), of_runs in parts.items():
        choices.setdefault(row, {})[choice] = _by_run(of_runs, LOCALIZATION)
    return choices


def _by_run(of_runs: Mapping[int, pd.DataFrame], names: Sequence[str]) -> Measures:
    """Those of the measures that some run has, from a table of each run by image."""
    return {
        name: pd.DataFrame({run: own[name].astype(np.float32) for run, own in of_runs.items()})
        for name in names
        if any(own[name].notna().any() for own in of_runs.values())
    }


def _error_types(every: list[Mapping[int, Evaluation]], split: str) -> pd.DataFrame:
    columns = ["row", "run", "image", "error_type", "size"]
    parts = [
        images[(images["split"] == split) & images["error_type"].notna()].assign(
            row=row.name, run=run
        )[columns]
        for runs in every
        for run, found in runs.items()
        for row, images in by_row(found.images)
    ]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=columns)


def _wsol(runs: Mapping[int, Evaluation], split: str) -> dict[str, dict]:
    """Of each row the mean over the runs of what was tuned on the split itself."""
    of_runs = [found.wsol.get(split, {}) for found in runs.values()]
    return {
        row: pd.DataFrame([found[row]["best"] for found in of_runs if found.get(row)])
        .mean()
        .to_dict()
        for row in dict.fromkeys(row for found in of_runs for row in found)
    }


def _curves(runs: Mapping[int, Evaluation], split: str) -> dict[str, pd.DataFrame]:
    """Of each row the error by threshold with its interval, over the runs."""
    parts: dict[str, list[pd.DataFrame]] = {}
    for found in runs.values():
        for row, table in found.by_threshold(split).items():
            parts.setdefault(row, []).append(table)
    curves = {}
    for row, tables in parts.items():
        of_runs = np.array([table[GT_KNOWN] for table in tables]) / 100  # (runs, thresholds)
        images = int(tables[0]["images"].min())
        found = [of_shares(shares, images) for shares in of_runs.T]
        lines = [[100 * each.mean, *(100 * end for end in each.share_interval)] for each in found]
        curves[row] = tables[0][["threshold"]].join(
            pd.DataFrame(lines, columns=[GT_KNOWN, "low", "high"])
        )
    return curves
