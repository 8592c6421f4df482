"""CUB-200-2011: 200 species of birds, a box and, beside it, a segmentation of each picture.

Reads the original layout (Wah et al. 2011), all of its classes or some. The official training
images are the study's train split, from which its val split is drawn, and the official test images
its test split. A class's label is the name of its folder, such as `001.Black_footed_Albatross`.
Files that images.txt does not list are passed over.

Boxes: the README of the data set says of `bounding_boxes.txt` only that x, y, width and height are
in pixels. Choe et al. (2020), in the localization.txt of their wsolevaluation, take them as pixels
from 0 with the last one at x + width, y + height, cut to the image: `1.0 2.0 499.0 286.0` in an
image 500 wide is 1, 2, 499, 288. So they are taken here, too, and rounded, although all that were
looked at (the first 543 lines) end in .0. Those lines bear it out: x and y reach down to 0, and
where a box ends at the right edge of an image 500 wide, x + width is 499 more often than 500 or,
once, 501. Boxes that leave their image are counted and logged; one without a pixel in its image is
refused.

Segmentations are a download of their own, grey from 0 to 255 in steps that are understood as how
many annotators took a pixel for the bird, and tell no parts. Every pixel above 0 is the bird: so
evaluation.py of wsolevaluation reads masks, and with it those who measured PxAP on these (Zhu et
al. 2022, BagCAMs).
"""

from pathlib import Path, PurePosixPath

import pandas as pd

from camloc.core.errors import UserError, refuse
from camloc.data.manifest import BOX_COLUMNS, IMAGE_COLUMNS, Manifest
from camloc.data.sources.download import fetch, unpack
from camloc.data.sources.reading import (
    check_class,
    chosen,
    clipped,
    draw_val,
    examined,
    read_fields,
    require,
)

# CaltechDATA's addresses (1.15 GB and 39 MB) and MD5 checksums.
ARCHIVES = {
    "https://data.caltech.edu/records/65de6-vp158/files/CUB_200_2011.tgz": (
        "97eceeb196236b17998738112f37df78"
    ),
    "https://data.caltech.edu/records/w9d68-gec53/files/segmentations.tgz": (
        "4d47ba1228eae64f2fa547c47bc65255"
    ),
}
TREE, MASKS = "CUB_200_2011", "segmentations"  # what the archives hold
SPLIT_OF = {"1": "train", "0": "test"}
LAYOUT = (
    f"{TREE}/ with images.txt, image_class_labels.txt, classes.txt, train_test_split.txt, "
    f"bounding_boxes.txt and images/<class>/*.jpg and, where wanted, {MASKS}/<class>/*.png beside "
    f"or in {TREE}/"
)


def download(folder: Path) -> Path:
    """The unpacked data set under `folder`, downloaded (1.2 GB) where it is not there yet.

    Returns:
        The folder that `read` takes.

    Raises:
        UserError: no network or a wrong checksum; see `camloc.data.sources.download.fetch`.
    """
    unpacked = folder / "cub"
    if not unpacked.exists():
        archives = [folder / PurePosixPath(url).name for url in ARCHIVES]
        for archive, (url, md5) in zip(archives, ARCHIVES.items(), strict=True):
            fetch(url, archive, md5)
        unpack(archives, unpacked)
    return unpacked


def read(
    folder: Path, *, val_per_class: int, seed: int, classes: list[str] | None = None
) -> Manifest:
    """The manifest of a CUB-200-2011 folder, of all its classes or of those listed by label.

    Of each class's training images, `val_per_class` drawn with `seed` become val; which ones does
    not depend on the other classes. Image ids are the stems of the file names.

    Args:
        folder: holds `CUB_200_2011`, or is it.

    Raises:
        UserError: a file or folder of the layout is missing, a line is malformed, an image lacks
            a line in one of the files, is missing or broken, has a segmentation that is missing
            or of another size, or a box outside of it; a class is unknown or has no training
            image left.
    """
    root = folder / TREE if (folder / TREE).is_dir() else folder
    _check_layout(folder, root)
    index = root / "classes.txt"
    wnids = {number: wnid for number, (_, (wnid,)) in _table(index, "id name").items()}
    listed = {wnid: wnid.partition(".")[2].replace("_", " ") or wnid for wnid in wnids.values()}
    taken = chosen(listed, classes, index)
    rows = [row for row in _images(root, wnids) if row["wnid"] in taken]
    rows.sort(key=lambda row: (row["wnid"], row["image"]))
    draw_val(rows, taken, val_per_class, seed)
    table = pd.DataFrame(rows)
    table[["width", "height"]], defects = examined(root, table["path"])
    table["mask"] = _masks(root, table)
    corners, sizes = (table[names].to_numpy() for names in (BOX_COLUMNS[2:], ["width", "height"]))
    table[BOX_COLUMNS[2:]] = clipped(corners, sizes)
    images, boxes = table[IMAGE_COLUMNS], table[BOX_COLUMNS]
    return Manifest("cub", root, taken, images, boxes, defects).validate()


