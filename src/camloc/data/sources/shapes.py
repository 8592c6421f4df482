"""`shapes`, the offline data set: objects made of parts, with boxes, object masks and part masks.

Twelve classes of objects are declared below as parts in front-to-back order. The first part is
the class's own, in outline and closely in hue; bodies are shared by three classes, which differ in
the frequency of a texture and loosely in hue; every other part is shared by two to four classes
and comes in any colour. Pose, scale, light and background come from the same distributions for
every class.

Sizes and places of the labelled object's box follow the quantiles of the largest box of ILSVRC's
50,000 validation images. In about 15 % of the images a smaller object of another class stands
beside the labelled one.

A mask is an 8-bit PNG of the image's size: 0 is background, any other pixel is
`16 * object + part`, with objects counted from 1 in the order of the image's rows in the boxes
table (the labelled one first) and parts from 1 in the order of its class's declaration. A box is
the tight box of an object's visible pixels, so mask and box agree exactly.

Image `i` of a split depends on the seed, the split and `i` alone.

What causes a label is known here, so it can be taken away: of the first images of the evaluated
splits, each part of the labelled object may be `removed`, `recoloured` (the opposite hue) and
`moved` (to the opposite side of the object's middle), and all else but its shadow stays as it is
(see `camloc.data.alterations`).
"""

import colorsys
import dataclasses
import multiprocessing
import os
import sys
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from copy import deepcopy
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import pandas as pd

from camloc.core.errors import UserError
from camloc.core.files import replacing
from camloc.core.progress import progress
from camloc.data import alterations
from camloc.data.manifest import BOX_COLUMNS, IMAGE_COLUMNS, SPLITS, Manifest


@dataclass(frozen=True)
class Part:
    """A part in the object's own frame, whose body spans 1.8 x 1.2 units around (0, 0), y down.

    `at` holds the middle of each copy, `size` its width and height, `swing` the most it swings
    about its joint (degrees), `texture` a kind (stripes, dots or rings) and its cycles per unit,
    `hue` the middle and the deviation of the hues it comes in (degrees); without, it comes in any.
    """

    name: str
    outline: str
    size: tuple[float, float]
    at: tuple[tuple[float, float], ...] = ((0.0, 0.0),)
    swing: float = 0.0
    texture: tuple[str, float] | None = None
    hue: tuple[float, float] | None = None


@dataclass(frozen=True)
class ShapeClass:
    """A class by its parts from front to back; the first is the discriminative one."""

    name: str
    parts: tuple[Part, ...]


@dataclass(frozen=True)
class Layout:
    """What stands where: `boxes` (n, 4) are xmin, ymin, xmax, ymax as fractional pixel edges."""

    width: int
    height: int
    wnids: tuple[str, ...]
    boxes: np.ndarray


@dataclass(frozen=True)
class Paint:
    """How an object is laid over a picture: its shadow's shift (2, 3) and depth, and the colours
    (h, w, 3) of its parts, front to back."""

    shift: np.ndarray
    depth: float
    colours: tuple[np.ndarray, ...]

    def over(self, picture: np.ndarray, coverage: np.ndarray) -> np.ndarray:
        """The picture with the object, whose parts cover it so (parts, h, w)."""
        picture = picture * _light_beside(coverage, self.shift, self.depth)
        for colour, cover in reversed([*zip(self.colours, coverage, strict=True)]):
            picture += cover[..., None] * (colour - picture)
        return picture


@dataclass(frozen=True)
class Drawing:
    """An object fitted to its box.

    `coverage` (parts, h, w) is the share of each pixel that a part covers, front to back;
    `to_object` (2, 3) takes pixels to the object's own frame.
    """

    parts: tuple[Part, ...]
    coverage: np.ndarray
    to_object: np.ndarray


def object_mask(mask: np.ndarray, number: int) -> np.ndarray:
    """Where object `number` (from 1) is visible: (h, w) booleans."""
    return mask // 16 == number


def _points(text: str) -> np.ndarray:
    """An outline (n, 2) written as SVG does, "x,y x,y", in hundredths."""
    return np.array([pair.split(",") for pair in text.split()], float) / 100


def _polar(*radii: float, points: int = 1) -> np.ndarray:
    """An outline from radii at even angles, the list `points` times over."""
    radius = np.tile(radii, points)
    angle = np.arange(len(radius)) * 2 * np.pi / len(radius) - np.pi / 2
    return radius[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1)


