"""Figures of the notebooks, and how they are shown: with a caption and alt text."""

import base64
import io
from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path
from types import ModuleType

import cv2
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from IPython.display import HTML
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

from camloc import predictions
from camloc.boxes import upsample
from camloc.evaluation import Split, row_name
from camloc.manifest import Manifest
from camloc.metrics import CORNERS
from camloc.params import Boxes
from camloc.study import Study

TRUE, PREDICTED = "#ffffff", "#d55e00"  # told apart without colour, too: dashed and solid
MAP_COLOURS = "viridis"
DPI = 110


def show(figure: Figure, alt: str, caption: str) -> HTML:
    """A matplotlib figure as an HTML figure, with its own alt text and a caption."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=DPI, bbox_inches="tight")
    plt.close(figure)
    data = base64.b64encode(buffer.getvalue()).decode()
    return HTML(
        f'<figure><img src="data:image/png;base64,{data}" alt="{escape(alt)}" '
        f'style="max-width:100%"><figcaption>{escape(caption)}</figcaption></figure>'
    )


def save(figure: Figure, path: Path) -> None:
    """Write a figure as PNG, without a date, so that equal figures are equal files."""
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=DPI, bbox_inches="tight", metadata={"Software": None})


def read_picture(path: Path) -> NDArray[np.uint8]:
    """An image file as RGB (height, width, 3)."""
    return cv2.cvtColor(cv2.imread(str(path), cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)


def grid(rows: int, columns: int, side: float = 1.7) -> tuple[Figure, NDArray]:
    """A figure of `rows` × `columns` empty panels of `side` inches, axes (rows, columns)."""
    figure, axes = plt.subplots(
        rows, columns, figsize=(side * columns, side * rows), squeeze=False, layout="constrained"
    )
    for panel in axes.flat:
        panel.set_axis_off()
    return figure, axes


def draw_picture(
    panel: Axes, picture: NDArray, title: str = "", low: NDArray | None = None
) -> None:
    """A picture (height, width, 3), under its upsampled map (h, w) where one is given."""
    height, width = picture.shape[:2]
    panel.imshow(picture)
    if low is not None:
        full = upsample(low, width, height)
        # Below zero a map speaks against the class: shown as nothing.
        full = np.clip(full, 0, None) / max(float(full.max()), 1e-12)
        panel.imshow(full, cmap=MAP_COLOURS, alpha=0.25 + 0.5 * full, vmin=0, vmax=1)
    panel.set_title(title, fontsize=8)


def draw_boxes(panel: Axes, boxes: NDArray, colour: str, dashed: bool = False) -> None:
    """Boxes (N, 4) in inclusive pixels."""
    for xmin, ymin, xmax, ymax in np.asarray(boxes).reshape(-1, 4):
        corner, sides = (xmin - 0.5, ymin - 0.5), (xmax - xmin + 1, ymax - ymin + 1)
        for line, shade in ((3, "#000000"), (1.5, colour)):
            panel.add_patch(
                Rectangle(corner, *sides, fill=False, lw=line, ec=shade, ls="--" if dashed else "-")
            )


def training_curves(history: pd.DataFrame) -> Figure:
    """Loss and top-1 error by epoch, on the train and val splits."""
    themed_seaborn()
    figure, (left, right) = plt.subplots(1, 2, figsize=(8, 2.8), layout="constrained")
    for panel, measure, unit in (
        (left, "loss", "cross-entropy"),
        (right, "err_top1", "top-1 error (%)"),
    ):
        for split, style in (("train", "--"), ("val", "-")):
            panel.plot(
                history["epoch"], history[f"{split}_{measure}"], style, marker=".", label=split
            )
        panel.set(xlabel="epoch", ylabel=unit)
        panel.legend()
    return figure


def themed_seaborn() -> ModuleType:
    """seaborn in the study's look; imported late, since it brings SciPy and most notebooks draw
    pictures only."""
    import seaborn

    seaborn.set_theme(style="whitegrid", palette="colorblind")
    return seaborn


def draw_localization(
    panel: Axes, manifest: Manifest, image: pd.Series, low: NDArray, box: NDArray
) -> None:
    """A picture under a map of its class, with the map's box and the true ones."""
    picture = read_picture(manifest.root / image["path"])
    draw_picture(panel, picture, manifest.short_name(image["wnid"]), low)
    draw_boxes(panel, manifest.boxes_of(image["image"], image["wnid"]), TRUE, dashed=True)
    draw_boxes(panel, box, PREDICTED)


def leading_classes(
    manifest: Manifest, image: pd.Series, folder: Path, method: str, count: int
) -> Figure:
    """A picture, and the picture under the maps of its `count` leading classes."""
    stored = predictions.read(folder)
    rows = np.flatnonzero(stored["image"] == image["image"])[:count]
    maps = predictions.read_maps(folder, method)
    flat = maps.reshape(-1, *maps.shape[2:])
    picture = read_picture(manifest.root / image["path"])
    figure, axes = grid(1, 1 + len(rows))
    draw_picture(axes[0, 0], picture, f"true: {manifest.short_name(image['wnid'])}")
    for panel, row in zip(axes[0, 1:], rows, strict=True):
        guess = stored.iloc[row]
        title = f"{guess['rank']}. {manifest.short_name(guess['wnid'])} {guess['score']:.2f}"
        draw_picture(panel, picture, title, flat[row])
    return figure


def true_class_maps(split: Split, method: str, boxes: dict, count: int) -> Figure:
    """The first `count` pictures of a split under the map of their true class, with boxes.

    Args:
        boxes: the section of params.yaml.
    """
    columns = 4
    figure, axes = grid(-(-count // columns), columns)
    _draw_row(axes.flat, split, method, boxes, split.images.dropna(subset="wnid").head(count))
    return figure


def networks_side_by_side(
    study: Study, manifest: Manifest, split: str, networks: Sequence[str], boxes: dict, count: int
) -> Figure:
    """The first pictures of a split, a column each, under the maps of every network, a row each."""
    images = manifest.split(split).head(count)
    rows = [
        (Split(study.predictions(network), manifest, split), network, method)
        for network in networks
        for method in predictions.methods_of(study.predictions(network) / split)
    ]
    figure, axes = grid(max(1, len(rows)), count, side=1.5)
    for panels, (stored, network, method) in zip(axes, rows, strict=False):
        _draw_row(panels, stored, method, boxes, images)
        panels[0].set_axis_on()
        panels[0].set(xticks=[], yticks=[])
        panels[0].set_ylabel(row_name(network, method), fontsize=8)
    return figure


def _draw_row(
    panels: Iterable[Axes], split: Split, method: str, boxes: dict, images: pd.DataFrame
) -> None:
    """Each image under the map of its true class; its panel stays empty where none is stored."""
    guesses, maps = split.guesses(method, Boxes(**boxes), images["image"])
    true = guesses[guesses["true"]].reset_index(names="map").set_index("image")
    for panel, (_, image) in zip(panels, images.iterrows(), strict=False):
        if image["image"] in true.index:
            guess = true.loc[image["image"]]
            box = guess[CORNERS].to_numpy()
            draw_localization(panel, split.manifest, image, maps[guess["map"]], box)
