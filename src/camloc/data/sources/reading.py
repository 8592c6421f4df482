"""What the readers of data sets on disk share: many small files, lines with their place, checks."""

import logging
import os
import random
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path, PurePosixPath

import numpy as np

from camloc.core.errors import UserError, near_matches, reason
from camloc.core.files import read_text
from camloc.core.threads import in_threads
from camloc.data.pictures import examine

# How the names of image files end in data sets, in whatever case.
ENDINGS = {".jpeg", ".jpg", ".png", ".gif", ".webp", ".tif", ".tiff", ".bmp"}
WHOLE_NUMBER = re.compile(r"[+-]?[0-9]{1,9}")  # int() takes 1_0 and more than a table holds
OF_WINDOWS = {"thumbs.db", "desktop.ini"}  # what its Explorer leaves, as macOS does hidden files
log = logging.getLogger(__name__)


def examined(folder: Path, paths: Iterable[str]) -> tuple[np.ndarray, dict[str, list[str]]]:
    """`examine` of many files, named relative to a folder.

    Returns:
        Sizes (N, 2), width and height in pixels, and the defects as a manifest has them.

    Raises:
        UserError: as `examine`, for the first such file.
    """
    paths = list(paths)
    found = in_threads(lambda path: examine(folder / path), paths, unit="image")
    defects: dict[str, list[str]] = {}
    for path, image in zip(paths, found, strict=True):
        for kind in image.defects:
            defects.setdefault(kind, []).append(Path(path).stem)
    sizes = np.array([image[:2] for image in found], dtype=np.int64).reshape(-1, 2)
    return sizes, {kind: sorted(images) for kind, images in sorted(defects.items())}


def read_lines(path: Path) -> Iterator[tuple[str, str]]:
    """The lines of a text file that are not blank, each after its place (`file:line`) for messages.

    Raises:
        UserError: the file is missing, cannot be read or is no text.
    """
    text = read_text(path, errors="replace")
    for number, line in enumerate(re.split(r"\r\n|\r|\n", text), start=1):
        if "\0" in line:
            raise UserError(f"{path}:{number}: zero bytes, so no text in UTF-8; save it as that")
        if line.strip():
            yield f"{path}:{number}", line


def read_fields(
    path: Path, columns: str, separator: str | None = None
) -> Iterator[tuple[str, list[str]]]:
    """The fields of each line, after its place; the last takes what is left of the line.

    Args:
        columns: the names of the fields, for messages.
        separator: of the fields; any number of blanks where it is None.

    Raises:
        UserError: a line has fewer fields; see also `read_lines`.
    """
    count = len(columns.split())
    for place, line in read_lines(path):
        fields = line.strip().split(separator, count - 1)
        if len(fields) < count:
            apart = {None: "blanks", "\t": "tabs"}.get(separator, separator)
            raise UserError(f"{place}: expected {columns}, separated by {apart}, not {line!r}")
        yield place, fields


def pictures_in(folders: Sequence[Path]) -> list[dict[str, str]]:
    """Of each folder the names of its image files by their stems, in the order of the names.

    What is an image file is told by the name's end (`ENDINGS`). Whatever else lies there, and is
    none of the folders itself, is left out, counted and logged.

    Raises:
        UserError: two image files of a folder have one stem; see also `entries`.
    """
    found, others, listed = [], [], set(folders)
    for folder in folders:
        names: dict[str, str] = {}
        for entry in entries(folder):
            stem, dot, end = entry.name.rpartition(".")
            if (dot + end).lower() not in ENDINGS:
                others.append(folder / entry.name)
            elif stem in names:
                raise UserError(
                    f"{folder} holds {names[stem]} and {entry.name}; images are told apart by "
                    "their names without the ends: rename or remove one"
                )
            else:
                names[stem] = entry.name
        found.append(names)
    if others := [str(path) for path in others if path not in listed]:
        more = ", …" if len(others) > 3 else ""
        first = ", ".join(others[:3])
        log.warning("%d left out, by their names no images: %s%s", len(others), first, more)
    return found


