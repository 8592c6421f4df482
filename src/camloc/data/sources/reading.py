"""What the readers of data sets on disk share: many small files, lines with their place, checks."""

import logging
import os
import random
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

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


def draw_val(rows: list[dict], count: int, seed: int, wnid: str) -> None:
    """Make `count` of a class's training rows val; which ones does not depend on other classes."""
    for row in random.Random(f"{seed} {wnid}").sample(rows, count):
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


def clipped(corners: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """Boxes (N, 4) cut to their images (N, 2); one without a pixel in its image stays as it is."""
    cut = np.hstack([corners[:, :2].clip(min=0), np.minimum(corners[:, 2:], sizes - 1)])
    within = (cut[:, :2] <= cut[:, 2:]).all(axis=1, keepdims=True)
    return np.where(within, cut, corners)


def check_class(wnid: str, classes: Iterable[str], place: str, index: str) -> None:
    """Refuse a class that the data set's list of classes, the file `index`, lacks.

    Raises:
        UserError: it does; the message starts with `place`.
    """
    if wnid not in classes:
        raise UserError(f"{place}: class {wnid!r} is not in {index}{near_matches(wnid, classes)}")
