"""Results of a few made images, for what is shown of them."""

from pathlib import Path

import pandas as pd

from camloc.core.rows import OWN, Row
from camloc.data.manifest import Manifest
from camloc.evaluation.store import Evaluation, values
from camloc.report.results import Results


def results(measures: dict[Row | str, dict[str, list[float]]], **more) -> Results:
    """Results of rows on the images a, b, c, … of the test split.

    Args:
        measures: of each row, or network by its name, the measures that it has, image by image.
    """
    rows = {row if isinstance(row, Row) else Row(row, OWN): own for row, own in measures.items()}
    tables = [
        pd.DataFrame(own).assign(network=row.network, method=row.method, split="test")
        for row, own in rows.items()
    ]
    tables = [table.assign(image=list("abcdefgh")[: len(table)]) for table in tables]
    count = max(map(len, tables), default=0)
    images = pd.DataFrame({"image": list("abcdefgh")[:count], "wnid": "n1"})
    manifest = Manifest("made", Path(), {"n1": "one"}, images.assign(split="test"), images)
    nothing = {"error_types": pd.DataFrame(columns=["row", "image", "error_type", "size"])}
    nothing |= {key: {} for key in ("networks", "wsol", "curves", "choices", "sides")}
    return Results(
        manifest=manifest,
        split="test",
        rows={row.name: row for row in rows},
        values=values([Evaluation.of(tables, wsol={})]),
        **nothing | more,
    )