def _band(start: float, stop: float, inner: float, end: float) -> np.ndarray:
    """A ring's part between two angles (degrees); its inner radius goes from `inner` to `end`."""
    angle = np.radians(np.linspace(start, stop, 24))
    rim = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    return np.concatenate([rim, (rim * np.linspace(inner, end, 24)[:, None])[::-1]])


# Outlines within [-1, 1]; those after the first are holes.
OUTLINES: dict[str, list[np.ndarray]] = {
    "disc": [_polar(1, points=40)],
    "block": [_points("-100,-90 -90,-100 90,-100 100,-90 100,100 -100,100")],
    "bell": [_points("-45,-100 45,-100 65,-30 70,50 100,100 -100,100 -70,50 -65,-30")],
    "bowl": [_band(0, 180, 0, 0) * (1, 2) - (0, 1)],
    "foot": [_points("-75,-100 75,-100 100,100 -100,100")],
    "runner": [_points("-95,-60 -55,20 55,20 85,-10 100,-10 70,100 -70,100 -100,-20")],
    "leaf": [_points("100,-25 20,-80 -100,-100 -50,30 10,100 100,25")],
    "arc": [_band(60, 300, 0.62, 0.62)],
    "curl": [_band(-150, 150, 0.3, 0.95)],
    "antlers": [
        _points(
            "-15,100 -30,20 -100,-30 -85,-50 -45,-20 -55,-100 -30,-100 0,0 "
            "30,-100 55,-100 45,-20 85,-50 100,-30 30,20 15,100"
        )
    ],
    "crest": [_points("-100,100 -90,-70 -55,10 -30,-100 0,0 30,-100 55,10 90,-70 100,100")],
    "cloud": [_polar(0.72, 0.9, 1, 0.9, points=5)],
    "ladder": [
        _points("-100,-100 100,-100 100,100 -100,100"),
        _points("-85,-50 -40,-50 -40,50 -85,50"),
        _points("-22,-50 22,-50 22,50 -22,50"),
        _points("40,-50 85,-50 85,50 40,50"),
    ],
    "bow": [_points("-100,-100 0,-30 100,-100 100,100 0,30 -100,100")],
    "spout": [_points("-100,100 -100,10 -20,-10 30,-100 100,-85 50,40 0,90")],
    "star": [_polar(1, 0.45, points=5)],
    "cross": [
        _points(
            "-100,-60 -60,-100 0,-40 60,-100 100,-60 40,0 100,60 60,100 0,40 -60,100 -100,60 -40,0"
        )
    ],
    "sail": [_points("-100,100 -90,-100 -10,-50 60,20 100,100")],
    "hood": [_band(180, 270, 0, 0) * 2 + 1],
    "flame": [_points("0,100 -80,60 -100,-10 -70,-60 -40,-10 10,-100 30,-30 70,-70 100,10 80,60")],
}
OWN_HUES, BODY_HUES = 12, 30  # deviations in degrees; hues of the classes' parts lie 30 apart


def _body(name: str, outline: str, kind: str, cycles: float, hue: float) -> Part:
    return Part(name, outline, (1.8, 1.2), texture=(kind, cycles), hue=(hue, BODY_HUES))


def _own(name: str, outline: str, size: tuple, at: tuple, hue: float) -> Part:
    return Part(name, outline, size, (at,), swing=15, hue=(hue, OWN_HUES))


