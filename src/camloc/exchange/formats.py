"""The files in which people exchange ground truth and predictions, read and written.

- truth as CSV: `image,label,xmin,ymin,xmax,ymax`, one row a box; a row without corners is a true
  label without a box, as blacklisted images may have
- predictions as CSV: `image,rank,label,xmin,ymin,xmax,ymax`, rank from 1
- Kaggle's CSV for both: `ImageId,PredictionString`, the string `label xmin ymin xmax ymax` groups,
  in the truth also a label alone, without a box
- the ILSVRC devkit's text for predictions: such groups, a line an image, images in an order that
  is given apart; groups of five zeros fill lines up

Columns are found by their names; an index before them does not count. Corners are inclusive pixels.
Predicted ones may leave the image, as the devkit has it; the devkit also takes an inverted box, and
counts it as wrong, but here it is refused: most such files hold widths and heights for corners.
Labels are compared as they are written, so both files must use one vocabulary: wnids, or the
devkit's numbers.
"""

import io
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from camloc.boxes.geometry import CORNERS
from camloc.boxes.paper import MOST_PIXELS, are_sizes
from camloc.core.errors import UserError, refusing
from camloc.core.files import read_text

MOST_GUESSES = 5
KAGGLE = ["ImageId", "PredictionString"]
SIZES = ["image", "width", "height"]
TRUTH = ["image", "label", *CORNERS]
PREDICTIONS = ["image", "rank", "label", *CORNERS]
NO_NUMBERS = "corners that are no finite numbers"


