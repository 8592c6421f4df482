"""Pictures that are altered in one part, where a data set has some: there it is known what causes a
label, and a network's answers tell how much each part does.

The table lies beside the pictures, a row for each altered one: `image` (that it was made from),
`part` (of the labelled object, numbered as in its mask), `change` (what was done to the part) and
`path`.
"""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

CHANGES = ("removed", "recoloured", "moved")
COLUMNS = ["image", "part", "change", "path"]
FOLDER, _TABLE = "altered", "alterations.parquet"


def save(root: Path, rows: Sequence[tuple]) -> None:
    pd.DataFrame(rows, columns=COLUMNS).to_parquet(root / _TABLE, index=False)


def load(root: Path) -> pd.DataFrame:
    """The table of the data set whose pictures lie in a folder; empty where none are altered."""
    path = root / _TABLE
    return pd.read_parquet(path) if path.is_file() else pd.DataFrame(columns=COLUMNS)
