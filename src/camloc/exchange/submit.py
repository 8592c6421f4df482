"""What an evaluation server would be sent."""

from pathlib import Path

import numpy as np

from camloc.boxes.heuristic import heuristics
from camloc.boxes.predictions import Split
from camloc.core.params import Boxes
from camloc.evaluation.errors import image_errors, outcomes, percentages
from camloc.exchange import formats


def submit(split: Split, options: Boxes, folder: Path, figures: dict | None) -> None:
    """Write the submission; where the truth is known after all, read it back and score it.

    Args:
        figures: the row's errors at an IoU of one half, as the study counted them.

    Raises:
        RuntimeError: the file, read back, is worth something else.
    """
    first = split.answers(options)
    images, wnids = split.images, split.manifest.wnids
    formats.check_submission(first, images, wnids)
    order = folder / f"{split.name}-images.txt"
    text, table = (folder / f"{split.name}-submission.{kind}" for kind in ("txt", "csv"))
    order.write_text("\n".join(images["image"]) + "\n", encoding="utf-8")
    (folder / "classes.txt").write_text("\n".join(wnids) + "\n", encoding="utf-8")
    number = {wnid: i for i, wnid in enumerate(wnids, start=1)}
    formats.write_devkit(text, first, images["image"], number)
    formats.write_kaggle(table, first, images["image"])
    if figures is None:
        return
    numbered, _ = formats.read_predictions(text, images["image"].tolist())
    numbered["wnid"] = numbered["wnid"].map({str(n): wnid for wnid, n in number.items()})
    for path, read in ((text, numbered), (table, formats.read_predictions(table)[0])):
        outcome = outcomes(read, split.labels, split.manifest.boxes)
        found = percentages(image_errors(outcome).filter(like="err_top"))
        if options.rule in heuristics(options):  # guesses fewer classes than the network did
            del found["cls_err_top5"]
        for error, value in found.items():
            if not np.isclose(value, figures.get(error, value)):
                raise RuntimeError(f"{path}: {error} is {value}, not {figures[error]}")
