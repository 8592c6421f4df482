"""Connected components of a map at every level at once.

Cutting a map at each level anew looks at every pixel each time. Here each row is divided into
hills, stretches that rise to one top and fall again. Above any level a hill is one stretch of
pixels, so a smooth map is a few hundred hills and the levels below which neighbours join. Hills
that lead up to the same summit are one component at any level; from level to level only boxes
grow and summits join. The results are those of OpenCV's `findContours` with `RETR_TREE`,
`contourArea` and `boundingRect` at each level. Compiled by Numba.
"""

from collections import namedtuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from camloc.evaluation.wsol import SIDE  # known when this is compiled: divisions by it cost little

_STRIDE = SIDE + 2  # a margin of one pixel all around spares outlines the test for the border
# The eight neighbours, clockwise from the east.
_ACROSS, _DOWN = np.array([1, 1, 0, -1, -1, -1, 0, 1]), np.array([0, 1, 1, 1, 0, -1, -1, -1])
_RING = _DOWN * _STRIDE + _ACROSS
# Of each hill its first and last x and the value of its top; `rows`: the number of the first hill
# of each row, and of all hills.
Hills = namedtuple("Hills", "rows start end top")
# Neighbours `one` and `other`, joined by pixels of `value` and above; highest first.
Joints = namedtuple("Joints", "one other value")
# The components of one level after another, downwards. An entry a hill: `summit`. An entry a
# summit: its value `top`, highest first; `parent`, the summit that it has joined, or itself; for
# those that have joined none `across` and `down`, the highest value in each column and row, `box`,
# and `area` of the outline when it was last traced. `roots` are those above the level, `progress`
# how many summits of `roots`, summits of all and joints are done.
Components = namedtuple(
    "Components", "hills joints summit top parent across down box area roots progress"
)


@njit(cache=True, nogil=True)
def best_overlaps(gray: NDArray[np.uint8], true: NDArray) -> NDArray[np.float64]:
    """How well the boxes of a map's components fit the ground truth, at the levels 0 to 254.

    A box's last pixel is the one after the component, as far as there is one.

    Args:
        gray: (SIDE, SIDE); level t keeps the pixels above t.
        true: boxes (N, 4) in inclusive pixels.

    Returns:
        (255, 2): IoU of the box around the outline of the largest area, and the best IoU of the
        boxes around all outlines, those of holes too. An empty level has the box of pixel 0, 0.
    """
    result = np.full((255, 2), _iou(0, 0, 0, 0, true))
    bright = _components(gray, True)
    padded = np.zeros(_STRIDE * _STRIDE, np.uint8)
    for y in range(SIDE):
        padded[(y + 1) * _STRIDE + 1 : (y + 2) * _STRIDE - 1] = gray[y]
    for level in range(254, -1, -1):
        roots = _descend(bright, level)
        if roots.size:
            result[level, 0] = _box_iou(bright.box[_largest(bright, roots, padded, level)], true)
            result[level, 1] = 0
            for root in roots:
                result[level, 1] = max(result[level, 1], _box_iou(bright.box[root], true))
    # What is not above a level, 4-connected, is a hole if no pixel of the border belongs to it.
    dark = _components(~gray, False)
    for level in range(255):
        for root in _descend(dark, 254 - level):
            xmin, ymin, xmax, ymax = dark.box[root]
            if xmin > 0 and ymin > 0 and xmax < SIDE - 1 and ymax < SIDE - 1:
                right, bottom = min(xmax + 2, SIDE - 1), min(ymax + 2, SIDE - 1)
                overlap = _iou(xmin - 1, ymin - 1, right, bottom, true)
                result[level, 1] = max(result[level, 1], overlap)
    return result


@njit(cache=True, nogil=True)
def _components(gray, diagonal):
    """Where the components of a map begin and join; `diagonal` for 8-connected ones, else 4."""
    hills = _hills(gray)
    joints = _joints(gray, hills, diagonal)
    summit, top = _summits(hills, joints)
    across = np.zeros((top.size, SIDE), np.uint8)
    down = np.zeros((top.size, SIDE), np.uint8)
    box = np.empty((top.size, 4), np.int64)
    for y in range(SIDE):
        for hill in range(hills.rows[y], hills.rows[y + 1]):
            s = summit[hill]
            down[s, y] = max(down[s, y], hills.top[hill])
            highest = across[s, hills.start[hill] : hills.end[hill] + 1]
            row = gray[y, hills.start[hill] : hills.end[hill] + 1]
            for x in range(row.size):
                highest[x] = max(highest[x], row[x])
    for s in range(top.size):
        x, y = across[s].argmax(), down[s].argmax()
        box[s, 0], box[s, 1], box[s, 2], box[s, 3] = x, y, x, y
    parent, area = np.arange(top.size), np.zeros(top.size)
    roots, progress = np.empty(top.size, np.int64), np.zeros(3, np.int64)
    return Components(hills, joints, summit, top, parent, across, down, box, area, roots, progress)


