"""The explorer: a page on which readers move the threshold themselves.

It holds some pictures of the reported split, the stored low-resolution maps of their leading
classes from every row, and a script that does what `camloc.boxes.paper.boxes_from_maps` does.
"""

import base64
import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image

from camloc.core.params import Params
from camloc.core.paths import Study
from camloc.core.rows import Row
from camloc.data.manifest import BOX_COLUMNS, Manifest
from camloc.maps import store

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
    from camloc.report import figures  # plotting takes seconds to import

    manifest = Manifest.load(study.manifest).with_truth(study.truth)
    split = params.evaluate.split
    names = (*params.models, *params.originals, *params.controls)
    folders = {name: study.predictions(name) / split for name in names}
    rows = [
        (Row(name, method), folder)
        for name, folder in folders.items()
        for method in store.methods_of(folder)
    ]
    images = manifest.split(split)
    number = {wnid: i for i, wnid in enumerate(manifest.wnids)}
    shapes = [store.read_maps(folder, row.method).shape[2:] for row, folder in rows]
    drawn = images.sample(frac=1, random_state=params.seed)
    pictures = affordable_pictures(manifest, drawn, shapes)
    chosen = images[images["image"].isin(pictures)]
    boxes = manifest.boxes[manifest.boxes["image"].isin(pictures)]
    return {
        "classes": [manifest.short_name(wnid) for wnid in manifest.wnids],
        "images": [
            _image(image, pictures[image["image"]], boxes, number) for _, image in chosen.iterrows()
        ],
        "rows": [_row(row, folder, chosen["image"], boxes, number) for row, folder in rows],
        "threshold": params.boxes.threshold,
        "iou": params.evaluate.iou,
        "colours": figures.map_colours(64),
        "true": figures.TRUE,
        "predicted": figures.PREDICTED,
        "of": len(images),
    }


def affordable_pictures(
    manifest: Manifest, drawn: pd.DataFrame, shapes: Sequence[tuple[int, int]]
) -> dict[str, str]:
    """The pictures of the first of the drawn images, as many as the page can hold, by image.

    Args:
        shapes: of the maps of each row.
    """
    each = sum(4 / 3 * 2 * (LEADING + 1) * np.prod(shape) for shape in shapes)  # maps as base64
    pictures: dict[str, str] = {}
    left = BUDGET
    for image, path in zip(drawn["image"][:IMAGES], drawn["path"], strict=False):
        picture = _picture(manifest.picture(path))
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


def _picture(pixels: NDArray[np.uint8]) -> str:
    """A picture as JPEG, at most `SIDE` pixels a side, as a data URI."""
    picture = Image.fromarray(pixels)
    picture.thumbnail((SIDE, SIDE))  # a side of less than a pixel becomes one
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=85)
    return f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode()}"


def _row(row: Row, folder: Path, images: pd.Series, boxes: pd.DataFrame, number: dict) -> dict:
    """One row's maps of the leading classes of the images and of those that they hold."""
    stored = store.read(folder)
    held = pd.MultiIndex.from_frame(boxes[["image", "wnid"]])
    is_held = pd.MultiIndex.from_frame(stored[["image", "wnid"]]).isin(held)
    keep = stored["image"].isin(images) & ((stored["rank"] <= LEADING) | is_held)
    stored = stored[keep].sort_values(["image", "rank"])
    maps = store.read_maps(folder, row.method)
    low: NDArray[np.float16] = maps.reshape(-1, *maps.shape[2:])[stored.index]
    by_image = {
        image: [[number[w], int(r), round(float(s), 4)] for w, r, s in own.to_numpy()]
        for image, own in stored.set_index("image").groupby(level=0, sort=False)
    }
    return {
        "name": row.name,
        "height": low.shape[1],
        "width": low.shape[2],
        "maps": base64.b64encode(low.astype("<f2").tobytes()).decode(),
        "stored": [by_image[image] for image in images],
    }
