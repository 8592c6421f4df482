"""Figures of the notebooks, and how they are shown: with a caption and alt text."""

import base64
import io
import os
from collections.abc import Sequence
from html import escape
from pathlib import Path

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from cycler import cycler
from IPython.display import HTML
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

from camloc.boxes.geometry import CORNERS, best_iou
from camloc.boxes.paper import upsample
from camloc.boxes.predictions import Split, places
from camloc.boxes.rule import Rule
from camloc.core.files import replacing_file
from camloc.core.paths import Study
from camloc.core.rows import Row
from camloc.data import alterations
from camloc.data.manifest import Manifest
from camloc.maps import store

TRUE, PREDICTED = "#ffffff", "#d55e00"  # told apart without colour, too: dashed and solid
MAP_COLOURS = "viridis"
DPI = 110
WIDE = 3.0  # inches of a panel, three of which fill a page
INK, GRID = "#262626", "#cccccc"
# seaborn's `whitegrid` and its palette for colour-blind readers (a test holds that), written out
# since seaborn takes seconds to import and every stage draws.
PALETTE = [
    *("#0173b2", "#de8f05", "#029e73", "#d55e00", "#cc78bc"),
    *("#ca9161", "#fbafe4", "#949494", "#ece133", "#56b4e9"),
]
THEME = {
    **dict.fromkeys(("text.color", "axes.labelcolor", "xtick.color", "ytick.color"), INK),
    **dict.fromkeys(("axes.edgecolor", "grid.color"), GRID),
    **dict.fromkeys(("font.size", "axes.labelsize", "axes.titlesize"), 12),
    **dict.fromkeys(("xtick.labelsize", "ytick.labelsize", "legend.fontsize"), 11),
    **dict.fromkeys(("xtick.bottom", "ytick.left"), False),
    "axes.axisbelow": True,
    "axes.grid": True,
    "axes.linewidth": 1.25,
    "axes.prop_cycle": cycler(color=PALETTE),
    "grid.linewidth": 1,
    "legend.framealpha": 0,
    "lines.solid_capstyle": "round",
    "patch.edgecolor": "w",
    "patch.force_edgecolor": True,
}


# A person's own matplotlibrc would turn maps upside down (image.origin), ask for LaTeX or for a
# window; a notebook's kernel names its backend in the environment.
matplotlib.rcdefaults()
if "MPLBACKEND" not in os.environ:
    matplotlib.use("agg")


def set_theme() -> None:
    """The look of the study's charts."""
    matplotlib.rcParams.update(THEME)


def map_colours(count: int) -> list[list[int]]:
    """The colours of the maps, from the lowest value to the highest, as red, green and blue."""
    shades = matplotlib.colormaps[MAP_COLOURS](np.linspace(0, 1, count))[:, :3]
    return np.round(255 * shades).astype(int).tolist()


def show(figure: Figure, alt: str, caption: str, name: str = "", path: Path | None = None) -> HTML:
    """A matplotlib figure as an HTML figure, with its own alt text and a caption.

    Charts are drawn as SVG that follows the page's dark mode, pictures as PNG.

    Args:
        name: what links to it say: `#fig-<name>`.
        path: where pictures are written to as PNG, too.
    """
    if figure.findobj(AxesImage):
        kind, data = "png", png(figure)
        if path:
            with replacing_file(path) as new:
                new.write_bytes(data)
    else:
        kind, data = "svg+xml", _themed_svg(figure)
    plt.close(figure)
    source = f"data:image/{kind};base64,{base64.b64encode(data).decode()}"
    return HTML(
        f'<figure{_anchor(name)} tabindex="0">'
        f'<img src="{source}" alt="{escape(alt)}" style="max-width:100%">'
        f"<figcaption>{escape(caption)}</figcaption></figure>"
    )


def missing(why: str, name: str = "") -> HTML:
    """What stands in the place of a figure that this study has nothing to show in."""
    return HTML(f"<p{_anchor(name)}>No figure here: {escape(why)}.</p>")


def _anchor(name: str) -> str:
    return f' id="fig-{escape(name)}"' if name else ""


def png(figure: Figure) -> bytes:
    """A figure as a file, which closes it; without a date or a version, so that equal figures are
    equal files."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=DPI, bbox_inches="tight", metadata={"Software": None})
    plt.close(figure)
    return buffer.getvalue()


def _themed_svg(figure: Figure) -> bytes:
    """The figure as SVG, its ink and its grid light where the reader's screen is dark."""
    buffer = io.StringIO()
    with plt.rc_context({"svg.hashsalt": "camloc"}):  # equal figures are equal files
        options = {"transparent": True, "bbox_inches": "tight", "metadata": {"Date": None}}
        figure.savefig(buffer, format="svg", **options)
    text = buffer.getvalue().replace(INK, "var(--ink)").replace(GRID, "var(--grid)")
    head = text.index(">", text.index("<svg")) + 1
    style = (
        f"<style>:root {{ --ink: {INK}; --grid: {GRID} }} "
        "@media screen and (prefers-color-scheme: dark) "
        "{ :root { --ink: #e6e6e6; --grid: #4a4f59 } }</style>"
    )
    return f"{text[:head]}{style}{text[head:]}".encode()


