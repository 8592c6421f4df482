"""ILSVRC 2012 CLS-LOC, the paper's data set, in the layout of Kaggle's archive.

Labels and boxes of the validation images come from LOC_val_solution.csv, those of the training
images from the folders and, for the images that have one, from an XML annotation. Test images have
no labels. Validation images lie in one folder or, as many scripts leave them, sorted into a folder
a class. Names of images end in any of `reading.ENDINGS`. Validation images on the devkit's
blacklist, where the folder has it, keep their class and lose their boxes: they count for
classification and are left out of localization.

Boxes are taken as inclusive pixels from 0. The devkit (evaluation/compute_overlap.m) measures a
box as xmax - xmin + 1 and neither shifts nor clips it, and so it stands in the data: the 80,477 val
boxes reach down to 0 (7,388 xmin, 5,414 ymin) and up to width - 1 (6,086) and height - 1 (7,781),
and none lies outside its image. So a val box outside its image is refused.

Training boxes are known to be less clean (TensorFlow's process_bounding_boxes.py lists it): some
extend beyond their image (n03127925_147.xml), and many dogs' `name` is the breed where the wnid
should be. Here the former are clipped to the image, counted and logged; a training box without a
pixel in its image is refused. As in the devkit, the XML's `size` plays no part.
"""

import dataclasses
import re
from pathlib import Path

import pandas as pd
from defusedxml import ElementTree

from camloc.core.errors import UserError, refuse, refusing
from camloc.core.threads import in_threads
from camloc.data.manifest import BOX_COLUMNS, IMAGE_COLUMNS, Manifest
from camloc.data.sources.reading import (
    check_class,
    check_folder_name,
    check_folders,
    clipped,
    entries,
    examined,
    pictures_in,
    read_fields,
    read_lines,
    require,
    whole_numbers,
)

DATA = "ILSVRC/Data/CLS-LOC"
ANNOTATIONS = "ILSVRC/Annotations/CLS-LOC/train"
SYNSETS = "LOC_synset_mapping.txt"
SOLUTION = "LOC_val_solution.csv"
BLACKLIST = "ILSVRC2014_clsloc_validation_blacklist.txt"
LAYOUT = (
    f"{SYNSETS}, {SOLUTION}, {DATA}/train/<wnid>/*.JPEG, {DATA}/val/*.JPEG (or sorted, "
    f"{DATA}/val/<wnid>/*.JPEG) and, where wanted, {DATA}/test/*.JPEG and "
    f"{ANNOTATIONS}/<wnid>/*.xml, as Kaggle's imagenet-object-localization-challenge unpacks"
)
OFFICIAL = (
    "ILSVRC2012_img_train.tar (138 GB), ILSVRC2012_img_val.tar (6.3 GB), ILSVRC2012_bbox_val_v3.tgz"
    " and ILSVRC2014_devkit.tgz or ILSVRC2012_devkit_t12.tar.gz; where wanted, "
    "ILSVRC2012_img_test*.tar (13 GB) and ILSVRC2012_bbox_train_v2.tar.gz"
)


def read(folder: Path, with_train: bool = True) -> Manifest:
    """The manifest of an ILSVRC folder; image ids are the stems of the file names.

    Args:
        with_train: whether training images are wanted; else they need not be there.

    Raises:
        UserError: a file or folder of the layout is missing, a line or an annotation is malformed,
            an image is missing, broken or in the folder of another class, a val image has no box
            and is not blacklisted, a box does not lie within its image, a class is unknown or has
            no training image.
    """
    advice = f"{LAYOUT}; or one that holds the official files {OFFICIAL}"
    require((folder, folder / SYNSETS, folder / SOLUTION, folder / DATA), advice)
    classes = _classes(folder)
    solution = _solution(folder, classes)
    train = _train_images(folder, classes) if with_train else []
    images = pd.DataFrame(
        train + _val_images(folder, solution, classes) + _test_images(folder),
        columns=["image", "path", "split", "wnid"],
    )
    boxes = [(image, wnid, *box) for image, (wnid, own) in solution.items() for box in own]
    lists = Manifest("ilsvrc", folder, classes, images, pd.DataFrame(boxes, columns=BOX_COLUMNS))
    lists.validate_lists()  # before a million files are read
    if with_train:
        boxes = _train_boxes(folder, {(wnid, image) for image, _, _, wnid in train}) + boxes
    images[["width", "height"]], defects = examined(folder, images["path"])
    images["mask"] = None
    table = pd.DataFrame(boxes, columns=BOX_COLUMNS)
    about = images.set_index("image").loc[table["image"]]
    corners, sizes = table[BOX_COLUMNS[2:]].to_numpy(), about[["width", "height"]].to_numpy()
    table[BOX_COLUMNS[2:]] = clipped(corners, sizes, (about["split"] == "train").to_numpy())
    images = images[IMAGE_COLUMNS]
    return dataclasses.replace(lists, images=images, boxes=table, defects=defects).validate()


