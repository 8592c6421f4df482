"""The files of an evaluation: the one module that knows their names and columns.

- `images.parquet`: one row per row of the tables, split and image (`COLUMNS`): the outcome (see
  `camloc.evaluation.errors.outcomes`), the errors, the coverage and what each image adds to scores
  over all thresholds, NaN where there is none, the error type and the size of the object
- `thresholds.csv`: the error of the paper's rule at other thresholds, and of how many images
- `wsol.json`: the WSOL metrics by split and row, and the key of what all curves were made from
- `choices.parquet`: the localization errors with one choice of the evaluation changed: one row per
  row of the tables, split, choice and image
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from camloc.core.rows import Row
from camloc.evaluation.causes import CAUSES
from camloc.evaluation.coverage import COVERAGE
from camloc.evaluation.errors import ERRORS, GT_KNOWN, HELD_OUT, percentages
from camloc.evaluation.estimates import of_shares
from camloc.evaluation.thresholds import BY_MAP, WHOLE_MAP

IMAGES = "images.parquet"
_THRESHOLDS, _WSOL, _CHOICES = "thresholds.csv", "wsol.json", "choices.parquet"
OVER_THRESHOLDS = [
    *HELD_OUT,
    *BY_MAP,
    *WHOLE_MAP,
]  # what does not depend on the rule's own threshold
# Of the likeliest class (see `camloc.maps.faithfulness`).
FAITHFULNESS = ["insertion", "deletion", "average_drop"]
MEASURES = [*ERRORS, *COVERAGE, *OVER_THRESHOLDS, *FAITHFULNESS, *CAUSES.values()]
OUTCOME = ["wnid", "cls_rank", "loc_rank", "gt_known_iou", "has_box"]
KEY = ["network", "method", "split"]
COLUMNS = [*KEY, "image", *OUTCOME, *MEASURES, "error_type", "size"]
CURVE = ["threshold", GT_KNOWN, "images"]
LOCALIZATION = [name for name in ERRORS if name.startswith("loc_err")]
CHOICE = [*KEY, "choice", "image", *LOCALIZATION]


@dataclass(frozen=True)
class Evaluation:
    """The results of one network, or of the image-independent baselines, whose network is None.

    Attributes:
        images: `COLUMNS`, images of each row and split in the order of the manifest.
        thresholds: `KEY` and `CURVE`, in percent.
        wsol: by split and row, `camloc.evaluation.wsol.summary`.
        choices: `CHOICE`, see `camloc.evaluation.choices`.
        curves_key: tells what `thresholds` and `wsol` were made from; empty if unknown.
    """

    images: pd.DataFrame
    thresholds: pd.DataFrame
    wsol: dict[str, dict[str, dict]]
    choices: pd.DataFrame
    curves_key: str = ""

    @classmethod
    def of(
        cls,
        images: Sequence[pd.DataFrame],
        thresholds: Sequence[pd.DataFrame] = (),
        wsol: dict[str, dict[str, dict]] | None = None,
        choices: Sequence[pd.DataFrame] = (),
        curves_key: str = "",
    ) -> "Evaluation":
        """From the tables of each row and split, which may lack columns."""
        table = _joined(images, COLUMNS).astype(dict.fromkeys(MEASURES, float))
        curves, changed = _joined(thresholds, [*KEY, *CURVE]), _joined(choices, CHOICE)
        return cls(table, curves, wsol or {}, changed, curves_key)

    def save(self, folder: Path) -> None:
        self.images.to_parquet(folder / IMAGES, index=False)
        self.thresholds.to_csv(folder / _THRESHOLDS, index=False)
        tree = {"key": self.curves_key, "scores": self.wsol}
        (folder / _WSOL).write_text(json.dumps(tree, indent=2) + "\n", encoding="utf-8")
        self.choices.to_parquet(folder / _CHOICES, index=False)

    @classmethod
    def load(cls, folder: Path) -> "Evaluation":
        """What `save` left in a folder."""
        tree = json.loads((folder / _WSOL).read_text(encoding="utf-8"))
        thresholds = pd.read_csv(folder / _THRESHOLDS)
        images, choices = (pd.read_parquet(folder / name) for name in (IMAGES, _CHOICES))
        return cls(images, thresholds, tree["scores"], choices, tree["key"])

    def measures(self, split: str) -> dict[str, pd.DataFrame]:
        """Of each row of a split those of `MEASURES` that it has, one row per image, its index."""
        own = self.images[self.images["split"] == split]
        return {
            row.name: table.set_index("image")[MEASURES].dropna(axis=1, how="all")
            for row, table in by_row(own)
        }

    def over_thresholds(self, split: str, row: Row) -> pd.DataFrame:
        """`OVER_THRESHOLDS` of a row, by image."""
        images = self.images
        own = (images["split"] == split) & (images["method"] == row.method)
        return images[own].set_index("image")[OVER_THRESHOLDS]

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
        """The paper's rule over thresholds (`CURVE`), by row, with its 95 % interval as `low` and
        `high`."""
        own = self.thresholds[self.thresholds["split"] == split]
        curves = {row.name: table[CURVE].reset_index(drop=True) for row, table in by_row(own)}
        for table in curves.values():
            shares = zip(table[GT_KNOWN] / 100, table["images"], strict=True)
            ends = [of_shares([share], images).share_interval for share, images in shares]
            table[["low", "high"]] = 100 * np.array(ends)
        return curves


def by_row(table: pd.DataFrame) -> Iterator[tuple[Row, pd.DataFrame]]:
    """The part of each row of the tables, by `network` and `method`."""
    for (network, method), own in table.groupby(KEY[:2], sort=False, dropna=False):
        yield Row(None if pd.isna(network) else network, method), own


def _joined(tables: Sequence[pd.DataFrame], columns: list[str]) -> pd.DataFrame:
    if not tables:
        return pd.DataFrame(columns=columns)
    return pd.concat(tables, ignore_index=True).reindex(columns=columns)
