"""Images of one's own, in whichever of these layouts they lie.

- `images.csv`, one row per box or, of an image without boxes, one: `path` and `split`, `label`, and
  where there are any `xmin`, `ymin`, `xmax`, `ymax`, `mask` and `ignore`
- per split a folder with the metadata of wsolevaluation (Choe et al. 2020): `image_ids.txt`,
  `class_labels.txt` (`id,label`), where wanted `image_sizes.txt` (`id,width,height`), and images in
  `images` or beside
- per split a folder with a folder of images of each class

The latter two may have `localization.txt`, a line for each box (`id,xmin,ymin,xmax,ymax`) or for
a mask of an image (`id,mask` or `id,mask,ignore`: one object, and what counts for nothing; paths
from the split's folder). Pictures are taken as a person sees them, turned as EXIF says; boxes, in
inclusive pixels, and masks are of that, and what leaves the image is cut. Labels are a class's
label, number (from 0) or name in a file of classes; without one they stand for themselves, numbers
in their order. An image's id is its path without its end.
"""

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from camloc.core.errors import UserError, near_matches, refuse
from camloc.core.tables import read_csv
from camloc.core.threads import in_threads
from camloc.data import masks
from camloc.data.manifest import BOX_COLUMNS, IMAGE_COLUMNS, SPLITS, Manifest
from camloc.data.pictures import is_turned
from camloc.data.sources.reading import (
    clipped,
    entries,
    examined,
    pictures_in,
    read_fields,
    read_lines,
    require,
    whole_numbers,
)

TABLE, IDS, LABELS = "images.csv", "image_ids.txt", "class_labels.txt"
TOLD_SIZES, PLACES = "image_sizes.txt", "localization.txt"
CORNERS = BOX_COLUMNS[2:]
LAYOUT = (
    f"{TABLE}, or of each split a folder ({', '.join(SPLITS)}, or as data.splits says) with "
    f"{IDS} and {LABELS}, or with a folder of each class"
)


@dataclass
class _Listed:
    """What a layout lists: of each image, by its id, `path` (from the folder), `split`, `label`,
    `place` (where that is said), `masks` and `ignored`, and `size` (as it is told, None where it is
    not); and of each box the id and the corners."""

    images: dict[str, dict] = field(default_factory=dict)
    boxes: list[list] = field(default_factory=list)

    def add(self, path: str, split: str, label: str, place: str) -> None:
        image = _id(path)
        if image in self.images:
            raise UserError(f"{place}: {path} is listed already; keep one of its lines")
        told = {"path": path, "split": split, "label": label, "place": place}
        self.images[image] = {"image": image, "masks": {}, "ignored": {}, "size": None} | told

    def mask(self, image: str, mask: str, ignored: str) -> None:
        for key, path in (("masks", mask), ("ignored", ignored)):
            if path:
                self.images[image][key][path] = None  # each once


