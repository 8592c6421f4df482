"""05_report: the rows of all networks into metrics.json, the tables and summary.md."""

import json
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from camloc import tables
from camloc.evaluation import BASELINES, baseline_rows
from camloc.manifest import SPLITS, Manifest
from camloc.params import Evaluate
from camloc.study import Study
from camloc.tables import Rows


@dataclass(frozen=True)
class Report:
    """The figures of a study: rows by split, and the paper's tables on the reported split."""

    manifest: Manifest
    rows: dict[str, Rows]
    split: str

    @property
    def images(self) -> int:
        """Labelled images of the reported split."""
        return int(self.manifest.split(self.split)["wnid"].notna().sum())

    @property
    def table_1(self) -> pd.DataFrame:
        return tables.table_1(self.rows[self.split], self.images)

    @property
    def table_2(self) -> pd.DataFrame:
        return tables.table_2(self.rows[self.split], self.images)

    @property
    def table_3(self) -> pd.DataFrame:
        images = int(self.manifest.split("test")["wnid"].notna().sum())
        return tables.table_3(self.rows.get("test", {}), images)

    @property
    def both_splits(self) -> pd.DataFrame:
        return tables.by_split(self.rows)

    @property
    def baselines(self) -> pd.DataFrame:
        return tables.baselines(self.rows[self.split], self.images)


def run(study: Study, title: str, networks: list[str], evaluate: dict, reports: Path) -> Report:
    """Write `metrics.json` and `summary.md` of the networks to the folder `reports`."""
    options = Evaluate(**evaluate)
    manifest = Manifest.load(study.manifest).with_truth(study.truth)
    rows = collect(study, manifest, networks, options.iou)
    report = Report(manifest, rows, options.split)
    reports.mkdir(parents=True, exist_ok=True)
    measured = {row: e for row, e in rows[options.split].items() if row not in BASELINES}
    (reports / "metrics.json").write_text(json.dumps(measured, indent=2) + "\n")
    (reports / "summary.md").write_text(summary(report, title), encoding="utf-8")
    return report


def collect(study: Study, manifest: Manifest, networks: list[str], iou: float) -> dict[str, Rows]:
    """Rows by split: those of every network, then the baselines."""
    rows: dict[str, Rows] = {}
    for name in networks:
        stored = json.loads((study.evaluation(name) / "errors.json").read_text())
        for split, found in stored.items():
            rows.setdefault(split, {}).update(found)
    for split in rows:
        rows[split].update(baseline_rows(manifest, split, iou))
    return rows


def summary(report: Report, title: str) -> str:
    """The tables as Markdown: what was run on what, paper beside measured."""
    manifest = report.manifest
    counts = manifest.images["split"].value_counts()
    pictures = ", ".join(f"{counts[split]:,} {split}" for split in SPLITS if split in counts)
    return f"""# Results of the study `{title}`

Data: {manifest.source}, {len(manifest.classes)} classes; {pictures} images. Measured on the
{report.split} split. {_comparable(manifest.source)}

Difference is measured less paper, in points; a dash is a figure that the paper does not give or
that this study did not measure. Lower is better everywhere.

## Table 1. Classification error (%)

{tables.markdown(report.table_1)}

## Table 2. Localization error (%)

{tables.markdown(report.table_2)}

## Table 3. Localization error on the test set, top-5 (%)

{tables.markdown(report.table_3)}

## Beside boxes that look at nothing

GT-known localization error (%) of every row that has a map, of the whole image's box and of a
centred box of half its area.

{tables.markdown(report.baselines)}

## Every error on every split (%)

{tables.markdown(report.both_splits)}
"""


def _comparable(source: str) -> str:
    if source == "ilsvrc":
        return "The paper's figures are of the same data."
    return (
        "The paper's figures are of ILSVRC 2012, another and much larger data set: they stand "
        "beside these for the order of the rows, not for their height."
    )