def grid(rows: int, columns: int, side: float = 1.7, aspect: float = 1.0) -> tuple[Figure, NDArray]:
    """A figure of `rows` × `columns` empty panels that are `side` inches wide and `aspect` times as
    high, axes (rows, columns)."""
    size = (side * columns, side * aspect * rows)
    figure, axes = plt.subplots(rows, columns, figsize=size, squeeze=False, layout="constrained")
    for panel in axes.flat:
        panel.set_axis_off()
    return figure, axes


def aspect_of(picture: NDArray) -> float:
    """Of a panel that shows a picture (height, width, 3) and its title."""
    return 0.1 + picture.shape[0] / picture.shape[1]


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
    wide = panel.figure.get_figwidth() / panel.get_gridspec().ncols > 2
    panel.set_title(title, fontsize=11 if wide else 8, parse_math=False)  # it may be called $x$


def draw_boxes(panel: Axes, boxes: NDArray, colour: str, dashed: bool = False) -> None:
    """Boxes (N, 4) in inclusive pixels."""
    for xmin, ymin, xmax, ymax in np.asarray(boxes).reshape(-1, 4):
        corner, sides = (xmin - 0.5, ymin - 0.5), (xmax - xmin + 1, ymax - ymin + 1)
        for line, shade in ((3, "#000000"), (1.5, colour)):
            panel.add_patch(
                Rectangle(corner, *sides, fill=False, lw=line, ec=shade, ls="--" if dashed else "-")
            )


def draw_localization(
    panel: Axes, manifest: Manifest, image: pd.Series, wnid: str, low: NDArray, box: NDArray
) -> None:
    """A picture under its map of a class, with the map's box, the ground-truth boxes of the class
    and their best IoU."""
    picture = manifest.picture(image["path"])
    true = manifest.boxes_of(image["image"], wnid)
    title = manifest.short_name(wnid)
    if len(true):
        title += f" {best_iou(box, true):.2f}"
    draw_picture(panel, picture, title, low)
    draw_boxes(panel, true, TRUE, dashed=True)
    draw_boxes(panel, box, PREDICTED)


def training_curves(histories: pd.DataFrame) -> Figure:
    """Loss and top-1 error by epoch, on the train and val splits, of each run."""
    set_theme()
    figure, axes = plt.subplots(1, 2, figsize=(8, 2.8), layout="constrained")
    measures = {"loss": "cross-entropy", "err_top1": "top-1 error (%)"}
    for panel, (measure, title) in zip(axes, measures.items(), strict=True):
        for colour, (split, style) in enumerate((("train", "--"), ("val", "-"))):
            for run, history in histories.groupby("run"):
                look = {"color": f"C{colour}", "label": split if run == 1 else None}
                values = history[f"{split}_{measure}"]
                panel.plot(history["epoch"], values, style, marker=".", **look)
        panel.set(xlabel="epoch", ylabel=title)
        panel.legend()
    return figure