def read(
    folder: Path, *, splits: Mapping[str, Path] | None = None, classes: Path | None = None
) -> Manifest:
    """The manifest of a folder of one's own.

    Args:
        splits: of each split its folder, from `folder`; by themselves those of the splits' names
            that are there.
        classes: a file of a class a line: its label and, after blanks, its names, in the order of a
            pretrained network's outputs.

    Raises:
        UserError: a file or folder of the layout is missing, a line is malformed, a label is none
            of the classes, an image is missing, broken or of another size than is told; a box has
            no pixel in its image.
    """
    require([folder], LAYOUT)
    known, listed = _classes(classes), _Listed()
    if (folder / TABLE).is_file():
        _read_table(listed, folder / TABLE)
    else:
        places = splits or {split: Path(split) for split in SPLITS if (folder / split).is_dir()}
        for split, place in places.items():
            _read_split(listed, folder, place, split)
    if not listed.images:
        raise UserError(f"{folder} holds no images; data.folder names a folder that holds {LAYOUT}")
    table = pd.DataFrame(list(listed.images.values()))
    if known is None and table["label"].str.isdecimal().all():  # sorted as numbers are
        table["label"] = table["label"].str.zfill(table["label"].str.len().max())
    table["wnid"] = [_class_of(*row, known) for row in table[["label", "place"]].to_numpy()]
    names = known or {label: label for label in sorted(table["wnid"].unique())}
    _check_case(folder, names)
    sizes, defects = examined(folder, table["path"])
    table["turned"], on_side = _turned(folder, table["path"])
    table[["width", "height"]] = np.where(on_side[:, None], sizes[:, ::-1], sizes)
    _check_sizes(table)
    table["mask"] = [masks.listed(*row) for row in table[["masks", "ignored"]].to_numpy()]
    named = [path for mask in table["mask"].dropna() for path in masks.paths_of(mask)]
    # `Path.is_file` raises for a name that is too long for any file.
    lacking = [path for path in dict.fromkeys(named) if not os.path.isfile(folder / path)]  # noqa: PTH113
    refuse(folder, lacking, "lacks masks", "put them there or take out their names")
    boxes = pd.DataFrame(listed.boxes, columns=["image", *CORNERS])
    boxes = boxes.merge(table[["image", "wnid", "width", "height"]], on="image")
    corners = boxes[CORNERS].to_numpy(dtype=np.int64)
    boxes[CORNERS] = clipped(corners, boxes[["width", "height"]].to_numpy())
    images = table[IMAGE_COLUMNS]
    return Manifest("folder", folder, names, images, boxes[BOX_COLUMNS], defects).validate()


def _classes(path: Path | None) -> dict[str, str] | None:
    """Label to names, in the order of the file, in which the labels must be sorted: networks'
    outputs are in that order."""
    if path is None:
        return None
    found: dict[str, str] = {}
    for place, line in read_lines(path):
        label, *names = line.split(maxsplit=1)
        if found and label <= max(found):
            raise UserError(
                f"{place}: class {label} comes after {max(found)}; outputs of networks are in the "
                "sorted order of labels, each once: put numbers before them, such as 0001-"
            )
        found[label] = names[0].strip() if names else label
    return found


def _class_of(label: str, place: str, classes: dict[str, str] | None) -> str:
    """The class that a label, a number or a name stands for."""
    if classes is None or label in classes:
        return label
    if label.isdecimal() and int(label) < len(classes):
        return list(classes)[int(label)]
    named = [c for c, names in classes.items() if label in (names, names.split(",")[0])]
    if len(named) == 1:
        return named[0]
    known = [*classes, *(names.split(",")[0] for names in classes.values())]
    which = "several" if named else "none"
    raise UserError(
        f"{place}: label {label!r} stands for {which} of the {len(classes)} classes"
        f"{near_matches(label, known)}"
    )


def _read_table(listed: _Listed, path: Path) -> None:
    # Rows are longer where commas stand at the ends of lines.
    table = read_csv(path, longer_rows="ignore", dtype=str, skip_blank_lines=False)
    lacking = [name for name in ("path", "split", "label") if name not in table]
    refuse(path, lacking, "lacks the columns", "add them to its first line")
    for number, row in enumerate(table.to_dict("records"), start=2):
        place = f"{path}:{number}"
        if not any(row.values()):
            continue
        if not row["path"] or not row["label"]:
            raise UserError(f"{place}: lacks a path or a label; give both, or remove the line")
        image = _id(row["path"])
        if row["split"] not in SPLITS:
            raise UserError(f"{place}: split is {', '.join(SPLITS)}, not {row['split']!r}")
        if image not in listed.images:
            listed.add(row["path"], row["split"], row["label"], place)
        elif any(listed.images[image][key] != row[key] for key in ("path", "split", "label")):
            raise UserError(f"{place}: {row['path']} has another split or label above; keep one")
        listed.mask(image, row.get("mask", ""), row.get("ignore", ""))
        corners = [row.get(name, "") for name in CORNERS]
        if any(corners):
            listed.boxes.append([image, *whole_numbers(place, corners)])


