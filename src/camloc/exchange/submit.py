"""What an evaluation server would be sent."""

from pathlib import Path

import numpy as np

from camloc.boxes.predictions import Split
from camloc.boxes.rule import Rule
from camloc.evaluation.errors import image_errors, outcomes, percentages
from camloc.exchange import formats


def submit(split: Split, rule: Rule, folder: Path, errors: dict | None) -> None:
    """Write the submission; where the ground truth is known after all, read it back and score it.

    Args:
        errors: the row's, in percent, at an IoU of one half, as the study counted them.

    Raises:
        RuntimeError: the file, read back, is worth something else.
    """
    first = split.answers(rule)
    images, wnids = split.images, split.manifest.wnids
    formats.check_submission(first, images, wnids)
    order = folder / f"{split.name}-images.txt"
    text, table = (folder / f"{split.name}-submission.{kind}" for kind in ("txt", "csv"))
    order.write_text("\n".join(images["image"]) + "\n", encoding="utf-8")
    (folder / "classes.txt").write_text("\n".join(wnids) + "\n", encoding="utf-8")
    number = {wnid: i for i, wnid in enumerate(wnids, start=1)}
    formats.write_devkit(text, first, images["image"], number)
    formats.write_kaggle(table, first, images["image"])
    if errors is None:
        return
    numbered, _ = formats.read_predictions(text, images["image"].tolist())
    numbered["wnid"] = numbered["wnid"].map({str(n): wnid for wnid, n in number.items()})
    for path, read in ((text, numbered), (table, formats.read_predictions(table)[0])):
        outcome = outcomes(read, split.labels, split.manifest.boxes)
        found = percentages(image_errors(outcome).filter(like="err_top"))
        if rule.pairs:  # predicts fewer classes than the network did
            del found["cls_err_top5"]
        for name, value in found.items():
            if not np.isclose(value, errors.get(name, value)):
                raise RuntimeError(f"{path}: {name} is {value}, not {errors[name]}")
