"""What the readers of data sets on disk share: many small files, lines with their place, checks."""

import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from camloc.errors import UserError, near_matches
from camloc.pictures import examine
from camloc.progress import progress

THREADS = 16
BATCH = 500  # files a thread takes at once; a future for each of a million takes gigabytes


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


def in_threads(function: Callable, items: Sequence, unit: str) -> list:
    """`function` of each item, in their order, with a progress bar; for small files in numbers.

    Threads, because what takes long is waiting for a disk or network, and a kernel that has
    loaded torch should not be forked.
    """
    batches = [items[start : start + BATCH] for start in range(0, len(items), BATCH)]
    results = []
    with (
        ThreadPoolExecutor(THREADS) as pool,
        progress(total=len(items), unit=unit) as bar,
    ):
        for done in pool.map(lambda batch: [function(item) for item in batch], batches):
            results += done
            bar.update(len(done))
    return results


def read_lines(path: Path) -> Iterator[tuple[str, str]]:
    """The lines of a text file that are not blank, each after its place (`file:line`) for messages.

    Raises:
        UserError: the file is missing.
    """
    try:
        text = path.read_text(encoding="utf-8-sig", errors="replace")
    except FileNotFoundError:
        raise UserError(f"{path} is missing; put it back where the data set has it") from None
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            yield f"{path}:{number}", line.rstrip("\r")


def jpegs(folder: Path) -> list[str]:
    """The sorted names of the files `*.JPEG` in a folder; none where it is missing."""
    return sorted(path.name for path in folder.glob("*.JPEG"))


def draw_val(rows: list[dict], count: int, seed: int, wnid: str) -> None:
    """Make `count` of a class's training rows val; which ones does not depend on other classes."""
    for row in random.Random(f"{seed} {wnid}").sample(rows, count):
        row["split"] = "val"


def whole_numbers(place: str, fields: list[str]) -> list[int]:
    """The four corners of a box as integers.

    Raises:
        UserError: they are not four whole numbers; the message starts with `place`.
    """
    try:
        xmin, ymin, xmax, ymax = (int(field) for field in fields)
    except ValueError:
        raise UserError(
            f"{place}: expected whole numbers xmin ymin xmax ymax, not {' '.join(fields)!r}"
        ) from None
    return [xmin, ymin, xmax, ymax]


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