OVAL = partial(_body, "oval body", "disc", "stripes")
BLOCK = partial(_body, "block body", "block", "dots")
BELL = partial(_body, "bell body", "bell", "stripes")
BOWL = partial(_body, "bowl body", "bowl", "dots")
LEGS = Part("legs", "block", (0.26, 0.8), ((-0.45, 0.75), (0.45, 0.75)), swing=20)
WHEELS = Part("wheels", "disc", (0.66, 0.66), ((-0.5, 0.62), (0.5, 0.62)), texture=("rings", 4))
RUNNERS = Part("runners", "runner", (2.0, 0.5), ((0, 0.57),), swing=8)
BASE = Part("base", "foot", (1.4, 0.4), ((0, 0.72),), swing=5)
TAIL = Part("tail", "leaf", (0.7, 0.4), ((-1.05, -0.25),), swing=35)
HANDLE = Part("handle", "arc", (0.8, 0.9), ((-0.85, -0.1),), swing=20)
POLE = Part("pole", "block", (0.18, 1.0), ((-0.15, -0.85),), swing=8)
KNOB = Part("knob", "disc", (0.42, 0.42), ((0, -0.7),), swing=5)
HORN = _own("horn", "curl", (1.06, 1.06), (0.9, -0.45), hue=0)
ANTLERS = _own("antlers", "antlers", (1.25, 1.19), (0.75, -0.75), hue=120)
CREST = _own("crest", "crest", (1.06, 0.88), (0.7, -0.65), hue=240)
SMOKE = _own("smoke", "cloud", (0.94, 0.81), (-0.15, -1.25), hue=30)
LADDER = _own("ladder", "ladder", (1.62, 0.62), (0.4, -0.7), hue=150)
BOW = _own("bow", "bow", (1.12, 0.81), (0.3, -0.75), hue=270)
SPOUT = _own("spout", "spout", (1.06, 1.0), (0.85, -0.2), hue=60)
STAR = _own("star", "star", (1.0, 1.0), (0.66, -0.38), hue=180)
TOPMARK = _own("topmark", "cross", (0.94, 0.94), (-0.15, -1.25), hue=300)
SAIL = _own("sail", "sail", (0.94, 1.12), (0.3, -0.95), hue=90)
HOOD = _own("hood", "hood", (0.94, 0.94), (0.55, -0.8), hue=210)
FLAME = _own("flame", "flame", (1.0, 0.94), (0.05, -0.8), hue=330)
CLASSES: dict[str, ShapeClass] = {
    "s0001": ShapeClass("ram", (HORN, OVAL(1.2, 180), LEGS, TAIL)),
    "s0002": ShapeClass("stag", (ANTLERS, OVAL(1.9, 300), LEGS, TAIL)),
    "s0003": ShapeClass("rocking horse", (CREST, OVAL(3.0, 60), RUNNERS, TAIL)),
    "s0004": ShapeClass("locomotive", (SMOKE, BLOCK(1.2, 210), WHEELS, POLE)),
    "s0005": ShapeClass("fire cart", (LADDER, BLOCK(1.9, 330), WHEELS, POLE)),
    "s0006": ShapeClass("sledge", (BOW, BLOCK(3.0, 90), RUNNERS, HANDLE)),
    "s0007": ShapeClass("teapot", (SPOUT, BELL(1.2, 240), BASE, HANDLE, KNOB)),
    "s0008": ShapeClass("lantern", (STAR, BELL(1.9, 0), BASE, KNOB)),
    "s0009": ShapeClass("buoy", (TOPMARK, BELL(3.0, 120), BASE, POLE)),
    "s0010": ShapeClass("iceboat", (SAIL, BOWL(1.2, 270), RUNNERS, POLE)),
    "s0011": ShapeClass("pram", (HOOD, BOWL(1.9, 30), WHEELS, HANDLE)),
    "s0012": ShapeClass("cauldron", (FLAME, BOWL(3.0, 150), LEGS, HANDLE)),
}
# Image sizes in pixels and how often they come: mostly 4:3, as in ILSVRC.
SIZES = ((160, 120), (160, 107), (160, 160), (120, 160), (107, 160))
SIZE_WEIGHTS = (0.6, 0.12, 0.06, 0.18, 0.04)
# Quantiles of the largest box of ILSVRC's validation images: area, centre x and centre y as
# fractions of the image, log of width/height in pixels. Both ends are ours.
LEVELS = (0, 0.05, 0.10, 0.25, 0.50, 0.75, 0.90, 0.95, 1)
QUANTILES = {
    "area": (0.012, 0.036, 0.073, 0.196, 0.414, 0.666, 0.876, 0.969, 1),
    "x": (0.12, 0.285, 0.352, 0.451, 0.499, 0.545, 0.642, 0.710, 0.88),
    "y": (0.15, 0.335, 0.397, 0.476, 0.509, 0.575, 0.670, 0.735, 0.88),
    "elongation": (-1.4, -0.793, -0.568, -0.245, 0.085, 0.373, 0.700, 0.950, 1.5),
}
DEALT = 24  # boxes drawn together, of which one is taken
TRIES = 64  # places looked at for a second object
SECOND_SHARE = 0.24  # images that look for a second object; under two thirds find room
SECOND_OVERLAP = 0.15  # the most of its box that the first object's may cover
SECOND_VISIBLE = 0.5  # the least of it that must be seen
POSES = 6  # poses drawn, of which the one nearest the box's proportions is taken
CALM = 0.6  # how far a background's two colours lie apart
FINE = 3  # subpixels a side when edges are drawn
JPEG = (cv2.IMWRITE_JPEG_QUALITY, 90)


