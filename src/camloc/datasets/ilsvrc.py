"""ILSVRC 2012 CLS-LOC, the paper's data set, in the layout of Kaggle's archive.

Labels and boxes of the validation images come from LOC_val_solution.csv, those of the training
images from the folders and, for the images that have one, from an XML annotation. Test images have
no labels. Validation images on the devkit's blacklist, where the folder has it, keep their class
and lose their boxes: they count for classification and are left out of localization.

Boxes are taken as inclusive pixels from 0. The devkit (evaluation/compute_overlap.m) measures a
box as xmax - xmin + 1 and neither shifts nor clips it, and so it stands in the data: the 80,477 val
boxes reach down to 0 (7,388 xmin, 5,414 ymin) and up to width - 1 (6,086) and height - 1 (7,781),
and none lies outside its image. So a val box outside its image is refused.

Training boxes are known to be less clean (TensorFlow's process_bounding_boxes.py lists it): some
extend beyond their image (n03127925_147.xml), and many dogs' `name` is the breed where the wnid
should be. Here the former are clipped to the image, counted and logged; a training box without a
pixel in its image is refused. As in the devkit, the XML's `size` plays no part.
"""

import logging
import re
from pathlib import Path
from typing import BinaryIO

import pandas as pd
from defusedxml import DefusedXmlException, ElementTree

from camloc.datasets.files import (
    check_class,
    clipped,
    examined,
    in_threads,
    jpegs,
    read_lines,
    whole_numbers,
)
from camloc.errors import UserError
from camloc.manifest import BOX_COLUMNS, IMAGE_COLUMNS, Manifest

DATA = "ILSVRC/Data/CLS-LOC"
ANNOTATIONS = "ILSVRC/Annotations/CLS-LOC/train"
SYNSETS = "LOC_synset_mapping.txt"
SOLUTION = "LOC_val_solution.csv"
BLACKLIST = "ILSVRC2014_clsloc_validation_blacklist.txt"
LAYOUT = (
    f"{SYNSETS}, {SOLUTION}, {DATA}/train/<wnid>/*.JPEG, {DATA}/val/*.JPEG and, where wanted, "
    f"{DATA}/test/*.JPEG and {ANNOTATIONS}/<wnid>/*.xml, as Kaggle's "
    "imagenet-object-localization-challenge unpacks"
)
OFFICIAL = (
    "ILSVRC2012_img_train.tar (138 GB), ILSVRC2012_img_val.tar (6.3 GB), ILSVRC2012_bbox_val_v3.tgz"
    " and ILSVRC2014_devkit.tgz or ILSVRC2012_devkit_t12.tar.gz; where wanted, "
    "ILSVRC2012_img_test*.tar (13 GB) and ILSVRC2012_bbox_train_v2.tar.gz"
)

log = logging.getLogger(__name__)


def read(folder: Path) -> Manifest:
    """The manifest of an ILSVRC folder; image ids are the stems of the file names.

    Raises:
        UserError: a file or folder of the layout is missing, a line or an annotation is malformed,
            an image is missing or broken, a val image has no box and is not blacklisted, a box does
            not lie within its image, a class is unknown or has no training image.
    """
    for needed in (folder, folder / SYNSETS, folder / SOLUTION, folder / DATA):
        if not needed.exists():
            raise UserError(
                f"{needed} is missing; data.folder names a folder that holds {LAYOUT}; or one that "
                f"holds the official files {OFFICIAL}"
            )
    classes = _classes(folder)
    solution = _solution(folder, classes)
    images = pd.DataFrame(
        _train_images(folder, classes) + _val_images(folder, solution) + _test_images(folder),
        columns=["image", "path", "split", "wnid"],
    )
    boxes = _train_boxes(folder, set(images["path"]))
    boxes += [(image, wnid, *box) for image, (wnid, own) in solution.items() for box in own]
    images[["width", "height"]], defects = examined(folder, images["path"])
    images["mask"] = None
    table = _clipped(pd.DataFrame(boxes, columns=BOX_COLUMNS), images)
    return Manifest("ilsvrc", folder, classes, images[IMAGE_COLUMNS], table, defects).validate()


def blacklisted(path: Path, images: list[str]) -> set[str]:
    """Those of the val images, in the order of their ids, that a devkit's blacklist names.

    It names them by their number, from 1, a line each; a missing file names none.

    Raises:
        UserError: a line is no such number.
    """
    if not path.exists():
        return set()
    found = set()
    for place, line in read_lines(path):
        if not (line.strip().isdecimal() and 1 <= int(line) <= len(images)):
            raise UserError(
                f"{place}: expected the number of a val image, 1 to {len(images)}, not {line!r}"
            )
        found.add(images[int(line) - 1])
    return found


def annotation(source: Path | BinaryIO, name: str, wnid: str, advice: str) -> list[list[int]]:
    """The boxes (xmin, ymin, xmax, ymax) of an image of class `wnid` in PASCAL VOC's format.

    Raises:
        UserError: it is malformed, without a box or of another class; the message starts with
            `name` and ends with `advice`.
    """
    try:
        root = ElementTree.parse(source).getroot()
    except (ElementTree.ParseError, DefusedXmlException) as error:
        raise UserError(f"{name} is not a readable XML file ({error}); {advice}") from None
    objects = root.findall("object")
    if not objects:
        raise UserError(f"{name} has no <object>; {advice}")
    boxes = []
    for element in objects:
        named = element.findtext("name", "").strip()
        if re.fullmatch(r"n\d{8}", named) and named != wnid:
            raise UserError(f"{name} has a box of {named}, but an image of {wnid}; {advice}")
        corners = [element.findtext(f"bndbox/{column}") for column in BOX_COLUMNS[2:]]
        if None in corners:
            raise UserError(f"{name} has an <object> without a whole <bndbox>; {advice}")
        boxes.append(whole_numbers(name, corners))
    return boxes


