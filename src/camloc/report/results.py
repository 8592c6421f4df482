"""The results of a study, collected from what the evaluations left."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import pandas as pd

from camloc.core.params import Evaluate, Model, Original
from camloc.core.paths import Study
from camloc.core.rows import HEURISTICS, OWN, Row
from camloc.data.manifest import Manifest
from camloc.evaluation.baselines import baselines
from camloc.evaluation.errors import ERRORS, percentages
from camloc.evaluation.intervals import intervals
from camloc.evaluation.store import Evaluation, values
from camloc.maps import store
from camloc.report import claims, paper
from camloc.report.claims import BEST, MAX_POOLED, Verdict

FIGURE = ["percent", "low", "high"]  # an error, and the ends of its 95 % confidence interval
Networks = Mapping[str, Original | Model]


@dataclass(frozen=True)
class Results:
    """The results of a study: one tidy table, and of the reported split what is no figure of an
    image."""

    manifest: Manifest
    split: str  # the reported one
    networks: Networks
    rows: dict[str, Row]  # of the reported split, by name
    values: pd.DataFrame  # of all splits (see `evaluation.store.values`)
    error_types: pd.DataFrame  # row, image, error_type and size of the object
    wsol: dict[str, dict]  # of each row `evaluation.wsol.summary`
    curves: dict[str, pd.DataFrame]  # of each row the paper's rule over thresholds
    choices: dict[str, pd.DataFrame]  # of each network `evaluation.choices.choices`
    sides: dict[str, int]  # of each network the cells a side of its CAMs

    @cached_property
    def _measures(self) -> dict[str, dict[str, pd.DataFrame]]:
        found: dict[str, dict[str, pd.DataFrame]] = {}
        for (split, row), own in self.values.groupby(["split", "row"], observed=True):
            table = own.pivot(index="image", columns="measure", values="value")
            plain = {"index": table.index.astype(object), "columns": table.columns.astype(object)}
            found.setdefault(split, {})[row] = pd.DataFrame(table.to_numpy(), **plain)
        return found

    @cached_property
    def _errors(self) -> dict[str, pd.DataFrame]:
        return {split: _errors_of(rows) for split, rows in self._measures.items()}

    @property
    def splits(self) -> list[str]:
        return list(self._measures)

    def measures(self, split: str | None = None) -> dict[str, pd.DataFrame]:
        """Of each row of a split, by itself the reported one, its measures as shares: one row per
        image, its index."""
        return self._measures.get(split or self.split, {})

    def errors(self, split: str | None = None) -> pd.DataFrame:
        """The errors of a split, by itself the reported one, in percent, NaN where a row has none:
        by row; columns are pairs of `ERRORS` and `FIGURE`."""
        return self._errors.get(split or self.split, _errors_of({}))

    def images(self, split: str | None = None) -> int:
        """How many images of a split, by itself the reported one, have a label."""
        return int(self.manifest.split(split or self.split)["wnid"].notna().sum())

    @cached_property
    def metrics(self) -> dict[str, dict[str, float]]:
        """The rows of metrics.json: errors in percent of the networks' classes, CAMs and
        saliency."""
        errors = self.errors().xs("percent", axis=1, level=1)
        return {
            name: errors.loc[name].dropna().to_dict() if name in errors.index else {}
            for name, row in self.rows.items()
            if row.network and row.method not in HEURISTICS
        }

    @cached_property
    def seeds(self) -> dict[str, list[str]]:
        """Networks that differ in their seed alone, by the name of the first."""
        return {members[0]: members for members in self.alike("seed")}

    @cached_property
    def verdicts(self) -> list[Verdict]:
        """On the paper's claims. A network that was trained from several seeds counts by the mean
        of them."""
        measures = self.measures()
        groups = {
            name: [measures[member] for member in members if member in measures]
            for name, members in self.seeds.items()
        }
        means = {name: sum(found) / len(found) for name, found in groups.items() if found}
        return claims.verdicts(measures | means, {name: len(groups[name]) for name in means})

    def alike(self, but: str) -> list[list[str]]:
        """Networks made by surgery that are declared alike but for one key, two or more
        together."""
        groups: dict[str, list[str]] = {}
        for name, declared in self.networks.items():
            if isinstance(declared, Model):
                rest = declared.model_dump(mode="json", exclude={but})
                groups.setdefault(json.dumps(rest, sort_keys=True), []).append(name)
        return [members for members in groups.values() if len(members) > 1]

    @property
    def rivals(self) -> list[str]:
        """The two networks whose pooling the paper compares, else others that differ in it
        alone."""
        if {BEST, MAX_POOLED} <= set(self.networks):
            return [BEST, MAX_POOLED]
        return next(iter(self.alike("pool")), [])

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
        found = self.errors()["loc_err_top1"].dropna()
        if found.empty:
            return f"On {studied}: no row localizes, since there are no boxes or no maps."
        best = found["percent"].idxmin()
        percent, low, high = found.loc[best]
        return (
            f"On {studied}, {paper.TITLES.get(best, best)} localizes best of {len(found)} rows: "
            f"{percent:.1f} % top-1 localization error (95 % CI {low:.1f} to {high:.1f})."
        )


def _errors_of(rows: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """Errors as `Results.errors` gives them, from each row's measures."""
    found = {}
    for row, table in rows.items():
        errors = table.filter(items=ERRORS)
        percent, ends = percentages(errors), intervals(errors)
        found[row] = {
            (error, part): figure
            for error in errors
            for part, figure in zip(FIGURE, (percent[error], *ends[error]), strict=True)
        }
    columns = pd.MultiIndex.from_product([ERRORS, FIGURE])
    table = pd.DataFrame(list(found.values()), index=list(found))
    return table.reindex(columns=columns).astype(float).rename_axis("row")


def collect(study: Study, networks: Networks, evaluate: Evaluate) -> Results:
    """What the evaluations of the networks left, and the image-independent baselines.

    Networks that were not evaluated, and a split without labels, have no rows.

    Args:
        networks: originals first.
    """
    manifest, split = Manifest.load(study.manifest).with_truth(study.truth), evaluate.split
    own = {
        name: Evaluation.load(study.evaluation(name))
        for name in networks
        if study.evaluation(name).is_dir()
    }
    splits = dict.fromkeys([split, *(s for e in own.values() for s in e.images["split"].unique())])
    every = [*own.values(), baselines(manifest, list(splits), evaluate.iou)]
    images = pd.concat([each.images for each in every], ignore_index=True)
    reported, key = images[images["split"] == split], ["network", "method"]
    pairs = reported[key].drop_duplicates()
    rows = [
        Row(None if pd.isna(network) else network, method)
        for network, method in pairs.itertuples(index=False)
    ]
    named = reported.merge(pairs.assign(row=[row.name for row in rows]), "left", key)
    columns = ["row", "image", "error_type", "size"]
    return Results(
        manifest=manifest,
        split=split,
        networks=networks,
        rows={row.name: row for row in rows},
        values=values(every),
        error_types=named.dropna(subset="error_type")[columns],
        wsol={row: scores for each in every for row, scores in each.wsol.get(split, {}).items()},
        curves={row: curve for each in every for row, curve in each.by_threshold(split).items()},
        choices={name: each.choices[split] for name, each in own.items() if split in each.choices},
        sides={
            name: maps.shape[-1]
            for name in own
            if (maps := store.read_maps(study.predictions(name) / split, OWN)) is not None
        },
    )
