"""The results of a study, collected from what the evaluations left."""

import json
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from camloc.core.params import Evaluate
from camloc.core.paths import Study
from camloc.data.manifest import Manifest
from camloc.evaluation.baselines import BASELINES, CENTRE_GAUSSIAN, baseline_curves, baseline_rows
from camloc.evaluation.choices import choice
from camloc.evaluation.error_types import SIZES
from camloc.evaluation.intervals import intervals
from camloc.evaluation.store import by_threshold
from camloc.evaluation.thresholds import over_thresholds
from camloc.maps import store
from camloc.report import paper, tables
from camloc.report.claims import BEST, MAX_POOLED, Claim, ledger
from camloc.report.tables import Rows, Spans

NO_NETWORK = (*BASELINES, CENTRE_GAUSSIAN)
# GAP against GMP and against the uncut network, and CAMs against the gradient saliency.
PAIRS = [
    ("googlenet-gap", "googlenet-gmp"),
    ("googlenet-gap", "googlenet"),
    ("googlenet-gap", "nin"),
    ("googlenet-gap", "backprop-googlenet"),
    ("vgg16-gap", "backprop-vgg16"),
    ("alexnet-gap", "backprop-alexnet"),
    ("alexnet2-gap", "alexnet-gap"),
    ("googlenet-gap", "centre-box"),
]


@dataclass(frozen=True)
class Report:
    """The figures of a study: rows by split, and the paper's tables on the reported split."""

    manifest: Manifest
    rows: dict[str, Rows]
    spans: dict[str, Spans]
    errors: dict[str, pd.DataFrame]
    scores: dict[str, dict]
    outcomes: dict[str, pd.DataFrame]
    choices: dict[str, pd.DataFrame]
    cells: dict[str, int]  # a side of each network's CAMs
    curves: dict[str, pd.DataFrame]  # of each row the paper's rule over thresholds
    seeds: dict[str, list[str]]
    split: str

    @property
    def images(self) -> int:
        """Labelled images of the reported split."""
        return int(self.manifest.split(self.split)["wnid"].notna().sum())

    @property
    def table_1(self) -> pd.DataFrame:
        return tables.table_1(self.rows[self.split], self.images, self.spans[self.split])

    @property
    def table_2(self) -> pd.DataFrame:
        return tables.table_2(self.rows[self.split], self.images, self.spans[self.split])

    @property
    def table_3(self) -> pd.DataFrame:
        images = int(self.manifest.split("test")["wnid"].notna().sum())
        return tables.table_3(self.rows.get("test", {}), images, self.spans.get("test", {}))

    @property
    def both_splits(self) -> pd.DataFrame:
        return tables.by_split(self.rows, self.spans)

    @property
    def baselines(self) -> pd.DataFrame:
        return tables.baselines(self.rows[self.split], self.images, self.spans[self.split])

    @property
    def differences(self) -> pd.DataFrame:
        pairs = [pair for pair in PAIRS if all(row in self.errors for row in pair)]
        return tables.differences(self.errors, pairs)

    @property
    def over_thresholds(self) -> pd.DataFrame:
        return tables.over_thresholds(self.scores)

    @property
    def anatomy(self) -> pd.DataFrame:
        """What becomes of the first guess, by row."""
        return tables.kinds_of_misses(self.outcomes)

    @property
    def anatomy_by_size(self) -> pd.DataFrame:
        """The same by the size of the object."""
        parts = {
            f"{row}, {size}": part
            for row, outcome in self.outcomes.items()
            for size in SIZES
            if len(part := outcome[outcome["size"] == size])
        }
        return tables.kinds_of_misses(parts)

    @property
    def claims(self) -> list[Claim]:
        """The paper's claims with their verdicts on this study.

        Where a line of params.yaml was trained from several seeds, it counts by the mean of them.
        """
        groups = {
            name: [self.errors[member] for member in members if member in self.errors]
            for name, members in self.seeds.items()
        }
        means = {name: sum(found) / len(found) for name, found in groups.items() if found}
        return ledger(self.errors | means, {name: len(groups[name]) for name in means})

    @property
    def best(self) -> str | None:
        """The network whose CAMs localize best; None where none of them could be scored."""
        errors = {n: self.rows[self.split].get(n, {}).get("loc_err_top1") for n in self.cells}
        known = {name: error for name, error in errors.items() if error is not None}
        return min(known, key=known.get) if known else None

    @property
    def headline(self) -> str:
        """What was run on what, and which row localizes best."""
        classes = len(self.manifest.classes)
        studied = (
            f"{self.images:,} {self.split} images of {self.manifest.source} "
            f"({classes} {'class' if classes == 1 else 'classes'})"
        )
        error = "loc_err_top1"
        found = {row: e[error] for row, e in self.rows[self.split].items() if error in e}
        if not found:
            return f"On {studied}: no row localizes, since there are no boxes or no maps."
        best = min(found, key=found.get)
        low, high = self.spans[self.split][best][error]
        return (
            f"On {studied}, {paper.TITLES.get(best, best)} localizes best of {len(found)} rows: "
            f"{found[best]:.1f} % top-1 localization error ({low:.1f} to {high:.1f})."
        )

    @property
    def over_seeds(self) -> pd.DataFrame:
        return tables.over_seeds(self.rows[self.split], self.seeds)


