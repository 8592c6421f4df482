"""Components at every level against OpenCV's outlines at each, on small squares and uncompiled.

`test_wsol.py` compares the compiled code, on squares of the metrics' own size.
"""

import functools
from importlib.util import find_spec, module_from_spec

import cv2
import numba
import numpy as np
import pytest

from camloc.evaluation import wsol


@functools.cache
def tree(side):
    """The module for squares of another side, uncompiled: what is compiled knows but one."""
    spec = find_spec("camloc.evaluation.component_tree")
    module = module_from_spec(spec)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(numba.config, "DISABLE_JIT", 1)
        patch.setattr(wsol, "SIDE", side)
        spec.loader.exec_module(module)
    return module


def slow_iou(a, b):
    """By counting pixels."""
    pixels = [
        {(x, y) for x in range(box[0], box[2] + 1) for y in range(box[1], box[3] + 1)}
        for box in (a, b)
    ]
    return len(pixels[0] & pixels[1]) / len(pixels[0] | pixels[1])


def slow_overlaps(gray, true):
    """Threshold and outline at each level anew."""
    last, rows = len(gray) - 1, []
    for level in range(255):
        if rows and not ((gray == level).any()):  # as at the level before
            rows.append(rows[-1])
            continue
        contours, _ = cv2.findContours(
            (gray > level).astype(np.uint8), cv2.RETR_TREE, cv2.CHAIN_APPROX_SIMPLE
        )
        boxes = [cv2.boundingRect(contour) for contour in contours]
        boxes = [(x, y, min(x + w, last), min(y + h, last)) for x, y, w, h in boxes]
        overlaps = [max(slow_iou(box, t) for t in true) for box in boxes or [(0, 0, 0, 0)]]
        areas = [cv2.contourArea(contour) for contour in contours] or [0]
        rows.append([overlaps[areas.index(max(areas))], max(overlaps)])
    return np.array(rows)


def random_map(rng, side):
    """Noise of few values or many, or a few smooth peaks: ties, plateaus, holes, all borders."""
    kind = rng.integers(4)
    if kind == 0:
        return rng.integers(0, 256, (side, side)).astype(np.uint8)
    if kind == 1:
        return rng.choice([0, 100, 101, 255], (side, side)).astype(np.uint8)
    if kind == 2:
        return (rng.random((side, side)) < 0.6).astype(np.uint8) * np.uint8(255)
    smooth = cv2.GaussianBlur(rng.normal(size=(side, side)), (0, 0), side / 7)
    return np.round(255 * (smooth - smooth.min()) / np.ptp(smooth)).astype(np.uint8)


@pytest.mark.parametrize("side", [4, 6, 10])
def test_overlaps_agree_with_outlines_at_each_level(side):
    rng = np.random.default_rng(side)
    for case in range(16):
        gray = random_map(rng, side)
        corners = np.sort(rng.integers(0, side, (rng.integers(1, 4), 2, 2)), axis=1)
        true = np.concatenate([corners[:, 0], corners[:, 1]], axis=1)
        found = tree(side).best_overlaps(gray, true)
        np.testing.assert_allclose(found, slow_overlaps(gray, true), err_msg=f"{case}\n{gray}")
