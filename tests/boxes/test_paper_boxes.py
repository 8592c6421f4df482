"""From maps to boxes, against boxes drawn by hand and a slow flood fill."""

import cv2
import numpy as np
import pytest
from PIL import Image

from camloc.boxes import paper
from camloc.boxes.paper import (
    MOST_PIXELS,
    are_sizes,
    boxes_from_maps,
    boxes_over_thresholds,
    check_maps,
    single_precision,
    upsample,
)
from camloc.core.errors import UserError


def box(rows, threshold=0.2):
    """The box of one map at its own resolution, so that nothing is interpolated."""
    low = np.array(rows, dtype=float)
    return boxes_from_maps(low[None], np.array([low.shape[::-1]]), threshold)[0].tolist()


def slow_box(full, threshold):
    """Flood fill pixel by pixel, straight from the rule."""
    height, width = full.shape
    peak = full.max()
    if peak <= 0:
        return [0, 0, width - 1, height - 1]
    left = {(y, x) for y, x in np.ndindex(full.shape) if full[y, x] > threshold * peak}
    largest = []
    for start in np.ndindex(full.shape):  # reading order
        if start not in left:
            continue
        left.remove(start)
        component = [start]
        for y, x in component:
            around = {(y + dy, x + dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1)} & left
            left -= around
            component += around
        if len(component) > len(largest):
            largest = component
    if not largest:
        largest = [np.unravel_index(full.argmax(), full.shape)]
    ys, xs = zip(*largest, strict=True)
    return [int(v) for v in (min(xs), min(ys), max(xs), max(ys))]


def test_box_covers_largest_component_only():
    assert box([[9, 0, 0, 0, 0], [0, 0, 5, 5, 5], [0, 0, 5, 0, 0]]) == [2, 1, 4, 2]


def test_components_that_touch_at_a_corner_are_one():
    assert box([[1, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]) == [0, 0, 3, 2]


def test_first_of_equal_components_in_reading_order_counts():
    assert box([[0, 0, 0, 1], [1, 0, 0, 0]]) == [3, 0, 3, 0]
    assert box([[1, 1, 0, 0], [0, 0, 0, 0], [0, 0, 1, 1]]) == [0, 0, 1, 0]


def test_value_exactly_at_the_threshold_is_not_kept():
    assert box([[1, 1, 1, 0], [0, 4, 0, 0]], threshold=0.25) == [1, 1, 1, 1]
    assert box([[1, 1, 1, 0], [0, 4, 0, 0]], threshold=0.24) == [0, 0, 2, 1]


def test_constant_map_gives_the_whole_image():
    assert box(np.full((3, 5), 0.7)) == [0, 0, 4, 2]


@pytest.mark.parametrize("value", [0.0, -1.0])
def test_map_without_a_positive_value_gives_the_whole_image(value):
    assert box(np.full((3, 5), value)) == [0, 0, 4, 2]


def test_negative_values_do_not_move_the_threshold():
    assert box([[-100, 1, 3, 10]], threshold=0.2) == [2, 0, 3, 0]


def test_component_of_one_pixel_is_a_box_of_one_pixel():
    assert box([[0, 0, 0], [0, 0, 3], [0, 0, 0]]) == [2, 1, 2, 1]


def test_box_reaches_the_borders():
    ring = np.ones((4, 6))
    ring[1:3, 1:5] = 0
    assert box(ring) == [0, 0, 5, 3]


def test_threshold_zero_keeps_what_is_positive():
    assert box([[-1, 0, 1e-6, 1]], threshold=0.0) == [2, 0, 3, 0]


def test_threshold_one_boxes_the_first_peak():
    assert box([[0, 2, 1], [5, 5, 0]], threshold=1.0) == [0, 1, 0, 1]


def test_sizes_are_width_then_height():
    """The right half of the map is positive; the image is 40 wide and 10 high."""
    low = np.array([[[0.0, 1.0]]])
    xmin, ymin, xmax, ymax = boxes_from_maps(low, np.array([[40, 10]]), 0.5)[0]
    assert (ymin, xmax, ymax) == (0, 39, 9)
    assert xmin == 20  # x = 19.5 is half way between the two cells' centres


def test_upsampling_is_bilinear_between_the_centres_of_cells():
    full = upsample(np.array([[0.0, 1.0]]), 4, 1)
    assert full.dtype == np.float32
    assert full.tolist() == [[0.0, 0.25, 0.75, 1.0]]


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.int64, np.uint8])
def test_any_real_type_gives_integer_boxes(dtype):
    boxes = boxes_from_maps(np.array([[[0, 1], [0, 0]]], dtype=dtype), np.array([[2, 2]]))
    assert boxes.dtype == np.int64
    assert boxes.tolist() == [[1, 0, 1, 0]]


def test_no_maps_give_no_boxes():
    assert boxes_from_maps(np.zeros((0, 7, 7)), np.zeros((0, 2), int)).shape == (0, 4)


