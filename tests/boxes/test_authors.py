"""The authors' boxes, by hand and against their code's steps written out slowly."""

import cv2
import numpy as np
import pytest

from camloc.boxes.authors import authors_boxes, largest_boxes, pairs


def test_block_is_boxed_to_one_pixel_beyond_and_twice_over():
    """A block [40, 79]² of 120×120. Its distance transform rises to 20, so its outermost pixels
    are 1/20 of 255 = 13, above 10: nothing is cut. The code adds the width, 40, so the box ends
    at 80. All three levels give that box; the second is dropped, the third is not looked at.
    """
    low = np.zeros((120, 120))
    low[40:80, 40:80] = 1
    assert authors_boxes(low, 120, 120).tolist() == [[40, 40, 80, 80]] * 2


def test_boxes_end_five_pixels_short_of_the_far_edges():
    """The block [60, 119]² reaches the last pixel, and its distances, from the near edges alone,
    60. Those of 1 and 2 are 4 and 9 of 255 and are cut; the width from 62 is 120 - 62 - 5."""
    low = np.zeros((120, 120))
    low[60:, 60:] = 1
    assert authors_boxes(low, 120, 120)[0].tolist() == [62, 62, 115, 115]


@pytest.mark.parametrize(("side", "cut"), [(48, 0), (50, 1), (146, 3)])
def test_distances_are_kept_above_10_of_255(side, cut):
    """They rise to half the side. 1 of 24 is 10.6 of 255, which rounds to 11; 1 of 25 is 10.2 and 3
    of 73 10.48, which round to 10 and are cut."""
    low = np.zeros((side + 40, side + 40))
    low[20 : 20 + side, 20 : 20 + side] = 1
    start, end = 20 + cut, 20 + side - cut
    assert authors_boxes(low, side + 40, side + 40)[0].tolist() == [start, start, end, end]


@pytest.mark.filterwarnings("error")
def test_map_without_a_value_is_boxed_whole():
    assert authors_boxes(np.zeros((4, 4)), 30, 20).tolist() == [[0, 0, 29, 19]]


def test_distances_are_scaled_to_the_largest_of_the_map():
    """The large block's reach 30, so a distance of 1 is 9 of 255 and cut, in the small one, too."""
    low = np.zeros((150, 150))
    low[10:70, 10:70] = 1
    low[90:120, 90:120] = 1
    found = authors_boxes(low, 150, 150).tolist()
    assert found == [[11, 11, 69, 69]] * 2 + [[91, 91, 119, 119]] * 2


def test_pair_of_a_map_is_its_first_two_boxes_or_one_twice():
    low = np.zeros((2, 150, 150))
    low[:, 10:70, 10:70] = 1
    low[0, 10:70, 10:70] = -1  # absolute values count
    sizes = np.array([[150, 150], [150, 150]])
    assert pairs(low, sizes).tolist() == [[[11, 11, 69, 69]] * 2] * 2
    assert largest_boxes(low, sizes).tolist() == [[11, 11, 69, 69]] * 2
    assert pairs(0 * low[:1], sizes[:1]).tolist() == [[[0, 0, 149, 149]] * 2]


def test_second_box_of_a_pair_is_the_second_largest_and_not_the_last():
    """A core of 48 pixels a side in a block of 144 that the two higher levels leave out: the second
    of its two boxes is dropped. Of the block's distances, up to 72, 2 is 7 of 255 and cut. A block
    beside them gives a third box."""
    low = np.zeros((256, 256))
    low[8:152, 8:152] = 0.2
    low[56:104, 56:104] = 1
    sizes = np.array([[256, 256]])
    whole, core = [10, 10, 150, 150], [56, 56, 104, 104]
    assert authors_boxes(low, 256, 256).tolist() == [whole, core]
    assert pairs(low[None], sizes).tolist() == [[whole, core]]
    low[200:216, 200:216] = 1
    assert len(authors_boxes(low, 256, 256)) > 2
    assert pairs(low[None], sizes).tolist() == [[whole, core]]


def slow_distance(mask):
    """Distance to the nearest background pixel, over all pairs."""
    background = np.argwhere(~mask)
    distance = np.zeros(mask.shape)
    for y, x in np.argwhere(mask):
        distance[y, x] = np.sqrt(((background - (y, x)) ** 2).sum(axis=1).min())
    return distance


def slow_boxes(low, width, height):
    """`ILSVRC_generate_heatmap.m`, then `dt_box.cpp` line by line."""
    full = cv2.resize(low.astype(np.float32), (width, height), interpolation=cv2.INTER_CUBIC)
    gray = np.round(255 * np.clip(full / full.max(), 0, 1)).astype(np.uint8)
    gray = cv2.imdecode(cv2.imencode(".jpg", gray, [cv2.IMWRITE_JPEG_QUALITY, 75])[1], 0)
    rectangles = []
    for level in (20, 100, 110):
        mask = gray > level
        if mask.any() and not mask.all():
            distance = slow_distance(mask)
            mask = (distance * (255 / distance.max()) + 0.5).astype(int) > 10
        contours = cv2.findContours(mask.astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)
        for contour in contours[0]:
            x, y, w, h = cv2.boundingRect(contour)
            x2, y2 = min(max(x, 0), width - 5), min(max(y, 0), height - 5)
            rectangles.append([x2, y2, min(w, width - x - 5), min(h, height - y - 5)])
    rectangles.sort(key=lambda r: r[2] * r[3], reverse=True)
    i = 0
    while i < len(rectangles):
        j = i + 1
        while j < len(rectangles):
            (ax, ay, aw, ah), (bx, by, bw, bh) = rectangles[i], rectangles[j]
            across = max(0, min(ax + aw, bx + bw) - max(ax, bx))
            down = max(0, min(ay + ah, by + bh) - max(ay, by))
            if across * down > int(max(aw * ah, bw * bh) * 0.5):
                rectangles.pop(j)
            j += 1
        i += 1
    return [
        sorted([x, x + w])[:1] + sorted([y, y + h])[:1] + [max(x, x + w), max(y, y + h)]
        for x, y, w, h in rectangles
    ]


@pytest.mark.parametrize("seed", range(8))
def test_boxes_agree_with_a_slow_implementation(seed):
    rng = np.random.default_rng(seed)
    low = np.abs(rng.normal(size=rng.integers(2, 8, 2)))
    width, height = (int(side) for side in rng.integers(30, 70, 2))
    expected = slow_boxes(low, width, height)
    assert authors_boxes(low, width, height).tolist() == expected
    pair, sizes = pairs(low[None], np.array([[width, height]])), np.array([[width, height]])
    assert pair.tolist() == [(expected * 2)[:2]] and pair.dtype == np.int64
    assert largest_boxes(low[None], sizes).tolist() == expected[:1]
