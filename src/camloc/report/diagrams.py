"""Figures that explain: what surgery did to a network, how one picture's map is made of units, and
how one map becomes a box."""

from collections.abc import Sequence
from itertools import groupby, zip_longest
from typing import NamedTuple

import cv2
import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import NDArray
from torch import Tensor, nn

from camloc.networks import zoo
from camloc.networks.surgery import CamNetwork
from camloc.report.figures import (
    INK,
    MAP_COLOURS,
    PALETTE,
    PREDICTED,
    TRUE,
    WIDE,
    aspect_of,
    draw_boxes,
    draw_picture,
    grid,
    set_theme,
)

KEPT, CUT_OFF, NEW = PALETTE[0], "#b8b8b8", PALETTE[1]


class Part(NamedTuple):
    """A run of layers whose outputs are of one size: the channels of the last, and the side of its
    maps, 1 for a vector."""

    channels: int
    side: int
    is_kept: bool


def parts(network: nn.Module, cut: str | None, size: int) -> list[Part]:
    """A whole network as runs of layers, its input first; kept up to the node or module `cut`, all
    of them where that is None."""
    names = zoo.node_names(network)
    kept = [i for i, name in enumerate(names) if cut is None or f"{name}.".startswith(f"{cut}.")]
    outputs = zoo.given_at(network, names, torch.zeros(1, 3, size, size))
    found = [
        Part(output.shape[1], output.shape[-1] if output.ndim == 4 else 1, i <= max(kept))
        for i, output in enumerate(outputs[name] for name in names)
        if isinstance(output, Tensor) and output.ndim in (2, 4)
    ]
    # A vector's layers are told apart by their length, a map's by its side.
    runs = groupby(found, lambda p: (p.side, p.is_kept, p.side == 1 and p.channels))
    return [list(run)[-1] for _, run in runs]


def surgery(
    original: nn.Module, cut: CamNetwork, node: str, names: Sequence[str], size: int
) -> Figure:
    """A network before and after surgery at a node, as runs of layers; `names` are of both, and
    `size` is the side in pixels of the square that they see."""
    before = parts(original, node, size)
    kept = [part for part in before if part.is_kept]
    with torch.no_grad():
        maps = cut.features(torch.zeros(1, 3, size, size))
    channels, side = maps.shape[1:3]
    pooled, classes = (Part(n, 1, False) for n in (channels, cut.classifier.out_features))
    after = [*kept, Part(channels, side, False), pooled, classes]
    if not len(cut.convs):
        del after[len(kept)]
    kernels = [layer.kernel_size[0] for layer in cut.convs if isinstance(layer, nn.Conv2d)]
    convolutions = f"{len(kernels)} conv {kernels[0]}×{kernels[0]}" if kernels else ""
    words = [convolutions, f"pooled ({cut.pool})", "classes"][-(len(after) - len(kept)) :]
    set_theme()
    figure, axes = plt.subplots(2, 1, figsize=(9, 5), layout="constrained")
    _draw_parts(axes[0], before, [], CUT_OFF, f"{names[0]}: what is cut off is grey")
    _draw_parts(axes[1], after, [""] * len(kept) + words, NEW, f"{names[1]}: what is new is orange")
    for panel in axes:  # at one scale
        panel.set_xlim(-0.5, max(len(before), len(after)) - 0.4)
    return figure


def _draw_parts(
    panel: Axes, shown: Sequence[Part], words: Sequence[str], other: str, title: str
) -> None:
    """A row of rectangles, as high as the maps' sides by their logarithm, what they are below."""
    for i, (part, word) in enumerate(zip_longest(shown, words, fillvalue="")):
        height, width = (0.7 + np.log2(part.side), 0.7) if part.side > 1 else (4, 0.12)
        style = {"facecolor": KEPT if part.is_kept else other, "edgecolor": "white"}
        style |= {} if part.is_kept else {"hatch": "//"}
        panel.add_patch(Rectangle((i - width / 2, -height / 2), width, height, **style))
        square = f"{part.side}×{part.side}" if part.side > 1 else ""
        lines = filter(None, [f"{part.channels:,}", square, word])
        panel.text(i, -4.6, "\n".join(lines), ha="center", va="top", fontsize=9)
        if i:
            arrow = {"arrowstyle": "->", "color": INK}
            panel.annotate("", (i - 0.37, 0), (i - 0.63, 0), arrowprops=arrow)
    panel.set_ylim(-7.6, 4.4)
    panel.set_title(title, loc="left", fontsize=11)
    panel.set_axis_off()


def units(picture: NDArray, features: Tensor, adds: Tensor, total: Tensor, name: str) -> Figure:
    """A picture (height, width, 3), what the units that add most to a class's score light, and the
    sum of all, the class's map.

    Args:
        features: (units, h, w). adds: of each unit to the score. total: (h, w). name: of the class.
    """
    strongest = adds.argsort(descending=True)[:6].tolist()
    figure, axes = grid(2, 4, side=0.75 * WIDE, aspect=aspect_of(picture))
    first, *middle, last = axes.flat
    draw_picture(first, picture, "the picture")
    for panel, unit in zip(middle, strongest, strict=False):
        title = f"unit {unit} adds {adds[unit]:+.2f}"
        draw_picture(panel, picture, title, features[unit].numpy())
    draw_picture(last, picture, f"all {len(adds):,} units: {name}", total.numpy())
    return figure


def from_map_to_box(
    picture: NDArray,
    low: NDArray,
    full: NDArray,
    lit: NDArray,
    box: Sequence[int],
    true: NDArray,
    iou: float,
) -> Figure:
    """The steps from a map (h, w), upsampled to `full`, of which `lit` is above the threshold, to
    its box, beside the true boxes (N, 4)."""
    figure, axes = grid(2, 3, side=WIDE, aspect=aspect_of(picture))
    count, components = cv2.connectedComponents(lit.astype(np.uint8))
    titles = [
        "the picture",
        f"1. its map, {low.shape[0]}×{low.shape[1]}",
        f"2. upsampled to {picture.shape[0]}×{picture.shape[1]}",
        f"3. above the threshold: {100 * lit.mean():.0f} % of it",
        f"4. connected components: {count - 1}",
        f"5. its box, IoU {iou:.2f}",
    ]
    for panel, title in zip(axes.flat, titles, strict=True):
        draw_picture(panel, picture, title)
    ends = (-0.5, picture.shape[1] - 0.5, picture.shape[0] - 0.5, -0.5)
    _, as_stored, upsampled, above, parts_of, boxed = axes.flat
    as_stored.imshow(low, cmap=MAP_COLOURS, extent=ends, interpolation="nearest")
    upsampled.imshow(full, cmap=MAP_COLOURS, alpha=0.7)
    dark = np.ma.masked_where(lit, np.zeros_like(full))
    above.imshow(dark, cmap="gray", alpha=0.75, vmin=0, vmax=1)
    colours = ListedColormap([*PALETTE[1:9]])
    shown = np.ma.masked_where(components == 0, components % 8)
    parts_of.imshow(shown, cmap=colours, alpha=0.75, vmin=0, vmax=7)
    draw_boxes(boxed, true, TRUE, dashed=True)
    draw_boxes(boxed, np.array(box), PREDICTED)
    return figure
