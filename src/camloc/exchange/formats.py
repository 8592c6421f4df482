"""The files in which people exchange ground truth and predictions, read and written.

- ground truth as CSV: `image,label,xmin,ymin,xmax,ymax`, one row per box; a row without corners is
  a true label without a box, as blacklisted images may have
- predictions as CSV: `image,rank,label,xmin,ymin,xmax,ymax`, rank from 1
- Kaggle's CSV for both: `ImageId,PredictionString`, the string `label xmin ymin xmax ymax` groups,
  in the ground truth also a label alone, without a box
- the ILSVRC devkit's text for predictions: such groups, one line per image, images in an order that
  is given apart; groups of five zeros fill lines up

Columns are found by their names; an index before them does not count. Corners are inclusive pixels.
Predicted ones may leave the image, as the devkit has it; the devkit also takes an inverted box, and
counts it as wrong, but here it is refused: most such files hold widths and heights for corners.
Labels are compared as they are written, so both files must use one vocabulary: wnids, or the
devkit's numbers.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from camloc.boxes.geometry import CORNERS
from camloc.boxes.paper import MOST_PIXELS, are_sizes
from camloc.core.errors import UserError, refuse
from camloc.core.files import read_text
from camloc.core.tables import read_csv

MOST_PREDICTIONS = 5  # of an image
KAGGLE = ["ImageId", "PredictionString"]
SIZES = ["image", "width", "height"]
TRUTH = ["image", "label", *CORNERS]
PREDICTIONS = ["image", "rank", "label", *CORNERS]
AS_WRITTEN = {"skipinitialspace": True, "low_memory": False}
NO_NUMBERS = "holds corners that are no finite numbers"


def read_truth(path: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Ground truth in either CSV.

    Returns:
        Labels (`image`, `wnid`), each pair once, and boxes (`image`, `wnid` and the corners).

    Raises:
        UserError: a column or a label is missing, or a corner is not a number, negative or
            inverted.
    """
    table, _ = _read_csv(path, TRUTH, alone=True)
    _check_labels(path, table)
    labels = table[["image", "wnid"]].drop_duplicates(ignore_index=True)
    boxes = table[table[CORNERS].notna().any(axis=1)].reset_index(drop=True)
    _check_corners(path, boxes, least=0)
    if labels.empty:
        raise UserError(f"{path} holds no ground truth")
    return labels, boxes[["image", "wnid", *CORNERS]]


def read_predictions(
    path: Path, images: Sequence[str] | None = None
) -> tuple[pd.DataFrame, pd.Index]:
    """Predictions in either CSV or, where the file is neither, in the devkit's text.

    Args:
        images: the order of the lines of the devkit's text.

    Returns:
        Predictions (`image`, `rank`, `wnid` and the corners), and the images that the file answers
        for, which may be without one in Kaggle's CSV and the devkit's text.

    Raises:
        UserError: a rank is not a whole number from 1 to 5 or is given twice, a label is missing,
            a corner is not a number or inverted, or the text has another number of lines than
            `images`.
    """
    text = is_devkit_text(path)
    predictions, names = _read_devkit(path, images) if text else _read_csv(path, PREDICTIONS)
    names = pd.Index(names)
    refuse(path, names[names.duplicated()], "answers for images twice")
    _check_labels(path, predictions)
    _check_ranks(path, predictions)
    _check_corners(path, predictions)
    return predictions[["image", "rank", "wnid", *CORNERS]], names


def is_devkit_text(path: Path) -> bool:
    """Whether the first line is no header of a CSV: groups are apart by blanks, not commas."""
    return "," not in read_text(path).partition("\n")[0]


def read_names(path: Path, what: str = "images") -> list[str]:
    """The lines of a file that names images or classes, one per line; empty lines do not count.

    Raises:
        UserError: the file is missing, or names one twice.
    """
    names = pd.Series([line.strip() for line in read_text(path).splitlines() if line.strip()])
    refuse(path, names[names.duplicated()], f"names {what} twice")
    return names.tolist()


def read_sizes(path: Path) -> pd.DataFrame:
    """`image`, `width` and `height` in pixels, of a CSV with these columns.

    Raises:
        UserError: a column is missing, an image is named twice, a side is not positive, or an
            image has more than `MOST_PIXELS`.
    """
    table = read_csv(path, dtype={"image": str}, **AS_WRITTEN)
    _check_columns(path, table, SIZES)
    refuse(path, table["image"][table["image"].duplicated()], "names images twice")
    sides = table[SIZES[1:]].apply(pd.to_numeric, errors="coerce")
    wrong = ~(sides >= 1).all(axis=1) | (sides % 1 != 0).any(axis=1)
    refuse(path, table["image"][wrong], "holds sizes that are not whole pixels")
    wrong = ~are_sizes(sides.to_numpy())
    refuse(path, table["image"][wrong], f"holds sizes of more than {MOST_PIXELS:,} pixels")
    return table[["image"]].join(sides.astype(np.int64))


