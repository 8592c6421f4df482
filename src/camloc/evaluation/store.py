"""The files of an evaluation: the one module that knows their names and columns.

- `images.parquet`: one row per row of the tables, split and image (`COLUMNS`): the outcome (see
  `camloc.evaluation.errors.outcomes`), the errors and the coverage, NaN where there is none, the
  error type and the size of the object
- `thresholds.csv`: the error of the paper's rule at other thresholds, with its 95 % interval
- `wsol.json`: the WSOL metrics by split and row, and the key of what all curves were made from
- `choices.parquet`: what each choice of the evaluation changes, by split, where ten crops are
  stored
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from camloc.core.rows import Row
from camloc.evaluation.coverage import COVERAGE
from camloc.evaluation.errors import ERRORS, GT_KNOWN, percentages

IMAGES = "images.parquet"
_THRESHOLDS, _WSOL, _CHOICES = "thresholds.csv", "wsol.json", "choices.parquet"
MEASURES = [*ERRORS, *COVERAGE]
OUTCOME = ["wnid", "cls_rank", "loc_rank", "gt_known_iou", "has_box"]
KEY = ["network", "method", "split"]
COLUMNS = [*KEY, "image", *OUTCOME, *MEASURES, "error_type", "size"]
CURVE = ["threshold", GT_KNOWN, "low", "high"]


@dataclass(frozen=True)
class Evaluation:
    """The results of one network, or of the image-independent baselines, whose network is None.

    Attributes:
        images: `COLUMNS`, images of each row and split in the order of the manifest.
        thresholds: `KEY` and `CURVE`, in percent.
        wsol: by split and row, `camloc.evaluation.wsol.summary`.
        choices: by split, `camloc.evaluation.choices.choices`.
        curves_key: tells what `thresholds` and `wsol` were made from; empty if unknown.
    """

    images: pd.DataFrame
    thresholds: pd.DataFrame
    wsol: dict[str, dict[str, dict]]
    choices: dict[str, pd.DataFrame] = field(default_factory=dict)
    curves_key: str = ""

    @classmethod
    def of(
        cls, images: Sequence[pd.DataFrame], thresholds: Sequence[pd.DataFrame] = (), **rest
    ) -> "Evaluation":
        """From the tables of each row and split, which may lack columns."""
        table = _joined(images, COLUMNS).astype(dict.fromkeys(MEASURES, float))
        return cls(table, _joined(thresholds, [*KEY, *CURVE]), **rest)

    def save(self, folder: Path) -> None:
        self.images.to_parquet(folder / IMAGES, index=False)
        self.thresholds.to_csv(folder / _THRESHOLDS, index=False)
        tree = {"key": self.curves_key, "scores": self.wsol}
        (folder / _WSOL).write_text(json.dumps(tree, indent=2) + "\n", encoding="utf-8")
        if self.choices:
            table = pd.concat(self.choices, names=["split"]).reset_index()
            table.to_parquet(folder / _CHOICES, index=False)

    @classmethod
    def load(cls, folder: Path) -> "Evaluation":
        """What `save` left in a folder."""
        tree = json.loads((folder / _WSOL).read_text(encoding="utf-8"))
        thresholds = pd.read_csv(folder / _THRESHOLDS)
        images, choices = pd.read_parquet(folder / IMAGES), {}
        if (folder / _CHOICES).is_file():
            table = pd.read_parquet(folder / _CHOICES).set_index("choice")
            # What one split lacks, the table of both holds as NaN.
            for split, own in table.groupby("split", sort=False):
                unknown = [name for name in own if own[name.split(" ")[0]].isna().all()]
                choices[split] = own.drop(columns=["split", *unknown])
        return cls(images, thresholds, tree["scores"], choices, tree["key"])

    def measures(self, split: str) -> dict[str, pd.DataFrame]:
        """Of each row of a split those of `MEASURES` that it has, one row per image, its index."""
        own = self.images[self.images["split"] == split]
        return {
            row.name: table.set_index("image")[MEASURES].dropna(axis=1, how="all")
            for row, table in _by_row(own)
        }

    def percentages(self) -> dict[str, dict[str, dict[str, float]]]:
        """The errors in percent, by split and row."""
        return {
            split: {
                row: percentages(table.filter(items=ERRORS))
                for row, table in self.measures(split).items()
            }
            for split in self.images["split"].unique()
        }

    def ious(self, split: str, method: str) -> pd.Series:
        """The IoU of the box of each image's true class, by image."""
        images = self.images
        own = images[(images["split"] == split) & (images["method"] == method)]
        return own.set_index("image")["gt_known_iou"]

    def by_threshold(self, split: str) -> dict[str, pd.DataFrame]:
        """The paper's rule over thresholds (`CURVE`), by row."""
        own = self.thresholds[self.thresholds["split"] == split]
        return {row.name: table[CURVE].reset_index(drop=True) for row, table in _by_row(own)}


def values(evaluations: Sequence[Evaluation]) -> pd.DataFrame:
    """All measures of all evaluations as one tidy table.

    Returns:
        `row` (its name), `split`, `image`, `measure` (of `MEASURES`) and `value`, a share from 0 to
        1; all but the last are categories, in the order in which they come up. What is NaN in
        `Evaluation.images` has no row.
    """
    tables = [
        table.assign(row=row.name)
        for evaluation in evaluations
        for row, table in _by_row(evaluation.images)
    ]
    table = _joined(tables, ["row", "split", "image", *MEASURES])
    for column in ("row", "split", "image"):
        codes, found = pd.factorize(table[column])
        table[column] = pd.Categorical.from_codes(codes, found)
    parts = []
    for code, measure in enumerate(MEASURES):
        own = table.loc[table[measure].notna(), ["row", "split", "image", measure]]
        own = own.rename(columns={measure: "value"})
        own.insert(3, "measure", pd.Categorical.from_codes([code] * len(own), MEASURES))
        parts.append(own)
    return pd.concat(parts, ignore_index=True)


def _by_row(table: pd.DataFrame) -> Iterator[tuple[Row, pd.DataFrame]]:
    for (network, method), own in table.groupby(KEY[:2], sort=False, dropna=False):
        yield Row(None if pd.isna(network) else network, method), own


def _joined(tables: Sequence[pd.DataFrame], columns: list[str]) -> pd.DataFrame:
    if not tables:
        return pd.DataFrame(columns=columns)
    return pd.concat(tables, ignore_index=True).reindex(columns=columns)
