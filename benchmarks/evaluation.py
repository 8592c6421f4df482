"""Cost of the evaluation: the paper's rule, and the curve over all thresholds against OpenCV, level
by level.

Run with `make bench`; ratios within one run, on made maps.
"""

import time
from collections.abc import Callable

import cv2
import numpy as np

from camloc.boxes.paper import boxes_from_maps
from camloc.evaluation import wsol
from camloc.evaluation.component_tree import best_overlaps

MAPS, LEVELS = 100, 100


def made_maps(side: int) -> list[np.ndarray]:
    """8-bit maps at 224×224 with a few blurred peaks, from low-resolution ones."""
    rng = np.random.default_rng(0)
    maps = []
    for _ in range(MAPS):
        low = cv2.GaussianBlur(rng.normal(size=(side, side)), (0, 0), side / 7)
        maps.append((wsol.score_map(low) * 255).astype(np.uint8))
    return maps


def by_level(gray: np.ndarray) -> None:
    """Threshold, outline and box a map at each of `LEVELS` levels."""
    for level in np.linspace(0, 254, LEVELS):
        mask = cv2.threshold(gray, int(level), 255, cv2.THRESH_BINARY)[1]
        contours, _ = cv2.findContours(mask, cv2.RETR_TREE, cv2.CHAIN_APPROX_SIMPLE)
        cv2.boundingRect(max(contours, key=cv2.contourArea))


def milliseconds(call: Callable, maps: list[np.ndarray]) -> float:
    """Mean time of a call on one map."""
    call(maps[0])  # compiles
    start = time.perf_counter()
    for gray in maps:
        call(gray)
    return 1000 * (time.perf_counter() - start) / len(maps)


def main() -> None:
    true = np.array([[40, 50, 150, 160]])
    for side in (14, 56):
        maps = made_maps(side)
        opencv = milliseconds(by_level, maps)
        ours = milliseconds(lambda gray: best_overlaps(gray, true), maps)
        print(
            f"curve over 255 levels, maps of {side}×{side}: {ours:.2f} ms, OpenCV at {LEVELS} "
            f"levels: {opencv:.2f} ms, ratio {opencv / ours:.1f}"
        )
    low = np.random.default_rng(0).random((1000, 14, 14)).astype(np.float16)
    for width, height in ((128, 128), (500, 375)):
        sizes = np.tile([[width, height]], (len(low), 1))
        start = time.perf_counter()
        boxes_from_maps(low, sizes)
        spent = time.perf_counter() - start
        print(f"the paper's rule on {width}×{height} images: {1e6 * spent / len(low):.0f} µs a map")


if __name__ == "__main__":
    main()