@njit(cache=True, nogil=True)
def _hills(gray):
    """Divide each row; the lowest pixel between two hills is the last of the first one."""
    most = SIDE * SIDE // 2
    rows = np.zeros(SIDE + 1, np.int64)
    start, end = np.empty(most, np.int32), np.empty(most, np.int32)
    top = np.empty(most, np.uint8)
    count = 0
    for y in range(SIDE):
        row = gray[y]
        rows[y] = count
        start[count] = 0
        falling, before = False, row[0]
        for x in range(1, SIDE):
            value = row[x]
            if falling:
                if value > before:
                    end[count] = x - 1
                    count += 1
                    start[count] = x
                    falling = False
            elif value < before:
                top[count] = before
                falling = True
            before = value
        if not falling:
            top[count] = before
        end[count] = SIDE - 1
        count += 1
    rows[SIDE] = count
    return Hills(rows, start[:count], end[:count], top[:count])


@njit(cache=True, nogil=True)
def _joints(gray, hills, diagonal):
    """Hills that touch, and the lower value of the highest two pixels that do."""
    rows, start, end = hills.rows, hills.start, hills.end
    reach = 1 if diagonal else 0
    most = 5 * start.size
    one, other = np.empty(most, np.int32), np.empty(most, np.int32)
    value = np.empty(most, np.uint8)
    count = 0
    for y in range(SIDE):
        for hill in range(rows[y], rows[y + 1] - 1):
            one[count], other[count], value[count] = hill, hill + 1, gray[y, end[hill]]
            count += 1
        if y == SIDE - 1:
            break
        upper, lower, below = gray[y], gray[y + 1], rows[y + 1]
        for hill in range(rows[y], rows[y + 1]):
            while end[below] < start[hill] - reach:
                below += 1
            touched = below
            while touched < rows[y + 2] and start[touched] <= end[hill] + reach:
                value[count] = _meeting(
                    upper,
                    lower,
                    (start[hill], end[hill]),
                    (start[touched], end[touched]),
                    min(hills.top[hill], hills.top[touched]),
                    reach,
                )
                one[count], other[count] = hill, touched
                count += 1
                touched += 1
    order = _falling(value[:count])
    return Joints(one[order], other[order], value[order])


@njit(cache=True, nogil=True)
def _meeting(upper, lower, first, second, most, reach):
    """The highest value above which stretches of two rows, one below the other, do not touch.

    Args:
        first, second: first and last x of either stretch.
        most: what it can be at most.
    """
    highest = np.uint8(0)
    for step in (0, -reach, reach):
        start, end = max(first[0], second[0] - step), min(first[1], second[1] - step)
        if highest == most:
            break
        above, below = upper[start : end + 1], lower[start + step : end + step + 1]
        for x in range(above.size):
            highest = max(highest, min(above[x], below[x]))
    return highest


@njit(cache=True, nogil=True)
def _summits(hills, joints):
    """The summit of each hill, where going up from top to top ends; and the values of summits.

    Of equal neighbours the later one counts as higher.
    """
    up = np.arange(hills.top.size)
    for i in range(joints.one.size):
        a, b = joints.one[i], joints.other[i]
        if hills.top[a] > hills.top[b] or (hills.top[a] == hills.top[b] and a > b):
            a, b = b, a
        if up[a] == a and joints.value[i] == hills.top[a]:
            up[a] = b
    count = 0
    for hill in range(up.size):
        count += up[hill] == hill
    ends = np.empty(count, np.int64)
    count = 0
    for hill in range(up.size):
        if up[hill] == hill:
            ends[count] = hill
            count += 1
    ends = ends[_falling(hills.top[ends])]
    summit = np.empty(up.size, np.int64)
    summit[ends] = np.arange(count)
    for hill in range(up.size):
        summit[hill] = summit[_find(up, hill)]
    return summit, hills.top[ends]


@njit(cache=True, nogil=True)
def _falling(values):
    """The order of 8-bit values from the highest down; equal ones stay in order."""
    counts = np.zeros(256, np.int64)
    for value in values:
        counts[255 - value] += 1
    free = counts.cumsum() - counts  # the place of the next one of each value
    order = np.empty(values.size, np.int64)
    for i in range(values.size):
        order[free[255 - values[i]]] = i
        free[255 - values[i]] += 1
    return order