def read_truth(path: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Ground truth in either CSV.

    Returns:
        Labels (`image`, `wnid`), each pair once, and boxes (`image`, `wnid` and the corners).

    Raises:
        UserError: a column or a label is missing, or a corner is not a number, negative or
            inverted.
    """
    table = _read_csv(path, TRUTH)
    if list(table) == KAGGLE:
        table = _groups(path, table["ImageId"], table["PredictionString"], alone=True)
    _check_labelled(path, table)
    labels = table[["image", "wnid"]].drop_duplicates(ignore_index=True)
    boxes = table[table[CORNERS].notna().any(axis=1)].reset_index(drop=True)
    _check_corners(path, boxes)
    _check_above_zero(path, boxes)
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
        Guesses (`image`, `rank`, `wnid` and the corners), and the images that the file answers
        for, which may be without a guess in Kaggle's CSV and the devkit's text.

    Raises:
        UserError: a rank is not a whole number from 1 to 5 or is given twice, a label is missing,
            a corner is not a number or inverted, or the text has another number of lines than
            `images`.
    """
    if is_devkit_text(path):
        lines = read_text(path).splitlines()
        if images is None:
            raise UserError(
                f"{path} is read as the devkit's text, a line an image; name the images in their "
                "order with --images, or give a CSV with a header, its columns apart by commas"
            )
        if len(lines) != len(images):
            raise UserError(f"{path} has {len(lines)} lines for {len(images)} images; one each")
        groups = _groups(path, images, lines)
        filler = (groups["wnid"] == "0") & (groups[CORNERS] == 0).all(axis=1)
        names, guesses = pd.Index(images), groups[~filler].reset_index(drop=True)
    else:
        table = _read_csv(path, PREDICTIONS)
        if list(table) == KAGGLE:
            names = pd.Index(table["ImageId"])
            guesses = _groups(path, table["ImageId"], table["PredictionString"])
        else:
            names = pd.Index(table["image"].unique())
            guesses = table.assign(rank=pd.to_numeric(table["rank"], errors="coerce"))
    refuse(path, pd.Series(names[names.duplicated()]), "images answered for twice")
    _check_labelled(path, guesses)
    _check_ranks(path, guesses)
    _check_corners(path, guesses)
    return guesses[["image", "rank", "wnid", *CORNERS]], names


def is_devkit_text(path: Path) -> bool:
    """Whether the first line is no header of a CSV: groups are apart by blanks, not commas."""
    return "," not in read_text(path).partition("\n")[0]


def read_names(path: Path, what: str = "images") -> list[str]:
    """The lines of a file that names images or classes, one a line; empty lines do not count.

    Raises:
        UserError: the file is missing, or names one twice.
    """
    names = pd.Series([line.strip() for line in read_text(path).splitlines() if line.strip()])
    refuse(path, names[names.duplicated()], f"{what} named twice")
    return names.tolist()


def read_sizes(path: Path) -> pd.DataFrame:
    """`image`, `width` and `height` in pixels, of a CSV with these columns.

    Raises:
        UserError: a column is missing, an image is named twice, a side is not positive, or an
            image has more than `MOST_PIXELS`.
    """
    table = _parse_csv(path, dtype={"image": str})
    if missing := [column for column in SIZES if column not in table]:
        raise UserError(f"{path} lacks the column {missing[0]}; wanted {','.join(SIZES)}")
    refuse(path, table["image"][table["image"].duplicated()], "images named twice")
    sides = table[SIZES[1:]].apply(pd.to_numeric, errors="coerce")
    wrong = ~(sides >= 1).all(axis=1) | (sides % 1 != 0).any(axis=1)
    refuse(path, table["image"][wrong], "sizes that are not whole pixels, for")
    wrong = ~are_sizes(sides.to_numpy())
    refuse(path, table["image"][wrong], f"sizes of more than {MOST_PIXELS:,} pixels, for")
    return table[["image"]].join(sides.astype(np.int64))


def check_images(truth: Path, labels: pd.DataFrame, source: Path, names: pd.Index) -> None:
    """Refuse predictions that do not answer for just the images of the truth.

    Args:
        source: the file that names the images.

    Raises:
        UserError: names the first offenders and counts the rest.
    """
    known = pd.Index(labels["image"].unique())
    refuse(source, names.difference(known), f"images that {truth} does not know")
    refuse(source, known.difference(names), f"images of {truth}:", "lacks")


def check_labels(
    truth: Path,
    labels: pd.DataFrame,
    predictions: Path,
    guesses: pd.DataFrame,
    classes: Path | None = None,
) -> None:
    """Refuse labels of another vocabulary.

    Args:
        classes: every label that there is, one a line. Without it one label in common is enough:
            of a few images the truth has a few of the classes.

    Raises:
        UserError: a label is not listed; or, without the list, no label is in both files.
    """
    if classes:
        listed = read_names(classes, "classes")
        for path, table in ((truth, labels), (predictions, guesses)):
            strange = table["wnid"][~table["wnid"].isin(listed)].unique()
            refuse(path, strange, f"labels that {classes} does not list:")
    elif len(guesses) and not guesses["wnid"].isin(labels["wnid"]).any():
        given, wanted = (", ".join(t["wnid"].unique()[:3]) for t in (guesses, labels))
        raise UserError(
            f"{predictions} has no label in common with {truth}, such as {given} in the one and "
            f"{wanted} in the other; write both in one vocabulary, or list it with --classes"
        )


def write_devkit(path: Path, guesses: pd.DataFrame, images: Sequence[str], number: dict) -> None:
    """Write the devkit's text: a line an image in the order given, `label xmin ymin xmax ymax`.

    Args:
        guesses: `image`, `rank`, `wnid` and integer corners.
        number: of each wnid, the label that stands in the file.
    """
    strings = _strings(guesses.assign(wnid=guesses["wnid"].map(number)), images)
    path.write_text("\n".join(strings) + "\n", encoding="utf-8")


def write_kaggle(path: Path, guesses: pd.DataFrame, images: Sequence[str]) -> None:
    """Write Kaggle's CSV, images in the order given; guesses as for `write_devkit`."""
    rows = pd.DataFrame({"ImageId": images, "PredictionString": _strings(guesses, images)})
    rows.to_csv(path, index=False)


def check_submission(guesses: pd.DataFrame, images: pd.DataFrame, wnids: Sequence[str]) -> None:
    """Refuse guesses that no evaluation server would take.

    Args:
        guesses: `image`, `rank`, `wnid` and the corners.
        images: `image`, `width` and `height` of every image of the split.
        wnids: the classes that may be guessed.

    Raises:
        UserError: an image is missing, unknown or guessed out of order, a class is unknown, or a
            box is inverted or leaves its image.
    """
    where = "the submission"
    named = pd.Index(guesses["image"].unique())
    refuse(where, named.difference(images["image"]), "unknown images")
    refuse(where, pd.Index(images["image"]).difference(named), "images without a guess", "has")
    refuse(where, guesses["wnid"][~guesses["wnid"].isin(wnids)].unique(), "unknown classes")
    _check_ranks(where, guesses)
    _check_corners(where, guesses)
    _check_above_zero(where, guesses)
    check_inside(where, guesses, images)


def check_inside(where: object, boxes: pd.DataFrame, sizes: pd.DataFrame) -> None:
    """Refuse boxes (`image` and corners) whose last pixels are not in their image.

    Args:
        sizes: `image`, `width` and `height`.
    """
    sized = boxes[["image", *CORNERS]].merge(sizes[SIZES], on="image")
    outside = (sized["xmax"] >= sized["width"]) | (sized["ymax"] >= sized["height"])
    refuse(where, sized["image"][outside], "boxes that leave their image, in")


def refuse(where: object, offenders, what: str, verb: str = "holds") -> None:
    """End with the first three of the offenders and the number of the rest, if there are any.

    Raises:
        UserError: `<where> <verb> <what> a, b, c (and 7 more)`.
    """
    names = map(str, list(offenders)[:3])
    shown = [name if name.isprintable() else repr(name) for name in names]
    if shown:
        more = f" (and {len(offenders) - 3} more)" if len(offenders) > 3 else ""
        raise UserError(" ".join(filter(None, [str(where), verb, what, ", ".join(shown)])) + more)


def _read_csv(path: Path, columns: list[str]) -> pd.DataFrame:
    """A CSV with these columns, its labels renamed to `wnid`, or the two columns of Kaggle's."""
    texts = dict.fromkeys(["image", "label", *KAGGLE], str)
    empty = dict.fromkeys(CORNERS, "")
    table = _parse_csv(path, dtype=texts, na_values=empty)
    if set(KAGGLE) <= set(table):
        more = [c for c in table if c not in KAGGLE and not c.startswith("Unnamed:")]
        refuse(path, more, f"columns beside {','.join(KAGGLE)}; leave out")
        return table[KAGGLE]
    if missing := [column for column in columns if column not in table]:
        raise UserError(
            f"{path} lacks the column {missing[0]}; its header must be {','.join(columns)} or "
            f"{','.join(KAGGLE)}"
        )
    for column in CORNERS:
        numbers = pd.to_numeric(table[column], errors="coerce")
        wrong = numbers.isna() & table[column].notna()
        refuse(path, table["image"][wrong], f"an {column} that is not a number, in")
        table[column] = numbers
    return table.rename(columns={"label": "wnid"})


def _parse_csv(path: Path, **options) -> pd.DataFrame:
    """A CSV. Nothing but what `na_values` says is missing: an image may be called NA."""
    text = io.StringIO(read_text(path))
    with (
        refusing(f"{path} is not a CSV", "give one with a header, its columns apart by commas"),
        warnings.catch_warnings(action="error", category=pd.errors.ParserWarning),
    ):
        # Of rows that are longer than the header pandas would take the first column for an index.
        return pd.read_csv(
            text,
            index_col=False,
            keep_default_na=False,
            skipinitialspace=True,
            low_memory=False,
            **options,
        )


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
    refuse(path, names[counts % 5 != 0], "groups that are not `label xmin ymin xmax ymax`, for")
    flat = np.array([token for group in tokens for token in group], dtype=object).reshape(-1, 5)
    table = pd.DataFrame(flat[:, 1:], columns=CORNERS).apply(pd.to_numeric, errors="coerce")
    table["image"] = np.repeat(names.to_numpy(), counts // 5)
    table["wnid"] = flat[:, 0]
    table["rank"] = table.groupby("image", sort=False).cumcount() + 1
    wrong = table[CORNERS].isna().any(axis=1) & (flat[:, 1] != "")
    refuse(path, table["image"][wrong], f"{NO_NUMBERS}, for")
    return table


def _check_labelled(path: Path, table: pd.DataFrame) -> None:
    refuse(path, table["image"][table["wnid"] == ""], "rows without a label, for")


def _check_ranks(path: object, guesses: pd.DataFrame) -> None:
    rank = pd.to_numeric(guesses["rank"], errors="coerce")
    wrong = ~rank.isin(range(1, MOST_GUESSES + 1))
    refuse(path, guesses["image"][wrong], f"ranks that are not 1 to {MOST_GUESSES}, for")
    twice = guesses.duplicated(["image", "rank"])
    refuse(path, guesses["image"][twice], "ranks that are given twice, for")


def _check_corners(path: object, boxes: pd.DataFrame) -> None:
    corners = boxes[CORNERS].to_numpy(dtype=np.float64)
    xmin, ymin, xmax, ymax = corners.T
    for wrong, what in (
        (~np.isfinite(corners).all(axis=1), NO_NUMBERS),
        ((xmin > xmax) | (ymin > ymax), "inverted boxes (xmin > xmax or ymin > ymax)"),
    ):
        refuse(path, boxes["image"][wrong], f"{what}, for")


def _check_above_zero(path: object, boxes: pd.DataFrame) -> None:
    below = (boxes[CORNERS] < 0).any(axis=1)
    refuse(path, boxes["image"][below], "boxes that leave their image (a corner below 0), for")


def _strings(guesses: pd.DataFrame, images: Sequence[str]) -> list[str]:
    """The groups of each image in the order of ranks; empty for an image without a guess."""
    ordered = guesses.sort_values(["image", "rank"], kind="stable")
    columns = ordered[["wnid", *CORNERS]].astype(str)
    groups = columns["wnid"].str.cat(columns[CORNERS], sep=" ")
    return groups.groupby(ordered["image"]).agg(" ".join).reindex(images, fill_value="").tolist()