def _classes(folder: Path) -> dict[str, str]:
    classes = {}
    for place, line in read_lines(folder / SYNSETS):
        try:
            wnid, name = line.split(maxsplit=1)
        except ValueError:
            raise UserError(f"{place}: expected a wnid and its names, not {line!r}") from None
        classes[wnid] = name.strip()
    for found in sorted((folder / DATA / "train").glob("[!.]*/")):
        check_class(found.name, classes, str(found), SYNSETS)
    return dict(sorted(classes.items()))


def _train_images(folder: Path, classes: dict[str, str]) -> list[tuple]:
    return [
        (Path(name).stem, f"{DATA}/train/{wnid}/{name}", "train", wnid)
        for wnid in classes
        for name in jpegs(folder / DATA / "train" / wnid)
    ]


def _val_images(folder: Path, solution: dict[str, tuple]) -> list[tuple]:
    for name in jpegs(folder / DATA / "val"):
        if Path(name).stem not in solution:
            raise UserError(
                f"image {folder / DATA / 'val' / name} has no box in {folder / SOLUTION}; every "
                "val image needs a line there with at least one"
            )
    return [
        (image, f"{DATA}/val/{image}.JPEG", "val", wnid) for image, (wnid, _) in solution.items()
    ]


def _test_images(folder: Path) -> list[tuple]:
    names = jpegs(folder / DATA / "test")
    return [(Path(name).stem, f"{DATA}/test/{name}", "test", None) for name in names]


def _solution(folder: Path, classes: dict[str, str]) -> dict[str, tuple[str, list[list[int]]]]:
    """The class of each val image and its boxes, none if it is blacklisted; in order of the ids."""
    found: dict[str, tuple[str, list[list[int]]]] = {}
    for place, line in read_lines(folder / SOLUTION):
        if line == "ImageId,PredictionString":
            continue
        image, comma, prediction = line.partition(",")
        if not comma:
            raise UserError(f"{place}: expected ImageId,PredictionString, not {line!r}")
        if image in found:
            raise UserError(f"{place}: {image} has a line already; give all its boxes in one")
        found[image] = _groups(place, prediction.split(), classes)
    solution = dict(sorted(found.items()))
    without_boxes = blacklisted(folder / BLACKLIST, list(solution))
    for image, (wnid, boxes) in solution.items():
        if image in without_boxes:
            solution[image] = wnid, []
        elif not boxes:
            raise UserError(
                f"{folder / SOLUTION}: {image} has a class without a box, so it cannot be scored; "
                f"give it one, or name it in {folder / BLACKLIST}"
            )
    return solution


def _groups(place: str, fields: list[str], classes: dict[str, str]) -> tuple[str, list[list[int]]]:
    """The class and boxes of one image, from groups of wnid, xmin, ymin, xmax, ymax.

    A wnid alone is the class of an image without a box.
    """
    if not fields or (len(fields) > 1 and len(fields) % 5):
        raise UserError(
            f"{place}: expected one group or more of wnid xmin ymin xmax ymax, not "
            f"{' '.join(fields) or 'nothing'}; a val image without a box cannot be scored"
        )
    for wnid in fields[::5]:
        check_class(wnid, classes, place, SYNSETS)
        if wnid != fields[0]:
            raise UserError(f"{place}: boxes of {fields[0]} and {wnid}, but an image has one class")
    starts = range(1, len(fields), 5)
    return fields[0], [whole_numbers(place, fields[start : start + 4]) for start in starts]


def _train_boxes(folder: Path, known: set[str]) -> list[tuple]:
    """Rows of the boxes table for those training images that have an annotation."""
    annotations = sorted((folder / ANNOTATIONS).glob("*/*.xml"))
    for path in annotations:
        image = f"{DATA}/train/{path.parent.name}/{path.stem}.JPEG"
        if image not in known:
            raise UserError(f"{path} annotates {image}, which is missing; remove it or add that")
    of_images = in_threads(_annotated, annotations, unit="annotation")
    return [box for of_image in of_images for box in of_image]


def _annotated(path: Path) -> list[tuple]:
    """The rows of the boxes table for one annotation of a training image."""
    advice = "correct it, or remove the file: training images need no boxes"
    image, wnid = path.stem, path.parent.name
    return [(image, wnid, *box) for box in annotation(path, str(path), wnid, advice)]


def _clipped(boxes: pd.DataFrame, images: pd.DataFrame) -> pd.DataFrame:
    """Training boxes cut to their image; one without a pixel in it stays for `validate`."""
    about = images.drop_duplicates("image").set_index("image").loc[boxes["image"]]
    corners = boxes[BOX_COLUMNS[2:]].to_numpy()
    cut = clipped(corners, about[["width", "height"]].to_numpy())
    changed = (cut != corners).any(axis=1) & (about["split"] == "train").to_numpy()
    if changed.any():
        log.warning(
            "%d of %d boxes clipped: training boxes that leave their image",
            changed.sum(),
            len(boxes),
        )
        boxes.loc[changed, BOX_COLUMNS[2:]] = cut[changed]
    return boxes