@njit(cache=True, nogil=True, inline="always")
def _descend(c, level):
    """Bring components down to a level, which must fall from call to call; their roots."""
    count, risen, joined = c.progress
    while risen < c.top.size and c.top[risen] > level:
        c.roots[count] = risen
        count += 1
        risen += 1
    while joined < c.joints.value.size and c.joints.value[joined] > level:
        a = _find(c.parent, c.summit[c.joints.one[joined]])
        b = _find(c.parent, c.summit[c.joints.other[joined]])
        if a != b:
            _join(c, a, b)
        joined += 1
    kept = 0
    for root in c.roots[:count]:
        if c.parent[root] == root:
            c.roots[kept] = root
            kept += 1
            _grow(c.box[root], c.across[root], c.down[root], level)
    c.progress[0], c.progress[1], c.progress[2] = kept, risen, joined
    return c.roots[:kept]


@njit(cache=True, nogil=True, inline="always")
def _join(c, a, b):
    """Make one of two components, b."""
    c.parent[a] = b
    for i in range(SIDE):
        c.across[b, i] = max(c.across[a, i], c.across[b, i])
        c.down[b, i] = max(c.down[a, i], c.down[b, i])
    for k in range(2):
        c.box[b, k] = min(c.box[a, k], c.box[b, k])
        c.box[b, k + 2] = max(c.box[a, k + 2], c.box[b, k + 2])
    c.area[b] = max(c.area[a], c.area[b])


@njit(cache=True, nogil=True, inline="always")
def _grow(box, across, down, level):
    """Move the sides of a box out to the last column and row above the level."""
    while box[0] > 0 and across[box[0] - 1] > level:
        box[0] -= 1
    while box[1] > 0 and down[box[1] - 1] > level:
        box[1] -= 1
    while box[2] < SIDE - 1 and across[box[2] + 1] > level:
        box[2] += 1
    while box[3] < SIDE - 1 and down[box[3] + 1] > level:
        box[3] += 1


@njit(cache=True, nogil=True)
def _find(parent, p):
    while parent[p] != p:
        parent[p] = parent[parent[p]]
        p = parent[p]
    return p


@njit(cache=True, nogil=True, inline="always")
def _largest(c, roots, padded, level):
    """The component with the outline of the largest area; of equals the last in reading order.

    An outline is traced only where its box could hold a larger area than the best so far.
    """
    best = roots[0]
    for root in roots:
        if c.area[root] > c.area[best]:
            best = root
    start = -1  # of the best one's outline, once it is traced
    for root in roots:
        if root != best and _bound(c.box[root]) >= c.area[best]:
            if start < 0:
                start = _first_pixel(c, best, padded, level)
                c.area[best] = _outline_area(padded, start, level)
                if _bound(c.box[root]) < c.area[best]:
                    continue
            other = _first_pixel(c, root, padded, level)
            c.area[root] = _outline_area(padded, other, level)
            larger = c.area[root] > c.area[best]
            if larger or (c.area[root] == c.area[best] and other > start):
                best, start = root, other
    return best


@njit(cache=True, nogil=True, inline="always")
def _first_pixel(c, root, padded, level):
    """A component's first pixel in reading order, as its place in the padded map."""
    y = c.box[root, 1]
    hill = c.hills.rows[y]
    while c.hills.top[hill] <= level or _find(c.parent, c.summit[hill]) != root:
        hill += 1
    p = (y + 1) * _STRIDE + 1 + c.hills.start[hill]
    while padded[p] <= level:
        p += 1
    return p


@njit(cache=True, nogil=True)
def _outline_area(padded, start, level):
    """Area of the polygon through the centres of the outermost pixels, traced clockwise."""
    p, back = start, 4  # west of the first pixel in reading order is nothing
    x = y = 0  # from the start
    twice, opening = 0, -1
    while True:
        step = -1
        for k in range(1, 9):
            if padded[p + _RING[(back + k) & 7]] > level:
                step = (back + k) & 7
                break
        if step < 0 or (p == start and step == opening):
            return abs(twice) / 2
        if opening < 0:
            opening = step
        across, down = _ACROSS[step], _DOWN[step]
        twice += x * down - y * across
        x += across
        y += down
        p += _RING[step]
        back = (step + 6 - (step & 1)) & 7


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
    """The best IoU of a box with any ground-truth box, as `camloc.boxes.geometry.best_iou`, which
    compiled code cannot call."""
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
