"""Connected components of a map at every level at once.

Cutting a map at each level anew looks at every pixel each time. Here each pixel is added once, the
brightest first, and joined with the neighbours that are there already; between two levels only
what the new pixels changed is looked at. The results are those of OpenCV's `findContours` with
`RETR_TREE`, `contourArea` and `boundingRect` at each level. Compiled by Numba.
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray

SIDE = 224  # of the maps; known when this is compiled, divisions by it cost little
_STRIDE = SIDE + 2  # a margin of one pixel all around spares the tests for the border
# Clockwise from the east.
_RING = np.array([1, _STRIDE + 1, _STRIDE, _STRIDE - 1, -1, -_STRIDE - 1, -_STRIDE, 1 - _STRIDE])


@njit(cache=True, nogil=True)
def best_overlaps(gray: NDArray[np.uint8], true: NDArray) -> NDArray[np.float64]:
    """How well the boxes of a map's components fit the true ones, at the levels 0 to 254.

    A box's last pixel is the one after the component, as far as there is one.

    Args:
        gray: (SIDE, SIDE); level t keeps the pixels above t.
        true: boxes (N, 4) in inclusive pixels.

    Returns:
        (255, 2): IoU of the box around the outline of the largest area, and the best IoU of the
        boxes around all outlines, those of holes too. An empty level has the box of pixel 0, 0.
    """
    padded = np.zeros(_STRIDE * _STRIDE, np.uint8)
    for y in range(SIDE):
        padded[(y + 1) * _STRIDE + 1 : (y + 2) * _STRIDE - 1] = gray[y]
    order, starts = _by_value(gray)
    result = np.empty((255, 2))
    result[:, 1] = _holes(order, starts, true)
    _fill_components(padded, order, starts, true, result)
    return result


@njit(cache=True, nogil=True)
def _fill_components(padded, order, starts, true, result):
    """Components of what is above each level, 8-connected, from the highest level down."""
    parent = np.full(padded.size, -1, np.int32)
    box = np.empty((padded.size, 4), np.int32)
    first = np.empty(padded.size, np.int32)  # in reading order, where tracing starts
    area = np.zeros(padded.size)  # of the outline when it was last traced: since then it grew
    roots = np.empty(order.size, np.int32)
    count = 0
    nothing = _iou(0, 0, 0, 0, true)
    largest = outlined = nothing
    for level in range(254, -1, -1):
        new = order[starts[level + 1] : starts[level + 2]]
        for p in new:
            root = _ring_root(p, parent, box, first, area)
            if root < 0:
                _found(p, parent, box)
                first[p] = p
                roots[count] = p
                count += 1
            else:
                _extend(root, p, parent, box)
                first[root] = min(first[root], p)
        if new.size:
            count = _alive(roots, count, parent)
            outlined = 0.0
            for r in roots[:count]:
                outlined = max(outlined, _box_iou(box[r], true))
            root = _largest(roots[:count], box, first, area, padded, level)
            largest = _box_iou(box[root], true)
        result[level, 0] = largest
        result[level, 1] = max(outlined, result[level, 1])


@njit(cache=True, nogil=True)
def _ring_root(p, parent, box, first, area):
    """Join all that is around a pixel; the root, or -1 if nothing is.

    Neighbours in a row on the ring touch each other, so only the first of each row is looked up.
    """
    root = np.int64(-1)
    before = parent[p + _RING[7]] >= 0
    full = before
    for k in range(8):
        here = parent[p + _RING[k]] >= 0
        if here and not before:
            root = _join(root, _find(parent, p + _RING[k]), parent, box, first, area)
        full = full and here
        before = here
    return _find(parent, p + _RING[0]) if full else root


@njit(cache=True, nogil=True)
def _found(p, parent, box):
    """Begin a component with one pixel."""
    parent[p] = p
    x, y = p % _STRIDE - 1, p // _STRIDE - 1
    box[p, 0], box[p, 1], box[p, 2], box[p, 3] = x, y, x, y


@njit(cache=True, nogil=True)
def _extend(root, p, parent, box):
    """Add one pixel to a component."""
    parent[p] = root
    x, y = p % _STRIDE - 1, p // _STRIDE - 1
    box[root, 0] = min(box[root, 0], x)
    box[root, 1] = min(box[root, 1], y)
    box[root, 2] = max(box[root, 2], x)
    box[root, 3] = max(box[root, 3], y)


@njit(cache=True, nogil=True)
def _join(a, b, parent, box, first, area):
    """Make one of two components, or of one and none (-1); its root is that of the larger."""
    if a < 0 or a == b:
        return b
    if _extent(box[a]) > _extent(box[b]):
        a, b = b, a
    parent[a] = b
    for k in range(2):
        box[b, k] = min(box[a, k], box[b, k])
        box[b, k + 2] = max(box[a, k + 2], box[b, k + 2])
    first[b] = min(first[a], first[b])
    area[b] = max(area[a], area[b])
    return b


@njit(cache=True, nogil=True)
def _find(parent, p):
    while parent[p] != p:
        parent[p] = parent[parent[p]]
        p = parent[p]
    return p


@njit(cache=True, nogil=True)
def _alive(roots, count, parent):
    """Keep the roots that no other component has taken in; their number."""
    kept = 0
    for i in range(count):
        if parent[roots[i]] == roots[i]:
            roots[kept] = roots[i]
            kept += 1
    return kept


@njit(cache=True, nogil=True)
def _largest(roots, box, first, area, padded, level):
    """The component with the outline of the largest area; of equals the last in reading order.

    An outline is traced only where its box could hold a larger area than the best so far.
    """
    if roots.size == 1:
        return roots[0]
    best = roots[0]
    for r in roots:
        if area[r] > area[best]:
            best = r
    traced = False
    for r in roots:
        if r != best and _bound(box[r]) >= area[best]:
            if not traced:
                area[best] = _outline_area(padded, first[best], level)
                traced = True
                if _bound(box[r]) < area[best]:
                    continue
            area[r] = _outline_area(padded, first[r], level)
            if area[r] > area[best] or (area[r] == area[best] and first[r] > first[best]):
                best = r
    return best


@njit(cache=True, nogil=True)
def _outline_area(padded, start, level):
    """Area of the polygon through the centres of the outermost pixels, traced clockwise."""
    p, back = start, 4  # west of the first pixel in reading order is nothing
    twice, opening = 0, -1
    while True:
        step = -1
        for k in range(1, 9):
            if padded[p + _RING[(back + k) % 8]] > level:
                step = (back + k) % 8
                break
        if step < 0 or (p == start and step == opening):
            return abs(twice) / 2
        if opening < 0:
            opening = step
        q = p + _RING[step]
        twice += (p % _STRIDE) * (q // _STRIDE) - (q % _STRIDE) * (p // _STRIDE)
        back = (step + 6 - step % 2) % 8
        p = q


@njit(cache=True, nogil=True)
def _holes(order, starts, true):
    """Best IoU of the boxes around holes: what is not above a level, 4-connected, and encloses no
    pixel of the border. From the lowest level up."""
    parent = np.full(_STRIDE * _STRIDE, -1, np.int32)
    box = np.empty((parent.size, 4), np.int32)
    unused = np.zeros(parent.size)
    first = np.zeros(parent.size, np.int32)
    roots = np.empty(order.size, np.int32)
    count = 0
    best = np.zeros(255)
    for level in range(255):
        new = order[starts[level] : starts[level + 1]]
        for p in new:
            root = np.int64(-1)
            for step in (1, _STRIDE, -1, -_STRIDE):
                if parent[p + step] >= 0:
                    root = _join(root, _find(parent, p + step), parent, box, first, unused)
            if root < 0:
                _found(p, parent, box)
                roots[count] = p
                count += 1
            else:
                _extend(root, p, parent, box)
        if new.size:
            count = _alive(roots, count, parent)
        elif level:
            best[level] = best[level - 1]
            continue
        for r in roots[:count]:
            xmin, ymin, xmax, ymax = box[r]
            if xmin > 0 and ymin > 0 and xmax < SIDE - 1 and ymax < SIDE - 1:
                right, bottom = min(xmax + 2, SIDE - 1), min(ymax + 2, SIDE - 1)
                best[level] = max(best[level], _iou(xmin - 1, ymin - 1, right, bottom, true))
    return best


@njit(cache=True, nogil=True)
def _by_value(gray):
    """Places of the pixels in a padded map, sorted by value, and where each value starts."""
    starts = np.zeros(257, np.int64)
    for value in gray.ravel():
        starts[value + 1] += 1
    for value in range(256):
        starts[value + 1] += starts[value]
    order = np.empty(gray.size, np.int32)
    free = starts[:-1].copy()
    for y in range(SIDE):
        for x in range(SIDE):
            value = gray[y, x]
            order[free[value]] = (y + 1) * _STRIDE + x + 1
            free[value] += 1
    return order, starts


@njit(cache=True, nogil=True)
def _extent(box):
    return box[2] - box[0] + box[3] - box[1]


@njit(cache=True, nogil=True)
def _bound(box):
    """The largest area that an outline in the box could have."""
    return (box[2] - box[0]) * (box[3] - box[1])


@njit(cache=True, nogil=True)
def _box_iou(box, true):
    right, bottom = min(box[2] + 1, SIDE - 1), min(box[3] + 1, SIDE - 1)
    return _iou(box[0], box[1], right, bottom, true)


@njit(cache=True, nogil=True)
def _iou(xmin, ymin, xmax, ymax, true):
    """The best IoU of a box with any true box, inclusive pixels."""
    best = 0.0
    area = (xmax - xmin + 1) * (ymax - ymin + 1)
    for t in true:
        across = min(xmax, t[2]) - max(xmin, t[0]) + 1
        down = min(ymax, t[3]) - max(ymin, t[1]) + 1
        if across > 0 and down > 0:
            both = across * down
            other = (t[2] - t[0] + 1) * (t[3] - t[1] + 1)
            best = max(best, both / (area + other - both))
    return best
