"""Tiny ImageNet: 200 ImageNet classes at 64 x 64 pixels, with one box per image.

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

from camloc.core.errors import refuse
from camloc.data.manifest import BOX_COLUMNS, IMAGE_COLUMNS, Manifest
from camloc.data.sources.download import fetch, unpack
from camloc.data.sources.reading import (
    check_class,
    check_folder_name,
    check_folders,
    chosen,
    draw_val,
    examined,
    pictures_in,
    read_fields,
    read_lines,
    require,
    whole_numbers,
)

URL = "http://cs231n.stanford.edu/tiny-imagenet-200.zip"
MD5 = "90528d7ca1a48142e341f4ef8d21d0de"
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
        fetch(URL, archive, MD5)
        unpack([archive], unpacked)
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
    index = folder / "wnids.txt"
    advice = f"{LAYOUT}, and leaving data.folder out downloads Tiny ImageNet"
    require([folder, index], advice)
    listed = _classes(folder)
    taken = chosen(listed, classes, index)
    rows = _train(folder, taken)
    draw_val(rows, taken, val_per_class, seed)
    rows += [row for row in _test(folder, listed) if row["wnid"] in taken]
    table = pd.DataFrame(rows)
    table[["width", "height"]], defects = examined(folder, table["path"])
    table["mask"] = None
    images, boxes = table[IMAGE_COLUMNS], table[BOX_COLUMNS]
    return Manifest("tiny-imagenet", folder, taken, images, boxes, defects).validate()


def _classes(folder: Path) -> dict[str, str]:
    """Wnid to name; words.txt names 82,115 synsets, of which wnids.txt lists the data set's."""
    names = read_fields(folder / "words.txt", "wnid names", "\t")
    words = {wnid: name.strip() for _, (wnid, name) in names}
    classes = {}
    for place, line in read_lines(folder / "wnids.txt"):
        wnid = line.strip()
        check_folder_name(wnid, place)
        check_class(wnid, words, place, "words.txt")
        classes[wnid] = words[wnid]
    check_folders(folder / "train", classes, "wnids.txt")
    return classes


def _train(folder: Path, classes: dict[str, str]) -> list[dict]:
    """The rows of the training images, in the order of the classes and of the image ids."""
    rows = []
    places = [folder / "train" / wnid / "images" for wnid in classes]
    for wnid, images in zip(classes, pictures_in(places), strict=True):
        boxes = folder / "train" / wnid / f"{wnid}_boxes.txt"
        rows += _boxed(
            images,
            boxes,
            [
                _row(f"train/{wnid}/images", images, place, name, "train", wnid, corners)
                for place, (name, *corners) in read_fields(boxes, "name xmin ymin xmax ymax", "\t")
            ],
        )
    return rows


def _test(folder: Path, classes: dict[str, str]) -> list[dict]:
    """The rows of the official validation images, in the order of the image ids."""
    annotations = folder / "val" / "val_annotations.txt"
    [images] = pictures_in([folder / "val" / "images"])
    rows = []
    for place, (name, wnid, *corners) in read_fields(
        annotations, "name wnid xmin ymin xmax ymax", "\t"
    ):
        check_class(wnid, classes, place, "wnids.txt")
        rows.append(_row("val/images", images, place, name, "test", wnid, corners))
    return _boxed(images, annotations, rows)


def _row(
    folder: str,
    images: dict[str, str],
    place: str,
    name: str,
    split: str,
    wnid: str,
    corners: list[str],
) -> dict:
    """The row of an image and its box; its file is found whatever its name ends in."""
    image = Path(name).stem
    path = f"{folder}/{images.get(image, name)}"
    box = dict(zip(BOX_COLUMNS[2:], whole_numbers(place, corners), strict=True))
    return {"image": image, "path": path, "split": split, "wnid": wnid} | box


def _boxed(images: dict[str, str], annotations: Path, rows: list[dict]) -> list[dict]:
    """The rows in the order of the image ids, if every image has one."""
    without = images.keys() - {row["image"] for row in rows}
    names = [images[image] for image in sorted(without)]
    refuse(annotations, names, "has no box of", "give each a line there or remove it")
    return sorted(rows, key=lambda row: row["image"])
