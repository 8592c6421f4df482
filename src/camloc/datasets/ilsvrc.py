"""ILSVRC 2012 CLS-LOC, the paper's data set, in the layout of Kaggle's archive.

Labels and boxes of the validation images come from LOC_val_solution.csv, those of the training
images from the folders and, for the images that have one, from an XML annotation. Test images have
no labels.

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

import pandas as pd
from defusedxml import DefusedXmlException, ElementTree

from camloc.datasets.files import (
    check_class,
    clipped,
    image_sizes,
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
LAYOUT = (
    f"{SYNSETS}, {SOLUTION}, {DATA}/train/<wnid>/*.JPEG, {DATA}/val/*.JPEG and, where wanted, "
    f"{DATA}/test/*.JPEG and {ANNOTATIONS}/<wnid>/*.xml, as Kaggle's "
    "imagenet-object-localization-challenge unpacks"
)

log = logging.getLogger(__name__)


def read(folder: Path) -> Manifest:
    """The manifest of an ILSVRC folder; image ids are the stems of the file names.

    Raises:
        UserError: a file or folder of the layout is missing, a line or an annotation is malformed,
            an image is missing or broken, a val image has no box, a box does not lie within its
            image, a class is unknown or has no training image.
    """
    for needed in (folder, folder / SYNSETS, folder / SOLUTION, folder / DATA):
        if not needed.exists():
            raise UserError(f"{needed} is missing; data.folder names a folder that holds {LAYOUT}")
    classes = _classes(folder)
    solution = _solution(folder / SOLUTION, classes)
    rows = _train_images(folder, classes) + _val_images(folder, solution) + _test_images(folder)
    images = pd.DataFrame(rows, columns=["image", "path", "split", "wnid"])
    boxes = _train_boxes(folder, set(images["path"]))
    boxes += [(image, *box) for image, of_image in solution.items() for box in of_image]
    images[["width", "height"]] = image_sizes([folder / path for path in images["path"]])
    images["mask"] = None
    table = _clipped(pd.DataFrame(boxes, columns=BOX_COLUMNS), images)
    return Manifest("ilsvrc", folder, classes, images[IMAGE_COLUMNS], table).validate()


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


def _val_images(folder: Path, solution: dict[str, list[tuple]]) -> list[tuple]:
    for name in jpegs(folder / DATA / "val"):
        if Path(name).stem not in solution:
            raise UserError(
                f"image {folder / DATA / 'val' / name} has no box in {folder / SOLUTION}; every "
                "val image needs a line there with at least one"
            )
    return [(image, f"{DATA}/val/{image}.JPEG", "val", solution[image][0][0]) for image in solution]


def _test_images(folder: Path) -> list[tuple]:
    names = jpegs(folder / DATA / "test")
    return [(Path(name).stem, f"{DATA}/test/{name}", "test", None) for name in names]


def _solution(path: Path, classes: dict[str, str]) -> dict[str, list[tuple]]:
    """The boxes of each val image (wnid, xmin, ymin, xmax, ymax), in the order of the ids."""
    boxes: dict[str, list[tuple]] = {}
    for place, line in read_lines(path):
        if line == "ImageId,PredictionString":
            continue
        image, comma, prediction = line.partition(",")
        if not comma:
            raise UserError(f"{place}: expected ImageId,PredictionString, not {line!r}")
        if image in boxes:
            raise UserError(f"{place}: {image} has a line already; give all its boxes in one")
        boxes[image] = _groups(place, prediction.split(), classes)
    return dict(sorted(boxes.items()))


def _groups(place: str, fields: list[str], classes: dict[str, str]) -> list[tuple]:
    """Groups of wnid, xmin, ymin, xmax, ymax: the boxes of one image, all of its own class."""
    if not fields or len(fields) % 5:
        raise UserError(
            f"{place}: expected one group or more of wnid xmin ymin xmax ymax, not "
            f"{' '.join(fields) or 'nothing'}; a val image without a box cannot be scored"
        )
    for wnid in fields[::5]:
        check_class(wnid, classes, place, SYNSETS)
        if wnid != fields[0]:
            raise UserError(f"{place}: boxes of {fields[0]} and {wnid}, but an image has one class")
    return [
        (fields[i], *whole_numbers(place, fields[i + 1 : i + 5])) for i in range(0, len(fields), 5)
    ]


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
    """The rows of the boxes table for one annotation in PASCAL VOC's format."""
    advice = "correct it, or remove the file: training images need no boxes"
    try:
        root = ElementTree.parse(path).getroot()
    except (ElementTree.ParseError, DefusedXmlException) as error:
        raise UserError(f"{path} is not a readable XML file ({error}); {advice}") from None
    image, wnid = path.stem, path.parent.name
    objects = root.findall("object")
    if not objects:
        raise UserError(f"{path} has no <object>; {advice}")
    rows = []
    for element in objects:
        name = element.findtext("name", "").strip()
        if re.fullmatch(r"n\d{8}", name) and name != wnid:
            raise UserError(f"{path} has a box of {name}, but an image of {wnid}; {advice}")
        corners = [element.findtext(f"bndbox/{column}") for column in BOX_COLUMNS[2:]]
        if None in corners:
            raise UserError(f"{path} has an <object> without a whole <bndbox>; {advice}")
        rows.append((image, wnid, *whole_numbers(str(path), corners)))
    return rows


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
