"""The files of an evaluation: one module writes and reads them."""

import pandas as pd

from camloc.core.paths import Study
from camloc.maps.store import row_name


def ious(study: Study, name: str, split: str, method: str) -> pd.Series:
    """The IoU of the box of each image's true class, by image, as `run` left it."""
    path = study.evaluation(name) / f"{split}-{row_name(name, method)}.parquet"
    return pd.read_parquet(path).set_index("image")["gt_known_iou"]


def by_threshold(study: Study, name: str, split: str) -> dict[str, pd.DataFrame]:
    """The paper's rule over thresholds, by row of the network, as `run` left it."""
    table = pd.read_csv(study.evaluation(name) / "thresholds.csv")
    rows = table[table["split"] == split].groupby("row", sort=False)
    return {row: curve.drop(columns=["split", "row"]) for row, curve in rows}
