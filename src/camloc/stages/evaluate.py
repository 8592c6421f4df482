"""04_evaluate: boxes from the maps, errors from the boxes."""

import json

from camloc import evaluation
from camloc.manifest import Manifest, replacing
from camloc.params import Boxes, Evaluate
from camloc.study import EVALUATED, Study


def run(study: Study, name: str, boxes: dict, evaluate: dict) -> dict[str, dict]:
    """Write the errors of the network `name` and the outcome of each image.

    Returns:
        Of each split, the rows of this network and its errors in percent.
    """
    threshold, iou = Boxes(**boxes).threshold, Evaluate(**evaluate).iou
    manifest = Manifest.load(study.manifest).with_truth(study.truth)
    rows: dict[str, dict] = {}
    with replacing(study.evaluation(name)) as folder:
        for split in EVALUATED:
            if manifest.split(split)["wnid"].isna().all():  # a split without labels, or none
                continue
            stored = study.predictions(name) / split
            rows[split] = {}
            for row, errors, outcome in evaluation.evaluate_split(
                stored, name, manifest, split, threshold, iou
            ):
                rows[split][row] = errors
                outcome.to_parquet(folder / f"{split}-{row}.parquet", index=False)
        (folder / "errors.json").write_text(json.dumps(rows, indent=2))
    return rows