def sample_layout(rng: np.random.Generator, wnid: str) -> Layout:
    """The image's size, the labelled object's box and, in some images, a second object's."""
    width, height = SIZES[rng.choice(len(SIZES), p=SIZE_WEIGHTS)]
    first = _first_box(rng, width, height)
    if rng.random() < SECOND_SHARE:
        second = _second_box(rng, first)
        if second is not None:
            other = str(rng.choice([known for known in CLASSES if known != wnid]))
            boxes = np.stack([first, second]) * (width, height, width, height)
            return Layout(width, height, (wnid, other), boxes)
    return Layout(width, height, (wnid,), first[None] * (width, height, width, height))


def _first_box(rng: np.random.Generator, width: int, height: int) -> np.ndarray:
    """A box (4,) as fractions of the image, from ILSVRC's quantiles.

    Areas, proportions and centres drawn independently often leave the image, and clipping would
    shrink their spread. So several of each are drawn and dealt to one another so that they fit;
    one of the boxes, picked at random, then has the right distribution in each quantity.
    """
    draws = {
        name: np.interp(rng.random(DEALT), LEVELS, values) for name, values in QUANTILES.items()
    }
    area = draws["area"]
    relative = draws["elongation"] - np.log(width / height)
    relative = _deal(rng, relative, -np.log(area))
    size = np.sqrt(area[:, None] * np.exp(relative[:, None] * (1, -1)))
    x = 0.5 + _deal(rng, draws["x"] - 0.5, (1 - size[:, 0]) / 2)
    y = 0.5 + _deal(rng, draws["y"] - 0.5, (1 - size[:, 1]) / 2)
    pick = rng.integers(DEALT)
    middle = np.array([x[pick], y[pick]])
    return np.concatenate([middle - size[pick] / 2, middle + size[pick] / 2])


def _deal(rng: np.random.Generator, values: np.ndarray, limits: np.ndarray) -> np.ndarray:
    """Give each limit one of the values (n,), within +-limit; the tightest limit chooses first.

    It takes any value that fits, or the nearest to fitting, clipped.
    """
    dealt, left = np.empty_like(values), rng.permutation(values).tolist()
    for slot in np.argsort(limits):
        limit = float(limits[slot])
        nearest = min(range(len(left)), key=lambda i: abs(left[i]))
        chosen = next((i for i, value in enumerate(left) if abs(value) <= limit), nearest)
        dealt[slot] = min(max(left.pop(chosen), -limit), limit)
    return dealt


def _second_box(rng: np.random.Generator, first: np.ndarray) -> np.ndarray | None:
    """A smaller box (4,) as fractions of the image, mostly beside the first, or none."""
    size = rng.uniform(0.15, 0.7, (TRIES, 2))
    start = rng.random((TRIES, 2)) * (1 - size)
    boxes = np.concatenate([start, start + size], axis=1)
    sides = np.minimum(boxes[:, 2:], first[2:]) - np.maximum(boxes[:, :2], first[:2])
    shared = sides.clip(0).prod(axis=1)
    area = size.prod(axis=1)
    fits = (shared <= SECOND_OVERLAP * area) & (area <= 0.7 * (first[2:] - first[:2]).prod())
    fits &= np.abs(np.log(size[:, 0] / size[:, 1])) <= 1
    return boxes[np.argmax(fits)] if fits.any() else None


def _draw(
    rng: np.random.Generator, parts: tuple[Part, ...], box: np.ndarray, size: tuple[int, int]
) -> Drawing:
    """Pose an object and stretch it so that its extent is the box's; `size` is the image's."""
    copies = [_articulated(rng, part) for part in parts]
    points = np.concatenate([outline for part in copies for copy in part for outline in copy])
    linear = _pose(rng, points, np.log((box[2] - box[0]) / (box[3] - box[1])))
    posed = points @ linear.T
    scale = (box[2:] - box[:2]) / np.ptp(posed, axis=0)
    matrix = linear * scale[:, None]
    offset = box[:2] - posed.min(axis=0) * scale
    coverage = np.stack([_coverage(part, matrix, offset, size) for part in copies])
    inverse = np.linalg.inv(matrix)
    return Drawing(parts, coverage, np.column_stack([inverse, -inverse @ offset]))