def collect(study: Study, networks: dict, options: Evaluate) -> Report:
    """What the evaluations of the networks left, and the baselines beside them.

    Networks that were not evaluated, and a split without labels, have no rows.
    """
    manifest = Manifest.load(study.manifest).with_truth(study.truth)
    rows: dict[str, Rows] = {options.split: {}}
    spans: dict[str, Spans] = {options.split: {}}
    scores: dict[str, dict] = {}
    outcomes: dict[str, pd.DataFrame] = {}
    choices: dict[str, pd.DataFrame] = {}
    cells: dict[str, int] = {}
    curves: dict[str, pd.DataFrame] = {}
    for name in filter(lambda name: study.evaluation(name).is_dir(), networks):
        folder = study.evaluation(name)
        maps = store.read_maps(study.predictions(name) / options.split, "cam")
        if maps is not None:
            cells[name] = maps.shape[-1]
        for file, target in (("errors", rows), ("intervals", spans)):
            for split, found in _read(folder / f"{file}.json").items():
                target.setdefault(split, {}).update(found)
        scores |= _read(folder / "protocols.json").get(options.split, {})
        for row in _read(folder / "errors.json").get(options.split, {}):
            outcomes[row] = pd.read_parquet(folder / f"{options.split}-{row}.parquet")
        curves |= by_threshold(study, name, options.split)
        moved = folder / f"{options.split}-deviations.parquet"
        if moved.is_file():
            choices[name] = pd.read_parquet(moved)
    errors = {
        row: outcome.set_index("image").filter(regex="_err_|_cover$|^peak_on_")
        for row, outcome in outcomes.items()
    }
    for split in rows:
        for row in baseline_rows(manifest, split, options.iou):
            rows[split][row.name] = row.figures
            spans[split][row.name] = intervals(row.errors)
            if split == options.split:
                errors[row.name] = row.errors
    looked = {split: baseline_curves(manifest, split) for split in rows}
    scores |= over_thresholds(looked)[options.split]
    located = {row: table for row, table in outcomes.items() if "kind" in table}
    for name, moved in choices.items():
        choices[name] = pd.concat([moved, _trained_choices(name, networks, errors)])
    seeds = {members[0]: members for members in alike(networks, "seed")}
    return Report(
        manifest, rows, spans, errors, scores, located, choices, cells, curves, seeds, options.split
    )


def alike(networks: dict, but: str) -> list[list[str]]:
    """Networks made by surgery that are declared alike but for one key, two or more together."""
    groups: dict[str, list[str]] = {}
    for name, declaration in networks.items():
        if "backbone" in declaration:
            rest = json.dumps({k: v for k, v in declaration.items() if k != but}, sort_keys=True)
            groups.setdefault(rest, []).append(name)
    return [members for members in groups.values() if len(members) > 1]


def rivals(networks: dict) -> list[str]:
    """The two networks whose pooling the paper compares, else others that differ in it alone."""
    if {BEST, MAX_POOLED} <= set(networks):
        return [BEST, MAX_POOLED]
    return next(iter(alike(networks, "pool")), [])


def _trained_choices(name: str, networks: dict, errors: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """What another number of groups moves, where a network is declared with it."""
    others = [
        other for members in alike(networks, "groups") if name in members for other in members
    ]
    lines = {
        f"{networks[other]['groups']} groups (`{other}`)": choice(errors[other], errors[name])
        for other in others
        if other != name and other in errors
    }
    return pd.DataFrame.from_dict(lines, orient="index")


def _read(path: Path) -> dict:
    return json.loads(path.read_text(encoding="utf-8"))