def check_images(truth: Path, labels: pd.DataFrame, source: Path, names: pd.Index) -> None:
    """Refuse predictions that do not answer for just the images of the ground truth.

    Args:
        source: the file that names the images.

    Raises:
        UserError: lists the first three cases.
    """
    known = pd.Index(labels["image"].unique())
    refuse(source, names.difference(known), f"holds images that {truth} does not know")
    refuse(source, known.difference(names), f"lacks images of {truth}")


def check_labels(
    truth: Path,
    labels: pd.DataFrame,
    source: Path,
    predictions: pd.DataFrame,
    classes: Path | None = None,
) -> None:
    """Refuse labels of another vocabulary.

    Args:
        source: the file of the predictions.
        classes: every label that there is, one per line. Without it one label in common is enough:
            of a few images the ground truth has a few of the classes.

    Raises:
        UserError: a label is not listed; or, without the list, no label is in both files.
    """
    if classes:
        listed = read_names(classes, "classes")
        for path, table in ((truth, labels), (source, predictions)):
            strange = table["wnid"][~table["wnid"].isin(listed)].unique()
            refuse(path, strange, f"holds labels that {classes} does not list")
    elif len(predictions) and not predictions["wnid"].isin(labels["wnid"]).any():
        given, wanted = (", ".join(t["wnid"].unique()[:3]) for t in (predictions, labels))
        raise UserError(
            f"{source} has no label in common with {truth}, such as {given} in the one and "
            f"{wanted} in the other; write both in one vocabulary, or list it with --classes"
        )


def write_devkit(
    path: Path, predictions: pd.DataFrame, images: Sequence[str], number: dict
) -> None:
    """Write the devkit's text: one line per image, `label xmin ymin xmax ymax` groups.

    Args:
        predictions: `image`, `rank`, `wnid` and integer corners.
        images: in the order of the lines.
        number: of each wnid, the label that stands in the file.
    """
    numbered = predictions.assign(wnid=predictions["wnid"].map(number))
    path.write_text("\n".join(_strings(numbered, images)) + "\n", encoding="utf-8")


def write_kaggle(path: Path, predictions: pd.DataFrame, images: Sequence[str]) -> None:
    """Write Kaggle's CSV, images in the order given; predictions as for `write_devkit`."""
    rows = pd.DataFrame({"ImageId": images, "PredictionString": _strings(predictions, images)})
    rows.to_csv(path, index=False)


def check_submission(predictions: pd.DataFrame, images: pd.DataFrame, wnids: Sequence[str]) -> None:
    """Refuse predictions that no evaluation server would take.

    Args:
        predictions: `image`, `rank`, `wnid` and the corners.
        images: `image`, `width` and `height` of every image of the split.
        wnids: the classes that there are.

    Raises:
        UserError: an image is missing, unknown or has ranks out of order, a class is unknown, or a
            box is inverted or leaves its image.
    """
    where = "the submission"
    named = pd.Index(predictions["image"].unique())
    refuse(where, named.difference(images["image"]), "has unknown images")
    without = pd.Index(images["image"]).difference(named)
    refuse(where, without, "has images without a prediction")
    strange = predictions["wnid"][~predictions["wnid"].isin(wnids)].unique()
    refuse(where, strange, "has unknown classes")
    _check_ranks(where, predictions)
    _check_corners(where, predictions, least=0)
    check_inside(where, predictions, images)


def check_inside(where: object, boxes: pd.DataFrame, sizes: pd.DataFrame) -> None:
    """Refuse boxes (`image` and corners) whose last pixels are not in their image.

    Args:
        sizes: `image`, `width` and `height`.
    """
    sized = boxes[["image", *CORNERS]].merge(sizes[SIZES], on="image")
    outside = (sized["xmax"] >= sized["width"]) | (sized["ymax"] >= sized["height"])
    refuse(where, sized["image"][outside], "holds boxes that leave their image")