def _articulated(rng: np.random.Generator, part: Part) -> list[list[np.ndarray]]:
    """The outlines of each copy, resized a little and swung about its joint."""
    copies = []
    half = rng.uniform(0.85, 1.15, 2) * part.size / 2
    for at in np.array(part.at):
        turn = _rotation(np.radians(rng.uniform(-part.swing, part.swing)))
        joint = 0.6 * at  # on the way from the object's middle
        placed = [outline * half + at for outline in OUTLINES[part.outline]]
        copies.append([(outline - joint) @ turn.T + joint for outline in placed])
    return copies


def _rotation(angle: np.ndarray) -> np.ndarray:
    """Matrices (..., 2, 2) that turn by an angle in radians."""
    cosine, sine = np.cos(angle), np.sin(angle)
    return np.stack([np.stack([cosine, -sine], -1), np.stack([sine, cosine], -1)], -2)


def _pose(rng: np.random.Generator, points: np.ndarray, elongation: float) -> np.ndarray:
    """A matrix (2, 2) that mirrors, shears and turns, from those drawn the best for the box."""
    turns = _rotation(np.radians(rng.uniform(-30, 30, POSES)))
    shears = np.tile(np.eye(2), (POSES, 1, 1))
    shears[:, 0, 0] = rng.choice([-1, 1], POSES)
    shears[:, 0, 1] = rng.uniform(-0.2, 0.2, POSES)
    linear = turns @ shears
    extent = np.ptp(points @ linear.swapaxes(1, 2), axis=1)
    return linear[np.argmin(np.abs(np.log(extent[:, 0] / extent[:, 1]) - elongation))]


def _coverage(
    copies: list[list[np.ndarray]], matrix: np.ndarray, offset: np.ndarray, size: tuple[int, int]
) -> np.ndarray:
    """The share (h, w) of each pixel inside a part's copies, placed by `matrix` and `offset`."""
    width, height = size
    fine = np.zeros((height * FINE, width * FINE), np.uint8)
    for copy in copies:
        pixels = [((outline @ matrix.T + offset) * FINE - 0.5) * 16 for outline in copy]
        cv2.fillPoly(fine, [np.rint(outline).astype(np.int32) for outline in pixels], 255, shift=4)
    return cv2.resize(fine, size, interpolation=cv2.INTER_AREA).astype(np.float32) / 255


def render(
    rng: np.random.Generator, layout: Layout, altered: bool = False
) -> tuple[np.ndarray, np.ndarray, dict[tuple[int, str], np.ndarray]]:
    """Draw a layout.

    Returns:
        The picture (h, w, 3) and its mask (h, w), both uint8. A second object too much hidden to
        count is left out. By visible part of the labelled object, from 1, and what was done to it,
        the altered pictures, where they are asked for.
    """
    size = (layout.width, layout.height)
    drawings = [
        _draw(rng, CLASSES[wnid].parts, box, size)
        for wnid, box in zip(layout.wnids, layout.boxes, strict=True)
    ]
    order = [int(i) for i in rng.permutation(len(drawings))]  # back to front
    mask = _mask(drawings, order)
    if len(drawings) == 2 and not _second_counts(drawings[1], mask):
        drawings, order = drawings[:1], [0]
        mask = _mask(drawings, order)
    parts = np.unique(mask[object_mask(mask, 1)] % 16).tolist() if altered else []
    changes = [(part, change) for part in parts for change in alterations.CHANGES]
    pictures = dict.fromkeys([None, *changes], _background(rng, *size))
    for i in order:
        paint = _paint(rng, pictures[None], drawings[i])
        for change, picture in pictures.items():
            own, coverage = paint, drawings[i].coverage
            if change and i == 0:
                own, coverage = _altered(paint, coverage, *change)
            pictures[change] = own.over(picture, coverage)
    lit = {change: _light(deepcopy(rng), each) for change, each in pictures.items()}
    return lit.pop(None), mask, lit


