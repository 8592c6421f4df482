"""ILSVRC 2012 CLS-LOC as its official files, unpacked into the layout that `ilsvrc` reads.

The training tar holds one tar per class. A validation image's class comes from a devkit's ground
truth, whose numbers are ids of the meta file of that devkit and of no other: they are turned into
wnids at once, and held against the wnids in the annotations. Boxes come from the annotations.

Unpacking may be stopped at any moment and goes on where it stopped: a folder is filled under the
name `<name>.new` and takes its own when it is whole; a file in it is copied again unless it has the
size of its member, as a stopped copy is shorter. LOC_synset_mapping.txt is written last.
"""

import io
import logging
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
from tqdm.auto import tqdm

from camloc.core.errors import UserError, reason, refuse, refusing
from camloc.core.files import write_text
from camloc.core.progress import progress
from camloc.data.sources.archives import Member, files, members
from camloc.data.sources.ilsvrc import (
    ANNOTATIONS,
    BLACKLIST,
    DATA,
    LAYOUT,
    OFFICIAL,
    SOLUTION,
    SYNSETS,
    annotation,
    blacklisted,
)
from camloc.data.sources.reading import check_class, read_fields

TRAIN, VAL, TEST = "ILSVRC2012_img_train.tar", "ILSVRC2012_img_val.tar", "ILSVRC2012_img_test*.tar"
TRAIN_BOXES, VAL_BOXES = "ILSVRC2012_bbox_train_v2.tar.gz", "ILSVRC2012_bbox_val_v3.tgz"
# Each devkit's meta file and the ground truth of the validation images.
DEVKITS = {
    "ILSVRC2012_devkit_t12.tar.gz": ("meta.mat", "ILSVRC2012_validation_ground_truth.txt"),
    "ILSVRC2014_devkit.tgz": ("meta_clsloc.mat", "ILSVRC2014_clsloc_validation_ground_truth.txt"),
}
log = logging.getLogger(__name__)


def found(folder: Path) -> bool:
    """Whether a folder holds official files and not the layout they are unpacked into."""
    names = (TRAIN, VAL, VAL_BOXES, *DEVKITS)
    return any((folder / name).exists() for name in names) and not (folder / SYNSETS).exists()


def require(folder: Path, train: bool = True) -> None:
    """Refuse a folder that lacks one of the official files.

    Raises:
        UserError: names what it lacks.
    """
    wanted = (TRAIN, VAL, VAL_BOXES) if train else (VAL, VAL_BOXES)
    missing = [name for name in wanted if not (folder / name).exists()]
    if not any((folder / name).exists() for name in DEVKITS):
        missing.append(" or ".join(DEVKITS))
    if missing:
        raise UserError(
            f"{folder} lacks {' and '.join(missing)}; data.folder names a folder that holds the "
            f"official files {OFFICIAL}; or one that holds {LAYOUT}"
        )


def unpack(folder: Path, target: Path, train: bool = True) -> Path:
    """Unpack the official files in `folder` into `target`, or what is not there yet.

    Args:
        train: whether training images are wanted; else their tar need not be there.

    Returns:
        The target, for `ilsvrc.read`.

    Raises:
        UserError: a file is missing, damaged or truncated, or holds anything but what it should;
            ground truth and annotations contradict each other, or a val image has no annotation
            and is not blacklisted; the target cannot be written or is full.
    """
    try:
        target.mkdir(parents=True, exist_ok=True)
        if not is_whole(target, train):
            _unpack_labelled(folder, target, train)
        if not (target / DATA / "test").exists():
            _unpack_test(sorted(folder.glob(TEST)), target / DATA / "test")
        if train and (folder / TRAIN_BOXES).exists():
            _unpack_train_boxes(folder / TRAIN_BOXES, target)
    except OSError as error:
        raise UserError(
            f"cannot unpack the official files of {folder} into {target} ({reason(error)}); set "
            "data.unpack_to in params.yaml to a folder that can be written and has room, and run "
            "again: what is unpacked is kept"
        ) from None
    return target