def leading_classes(
    manifest: Manifest, image: pd.Series, folder: Path, method: str, count: int
) -> Figure:
    """A picture, and the picture under the maps of its `count` leading classes."""
    stored = store.read(folder)
    rows = np.flatnonzero(stored["image"] == image["image"])[:count]
    maps = store.read_maps(folder, method)
    flat = maps.reshape(-1, *maps.shape[2:])
    picture = manifest.picture(image["path"])
    figure, axes = grid(-(-(1 + len(rows)) // 3), 3, side=WIDE, aspect=aspect_of(picture))
    first, *panels = axes.flat
    draw_picture(first, picture, f"true: {manifest.short_name(image['wnid'])}")
    for panel, row in zip(panels, rows, strict=False):
        predicted = stored.iloc[row]
        name = manifest.short_name(predicted["wnid"])
        draw_picture(
            panel, picture, f"{predicted['rank']}. {name} {predicted['score']:.2f}", flat[row]
        )
    return figure


def best_worst_and_drawn(
    split: Split, method: str, rule: Rule, ious: pd.Series, seed: int, count: int = 4
) -> Figure | None:
    """Pictures under the map of their true class: those with the best box, the worst, and others
    drawn at random.

    Args:
        ious: of each image the IoU of the box of its true class, by image; NaN is left out.

    Returns:
        None where no IoU is known.
    """
    known = ious.dropna().sort_index().sort_values(kind="stable")
    if known.empty:
        return None
    chosen = {
        "best": known.index[::-1][:count],
        "worst": known.index[:count],
        f"drawn, seed {seed}": known.sample(min(count, len(known)), random_state=seed).index,
    }
    images = split.images.set_index("image", drop=False)
    figure, axes = grid(len(chosen), count, side=2.3)
    for panels, (title, names) in zip(axes, chosen.items(), strict=True):
        _draw_row(panels, title, split, method, rule, images.loc[names])
    return figure


def under_maps(split: Split, method: str, rule: Rule, rows: int, columns: int) -> Figure:
    """The first labelled pictures of a split under the maps of their class."""
    images = split.images.dropna(subset="wnid").head(rows * columns)
    figure, axes = grid(rows, columns)
    _draw_row(axes.flat, "", split, method, rule, images)
    return figure


def several_classes(split: Split, method: str, rule: Rule, count: int) -> Figure | None:
    """Pictures with objects of several classes, a row each, under the map of each of them.

    Returns:
        None where no picture of the split holds several classes.
    """
    held = split.manifest.boxes.groupby("image")["wnid"].unique()
    images = split.images[split.images["image"].isin(held.index[held.map(len) > 1])].head(count)
    if images.empty:
        return None
    predictions, maps = split.predictions(method, rule, images["image"])
    place = places(predictions)
    figure, axes = grid(len(images), 1 + int(held[images["image"]].map(len).max()))
    for panels, (_, image) in zip(axes, images.iterrows(), strict=True):
        draw_picture(panels[0], split.manifest.picture(image["path"]))
        for panel, wnid in zip(panels[1:], held[image["image"]], strict=False):
            if (i := place.get((image["image"], wnid))) is not None:
                box = predictions.loc[i, CORNERS].to_numpy(dtype=int)
                draw_localization(panel, split.manifest, image, wnid, maps[i], box)
    return figure


def without_parts(split: Split, method: str, count: int) -> Figure | None:
    """Pictures, a row each, under the map of their likeliest class, and with one part of the object
    removed after the other, above each by how much the class's score changes.

    Returns:
        None where no effects of parts were measured.
    """
    effects, altered = store.read_effects(split.stored()), alterations.load(split.manifest.root)
    if effects is None:
        return None
    table = altered.merge(effects, on=["image", "part", "change"])
    table = table[table["change"] == "removed"]
    images = split.images[split.images["image"].isin(table["image"])].head(count)
    maps = store.read_maps(split.stored(), method)
    figure, axes = grid(len(images), 1 + int(table.groupby("image").size().max()), side=1.6)
    for panels, (i, image) in zip(axes, images.iterrows(), strict=True):
        draw_picture(panels[0], split.manifest.picture(image["path"]), "whole", maps[i, 0])
        own = table[table["image"] == image["image"]]
        for panel, one in zip(panels[1:], own.itertuples(), strict=False):
            title = f"part {one.part}: {-one.effect:+.1f}"
            draw_picture(panel, split.manifest.picture(one.path), title)
    return figure


def networks_side_by_side(
    study: Study, manifest: Manifest, split: str, networks: Sequence[str], rule: Rule, count: int
) -> Figure | None:
    """The first labelled pictures of a split, a column each, under the maps of their class from
    every network, a row each.

    Returns:
        None where there is no such picture or no map.
    """
    images = manifest.split(split).dropna(subset="wnid").head(count)
    rows = [
        Row(network, method)
        for network in networks
        for method in store.methods_of(study.predictions(network) / split)
    ]
    if images.empty or not rows:
        return None
    figure, axes = grid(len(rows), count, side=1.5)
    for panels, row in zip(axes, rows, strict=True):
        stored = Split(study.predictions(row.network), manifest, split)
        _draw_row(panels, row.name, stored, row.method, rule, images)
    return figure


def _draw_row(
    panels: Sequence[Axes],
    title: str,
    split: Split,
    method: str,
    rule: Rule,
    images: pd.DataFrame,
) -> None:
    """Each image under the map of its true class; its panel stays empty where none is stored. The
    title stands beside the first."""
    predictions, maps = split.predictions(method, rule, images["image"])
    true = predictions[predictions["true"]].reset_index(names="map").set_index("image")
    for panel, (_, image) in zip(panels, images.iterrows(), strict=False):
        if image["image"] in true.index:
            own = true.loc[image["image"]]
            box, low = own[CORNERS].to_numpy(dtype=int), maps[own["map"]]
            draw_localization(panel, split.manifest, image, own["wnid"], low, box)
    if title:
        panels[0].set_axis_on()
        panels[0].set(xticks=[], yticks=[])
        panels[0].grid(False)
        panels[0].set_ylabel(title, fontsize=8)