def _check_layout(folder: Path, root: Path) -> None:
    packed = " && ".join(f"tar -xzf {path.name}" for path in sorted(folder.glob("*.tgz")))
    advice = f"{LAYOUT}, and leaving data.folder out downloads CUB-200-2011" + (
        f"; unpack what lies there: cd {folder} && {packed}" if packed else ""
    )
    require([folder, root / "images.txt", root / "images"], advice)


def _images(root: Path, wnids: dict[str, str]) -> list[dict]:
    """The rows of all images, their boxes not yet cut to them; `wnids` are by number."""
    paths = _table(root / "images.txt", "id path")
    labels = _table(root / "image_class_labels.txt", "id class", of=paths)
    splits = _table(root / "train_test_split.txt", "id is_training", of=paths)
    boxes = _table(root / "bounding_boxes.txt", "id x y width height", of=paths)
    rows = []
    for image, (place, (path,)) in paths.items():
        label_place, (number,) = labels[image]
        check_class(number, wnids, label_place, "classes.txt")
        wnid = wnids[number]
        if PurePosixPath(path).parts[:1] != (wnid,):
            raise UserError(
                f"{place}: {path} does not lie in {wnid}, the folder of its class by {label_place}"
            )
        box = dict(zip(BOX_COLUMNS[2:], _corners(*boxes[image]), strict=True))
        row = {"image": PurePosixPath(path).stem, "path": f"images/{path}", "wnid": wnid}
        rows.append(row | {"split": _split(*splits[image])} | box)
    return rows


def _table(path: Path, columns: str, of: dict | None = None) -> dict[str, tuple[str, list[str]]]:
    """Of each id the place of its line and the fields after it.

    Args:
        columns: names of the fields, which are separated by blanks; the last may hold blanks.
        of: the ids that must all have a line, and no others.
    """
    rows: dict[str, tuple[str, list[str]]] = {}
    for place, (first, *fields) in read_fields(path, columns):
        if first in rows:
            raise UserError(f"{place}: id {first} has a line already; keep one of them")
        if of is not None and first not in of:
            raise UserError(f"{place}: images.txt lists no image {first}; remove the line")
        rows[first] = place, fields
    lacking = [image for image in of or [] if image not in rows]
    refuse(path, lacking, "lacks images that images.txt lists", "add a line of each")
    return rows


def _split(place: str, fields: list[str]) -> str:
    if fields[0] not in SPLIT_OF:
        raise UserError(f"{place}: is_training is 1 or 0, not {fields[0]!r}")
    return SPLIT_OF[fields[0]]


def _corners(place: str, fields: list[str]) -> list[int]:
    try:
        x, y, width, height = (float(field) for field in fields)
        return [round(x), round(y), round(x + width), round(y + height)]
    except (ValueError, OverflowError):  # not numbers, or not finite ones
        raise UserError(
            f"{place}: expected numbers x y width height, not {' '.join(fields)!r}"
        ) from None


def _masks(root: Path, images: pd.DataFrame) -> list[str] | None:
    """The path of each image's segmentation; none where there is no folder of them."""
    folder = next((name for name in (MASKS, f"../{MASKS}") if (root / name).is_dir()), None)
    if folder is None:
        return None
    stems = [PurePosixPath(path).relative_to("images").with_suffix("") for path in images["path"]]
    masks = [f"{folder}/{stem}.png" for stem in stems]
    sizes, _ = examined(root, masks)
    for mask, size, wanted in zip(masks, sizes, images[["width", "height"]].values, strict=True):
        if (size != wanted).any():
            raise UserError(
                f"segmentation {root / mask} is {size[0]}×{size[1]} pixels, its image "
                f"{wanted[0]}×{wanted[1]}; fetch the original file"
            )
    return masks
