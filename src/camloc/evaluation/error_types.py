"""What kind of miss a miss is."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from camloc.boxes.geometry import CORNERS, iou

RIGHT, WRONG_CLASS = "right", "wrong class"
SEVERAL, PART, LARGE, PLACE = "several objects", "part", "too large", "wrong place"
KINDS = [RIGHT, WRONG_CLASS, SEVERAL, PART, LARGE, PLACE]
SIZES = ["small", "medium", "large"]
SIZE_EDGES = [0, 0.2, 0.5, np.inf]  # shares of the image that the largest true box takes


def kinds(
    guesses: pd.DataFrame, labels: pd.DataFrame, boxes: pd.DataFrame, threshold: float = 0.5
) -> pd.DataFrame:
    """How the first guess of each image ends, by the rules of TS-CAM (Gao et al. 2021, sec. 4.4).

    The box of a right class that finds no object holds parts of two or more true boxes (over 30 %
    of each), or lies mostly within one (over half of its own area: only a part), or holds most of
    one (over 70 % of it: too large), or is in the wrong place.

    Args:
        guesses, labels, boxes: as for `camloc.evaluation.errors.outcomes`, one label an image.

    Returns:
        `image` and `kind` (of `KINDS`), a row an image that has a box of its class.
    """
    first = guesses.loc[guesses["rank"] == 1, ["image", "wnid", *CORNERS]]
    known = labels[labels["image"].isin(boxes.merge(labels, on=["image", "wnid"])["image"])]
    merged = known.merge(first, on="image", suffixes=("", "_guess"), how="left")
    true = boxes.merge(known, on=["image", "wnid"])
    pairs = merged.merge(true, on=["image", "wnid"], suffixes=("", "_true"))
    overlaps = _overlaps(pairs)
    found = overlaps.groupby("image").max().reindex(merged["image"])
    objects = (overlaps["of_true"] > 0.3).groupby(overlaps["image"]).sum()
    objects = objects.reindex(merged["image"])
    tests = [
        (merged["wnid_guess"] != merged["wnid"]).to_numpy(),
        (found["iou"] >= threshold).to_numpy(),
        (objects >= 2).to_numpy(),
        (found["of_guess"] > 0.5).to_numpy(),
        (found["of_true"] > 0.7).to_numpy(),
    ]
    names = [WRONG_CLASS, RIGHT, SEVERAL, PART, LARGE]
    return pd.DataFrame({"image": merged["image"], "kind": np.select(tests, names, PLACE)})


def sizes(images: pd.DataFrame, boxes: pd.DataFrame) -> pd.Series:
    """The size class of each image's largest box: up to 20, up to 50 and over 50 % of the image."""
    sized = boxes.merge(images[["image", "width", "height"]], on="image")
    sides = (sized["xmax"] - sized["xmin"] + 1) * (sized["ymax"] - sized["ymin"] + 1)
    share = (sides / (sized["width"] * sized["height"])).groupby(sized["image"]).max()
    return pd.cut(share, SIZE_EDGES, labels=SIZES)


def _overlaps(pairs: pd.DataFrame) -> pd.DataFrame:
    """IoU of each guess and true box, and their intersection as a share of either's area."""
    guess = pairs[CORNERS].to_numpy(dtype=np.float64)
    true = pairs[[f"{c}_true" for c in CORNERS]].to_numpy(dtype=np.float64)
    corners = np.minimum(guess[:, 2:], true[:, 2:]) - np.maximum(guess[:, :2], true[:, :2]) + 1
    both = corners.clip(min=0).prod(axis=1)
    return pd.DataFrame(
        {
            "image": pairs["image"],
            "iou": iou(guess, true),
            "of_guess": both / _area(guess),
            "of_true": both / _area(true),
        }
    )


def _area(boxes: NDArray) -> NDArray:
    return (boxes[:, 2:] - boxes[:, :2] + 1).prod(axis=1)