def blacklisted(path: Path, images: list[str]) -> set[str]:
    """Those of the val images, in the order of their ids, that a devkit's blacklist names.

    It names them by their number, from 1, a line each; a missing file names none.

    Raises:
        UserError: a line is no such number.
    """
    if not path.exists():
        return set()
    numbered = {str(number): image for number, image in enumerate(images, start=1)}
    found = set()
    for place, line in read_lines(path):
        if line.strip() not in numbered:
            raise UserError(
                f"{place}: expected the number of a val image, 1 to {len(images)}, not {line!r}"
            )
        found.add(numbered[line.strip()])
    return found


def annotation(content: bytes, name: str, wnid: str, advice: str) -> list[list[int]]:
    """The boxes (xmin, ymin, xmax, ymax) of an image of class `wnid` in PASCAL VOC's format.

    Raises:
        UserError: it is malformed, without a box or of another class; the message starts with
            `name` and ends with `advice`.
    """
    with refusing(f"{name} is not a readable XML file", advice):
        root = ElementTree.fromstring(content)
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
    for place, (wnid, name) in read_fields(folder / SYNSETS, "wnid names"):
        check_folder_name(wnid, place)
        classes[wnid] = name.strip()
    for split in ("train", "val"):
        check_folders(folder / DATA / split, classes, SYNSETS)
    return dict(sorted(classes.items()))


def _train_images(folder: Path, classes: dict[str, str]) -> list[tuple]:
    train = folder / DATA / "train"
    loose, *of_classes = pictures_in([train, *(train / wnid for wnid in classes)])
    strange = sorted(loose.values())
    refuse(train, strange, "holds images that lie in no folder of a class", "move them into one")
    return [
        (image, f"{DATA}/train/{wnid}/{name}", "train", wnid)
        for wnid, names in zip(classes, of_classes, strict=True)
        for image, name in names.items()
    ]


def _val_images(folder: Path, solution: dict[str, tuple], classes: dict[str, str]) -> list[tuple]:
    """The rows of val, in the order of the ids; a folder that it is sorted into must be right."""
    rows, val = [], f"{DATA}/val"
    places = {val: None} | {f"{val}/{wnid}": wnid for wnid in classes}
    for place, names in zip(places, pictures_in([folder / place for place in places]), strict=True):
        strange = [name for image, name in names.items() if image not in solution]
        advice = "every val image needs a line there with at least one"
        refuse(folder / SOLUTION, strange, "has no box of", advice)
        for image, name in names.items():
            wnid, _ = solution[image]
            if places[place] not in (None, wnid):
                raise UserError(
                    f"image {folder / place / name} lies in the folder of {places[place]}, but "
                    f"{folder / SOLUTION} says {wnid}; move the file or correct that line"
                )
            rows.append((image, f"{place}/{name}", "val", wnid))
    missing = sorted(solution.keys() - {image for image, *_ in rows})
    refuse(folder / val, missing, f"lacks images of {SOLUTION}", "put them back there")
    return sorted(rows)


def _test_images(folder: Path) -> list[tuple]:
    [names] = pictures_in([folder / DATA / "test"])
    return [(image, f"{DATA}/test/{name}", "test", None) for image, name in names.items()]


def _solution(folder: Path, classes: dict[str, str]) -> dict[str, tuple[str, list[list[int]]]]:
    """The class of each val image and its boxes, none if it is blacklisted; in order of the ids."""
    found: dict[str, tuple[str, list[list[int]]]] = {}
    path, columns = folder / SOLUTION, "ImageId PredictionString"
    for place, (image, prediction) in read_fields(path, columns, ","):
        if [image, prediction] == columns.split():
            continue
        if image in found:
            raise UserError(f"{place}: {image} has a line already; give all its boxes in one")
        found[image] = _groups(place, prediction.split(), classes)
    solution = dict(sorted(found.items()))
    without = blacklisted(folder / BLACKLIST, list(solution))
    solution |= {image: (solution[image][0], []) for image in without}
    refuse(
        path,
        [image for image, (_, boxes) in solution.items() if not boxes and image not in without],
        "gives a class without a box, so it cannot be scored, for",
        f"give it one, or name it in {folder / BLACKLIST}",
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


def _train_boxes(folder: Path, known: set[tuple[str, str]]) -> list[tuple]:
    """Rows of the boxes table for those training images that have an annotation.

    Args:
        known: wnid and id of the training images.
    """
    annotations = [
        Path(entry.path)
        for of_class in entries(folder / ANNOTATIONS)
        if of_class.is_dir()
        for entry in entries(Path(of_class.path))
        if entry.name.lower().endswith(".xml")
    ]
    strange = [
        f"{path.parent.name}/{path.name}"
        for path in annotations
        if (path.parent.name, path.stem) not in known
    ]
    advice = "remove those files, or put their images back"
    refuse(folder / ANNOTATIONS, strange, f"is of images that {DATA}/train lacks", advice)
    of_images = in_threads(_annotated, annotations, unit="annotation")
    return [box for of_image in of_images for box in of_image]


def _annotated(path: Path) -> list[tuple]:
    """The rows of the boxes table for one annotation of a training image."""
    advice = "correct it, or remove the file: training images need no boxes"
    image, wnid = path.stem, path.parent.name
    with refusing(f"{path} cannot be read", advice):
        content = path.read_bytes()
    return [(image, wnid, *box) for box in annotation(content, str(path), wnid, advice)]
