"""04_evaluate: boxes from the maps, errors from the boxes."""

import json
from pathlib import Path

import numpy as np
import pandas as pd

from camloc import predictions, submissions
from camloc.evaluation import (
    Split,
    deviations,
    evaluate_split,
    heuristics,
    over_thresholds,
)
from camloc.files import replacing
from camloc.manifest import Manifest
from camloc.metrics import ERRORS, image_errors, intervals, outcomes, percentages
from camloc.params import Boxes, Evaluate
from camloc.predictions import row_name
from camloc.study import EVALUATED, Study


def run(study: Study, name: str, boxes: dict, evaluate: dict) -> dict[str, dict]:
    """Write the errors of the network `name`, their intervals and the outcome of each image.

    `errors.json` and `intervals.json` hold them in percent, by split and row; `protocols.json`
    the scores over all thresholds, `thresholds.csv` the error of the paper's rule at some;
    `<split>-<row>.parquet` each image's outcome and errors, and `<split>-deviations.parquet` what
    the choices of the evaluation move.

    A split whose labels are withheld also gets what a server that holds them would be sent:
    `<split>-submission.txt` and `.csv` (see `camloc.submissions`), `<split>-images.txt` and
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
            if withheld and "cam" in predictions.methods_of(split.stored()):
                figures = errors.get(split.name, {}).get(name) if iou == 0.5 else None
                _submit(split, options, folder, figures)
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


def ious(study: Study, name: str, split: str, method: str) -> pd.Series:
    """The IoU of the box of each image's true class, by image, as `run` left it."""
    path = study.evaluation(name) / f"{split}-{row_name(name, method)}.parquet"
    return pd.read_parquet(path).set_index("image")["gt_known_iou"]


def by_threshold(study: Study, name: str, split: str) -> dict[str, pd.DataFrame]:
    """The paper's rule over thresholds, by row of the network, as `run` left it."""
    table = pd.read_csv(study.evaluation(name) / "thresholds.csv")
    rows = table[table["split"] == split].groupby("row", sort=False)
    return {row: curve.drop(columns=["split", "row"]) for row, curve in rows}


def _submit(split: Split, options: Boxes, folder: Path, figures: dict | None) -> None:
    """Write the submission; where the truth is known after all, read it back and score it.

    Args:
        figures: the row's errors at an IoU of one half, as the study counted them.

    Raises:
        RuntimeError: the file, read back, is worth something else.
    """
    first = split.answers(options)
    images, wnids = split.images, split.manifest.wnids
    submissions.check_submission(first, images, wnids)
    order = folder / f"{split.name}-images.txt"
    text, table = (folder / f"{split.name}-submission.{kind}" for kind in ("txt", "csv"))
    order.write_text("\n".join(images["image"]) + "\n", encoding="utf-8")
    (folder / "classes.txt").write_text("\n".join(wnids) + "\n", encoding="utf-8")
    number = {wnid: i for i, wnid in enumerate(wnids, start=1)}
    submissions.write_devkit(text, first, images["image"], number)
    submissions.write_kaggle(table, first, images["image"])
    if figures is None:
        return
    numbered, _ = submissions.read_predictions(text, images["image"].tolist())
    numbered["wnid"] = numbered["wnid"].map({str(n): wnid for wnid, n in number.items()})
    for path, read in ((text, numbered), (table, submissions.read_predictions(table)[0])):
        outcome = outcomes(read, split.labels, split.manifest.boxes)
        found = percentages(image_errors(outcome).filter(like="err_top"))
        if options.rule in heuristics(options):  # guesses fewer classes than the network did
            del found["cls_err_top5"]
        for error, value in found.items():
            if not np.isclose(value, figures.get(error, value)):
                raise RuntimeError(f"{path}: {error} is {value}, not {figures[error]}")


def _write(path: Path, tree: dict) -> None:
    path.write_text(json.dumps(tree, indent=2) + "\n", encoding="utf-8")