def _altered(
    paint: Paint, coverage: np.ndarray, part: int, change: str
) -> tuple[Paint, np.ndarray]:
    """The paint and the coverage of an object of which a part, from 1, is altered."""
    i, coverage, colours = part - 1, coverage.copy(), list(paint.colours)
    if change == "recoloured":
        highest, lowest = (edge(colours[i], axis=2, keepdims=True) for edge in (np.max, np.min))
        colours[i] = highest + lowest - colours[i]
    elif change == "removed":
        coverage[i] = 0
    else:
        boxes = [np.array(_tight_box(cover > 0)) for cover in (coverage.max(axis=0), coverage[i])]
        (middle, own), (width, height) = (box[:2] + box[2:] for box in boxes), coverage.shape[:0:-1]
        shift = np.column_stack([np.eye(2), middle - own]).astype(np.float32)
        coverage[i] = cv2.warpAffine(coverage[i], shift, (width, height))
    return dataclasses.replace(paint, colours=tuple(colours)), coverage


def _mask(drawings: list[Drawing], order: list[int]) -> np.ndarray:
    mask = np.zeros(drawings[0].coverage.shape[1:], np.uint8)
    for i in order:
        for part in reversed(range(len(drawings[i].parts))):
            mask[drawings[i].coverage[part] >= 0.5] = 16 * (i + 1) + part + 1
    return mask


def _second_counts(second: Drawing, mask: np.ndarray) -> bool:
    """Whether enough of the second object is seen, in a box smaller than the first's."""
    whole = (second.coverage >= 0.5).any(axis=0).sum()
    if object_mask(mask, 2).sum() < SECOND_VISIBLE * whole:
        return False
    first, other = (np.array(_tight_box(object_mask(mask, number))) for number in (1, 2))
    return (other[2:] - other[:2] + 1).prod() < (first[2:] - first[:2] + 1).prod()


def _tight_box(mask: np.ndarray) -> tuple[int, int, int, int]:
    """xmin, ymin, xmax, ymax in inclusive pixels."""
    columns, rows = np.flatnonzero(mask.any(axis=0)), np.flatnonzero(mask.any(axis=1))
    return int(columns[0]), int(rows[0]), int(columns[-1]), int(rows[-1])


def _colour(rng: np.random.Generator, hue: tuple[float, float] | None = None) -> np.ndarray:
    """RGB (3,) in 0 to 255: of any hue, or strongly of hues around one (middle, deviation)."""
    if hue is None:
        hue, saturation, value = rng.uniform(0, 360), rng.uniform(0.1, 0.9), rng.uniform(0.25, 1)
    else:
        hue = rng.normal(*hue) % 360
        saturation, value = rng.uniform(0.7, 1), rng.uniform(0.5, 1)
    return 255 * np.array(colorsys.hsv_to_rgb(hue / 360, saturation, value))


def _colour_apart(
    rng: np.random.Generator, other: np.ndarray, hue: tuple[float, float] | None = None
) -> np.ndarray:
    """The one of four colours that differs most from another."""
    colours = [_colour(rng, hue) for _ in range(4)]
    return max(colours, key=lambda colour: np.abs(colour - other).sum()).astype(np.float32)


def _grid(width: int, height: int) -> tuple[np.ndarray, np.ndarray]:
    return np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))


