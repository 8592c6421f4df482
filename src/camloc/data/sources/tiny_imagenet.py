"""Tiny ImageNet: 200 ImageNet classes at 64 x 64 pixels, with one box an image.

Reads the original layout, whole or cut down to some of the classes. The official test images have
no labels, so the official validation images are the study's test split, and its val split is taken
from the training images.

Boxes are taken as they stand, as inclusive pixels from 0: of the 11,000 boxes of 20 classes none
leaves 0..63, 43 % have xmax = 63, and 33 have xmin = xmax or ymin = ymax, nearly all of them on an
edge of the image: one row or column of pixels that is left of an object the crop cut off. A box
with xmax = 64 would therefore be a mistake of its file, and is refused like any other outside.
"""

from pathlib import Path

import pandas as pd

from camloc.core.errors import UserError, near_matches
from camloc.data.manifest import BOX_COLUMNS, IMAGE_COLUMNS, Manifest
from camloc.data.sources.download import fetch, unpack_zip
from camloc.data.sources.reading import (
    check_class,
    draw_val,
    entries,
    examined,
    pictures_in,
    read_lines,
    whole_numbers,
)

URL = "http://cs231n.stanford.edu/tiny-imagenet-200.zip"
MD5 = "90528d7ca1a48142e341f4ef8d21d0de"
SIZE = 248_100_043  # bytes
LAYOUT = (
    "wnids.txt, words.txt, train/<wnid>/images/*.JPEG, train/<wnid>/<wnid>_boxes.txt, "
    "val/images/*.JPEG and val/val_annotations.txt"
)


def download(folder: Path) -> Path:
    """The unpacked data set under `folder`, downloaded (248 MB) where it is not there yet.

    Returns:
        The folder that `read` takes.

    Raises:
        UserError: no network or a wrong checksum; see `camloc.data.sources.download.fetch`.
    """
    unpacked = folder / "tiny-imagenet"
    if not unpacked.exists():
        archive = folder / "tiny-imagenet-200.zip"
        fetch(URL, archive, md5=MD5, size=SIZE)
        unpack_zip(archive, unpacked)
    return unpacked / "tiny-imagenet-200"


def read(
    folder: Path, *, val_per_class: int, seed: int, classes: list[str] | None = None
) -> Manifest:
    """The manifest of a Tiny ImageNet folder, of all its classes or of those listed by wnid.

    Of each class's training images, `val_per_class` drawn with `seed` become val; which ones does
    not depend on the other classes. Image ids are the stems of the file names.

    Raises:
        UserError: a file or folder of the layout is missing, a line is malformed, an image is
            missing, broken or without a box, a box does not lie within its image, a class is
            unknown or has no training image left.
    """
    for needed in (folder, folder / "wnids.txt"):
        if not needed.exists():
            raise UserError(
                f"{needed} is missing; data.folder names a folder that holds {LAYOUT}, and leaving "
                "data.folder out downloads Tiny ImageNet"
            )
    listed = _classes(folder)
    for wnid in classes or []:
        check_class(wnid, listed, "params.yaml: data.classes", f"{folder / 'wnids.txt'}")
    chosen = {wnid: name for wnid, name in listed.items() if not classes or wnid in classes}
    rows, places = [], [folder / "train" / wnid / "images" for wnid in chosen]
    for (wnid, name), images in zip(chosen.items(), pictures_in(places), strict=True):
        rows += _train(folder, wnid, name, images, val_per_class, seed)
    rows += [row for row in _test(folder, listed) if row["wnid"] in chosen]
    table = pd.DataFrame(rows)
    table[["width", "height"]], defects = examined(folder, table["path"])
    table["mask"] = None
    return Manifest(
        "tiny-imagenet", folder, chosen, table[IMAGE_COLUMNS], table[BOX_COLUMNS], defects
    ).validate()


def _classes(folder: Path) -> dict[str, str]:
    """Wnid to name; words.txt names 82,115 synsets, of which wnids.txt lists the data set's."""
    words = {}
    for place, line in read_lines(folder / "words.txt"):
        wnid, tab, name = line.partition("\t")
        if not tab:
            raise UserError(f"{place}: expected a wnid, a tab and its names, not {line!r}")
        words[wnid] = name.strip()
    classes = {}
    for place, line in read_lines(folder / "wnids.txt"):
        wnid = line.strip()
        if wnid not in words:
            raise UserError(f"{place}: words.txt does not name {wnid!r}{near_matches(wnid, words)}")
        classes[wnid] = words[wnid]
    for entry in entries(folder / "train"):
        if entry.is_dir():
            check_class(entry.name, classes, entry.path, "wnids.txt")
    return dict(sorted(classes.items()))


def _train(
    folder: Path, wnid: str, name: str, images: dict[str, str], val_per_class: int, seed: int
) -> list[dict]:
    """The rows of one class, in the order of the image ids; `val_per_class` of them are val.

    Args:
        images: the names of the class's files by their stems.
    """
    if len(images) <= val_per_class:
        raise UserError(
            f"class {wnid} ({name}) has {len(images)} images in train/{wnid}/images of {folder}, "
            f"of which val takes {val_per_class}: no training image is left; give it images, take "
            "it out of wnids.txt or lower data.val_per_class"
        )
    boxes = folder / "train" / wnid / f"{wnid}_boxes.txt"
    rows = [
        _row(f"train/{wnid}/images", images, place, fields, "train", wnid, fields[1:])
        for place, fields in _fields(boxes, "name xmin ymin xmax ymax")
    ]
    _check_boxed(images, rows, boxes)
    rows.sort(key=lambda row: row["image"])
    draw_val(rows, val_per_class, seed, wnid)
    return rows


def _test(folder: Path, classes: dict[str, str]) -> list[dict]:
    """The rows of the official validation images, in the order of the image ids."""
    annotations = folder / "val" / "val_annotations.txt"
    [images] = pictures_in([folder / "val" / "images"])
    rows = []
    for place, fields in _fields(annotations, "name wnid xmin ymin xmax ymax"):
        check_class(fields[1], classes, place, "wnids.txt")
        rows.append(_row("val/images", images, place, fields, "test", fields[1], fields[2:]))
    _check_boxed(images, rows, annotations)
    return sorted(rows, key=lambda row: row["image"])


def _fields(path: Path, columns: str) -> list[tuple[str, list[str]]]:
    """The place and the tab-separated fields of each line, as many as `columns` names."""
    lines = [(place, line.split("\t")) for place, line in read_lines(path)]
    for place, fields in lines:
        if len(fields) != len(columns.split()):
            raise UserError(
                f"{place}: expected {columns}, separated by tabs, not {len(fields)} fields"
            )
    return lines


def _row(
    folder: str,
    images: dict[str, str],
    place: str,
    fields: list[str],
    split: str,
    wnid: str,
    corners: list[str],
) -> dict:
    """The row of an image and its box; its file is found whatever its name ends in."""
    image = Path(fields[0]).stem
    path = f"{folder}/{images.get(image, fields[0])}"
    box = dict(zip(BOX_COLUMNS[2:], whole_numbers(place, corners), strict=True))
    return {"image": image, "path": path, "split": split, "wnid": wnid} | box


def _check_boxed(images: dict[str, str], rows: list[dict], annotations: Path) -> None:
    boxed = {row["image"] for row in rows}
    for image, name in images.items():
        if image not in boxed:
            raise UserError(
                f"image {name} has no box in {annotations}; give it a line there or remove it"
            )