def is_whole(target: Path, train: bool) -> bool:
    """Whether all labelled images that are wanted were unpacked."""
    if not (target / SYNSETS).exists():
        return False
    wnids = [wnid for _, (wnid, _) in read_fields(target / SYNSETS, "wnid names")]
    return not train or all((target / DATA / "train" / wnid).exists() for wnid in wnids)


def _unpack_labelled(folder: Path, target: Path, train: bool) -> None:
    """Training, where wanted, and validation images with their classes and the latter's boxes."""
    require(folder, train)
    devkits = [folder / name for name in DEVKITS if (folder / name).exists()]
    classes, labels = _devkit(devkits[0])
    if blacklist := _files_named(devkits[-1], BLACKLIST).get(BLACKLIST):
        write_text(target / BLACKLIST, _text(blacklist))
    solution = _solution(folder / VAL_BOXES, labels, blacklisted(target / BLACKLIST, list(labels)))
    if train:
        _unpack_train(folder / TRAIN, target / DATA / "train", classes, devkits[0])
    if not (target / DATA / "val").exists():
        _unpack_images(folder / VAL, target / DATA / "val")
    write_text(target / SOLUTION, solution)
    write_text(target / SYNSETS, "".join(f"{wnid} {name}\n" for wnid, name in classes.items()))


def _devkit(path: Path) -> tuple[dict[str, str], dict[str, str]]:
    """The classes, wnid to name, and the wnid of each val image, by a devkit; both in order."""
    meta, truth = DEVKITS[path.name]
    found = _files_named(path, meta, truth)
    refuse(path, [name for name in (meta, truth) if name not in found], "lacks", "fetch it again")
    synsets = _synsets(found[meta], f"{path}: {meta}")
    labels = {}
    for number, line in enumerate(_text(found[truth]).split(), start=1):
        if line not in synsets:
            raise UserError(
                f"{path}: {truth}:{number}: {line!r} is no id of a class in {meta}; fetch it again"
            )
        labels[f"ILSVRC2012_val_{number:08}"] = synsets[line][0]
    return dict(sorted(synsets.values())), labels


def _text(content: bytes) -> str:
    return content.decode("utf-8-sig", errors="replace")


def _synsets(content: bytes, place: str) -> dict[str, tuple[str, str]]:
    """The wnid and name of each class by its id in a devkit's meta file.

    The file holds the tree of WordNet above the classes, too; these are its leaves (readme.txt).
    """
    from scipy.io import loadmat

    with refusing(f"{place} is no list of ILSVRC's synsets", "fetch it again"):
        synsets = np.atleast_1d(loadmat(io.BytesIO(content), squeeze_me=True)["synsets"])
        (key,) = (name for name in synsets.dtype.names if re.fullmatch(r"ILSVRC\d{4}_ID", name))
        leaves = synsets[(synsets["num_children"] == 0) & (synsets[key] <= 1000)]
        found = {
            str(int(leaf[key])): (str(leaf["WNID"]), " ".join(str(leaf["words"]).split()))
            for leaf in leaves
        }
        if not all(re.fullmatch(r"n\d{8}", wnid) for wnid, _ in found.values()):
            raise ValueError("a WNID is not n and eight digits")
    return found


def _files_named(path: Path, *names: str) -> dict[str, bytes]:
    """The content of those of a devkit's files that have one of the names, in whatever folder."""
    return {
        member.path.name: member.read()
        for member in members(path)
        if member.path.name in names and member.is_plain
    }