def _read_csv(
    path: Path, columns: list[str], alone: bool = False
) -> tuple[pd.DataFrame, Sequence[str]]:
    """A CSV with these columns, or Kaggle's: one row per box, labels as `wnid`; and its images.

    Args:
        alone: as for `_groups`.
    """
    texts = dict.fromkeys(["image", "label", *KAGGLE], str)
    empty = dict.fromkeys(CORNERS, "")
    table = read_csv(path, dtype=texts, na_values=empty, **AS_WRITTEN)
    if set(KAGGLE) <= set(table):
        more = [c for c in table if c not in KAGGLE and not c.startswith("Unnamed:")]
        refuse(path, more, f"holds columns beside {','.join(KAGGLE)}", "leave them out")
        return _groups(path, table["ImageId"], table["PredictionString"], alone), table["ImageId"]
    _check_columns(path, table, columns, f" or {','.join(KAGGLE)}")
    for column in CORNERS:
        numbers = pd.to_numeric(table[column], errors="coerce")
        wrong = numbers.isna() & table[column].notna()
        refuse(path, table["image"][wrong], f"holds an {column} that is not a number")
        table[column] = numbers
    if "rank" in columns:
        table["rank"] = pd.to_numeric(table["rank"], errors="coerce")
    return table.rename(columns={"label": "wnid"}), table["image"].unique()


def _read_devkit(path: Path, images: Sequence[str] | None) -> tuple[pd.DataFrame, Sequence[str]]:
    if images is None:
        raise UserError(
            f"{path} is read as the devkit's text, one line per image; name the images in their "
            "order with --images, or give a CSV with a header, its columns apart by commas"
        )
    lines = read_text(path).splitlines()
    if len(lines) != len(images):
        raise UserError(f"{path} has {len(lines)} lines for {len(images)} images; one each")
    groups = _groups(path, images, lines)
    filler = (groups["wnid"] == "0") & (groups[CORNERS] == 0).all(axis=1)
    return groups[~filler].reset_index(drop=True), images


def _groups(
    path: Path, images: Sequence[str], strings: Sequence[str], alone: bool = False
) -> pd.DataFrame:
    """A row for each group of each image's string: `image`, `rank`, `wnid` and the corners.

    Args:
        alone: whether a label may be all that a string holds; its row has no corners.
    """
    tokens = [string.split() for string in strings]
    if alone:
        tokens = [group if len(group) > 1 else [*group, *[""] * 5][:5] for group in tokens]
    counts = np.array([len(group) for group in tokens], dtype=int)
    names = pd.Series(images, dtype=object)
    refuse(path, names[counts % 5 != 0], "holds groups that are not `label xmin ymin xmax ymax`")
    flat = np.array([token for group in tokens for token in group], dtype=object).reshape(-1, 5)
    table = pd.DataFrame(flat[:, 1:], columns=CORNERS).apply(pd.to_numeric, errors="coerce")
    table["image"] = np.repeat(names.to_numpy(), counts // 5)
    table["wnid"] = flat[:, 0]
    table["rank"] = table.groupby("image", sort=False).cumcount() + 1
    wrong = table[CORNERS].isna().any(axis=1) & (flat[:, 1] != "")
    refuse(path, table["image"][wrong], NO_NUMBERS)
    return table


def _check_columns(path: Path, table: pd.DataFrame, wanted: list[str], other: str = "") -> None:
    if missing := [column for column in wanted if column not in table]:
        header = f"its header must be {','.join(wanted)}{other}"
        raise UserError(f"{path} lacks the column {missing[0]}; {header}")


def _check_labels(path: Path, table: pd.DataFrame) -> None:
    refuse(path, table["image"][table["wnid"] == ""], "holds rows without a label")


def _check_ranks(where: object, predictions: pd.DataFrame) -> None:
    wrong = ~predictions["rank"].isin(range(1, MOST_PREDICTIONS + 1))
    refuse(where, predictions["image"][wrong], f"holds ranks that are not 1 to {MOST_PREDICTIONS}")
    twice = predictions.duplicated(["image", "rank"])
    refuse(where, predictions["image"][twice], "holds ranks that are given twice")


def _check_corners(where: object, boxes: pd.DataFrame, least: float = -np.inf) -> None:
    corners = boxes[CORNERS].to_numpy(dtype=np.float64)
    refuse(where, boxes["image"][~np.isfinite(corners).all(axis=1)], NO_NUMBERS)
    inverted = (corners[:, :2] > corners[:, 2:]).any(axis=1)
    refuse(where, boxes["image"][inverted], "holds inverted boxes (xmin > xmax or ymin > ymax)")
    below = (corners < least).any(axis=1)
    what = f"holds boxes that leave their image (a corner below {least})"
    refuse(where, boxes["image"][below], what)


def _strings(predictions: pd.DataFrame, images: Sequence[str]) -> list[str]:
    """The groups of each image in the order of ranks; empty for an image without a prediction."""
    ordered = predictions.sort_values(["image", "rank"], kind="stable")
    columns = ordered[["wnid", *CORNERS]].astype(str)
    groups = columns["wnid"].str.cat(columns[CORNERS], sep=" ")
    return groups.groupby(ordered["image"]).agg(" ".join).reindex(images, fill_value="").tolist()
