"""Results of a few made images, for what is shown of them."""

from pathlib import Path

import numpy as np
import pandas as pd

from camloc.core.rows import OWN, Row
from camloc.data.manifest import Manifest
from camloc.report.results import Measures, Results


def measured(own: dict[str, list]) -> Measures:
    """Measures of the images a, b, c, …: of each a value an image, or a list of one a run."""
    return {
        measure: pd.DataFrame(
            table := np.array(values, dtype=float).reshape(len(values), -1),
            index=list("abcdefgh")[: len(values)],
            columns=range(1, table.shape[1] + 1),
        )
        for measure, values in own.items()
    }


def results(measures: dict[Row | str, dict[str, list]], **more) -> Results:
    """Results of rows on the images a, b, c, … of the test split.

    Args:
        measures: of each row, or network by its name, the measures that it has (see `measured`).
    """
    rows = {row if isinstance(row, Row) else Row(row, OWN): own for row, own in measures.items()}
    tables = {row.name: measured(own) for row, own in rows.items()}
    count = max((len(t) for own in tables.values() for t in own.values()), default=0)
    images = pd.DataFrame({"image": list("abcdefgh")[:count], "wnid": "n1"})
    manifest = Manifest("made", Path(), {"n1": "one"}, images.assign(split="test"), images)
    nothing = {"error_types": pd.DataFrame(columns=["row", "run", "image", "error_type", "size"])}
    nothing |= {key: {} for key in ("networks", "wsol", "curves", "choices", "map_sides")}
    nothing["sanity"] = pd.DataFrame()
    return Results(
        manifest=manifest,
        split="test",
        rows={row.name: row for row in rows},
        tables={"test": tables} if tables else {},
        **nothing | {"seeds": 1} | more,
    )
