"""From boxes to errors, as the ILSVRC classification-with-localization task counts them.

The rules are those of the ILSVRC devkit (`eval_clsloc.m`, `compute_overlap.m`): boxes are
inclusive pixels and are not clipped to the image, a prediction is right if it names a true class
and, for localization, its box has an IoU of at least one half with any ground-truth box of that
class; an image with several true classes counts as the mean over them.
"""

from collections.abc import Collection, Sequence

import pandas as pd
from numpy.typing import NDArray

from camloc.boxes.geometry import CORNERS, iou
from camloc.boxes.heuristic import five_predictions
from camloc.boxes.predictions import Split
from camloc.boxes.rule import Rule

NO_RANK = 2**31 - 1
GT_KNOWN = "loc_err_gt_known"
ERRORS = {  # what they are called
    "cls_err_top1": "top-1 classification error",
    "cls_err_top5": "top-5 classification error",
    "loc_err_top1": "top-1 localization error",
    "loc_err_top5": "top-5 localization error",
    GT_KNOWN: "GT-known localization error",
}
# The same by the paper's rule at the threshold that is best on the other split.
HELD_OUT = {
    name.replace("loc_err", "held_out"): f"{title} at the held-out threshold"
    for name, title in ERRORS.items()
    if name.startswith("loc_err")
}


def outcomes(
    predictions: pd.DataFrame, labels: pd.DataFrame, boxes: pd.DataFrame, threshold: float = 0.5
) -> pd.DataFrame:
    """What the predictions of each image are worth; every error follows from it.

    Args:
        predictions: `image`, `rank` (from 1, best first), `wnid` and the box, of all images. A
            class may be predicted several times, with a box each; those of other classes than the
            image's change nothing and may be left out.
        labels: `image` and `wnid` of the images that count, one row per true class.
        boxes: the ground truth, `image`, `wnid` and the box, any number per image.
        threshold: the smallest IoU that counts as found.

    Returns:
        For each row of `labels`: `image`, `wnid`; `cls_rank`, the rank of the first prediction of
        the true class; `loc_rank`, that of the first whose box meets the threshold with any
        ground-truth box of that class; `NO_RANK` where there is none; `gt_known_iou`, the best IoU
        of any prediction of the true class, whatever its rank (NaN without one); `has_box`, whether
        the image has a ground-truth box of its class.
    """
    result = labels[["image", "wnid"]].reset_index(drop=True)
    key = result.assign(label=result.index)  # merged on, so that rows are told apart by number
    right = predictions.merge(key, on=["image", "wnid"])
    truth = boxes.merge(key, on=["image", "wnid"])[["label", *CORNERS]]
    pairs = right.merge(truth, on="label", suffixes=("", "_true"))
    pairs["iou"] = iou(pairs[CORNERS], pairs[[f"{c}_true" for c in CORNERS]])
    found = pairs[pairs["iou"] >= threshold]
    ranks = {"cls_rank": right, "loc_rank": found}
    for name, table in ranks.items():
        first = table.groupby("label")["rank"].min()
        result[name] = first.reindex(result.index, fill_value=NO_RANK).astype("int64")
    result["gt_known_iou"] = pairs.groupby("label")["iou"].max()
    result["has_box"] = result.index.isin(truth["label"])
    return result


def image_errors(
    outcome: pd.DataFrame,
    threshold: float = 0.5,
    top: Sequence[int] = (1, 5),
    blacklist: Collection[str] = (),
) -> pd.DataFrame:
    """Each image's errors: 0 or 1, or between where it has several true classes.

    Args:
        outcome: of `outcomes`, with the same threshold.
        top: the numbers of predictions that count.
        blacklist: images that count for classification alone.

    Returns:
        One row per image: `cls_err_top…`, `loc_err_top…` and `loc_err_gt_known`; localization is
        NaN where the image has no box of its class or is on the blacklist. Columns of which nothing
        is known are left out: localization without any box, and GT-known where some image has no
        prediction of its true class: nobody knows what the box of that class would be worth.
    """
    boxed = outcome["has_box"] & ~outcome["image"].isin(blacklist)
    known = outcome["gt_known_iou"]
    wrong = {f"cls_err_top{k}": outcome["cls_rank"] > k for k in top}
    if boxed.any():
        wrong |= {f"loc_err_top{k}": (outcome["loc_rank"] > k).where(boxed) for k in top}
        if known[boxed].notna().all():
            wrong[GT_KNOWN] = (known < threshold).where(boxed)
    columns = {name: values.astype(float) for name, values in wrong.items()}
    return pd.DataFrame(columns).groupby(outcome["image"], sort=False).mean()


def percentages(errors: pd.DataFrame) -> dict[str, float]:
    """Errors in percent, by column, over the images that count for it."""
    return {name: 100 * float(mean) for name, mean in errors.mean().items()}


def score(split: Split, predictions: pd.DataFrame, iou: float) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Each image's errors, and the outcome that they follow from."""
    outcome = outcomes(predictions, split.labels, split.manifest.boxes, iou)
    return image_errors(outcome, iou), outcome


def score_cams(
    split: Split, predictions: pd.DataFrame, maps: NDArray, rule: Rule, iou: float
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """`score` of what `Split.predictions` gives of CAMs, with the top-5 localization error of the
    rule's five predictions of three classes where it makes those."""
    errors, outcome = score(split, predictions, iou)
    if rule.pairs:
        five, _ = score(split, five_predictions(predictions, maps, rule.pairs), iou)
        errors["loc_err_top5"] = five["loc_err_top5"]
    return errors, outcome