def entries(folder: Path) -> list[os.DirEntry]:
    """What lies in a folder, in the order of the names, but for what systems leave there (hidden
    files, Thumbs.db); nothing where the folder is missing.

    Raises:
        UserError: the folder cannot be read, or a name is not UTF-8, as tables and JSON need it.
    """
    try:
        with os.scandir(folder) as scanned:
            found = sorted(scanned, key=lambda entry: entry.name)
    except FileNotFoundError:
        return []
    except OSError as error:
        raise UserError(f"{folder} cannot be read as a folder ({reason(error)})") from None
    for entry in found:
        try:
            entry.name.encode()
        except UnicodeEncodeError:
            name = os.fsencode(entry.name)
            raise UserError(f"{folder} holds {name}, a name that is not UTF-8; rename it") from None
    return [e for e in found if e.name[0] != "." and e.name.lower() not in OF_WINDOWS]


def draw_val(rows: list[dict], classes: dict[str, str], count: int, seed: int) -> None:
    """Make `count` of each class's training rows val; which ones depends on no other class.

    Raises:
        UserError: a class has no more training rows than that.
    """
    of_classes: dict[str, list[dict]] = {wnid: [] for wnid in classes}
    for row in rows:
        if row["split"] == "train":
            of_classes[row["wnid"]].append(row)
    for wnid, own in of_classes.items():
        if len(own) <= count:
            raise UserError(
                f"class {wnid} ({classes[wnid]}) has {len(own)} training images, of which val "
                f"takes {count}: none is left to train on; give it images or lower "
                "data.val_per_class"
            )
        for row in random.Random(f"{seed} {wnid}").sample(own, count):
            row["split"] = "val"


def whole_numbers(place: str, fields: list[str]) -> list[int]:
    """The four corners of a box as integers.

    Raises:
        UserError: they are not four whole numbers; the message starts with `place`.
    """
    if len(fields) != 4 or not all(WHOLE_NUMBER.fullmatch(field.strip()) for field in fields):
        raise UserError(
            f"{place}: expected whole numbers xmin ymin xmax ymax, not {' '.join(fields)!r}"
        )
    return [int(field.strip()) for field in fields]


def clipped(corners: np.ndarray, sizes: np.ndarray, which: np.ndarray | bool = True) -> np.ndarray:
    """Boxes (N, 4) cut to their images (N, 2), counted and logged.

    One without a pixel in its image stays as it is, as do those that are not `which` (N,).
    """
    cut = np.hstack([corners[:, :2].clip(min=0), np.minimum(corners[:, 2:], sizes - 1)])
    changed = (cut != corners).any(axis=1) & (cut[:, :2] <= cut[:, 2:]).all(axis=1) & which
    if changed.any():
        log.warning("%d of %d boxes clipped: they leave their image", changed.sum(), len(corners))
    return np.where(changed[:, None], cut, corners)


def check_folders(folder: Path, classes: Iterable[str], index: str) -> None:
    """Refuse a folder in `folder` that is named by no class of the file `index`."""
    for entry in entries(folder):
        if entry.is_dir():
            check_class(entry.name, classes, entry.path, index)


def require(paths: Iterable[Path], advice: str) -> None:
    """Refuse a layout that lacks a file or folder.

    Raises:
        UserError: `<path> is missing; data.folder names a folder that holds <advice>`.
    """
    for path in paths:
        if not os.path.exists(path):  # noqa: PTH110, `Path.exists` raises for a name that is too long
            raise UserError(f"{path} is missing; data.folder names a folder that holds {advice}")


def chosen(classes: dict[str, str], wanted: list[str] | None, index: Path) -> dict[str, str]:
    """Those of the classes that params.yaml lists, all where it lists none, sorted.

    Raises:
        UserError: it lists one that the file `index` lacks.
    """
    for wnid in wanted or []:
        check_class(wnid, classes, "params.yaml: data.classes", str(index))
    return {wnid: name for wnid, name in sorted(classes.items()) if not wanted or wnid in wanted}


def check_folder_name(wnid: str, place: str) -> None:
    """Refuse a class whose folder would lie elsewhere, such as `..`.

    Raises:
        UserError: it would; the message starts with `place`.
    """
    if wnid == ".." or PurePosixPath(wnid).name != wnid:
        raise UserError(f"{place}: {wnid!r} is no name of a class's folder; correct it")


def check_class(wnid: str, classes: Iterable[str], place: str, index: str) -> None:
    """Refuse a class that the data set's list of classes, the file `index`, lacks.

    Raises:
        UserError: it does; the message starts with `place`.
    """
    if wnid not in classes:
        raise UserError(f"{place}: class {wnid!r} is not in {index}{near_matches(wnid, classes)}")