@pytest.mark.parametrize("threshold", [20, 1.001, -0.1, np.nan, np.inf])
def test_threshold_that_is_no_share_is_refused(threshold):
    with pytest.raises(UserError, match=f"threshold {threshold} is no share"):
        box([[0, 1], [0, 0]], threshold)


NOT_REAL = [
    np.ones((2, 2), complex),
    np.zeros((2, 2), "datetime64[s]"),
    np.zeros((2, 2), "timedelta64[s]"),
    np.full((2, 2), "1"),
    np.full((2, 2), b"1"),
    np.ones((2, 2), object),
    np.zeros((2, 2), [("x", "f4")]),
]


@pytest.mark.parametrize("low", NOT_REAL, ids=lambda low: low.dtype.name)
def test_map_of_what_are_no_real_numbers_is_refused(low):
    with pytest.raises(UserError, match=r"map 0 .*is of type .*; wanted real numbers"):
        boxes_from_maps(low[None], np.array([[4, 4]]))


@pytest.mark.parametrize("value", [1e39, -1e39, 1e300, 1e-50])
@pytest.mark.filterwarnings("error")
def test_value_beyond_single_precision_is_refused(value):
    """1e-50 would be zero there, and the box the whole image."""
    with pytest.raises(UserError, match=r"map 0 .*single precision"):
        box([[0, value], [0, 0]])


@pytest.mark.parametrize("value", [3e38, 1e-42])
def test_all_of_single_precision_gives_the_box_of_the_map_in_other_units(value):
    low = np.array([[-1, 0.1], [0.3, 1]], np.float32)
    sizes = np.array([[40, 30]])
    expected = boxes_from_maps(low[None], sizes)
    assert boxes_from_maps(low[None] * np.float32(value), sizes).tolist() == expected.tolist()


def test_values_that_could_overflow_are_divided_by_8_and_no_others():
    largest, tiny = (float(value) for value in (np.finfo("f4").max, np.finfo("f4").tiny))
    for value, divisor in ((largest, 8), (largest / 7.9, 8), (largest / 8.1, 1), (1, 1), (tiny, 1)):
        low = np.array([[value, value / 3]])
        assert single_precision(low).tolist() == (low.astype(np.float32) / divisor).tolist()


@pytest.mark.parametrize("shape", [(0, 3), (3, 0), (0, 0)])
def test_map_of_nothing_is_refused(shape):
    with pytest.raises(UserError, match=r"map 0 .*is of shape"):
        boxes_from_maps(np.ones((1, *shape)), np.array([[4, 4]]))


@pytest.mark.parametrize(
    "size",
    [
        *([0, 5], [5, -1], [2.5, 5], [np.nan, 5], [np.inf, 5]),
        *([40_000, 40_000], [1e300, 1e300], [10**30, 5]),
    ],
)
@pytest.mark.filterwarnings("error")
def test_size_that_is_none_or_larger_than_pictures_are_is_refused(size):
    with pytest.raises(UserError, match="is no width and height of an image"):
        boxes_from_maps(np.ones((2, 2, 2)), np.array([[4, 4], size]))


def test_sizes_are_whole_pixels_from_1_a_side_to_what_pillow_opens():
    assert MOST_PIXELS == 2 * Image.MAX_IMAGE_PIXELS
    sizes = [[1, 1], [0, 5], [5, 0], [MOST_PIXELS, 1], [MOST_PIXELS + 1, 1], [3, 2.5]]
    assert are_sizes(np.array(sizes)).tolist() == [True, False, False, True, False, False]
    assert are_sizes(np.array([[255, 1], [0, 1]], np.uint8)).tolist() == [True, False]


def test_maps_are_of_as_many_values_each_however_many_there_are():
    for shape in ((3, 1, MOST_PIXELS), (0, 7, 7)):
        check_maps(np.broadcast_to(np.float32(1), shape), "maps")
    for shape in ((1, 1, MOST_PIXELS + 1), (3, 7, 0)):
        with pytest.raises(UserError, match="maps is of shape"):
            check_maps(np.broadcast_to(np.float32(1), shape), "maps")


def test_map_larger_than_pictures_are_is_refused_before_it_is_read():
    low = np.broadcast_to(np.float64(1), (40_000, 40_000))  # one value: nothing of 12.8 GB is there
    with pytest.raises(UserError, match=f"1 to {MOST_PIXELS:,} values"):
        single_precision(low)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_value_that_is_not_finite_is_refused_with_the_first_map(value):
    maps = np.ones((4, 2, 2))
    maps[[1, 3], 0, 1] = value
    with pytest.raises(UserError, match=r"map 1 .*not finite"):
        boxes_from_maps(maps, np.full((4, 2), 2))


@pytest.mark.parametrize(("maps", "sizes"), [((2, 2), (2, 2)), ((3, 2, 2), (2, 2)), ((1, 2, 2), 2)])
def test_shapes_that_do_not_fit_are_refused(maps, sizes):
    with pytest.raises(UserError, match=r"wanted \(N, h, w\) and \(N, 2\)"):
        boxes_from_maps(np.ones(maps), np.ones(sizes, int))