def _turned(
    rng: np.random.Generator, x: np.ndarray, y: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Both coordinates in a frame of any direction."""
    cosine, sine = np.float32(_rotation(rng.uniform(0, np.pi))[:, 0])
    return cosine * x + sine * y, cosine * y - sine * x


def _waves(rng: np.random.Generator, along: np.ndarray, cycles: float) -> np.ndarray:
    """Waves in [0, 1] of any phase, with `cycles` to a unit."""
    phase = np.float32(rng.uniform(0, 2 * np.pi))
    return 0.5 + 0.5 * np.sin(np.float32(2 * np.pi * cycles) * along + phase)


def _slope(rng: np.random.Generator, width: int, height: int) -> np.ndarray:
    """A smooth slope (h, w) in [0, 1] across the image."""
    return _waves(rng, _turned(rng, *_grid(width, height))[0], 0.4 / max(width, height))


def _noise(rng: np.random.Generator, width: int, height: int) -> np.ndarray:
    """Octaves of smooth noise (h, w), about in [0, 1]."""
    total, roughness = np.zeros((height, width), np.float32), rng.uniform(0.4, 0.9)
    for octave in range(5):
        cells = rng.standard_normal((3 * 2**octave, 3 * 2**octave)).astype(np.float32)
        smooth = cv2.resize(cells, (width, height), interpolation=cv2.INTER_CUBIC)
        total += roughness**octave * smooth
    return 0.5 + 0.25 * total / total.std()


def _background(rng: np.random.Generator, width: int, height: int) -> np.ndarray:
    """Noise, a gradient and stripes between two colours, under a clutter of blobs and lines."""
    noise, slope = _noise(rng, width, height), _slope(rng, width, height)
    along, _ = _turned(rng, *_grid(width, height))
    stripes = _waves(rng, along, rng.uniform(0.02, 0.12))
    weights = rng.dirichlet((1.5, 1, 0.7)).astype(np.float32)
    mix = weights[0] * noise + weights[1] * slope + weights[2] * stripes
    low, high = _colour(rng), _colour(rng)
    picture = low + CALM * mix[..., None] * (high - low)
    canvas = picture.clip(0, 255).astype(np.uint8)
    for _ in range(rng.integers(0, 6)):
        _clutter(rng, canvas)
    return canvas.astype(np.float32)


def _clutter(rng: np.random.Generator, canvas: np.ndarray) -> None:
    """Add a bent line or an uneven blob."""
    height, width = canvas.shape[:2]
    middle = rng.random(2) * (width, height)
    colour = tuple(map(float, _colour(rng)))
    if rng.random() < 0.5:
        steps = rng.normal(0, 14, 2) + rng.normal(0, 7, (6, 2))
        line = np.rint(middle + np.cumsum(steps, axis=0)).astype(np.int32)
        cv2.polylines(canvas, [line], False, colour, int(rng.integers(1, 4)), cv2.LINE_AA)
    else:
        blob = _polar(*rng.uniform(0.4, 1, 9)) * rng.uniform(4, 22, 2) + middle
        cv2.fillPoly(canvas, [np.rint(blob).astype(np.int32)], colour, cv2.LINE_AA)


def _paint(rng: np.random.Generator, picture: np.ndarray, drawing: Drawing) -> Paint:
    """How an object, with its shadow, is laid over a picture, from which it stands out."""
    height, width = picture.shape[:2]
    shift, depth = np.column_stack([np.eye(2), rng.uniform(-8, 8, 2)]), rng.uniform(0, 0.5)
    behind = (picture * _light_beside(drawing.coverage, shift, depth)).mean(axis=(0, 1))
    x, y = _grid(width, height)
    u, v = (row[0] * x + row[1] * y + row[2] for row in drawing.to_object.astype(np.float32))
    shade = 0.8 + 0.35 * _waves(rng, _turned(rng, u, v)[0], 0.15)
    colours = [
        _colour_apart(rng, behind, part.hue) * (shade * _texture(rng, part, u, v))[..., None]
        for part in reversed(drawing.parts)
    ]
    return Paint(shift, depth, tuple(reversed(colours)))


def _texture(rng: np.random.Generator, part: Part, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """What a part's texture multiplies its colour by (h, w); its cycles vary by some 15 %."""
    if part.texture is None:
        return np.ones_like(u)
    kind, cycles = part.texture
    cycles *= np.exp(rng.normal(0, 0.15))
    along, across = _turned(rng, u, v)
    if kind == "stripes":
        pattern = _waves(rng, along, cycles)
    elif kind == "dots":
        pattern = _waves(rng, along, cycles) * _waves(rng, across, cycles)
    else:
        distance = np.min([np.hypot(u - at[0], v - at[1]) for at in part.at], axis=0)
        pattern = 0.5 + 0.5 * np.cos(np.float32(2 * np.pi * cycles) * distance)
    return 1 - rng.uniform(0.3, 0.7) * pattern


def _light_beside(coverage: np.ndarray, shift: np.ndarray, depth: float) -> np.ndarray:
    """The light (h, w, 1) that a soft shadow of the object leaves, up to all of it."""
    whole = coverage.max(axis=0)
    moved = cv2.warpAffine(whole, shift, whole.shape[::-1])
    return (1 - depth * cv2.GaussianBlur(moved, (0, 0), 3))[..., None]


def _light(rng: np.random.Generator, picture: np.ndarray) -> np.ndarray:
    """Uneven light, blur and noise; gives uint8."""
    height, width = picture.shape[:2]
    light = rng.uniform(0.7, 1.1) + rng.uniform(0, 0.4) * _slope(rng, width, height)
    picture = cv2.GaussianBlur(picture * light[..., None], (0, 0), rng.uniform(0.2, 0.6))
    picture += rng.standard_normal(picture.shape, np.float32) * np.float32(rng.uniform(1, 6))
    return picture.clip(0, 255).astype(np.uint8)


def generate(
    folder: Path, *, train: int, val: int, test: int, seed: int, altered: int = 0
) -> Manifest:
    """Write the images and masks of the three splits (counts of images) and describe them; of the
    first `altered` of val and of test also those that `render` alters.

    Raises:
        UserError: fewer training images than classes.
    """
    counts = dict(zip(SPLITS, (train, val, test), strict=True))
    if train < len(CLASSES):
        raise UserError(f"shapes: train is {train}; give at least {len(CLASSES)}, one per class")
    with replacing(folder) as new:
        for kind in ("images", "masks", *([alterations.FOLDER] if altered else [])):
            for split in SPLITS:
                (new / kind / split).mkdir(parents=True)
        wanted = [
            (split, i, split != "train" and i < altered)
            for split in SPLITS
            for i in range(counts[split])
        ]
        rows = _write_all(partial(_write_image, new, seed), wanted)
        if altered:
            alterations.save(new, [row for *_, changed in rows for row in changed])
    return Manifest(
        source="shapes",
        root=folder,
        classes={wnid: shape.name for wnid, shape in CLASSES.items()},
        images=pd.DataFrame([image for image, *_ in rows], columns=IMAGE_COLUMNS),
        boxes=pd.DataFrame([box for _, boxes, _ in rows for box in boxes], columns=BOX_COLUMNS),
    )


def _write_all(write: Callable, wanted: list[tuple[str, int]]) -> list:
    """Call `write` for every image, in this process or, where it pays, in several."""
    processes = min(os.cpu_count() or 1, 8, len(wanted) // 150)
    bar = partial(progress, total=len(wanted), desc="shapes", unit="image")
    main = getattr(sys.modules["__main__"], "__file__", None)
    importable = main is None or Path(main).is_file()  # not so for a program on standard input
    if processes < 2 or not importable:
        return list(bar(map(write, wanted)))
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, context, cv2.setNumThreads, (1,)) as pool:
        return list(bar(pool.map(write, wanted, chunksize=32)))


def label_of(seed: int, split: str, i: int) -> str:
    """The wnid of an image: each dozen of a split holds every class once, in random order."""
    dozen, place = divmod(i, len(CLASSES))
    order = np.random.default_rng([seed, SPLITS.index(split), dozen, 1]).permutation(len(CLASSES))
    return list(CLASSES)[order[place]]


def sample_image(
    seed: int, split: str, i: int, altered: bool = False
) -> tuple[Layout, np.ndarray, np.ndarray, dict[tuple[int, str], np.ndarray]]:
    """The layout of image `i` of a split, and what `render` gives of it."""
    rng = np.random.default_rng([seed, SPLITS.index(split), i])
    layout = sample_layout(rng, label_of(seed, split, i))
    return layout, *render(rng, layout, altered)


def _write_image(
    root: Path, seed: int, wanted: tuple[str, int, bool]
) -> tuple[tuple, list[tuple], list[tuple]]:
    """Write an image and its mask, and what is altered of it; returns its rows of the tables of
    images, boxes and alterations."""
    split, i, altered = wanted
    layout, picture, mask, changed = sample_image(seed, split, i, altered)
    image = f"{split}_{i:05d}"
    path, mask_path = f"images/{split}/{image}.jpg", f"masks/{split}/{image}.png"
    _write(root / path, picture[..., ::-1], JPEG)
    _write(root / mask_path, mask, [])
    rows = []
    for (part, change), picture in changed.items():
        altered_path = f"{alterations.FOLDER}/{split}/{image}-{part}-{change}.jpg"
        _write(root / altered_path, picture[..., ::-1], JPEG)
        rows.append((image, part, change, altered_path))
    numbers = range(1, mask.max() // 16 + 1)
    boxes = [
        (image, layout.wnids[number - 1], *_tight_box(object_mask(mask, number)))
        for number in numbers
    ]
    own = (image, path, split, layout.wnids[0], layout.width, layout.height, mask_path)
    return own, boxes, rows


def _write(path: Path, pixels: np.ndarray, options: list[int]) -> None:
    path.write_bytes(cv2.imencode(path.suffix, pixels, options)[1].tobytes())
