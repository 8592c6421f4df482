"""Miniatures of ILSVRC's official files: three classes, four validation images."""

import io
import tarfile

import numpy as np
from scipy.io import savemat

from camloc.data.sources.ilsvrc import BLACKLIST
from camloc.data.sources.ilsvrc_official import DEVKITS, VAL_BOXES
from made import annotation

TENCH, DOG, SNAKE = "n01440764", "n02092002", "n01751748"
NAMES = {TENCH: "tench, Tinca tinca", SNAKE: "sea snake", DOG: "Scottish deerhound, deerhound"}
KIT_2012, KIT_2014 = DEVKITS
# Ids of the classes, never in the order of the wnids, nor alike in the two devkits.
IDS = {KIT_2012: {DOG: 1, SNAKE: 2, TENCH: 3}, KIT_2014: {SNAKE: 1, TENCH: 2, DOG: 3}}
LABELS = [DOG, TENCH, SNAKE, TENCH]  # of the val images
BOXES = [
    [(DOG, 0, 0, 49, 39), (DOG, 10, 11, 12, 13)],
    [(TENCH, 3, 4, 5, 6)],
    [(SNAKE, 0, 0, 1, 1)],
    [(TENCH, 9, 9, 9, 9)],
]


def val(number):
    return f"ILSVRC2012_val_{number:08}"


def write_tar(path, members):
    """A tar of files (bytes), folders (None) and other members (TarInfo) by name."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz" if path.name.endswith("gz") else "w") as archive:
        for name, content in members.items():
            member = content if isinstance(content, tarfile.TarInfo) else tarfile.TarInfo(name)
            if content is None:
                member.type = tarfile.DIRTYPE
            content = content if isinstance(content, bytes) else b""
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    path.write_bytes(stream.getvalue())
    return stream.getvalue()


def write_val_boxes(folder, boxes, **changes):
    members = {
        f"val/{val(number)}.xml": annotation("val", *own).encode()
        for number, own in enumerate(boxes, start=1)
        if own
    }
    write_tar(folder / VAL_BOXES, {"val": None} | members | changes)


def write_devkit(path, blacklist=None, labels=LABELS, **fields):
    """A devkit with an inner node of WordNet among its synsets; `fields` override the classes'."""
    ids, year = IDS[path.name], path.name[6:10]
    meta, truth = DEVKITS[path.name]
    rows = [(i, wnid, NAMES[wnid], "a gloss", 0) for wnid, i in ids.items()]
    rows.append((1001, "n00001740", "entity", "that which is", 3))
    names = [f"ILSVRC{year}_ID", "WNID", "words", "gloss", "num_children"]
    synsets = np.array(rows, dtype=[(name, object) for name in names])
    for name, value in fields.items():
        synsets[0][name] = value
    stream = io.BytesIO()
    savemat(stream, {"synsets": synsets.reshape(-1, 1)})
    text = "".join(f"{ids.get(wnid, wnid)}\n" for wnid in labels)
    members = {
        "kit": None,
        "kit/readme.txt": b"",
        "kit/evaluation/demo.m": b"",
        f"kit/data/._{meta}": b"",
        f"kit/data/{meta}": stream.getvalue(),
        f"kit/data/{truth}": text.encode(),
    }
    if blacklist:
        members[f"kit/data/{BLACKLIST}"] = blacklist.encode()
    write_tar(path, members)