def _read_split(listed: _Listed, folder: Path, place: Path, split: str) -> None:
    own = folder / place
    require([own], LAYOUT)
    places = []
    if (own / PLACES).is_file():
        lines = _fields(own / PLACES, "id xmin,ymin,xmax,ymax")
        places = [(where, (image, rest.rstrip(","))) for where, (image, rest) in lines]
    if (own / LABELS).is_file() or (own / IDS).is_file():
        inner = "images" if (own / "images").is_dir() else ""
        _read_metadata(listed, folder, place, inner, split)
    else:
        masked = (rest.split(",") for _, (_, rest) in places if rest.count(",") < 2)
        of_masks = {path.strip().split("/")[0] for paths in masked for path in paths}
        inner, names = "", [entry.name for entry in entries(own) if entry.is_dir()]
        folders = [name for name in names if name not in of_masks]
        for name, images in zip(folders, pictures_in([own / n for n in folders]), strict=True):
            for file in images.values():
                path = (place / name / file).as_posix()
                listed.add(path, split, name, str(folder / path))
    _read_places(listed, places, place / inner, place)


def _read_metadata(listed: _Listed, folder: Path, place: Path, inner: str, split: str) -> None:
    own = folder / place
    ids = {line.strip(): where for where, line in read_lines(own / IDS)}
    labels = {image: (where, label) for where, (image, label) in _fields(own / LABELS, "id label")}
    refuse(own / LABELS, ids.keys() - labels.keys(), f"lacks images of {IDS}", "add lines of them")
    for image in ids:
        where, label = labels[image]
        listed.add((place / inner / image).as_posix(), split, label.strip(), where)
    if (own / TOLD_SIZES).is_file():
        for where, (image, *sides) in _fields(own / TOLD_SIZES, "id width height"):
            if image in ids:
                told = where, " × ".join(side.strip() for side in sides)
                listed.images[_id((place / inner / image).as_posix())]["size"] = told


def _read_places(listed: _Listed, lines: Iterable, base: Path, place: Path) -> None:
    """The boxes and masks of a split; ids are paths from `base`, masks from `place`."""
    for where, (image, rest) in lines:
        row = listed.images.get(_id((base / image).as_posix()))
        if row is None:
            raise UserError(f"{where}: no image {image!r} of this split; remove the line")
        parts = rest.split(",")
        if len(parts) == 4:
            listed.boxes.append([row["image"], *whole_numbers(where, parts)])
        elif len(parts) <= 2:
            paths = [(place / part.strip()).as_posix() if part.strip() else "" for part in parts]
            listed.mask(row["image"], *paths, *[""][: 2 - len(paths)])
        else:
            raise UserError(f"{where}: expected a box of four numbers or a mask, not {rest!r}")


def _fields(path: Path, columns: str) -> Iterable[tuple[str, list[str]]]:
    return read_fields(path, columns, ",")


def _id(path: str) -> str:
    own = PurePosixPath(path)
    return own.with_suffix("").as_posix() if own.name else path  # . and / have no name


def _turned(folder: Path, paths: Sequence[str]) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Which images EXIF turns or mirrors, and which of them it lays on their side."""
    found = in_threads(lambda path: is_turned(folder / path), list(paths), unit="image")
    turned, on_side = np.array(found, dtype=bool).reshape(-1, 2).T
    return turned, on_side


def _check_case(folder: Path, labels: Iterable[str]) -> None:
    """Refuse classes that differ in upper and lower case alone: on other systems they are one."""
    alike: dict[str, list[str]] = {}
    for label in labels:
        alike.setdefault(label.casefold(), []).append(label)
    bad = [" and ".join(group) for group in alike.values() if len(group) > 1]
    refuse(folder, bad, "holds classes of one name", "rename them, or put their images together")


def _check_sizes(table: pd.DataFrame) -> None:
    for row in table.dropna(subset="size").to_dict("records"):
        where, told = row["size"]
        if told != (real := f"{row['width']} × {row['height']}"):
            as_seen = ", as EXIF turns it" if row["turned"] else ""
            raise UserError(
                f"{where}: {row['path']} is told to be of {told} pixels and is of {real}{as_seen}; "
                "its boxes would lie elsewhere: give the file that they are of"
            )