def random_map(rng, levels):
    """Few levels give ties, plateaus at the threshold and many small components."""
    low = rng.integers(-1, levels, rng.integers(1, 10, 2)).astype(np.float32)
    low.flat[rng.integers(low.size)] = levels
    return low


def test_boxes_agree_with_a_slow_flood_fill():
    rng = np.random.default_rng(0)
    for _ in range(600):
        low = random_map(rng, levels=8)
        threshold = float(rng.choice([0, 0.125, 0.25, 0.5, 0.75, 1]))
        assert box(low, threshold) == slow_box(low, threshold), low


def test_boxes_of_many_cells_agree_with_a_slow_flood_fill():
    """Of few cells the outlines of components are counted, of many their pixels are labelled."""
    rng = np.random.default_rng(6)
    for _ in range(20):
        low = rng.integers(0, 8, (32, 33)).astype(np.float32)
        assert box(low, 0.5) == slow_box(low, 0.5)


def test_component_in_the_hole_of_another_counts_by_itself():
    low = np.zeros((9, 9))
    low[[0, -1]] = low[:, [0, -1]] = 1
    low[4, 4] = 2
    assert box(low, 0.2) == [0, 0, 8, 8]
    low[2:7, 2:7] = 0.6
    assert box(low, 0.2) == [0, 0, 8, 8]  # 32 pixels against 25
    low[0, 1:] = 0
    assert box(low, 0.2) == [2, 2, 6, 6]


def test_first_of_equal_components_counts_however_opencv_numbers_them():
    """OpenCV takes two rows at a time: in many of these masks its first component is not the one
    whose first pixel comes first."""
    rng = np.random.default_rng(3)
    ties = out_of_order = 0
    for _ in range(300):
        mask = rng.random((rng.integers(2, 5), rng.integers(4, 12))) < 0.1
        mask.flat[rng.integers(mask.size)] = True
        count, labels = cv2.connectedComponents(mask.astype(np.uint8))
        first = [labels[mask].tolist().index(number) for number in range(1, count)]
        sizes = np.bincount(labels[mask])[1:]
        largest = np.flatnonzero(sizes == sizes.max())
        ties += len(largest) > 1
        out_of_order += first[largest[0]] != min(first[number] for number in largest)
        assert box(mask) == slow_box(mask.astype(float), 0.2), mask.astype(int)
    assert ties > 50 and out_of_order > 10


def test_boxes_over_thresholds_are_those_at_each():
    rng = np.random.default_rng(4)
    maps, sizes, thresholds = rng.normal(size=(9, 6, 7)), rng.integers(5, 40, (9, 2)), [0, 0.5, 1]
    boxes = boxes_over_thresholds(maps, sizes, thresholds)
    assert boxes.shape == (3, 9, 4)
    for found, threshold in zip(boxes, thresholds, strict=True):
        assert found.tolist() == boxes_from_maps(maps, sizes, threshold).tolist()


def test_boxes_of_upsampled_maps_agree_with_a_slow_flood_fill():
    rng = np.random.default_rng(1)
    for _ in range(100):
        low = rng.normal(size=rng.integers(2, 8, 2)).astype(np.float32)
        width, height = (int(side) for side in rng.integers(8, 30, 2))
        full = cv2.resize(low, (width, height), interpolation=cv2.INTER_LINEAR)
        boxes = boxes_from_maps(low[None], np.array([[width, height]]), 0.25)
        assert boxes[0].tolist() == slow_box(full, 0.25)


def test_each_map_gets_the_box_of_its_own_image():
    rng = np.random.default_rng(2)
    maps, sizes = rng.normal(size=(20, 5, 5)), rng.integers(5, 40, (20, 2))
    alone = [boxes_from_maps(maps[[i]], sizes[[i]])[0].tolist() for i in range(20)]
    assert boxes_from_maps(maps, sizes).tolist() == alone


@pytest.mark.parametrize("count", [8, 9, 100])
def test_any_number_of_maps_is_boxed(count):
    """Several threads take them, 8 at a time."""
    rng = np.random.default_rng(5)
    maps, sizes = rng.normal(size=(count, 3, 3)), rng.integers(5, 20, (count, 2))
    alone = [boxes_from_maps(maps[[i]], sizes[[i]])[0].tolist() for i in range(count)]
    assert boxes_from_maps(maps, sizes).tolist() == alone


def test_large_images_are_not_resized_all_at_once(monkeypatch):
    """Three of the largest have more pixels than one image may have."""
    workers, pool = [], paper.ThreadPoolExecutor
    monkeypatch.setattr(paper, "MOST_PIXELS", 1000)
    monkeypatch.setattr(paper, "cores", lambda: 8)
    monkeypatch.setattr(paper, "ThreadPoolExecutor", lambda n: workers.append(n) or pool(n))
    sizes = np.full((130, 2), 10)
    sizes[7] = 20, 17
    boxes_from_maps(np.ones((130, 2, 2)), sizes)
    assert workers == [2]
