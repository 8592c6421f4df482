"""Tables in CSV, as people's programs write them."""

import csv
import io
import warnings
from pathlib import Path
from typing import Literal

import pandas as pd

from camloc.core.errors import refusing
from camloc.core.files import read_text

COLUMNS = 100  # more than any table has; pandas takes minutes for thousands
HEADER = 100_000  # characters among which that of a table ends


def read_csv(
    path: Path, longer_rows: Literal["error", "ignore"] = "error", **options
) -> pd.DataFrame:
    """A CSV with a header. Nothing but what `na_values` says is missing: an image may be called NA.

    Args:
        longer_rows: whether rows that are longer than the header are refused, or cut to it.
        options: of `pandas.read_csv`.

    Raises:
        UserError: the file is missing, is no text in UTF-8 or no CSV, or has too many columns.
    """
    text = read_text(path)
    with (
        refusing(f"{path} is not a CSV", "give one with a header, its columns apart by commas"),
        warnings.catch_warnings(action=longer_rows, category=pd.errors.ParserWarning),
    ):
        start = io.StringIO(text[:HEADER], newline=None)
        lines = csv.reader(start, skipinitialspace=True)
        if (count := len(next(filter(None, lines), []))) > COLUMNS:
            raise ValueError(f"its header has {count:,} columns")
        # Of rows that are longer than the header pandas would take the first column for an index.
        return pd.read_csv(io.StringIO(text), index_col=False, keep_default_na=False, **options)
