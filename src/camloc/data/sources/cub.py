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

import logging
from pathlib import Path, PurePosixPath

import pandas as pd

from camloc.core.errors import UserError
from camloc.data.manifest import BOX_COLUMNS, IMAGE_COLUMNS, Manifest
from camloc.data.sources.download import fetch, unpack_tar
from camloc.data.sources.reading import check_class, clipped, draw_val, examined, read_lines

# CaltechDATA's address, MD5 and bytes of each file.
ARCHIVES = (
    (
        "https://data.caltech.edu/records/65de6-vp158/files/CUB_200_2011.tgz",
        "97eceeb196236b17998738112f37df78",
        1_150_585_339,
    ),
    (
        "https://data.caltech.edu/records/w9d68-gec53/files/segmentations.tgz",
        "4d47ba1228eae64f2fa547c47bc65255",
        39_272_883,
    ),
)
TREE, MASKS = "CUB_200_2011", "segmentations"  # what the archives hold
SPLIT_OF = {"1": "train", "0": "test"}
LAYOUT = (
    f"{TREE}/ with images.txt, image_class_labels.txt, classes.txt, train_test_split.txt, "
    f"bounding_boxes.txt and images/<class>/*.jpg and, where wanted, {MASKS}/<class>/*.png beside "
    f"or in {TREE}/"
)
log = logging.getLogger(__name__)


def download(folder: Path) -> Path:
    """The unpacked data set under `folder`, downloaded (1.2 GB) where it is not there yet.

    Returns:
        The folder that `read` takes.

    Raises:
        UserError: no network or a wrong checksum; see `camloc.data.sources.download.fetch`.
    """
    unpacked = folder / "cub"
    if not unpacked.exists():
        archives = [folder / PurePosixPath(url).name for url, _, _ in ARCHIVES]
        for archive, (url, md5, size) in zip(archives, ARCHIVES, strict=True):
            fetch(url, archive, md5=md5, size=size)
        unpack_tar(archives, unpacked)
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
    numbers = _table(root / "classes.txt", "id name")
    wnids = {number: wnid for number, (_, (wnid,)) in numbers.items()}
    listed = {wnid: _name(wnid) for wnid in sorted(wnids.values())}
    for wnid in classes or []:
        check_class(wnid, listed, "params.yaml: data.classes", f"{root / 'classes.txt'}")
    chosen = {wnid: name for wnid, name in listed.items() if not classes or wnid in classes}
    rows = [row for row in _images(root, wnids) if row["wnid"] in chosen]
    rows.sort(key=lambda row: (row["wnid"], row["image"]))
    _draw_val(rows, chosen, val_per_class, seed)
    table = pd.DataFrame(rows)
    table[["width", "height"]], defects = examined(root, table["path"])
    table["mask"] = _masks(root, table)
    corners = table[BOX_COLUMNS[2:]].to_numpy()
    cut = clipped(corners, table[["width", "height"]].to_numpy())
    if changed := int((cut != corners).any(axis=1).sum()):
        log.warning("%d of %d boxes clipped: they leave their image", changed, len(table))
    table[BOX_COLUMNS[2:]] = cut
    images, boxes = table[IMAGE_COLUMNS], table[BOX_COLUMNS]
    return Manifest("cub", root, chosen, images, boxes, defects).validate()


def _check_layout(folder: Path, root: Path) -> None:
    for needed in (folder, root / "images.txt", root / "images"):
        if needed.exists():
            continue
        packed = sorted(path.name for path in folder.glob("*.tgz"))
        todo = " && ".join(f"tar -xzf {name}" for name in packed)
        raise UserError(
            f"{needed} is missing; data.folder names a folder that holds {LAYOUT}, and leaving "
            "data.folder out downloads CUB-200-2011"
            + (f"; unpack what lies there: cd {folder} && {todo}" if packed else "")
        )


def _name(wnid: str) -> str:
    """The name of a class, "Black footed Albatross" of `001.Black_footed_Albatross`."""
    return wnid.partition(".")[2].replace("_", " ") or wnid


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
        if PurePosixPath(path).parts[0] != wnid:
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
    for place, line in read_lines(path):
        first, *fields = line.strip().split(maxsplit=len(columns.split()) - 1)
        if len(fields) + 1 != len(columns.split()):
            raise UserError(f"{place}: expected {columns}, separated by blanks, not {line!r}")
        if first in rows:
            raise UserError(f"{place}: id {first} has a line already; keep one of them")
        if of is not None and first not in of:
            raise UserError(f"{place}: images.txt lists no image {first}; remove the line")
        rows[first] = place, fields
    for image in of or []:
        if image not in rows:
            raise UserError(f"{path} has no line of image {image}, which images.txt lists; add it")
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


def _draw_val(rows: list[dict], classes: dict[str, str], val_per_class: int, seed: int) -> None:
    """Make `val_per_class` of each class's training rows val."""
    for wnid, name in classes.items():
        own = [row for row in rows if row["wnid"] == wnid and row["split"] == "train"]
        if len(own) <= val_per_class:
            raise UserError(
                f"class {wnid} ({name}) has {len(own)} training images, of which val takes "
                f"{val_per_class}: none is left to train on; lower data.val_per_class"
            )
        draw_val(own, val_per_class, seed, wnid)


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
