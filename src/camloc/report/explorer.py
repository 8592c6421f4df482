"""The explorer: a page on which readers move the threshold themselves.

It holds some pictures of the reported split, the stored low-resolution maps of their leading
classes from every row, and a script that does what `camloc.boxes.paper.boxes_from_maps` does.
"""

import base64
import io
from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image

from camloc.core.params import Params
from camloc.core.paths import Study
from camloc.data.manifest import BOX_COLUMNS, Manifest
from camloc.data.pictures import read_picture
from camloc.maps import store
from camloc.maps.store import row_name
from camloc.report.figures import MAP_COLOURS, PREDICTED, TRUE

BUDGET = 4_000_000  # bytes of pictures and maps, so that the page stays under 5 MB
IMAGES = 300
SIDE = 256  # of the pictures shown; boxes are computed at the image's own size
LEADING = 5  # classes of each image, and those that it holds


def contents(study: Study, params: Params) -> dict:
    """What the page's script reads.

    Returns:
        `classes` (names), `images` (`name`, `picture`, `width`, `height`, `label` and `boxes` as
        index of the class and corners), `rows` (`name`, `height`, `width`, `maps` as base64 of
        float16, and of each image its `stored` classes as index, rank and score, in the order of
        the maps), `threshold`, `iou`, the colours of the maps, of `true` and of `predicted` boxes,
        and of how many images these are a draw, `of`.
    """
    manifest = Manifest.load(study.manifest).with_truth(study.truth)
    split = params.evaluate.split
    rows = [
        (row_name(name, method), study.predictions(name) / split, method)
        for name in (*params.models, *params.originals)
        for method in store.methods_of(study.predictions(name) / split)
    ]
    images = manifest.split(split)
    number = {wnid: i for i, wnid in enumerate(manifest.wnids)}
    pictures = _affordable_pictures(manifest, images.sample(frac=1, random_state=params.seed), rows)
    chosen = images[images["image"].isin(pictures)]
    boxes = manifest.boxes[manifest.boxes["image"].isin(pictures)]
    return {
        "classes": [manifest.short_name(wnid) for wnid in manifest.wnids],
        "images": [
            _image(image, pictures[image["image"]], boxes, number) for _, image in chosen.iterrows()
        ],
        "rows": [_row(*row, chosen["image"], boxes, number) for row in rows],
        "threshold": params.boxes.threshold,
        "iou": params.evaluate.iou,
        "colours": _colours(),
        "true": TRUE,
        "predicted": PREDICTED,
        "of": len(images),
    }


def _affordable_pictures(
    manifest: Manifest, drawn: pd.DataFrame, rows: list[tuple[str, Path, str]]
) -> dict[str, str]:
    """The pictures of the first of the drawn images, as many as the page can hold, by image."""
    shapes = [store.read_maps(folder, method).shape[2:] for _, folder, method in rows]
    each = sum(4 / 3 * 2 * (LEADING + 1) * np.prod(shape) for shape in shapes)  # maps as base64
    pictures: dict[str, str] = {}
    left = BUDGET
    for image, path in zip(drawn["image"][:IMAGES], drawn["path"], strict=False):
        picture = _picture(manifest.root / path)
        left -= each + len(picture)
        if left < 0:
            break
        pictures[image] = picture
    return pictures


def _image(image: pd.Series, picture: str, boxes: pd.DataFrame, number: dict) -> dict:
    own = boxes[boxes["image"] == image["image"]]
    return {
        "name": image["image"],
        "picture": picture,
        "width": int(image["width"]),
        "height": int(image["height"]),
        "label": number.get(image["wnid"], -1),
        "boxes": [
            [number[wnid], *map(int, corners)] for _, wnid, *corners in own[BOX_COLUMNS].to_numpy()
        ],
    }


def _picture(path: Path) -> str:
    """The picture as JPEG, at most `SIDE` pixels a side, as a data URI."""
    picture = Image.fromarray(read_picture(path))
    picture.thumbnail((SIDE, SIDE))  # a side of less than a pixel becomes one
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=85)
    return f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode()}"


def _row(
    name: str, folder: Path, method: str, images: pd.Series, boxes: pd.DataFrame, number: dict
) -> dict:
    """One row's maps of the leading classes of the images and of those that they hold."""
    stored = store.read(folder)
    held = pd.MultiIndex.from_frame(boxes[["image", "wnid"]])
    is_held = pd.MultiIndex.from_frame(stored[["image", "wnid"]]).isin(held)
    keep = stored["image"].isin(images) & ((stored["rank"] <= LEADING) | is_held)
    stored = stored[keep].sort_values(["image", "rank"])
    maps = store.read_maps(folder, method)
    low: NDArray[np.float16] = maps.reshape(-1, *maps.shape[2:])[stored.index]
    by_image = {
        image: [[number[w], int(r), round(float(s), 4)] for w, r, s in own.to_numpy()]
        for image, own in stored.set_index("image").groupby(level=0, sort=False)
    }
    return {
        "name": name,
        "height": low.shape[1],
        "width": low.shape[2],
        "maps": base64.b64encode(low.astype("<f2").tobytes()).decode(),
        "stored": [by_image[image] for image in images],
    }


def _colours() -> list[list[int]]:
    """The colours of the maps, from the lowest value to the highest, 64 of them."""
    shades = matplotlib.colormaps[MAP_COLOURS](np.linspace(0, 1, 64))[:, :3]
    return np.round(255 * shades).astype(int).tolist()