def _solution(path: Path, labels: dict[str, str], without_boxes: set[str]) -> str:
    """LOC_val_solution.csv from the annotations, held against the wnids of the ground truth."""
    advice = "it and the devkit's ground truth must agree: fetch both again"
    boxes: dict[str, list[list[int]]] = {}
    with progress(desc=f"read {path.name}", total=len(labels)) as bar:
        for image, member in files(path, r"(?:val/)?(ILSVRC2012_val_\d{8})\.xml"):
            if image not in labels:
                count = len(labels)
                raise UserError(f"{member.place} annotates none of the devkit's {count} val images")
            boxes[image] = annotation(member.read(), member.place, labels[image], advice)
            bar.update()
    refuse(
        path,
        [f"{image}.xml" for image in labels if image not in boxes and image not in without_boxes],
        "lacks",
        f"every val image needs its boxes, unless {BLACKLIST} of ILSVRC2014_devkit.tgz names it: "
        "fetch it again",
    )
    lines = ["ImageId,PredictionString"]
    for image, wnid in labels.items():
        groups = [f"{wnid} {' '.join(map(str, box))}" for box in boxes.get(image, [])]
        lines.append(f"{image},{' '.join(groups) or wnid}")
    return "\n".join(lines) + "\n"


def _unpack_train(path: Path, folder: Path, classes: dict[str, str], devkit: Path) -> None:
    with _bytes_of(path) as bar:
        for wnid, member in files(path, r"(n\d{8})\.tar"):
            check_class(wnid, classes, member.place, str(devkit))
            if (folder / wnid).exists():
                bar.update(member.size)
            else:
                pattern = rf"(?:{wnid}/)?({wnid}_\d+\.JPEG)"
                _fill(folder / wnid, files(member.place, pattern, member.file), bar)
    missing = [f"{wnid}.tar" for wnid in classes if not (folder / wnid).exists()]
    what = f"lacks the tars of {len(missing)} of {len(classes)} classes"
    refuse(path, missing, what, "fetch it again")


def _unpack_test(tars: list[Path], folder: Path) -> None:
    if len(tars) > 1:  # one may be the patch of 2019 to the other
        raise UserError(
            f"{tars[0]} and {tars[1].name} both hold test images; leave the one that has them all"
        )
    for path in tars:
        _unpack_images(path, folder)


def _unpack_images(path: Path, folder: Path) -> None:
    """Unpack the images of the split that the folder is named after."""
    split = folder.name
    with _bytes_of(path) as bar:
        pattern = rf"(?:{split}/)?(ILSVRC2012_{split}_\d{{8}}\.JPEG)"
        _fill(folder, files(path, pattern), bar)


def _fill(folder: Path, named: Iterable[tuple[str, Member]], bar: tqdm) -> None:
    """Unpack a flat archive as `folder`."""
    new = folder.with_name(folder.name + ".new")
    new.mkdir(parents=True, exist_ok=True)
    for name, member in named:
        member.copy(new / name)
        bar.update(member.size)
    new.rename(folder)


def _unpack_train_boxes(path: Path, target: Path) -> None:
    """The annotations of training images that are there; others are counted and logged."""
    folder = target / ANNOTATIONS
    if folder.exists():
        return
    new, left_out = folder.with_name(folder.name + ".new"), 0
    new.mkdir(parents=True, exist_ok=True)
    with progress(desc=f"unpack {path.name}", unit="file") as bar:
        for name, member in _annotations(path):
            wnid = name.partition("_")[0]
            if (target / DATA / "train" / wnid / name).with_suffix(".JPEG").exists():
                (new / wnid).mkdir(exist_ok=True)
                member.copy(new / wnid / name)
            else:
                left_out += 1
            bar.update()
    new.rename(folder)
    if left_out:
        log.warning("%d annotations of %s left out: of no training image", left_out, path)


def _annotations(path: Path) -> Iterator[tuple[str, Member]]:
    """The annotations of training images, in folders or in a tar.gz a class."""
    xml = r"n\d{8}_\d+\.xml"
    for name, member in files(path, rf"(?:[\w-]+/)*({xml}|n\d{{8}}\.tar\.gz)"):
        if name.endswith(".xml"):
            yield name, member
        else:
            yield from files(member.place, rf"(?:[\w-]+/)*({xml})", member.file)


def _bytes_of(path: Path) -> tqdm:
    size = path.stat().st_size
    return progress(desc=f"unpack {path.name}", total=size, unit="B", unit_scale=True)
