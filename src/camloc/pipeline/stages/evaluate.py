"""04_evaluate: boxes from the maps, errors from the boxes."""

import json
from pathlib import Path

import pandas as pd

from camloc.boxes.predictions import Split
from camloc.core.files import replacing
from camloc.core.params import Boxes, Evaluate
from camloc.core.paths import EVALUATED, Study
from camloc.data.manifest import Manifest
from camloc.evaluation.choices import deviations
from camloc.evaluation.errors import ERRORS
from camloc.evaluation.intervals import intervals
from camloc.evaluation.rows import evaluate_split
from camloc.evaluation.thresholds import over_thresholds
from camloc.exchange.submit import submit
from camloc.maps import store


def run(study: Study, name: str, boxes: dict, evaluate: dict) -> dict[str, dict]:
    """Write the errors of the network `name`, their intervals and the outcome of each image.

    `errors.json` and `intervals.json` hold them in percent, by split and row; `protocols.json`
    the scores over all thresholds, `thresholds.csv` the error of the paper's rule at some;
    `<split>-<row>.parquet` each image's outcome and errors, and `<split>-deviations.parquet` what
    the choices of the evaluation move.

    A split whose labels are withheld also gets what a server that holds them would be sent:
    `<split>-submission.txt` and `.csv` (see `camloc.exchange.formats`), `<split>-images.txt` and
    `classes.txt`.

    Returns:
        Of each split, the rows of this network and its errors in percent.
    """
    options, iou = Boxes(**boxes), Evaluate(**evaluate).iou
    seen = Manifest.load(study.manifest)
    manifest = seen.with_truth(study.truth)
    there = [s for s in EVALUATED if len(manifest.split(s))]
    every = [Split(study.predictions(name), manifest, split) for split in there]
    splits = [split for split in every if len(split.labels)]
    errors: dict[str, dict] = {}
    spans: dict[str, dict] = {}
    curves: dict[str, dict] = {}
    thresholds = pd.DataFrame(columns=["split", "row"])
    with replacing(study.evaluation(name)) as folder:
        for split in splits:
            rows = list(evaluate_split(split, name, options, iou))
            errors[split.name] = {row.name: row.figures for row in rows}
            spans[split.name] = {row.name: intervals(row.errors) for row in rows}
            curves[split.name] = {row.name: row.curves for row in rows if row.curves}
            for row in rows:
                if row.by_threshold is not None:
                    lines = row.by_threshold.assign(split=split.name, row=row.name)
                    thresholds = pd.concat([thresholds, lines])
                table = row.outcome.merge(row.errors, left_on="image", right_index=True)
                table.to_parquet(folder / f"{split.name}-{row.name}.parquet", index=False)
            if split.stored(10).is_dir():
                moved = deviations(split, options, iou)
                moved.to_parquet(folder / f"{split.name}-deviations.parquet")
        for split in every:
            withheld = seen.split(split.name)["wnid"].isna().all()
            if withheld and "cam" in store.methods_of(split.stored()):
                figures = errors.get(split.name, {}).get(name) if iou == 0.5 else None
                submit(split, options, folder, figures)
        thresholds.to_csv(folder / "thresholds.csv", index=False)
        _write(folder / "errors.json", errors)
        _write(folder / "intervals.json", spans)
        _write(folder / "protocols.json", over_thresholds(curves))
    return errors


def finding(rows: dict[str, dict], split: str) -> str:
    """The first figure of each row of a split in words, a line a row.

    Args:
        rows: of `run`.
    """
    if split not in rows:
        return f"{split} has no labels to be scored by"
    firsts = ("loc_err_top1", "loc_err_top5", "cls_err_top1")
    lines = []
    for row, errors in rows[split].items():
        known = [name for name in firsts if name in errors]
        told = f"{errors[known[0]]:.1f} % {ERRORS[known[0]]}" if known else "not scored"
        lines.append(f"{row}: {told} on {split}")
    return "\n".join(lines)


def _write(path: Path, tree: dict) -> None:
    path.write_text(json.dumps(tree, indent=2) + "\n", encoding="utf-8")
