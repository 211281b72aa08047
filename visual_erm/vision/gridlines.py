"""Finds the long straight lines of an image, and the plot areas that they frame: the first step of `chart_scene`.

A frame, an axis or a grid line says where a chart is, not what it shows. Those of a panel are counted in it and removed
from the image, so that marks on them stay whole. Lines that belong to no panel, or have a color of their own, stay marks.

    areas, cleaned = find_areas(pixels, background)
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import cv2
import numpy as np

from visual_erm.vision.colors import color_distance, color_mask, flat_colors, is_gray, near
from visual_erm.vision.scene_types import Color

REACH = 3
"""Largest thickness of a line in pixels. What lies this far to both sides of a line is the same."""
SAME_COLOR = 12
"""Largest difference of a channel, of 255, between pixels of one color."""
MIN_PIECE = 12
"""Length of the shortest piece of a line, in pixels."""
MIN_LENGTH = 0.1
"""Length of the shortest line, as a share of the image's side."""
MAX_GAP = 0.04
"""Length of the longest interruption of one line, as a share of the image's side."""
END_TOLERANCE = 4
"""Largest distance in pixels between ends of lines that meet, or that are equally long."""
CORNER_TOLERANCE = 12
"""Largest distance in pixels of a line from the corner that it forms with another; a tick or mark may cover its end."""
MIN_COVERED = 0.5
"""Share of a panel's side that the pieces of one grid line cover at least."""
MIN_BACKDROP_LEVEL = 200
"""Lowest level of a channel, of 255, in a light rectangle that some styles lay under a plot."""
MIN_BACKDROP_SIDE = 0.8
"""Share of a side of such a rectangle that nothing covers; at least three sides must have it."""
LONG_ROW = 0.9
"""Length of a line's row that may show its color, as a share of its longest row."""
MAX_LINES = 200
"""Number of lines that are looked at in each direction, the longest ones."""


@dataclass(frozen=True)
class StraightLine:
    """A straight line along one axis of the image, in pixels: from `start` to `stop`, at `at` on the other axis."""

    at: int
    start: int
    stop: int
    color: Color

    @property
    def length(self) -> int:
        """Length in pixels."""
        return self.stop - self.start

    def like(self, color: Color) -> bool:
        """Tells whether the line has nearly this color.

        Args:
            color: The color.

        Returns:
            Whether no channel differs by more than twice SAME_COLOR.
        """
        return near(self.color, color, 2 * SAME_COLOR)


@dataclass(frozen=True)
class Area:
    """A plot area in pixels, ends exclusive, with its numbers of grid lines and the sides of its frame that are drawn."""

    left: int
    top: int
    right: int
    bottom: int
    rows: int
    columns: int
    frame: tuple[bool, bool, bool, bool]


def find_areas(pixels: np.ndarray, background: Color) -> tuple[list[Area], np.ndarray]:
    """Finds plot areas and removes their grid lines.

    Args:
        pixels: RGB, shape (height, width, 3), uint8.
        background: Color of the image's background.

    Returns:
        The plot areas in reading order, and the image without their frames, axes and grid lines.
    """
    height, width = pixels.shape[:2]
    if min(height, width) < 4 * MIN_PIECE:
        return [], pixels
    pieces = _pieces(pixels), _pieces(pixels.swapaxes(0, 1))
    across = _straight_lines(pieces[0], pieces[1].T, pixels)
    down = _straight_lines(pieces[1], pieces[0].T, pixels.swapaxes(0, 1))
    rows, columns = ([line for line in lines if not line.like(background)] for lines in (across, down))
    backdrops = _backdrops(pixels, background)
    boxes = _outer(_framed(rows, columns, width, height) + backdrops)
    if not boxes:
        return [], pixels
    areas = []
    cleaned = pixels.copy()
    for box in boxes:
        grid_lines = (across, down) if box in backdrops else (rows, columns)
        areas.append(_area(box, *grid_lines))
        _clear(cleaned, background, areas[-1], pieces, *grid_lines)
    return areas, cleaned


def _pieces(pixels: np.ndarray) -> np.ndarray:
    """Where a line runs across: as its neighbours are, unlike what lies above and below or between them; uint8, 0 or 1."""
    middle = np.ascontiguousarray(pixels)
    padded = cv2.copyMakeBorder(middle, REACH, REACH, 0, 1, cv2.BORDER_REPLICATE)
    above, below = np.ascontiguousarray(padded[: -2 * REACH, :-1]), np.ascontiguousarray(padded[2 * REACH :, :-1])
    beyond = cv2.max(cv2.subtract(cv2.min(above, below), middle), cv2.subtract(middle, cv2.max(above, below)))
    red, green, blue = cv2.split(beyond)
    on_its_own = cv2.max(cv2.max(red, green), blue) > SAME_COLOR
    even = color_distance(middle, np.ascontiguousarray(padded[REACH:-REACH, 1:])) <= SAME_COLOR
    return cv2.morphologyEx((on_its_own & even).astype(np.uint8), cv2.MORPH_OPEN, np.ones((1, MIN_PIECE), np.uint8))


def _straight_lines(along: np.ndarray, crossing: np.ndarray, pixels: np.ndarray) -> list[StraightLine]:
    """The long lines across; what crosses them, or lies on them for a short way, does not end them."""
    least = max(2 * MIN_PIECE, round(MIN_LENGTH * along.shape[1]))
    gap = round(MAX_GAP * along.shape[1])
    whole = cv2.morphologyEx(along, cv2.MORPH_CLOSE, np.ones((1, 2 * REACH + 1), np.uint8))
    whole = cv2.max(whole, cv2.dilate(np.ascontiguousarray(crossing), np.ones((3, 3), np.uint8)))
    cleaned = cv2.morphologyEx(whole, cv2.MORPH_OPEN, np.ones((1, MIN_PIECE), np.uint8))
    _, labels, stats, _ = cv2.connectedComponentsWithStats(
        cv2.min(cleaned, cv2.dilate(along, np.ones((1, 9), np.uint8))), connectivity=8
    )
    numbered = sorted(enumerate(stats.tolist()[1:], 1), key=lambda part: -part[1][cv2.CC_STAT_WIDTH])[:MAX_LINES]
    lines: list[StraightLine] = []
    for number, (left, top, width, height, _) in numbered:
        if height > 2 * REACH:
            # A curve runs close along it.
            own = labels[top : top + height, left : left + width] == number
            longest = int(own.sum(axis=1).argmax())
            run = np.flatnonzero(own[longest])
            top, height, left, width = top + longest, 1, left + int(run[0]), int(run[-1] - run[0]) + 1
        part = along[top : top + height, left : left + width]
        if not part.any():
            continue  # a crossing line beside the end of one that runs across
        at, color = _core(part, pixels[top : top + height, left : left + width])
        lines.append(StraightLine(top + at, left, left + width, color))
    joined: list[StraightLine] = []
    for line in sorted(lines, key=lambda line: (round(line.at), line.start)):
        last = joined[-1] if joined else None
        if last and abs(last.at - line.at) <= 1 and last.like(line.color) and line.start - last.stop <= gap:
            joined[-1] = StraightLine(last.at, last.start, max(last.stop, line.stop), last.color)
        else:
            joined.append(line)
    return [line for line in joined if line.length >= least]


def _core(part: np.ndarray, pixels: np.ndarray) -> tuple[int, Color]:
    """The row of a line that shows its color, and that color: the grayest of the long rows, then the longest.

    A row may be mixed with bars that stand on the line.
    """
    lengths = part.sum(axis=1, dtype=np.int64)
    long = np.flatnonzero(lengths >= LONG_ROW * lengths.max())
    colors = {row: np.median(pixels[row][part[row] > 0], axis=0) for row in long.tolist()}
    at = min(colors, key=lambda row: (np.ptp(colors[row]) > 2 * SAME_COLOR, -lengths[row]))
    red, green, blue = colors[at].astype(int).tolist()
    return at, (red, green, blue)


def _framed(
    across: list[StraightLine], down: list[StraightLine], width: int, height: int
) -> list[tuple[int, int, int, int]]:
    """Boxes whose sides are as long as lines that lie in them and meet."""
    boxes = []
    for left, right in _extents(across):
        rows = [line for line in across if _same(line.start, left) and _same(line.stop, right)]
        for top, bottom in _extents(down):
            columns = [line for line in down if _same(line.start, top) and _same(line.stop, bottom)]
            inside = [line.at for line in rows if top - CORNER_TOLERANCE <= line.at <= bottom + CORNER_TOLERANCE]
            beside = [line.at for line in columns if left - CORNER_TOLERANCE <= line.at <= right + CORNER_TOLERANCE]
            if not (_meet(inside, top, bottom) and _meet(beside, left, right)):
                continue
            if right - left < 0.97 * width or bottom - top < 0.97 * height:
                boxes.append((min(left, *beside), min(top, *inside), max(right, *beside), max(bottom, *inside)))
    if not boxes:
        for left, right in _extents(across):
            rows = [line for line in across if _same(line.start, left) and _same(line.stop, right)]
            if len(rows) > 2 and right - left < 0.97 * width:
                boxes.append((left, min(line.at for line in rows), right, max(line.at for line in rows) + 1))
    least = MIN_LENGTH * width, MIN_LENGTH * height
    return [box for box in boxes if box[2] - box[0] >= least[0] and box[3] - box[1] >= least[1]]


def _meet(places: list[int], low: int, high: int) -> bool:
    """Whether parallel lines are grid lines of a box from `low` to `high`: one is a side of it, or there are several."""
    return len(places) > 2 or any(min(abs(at - low), abs(at - high)) <= CORNER_TOLERANCE for at in places)


def _backdrops(pixels: np.ndarray, background: Color) -> list[tuple[int, int, int, int]]:
    """Rectangles of one light gray, which some styles lay under a plot instead of a frame round it."""
    boxes = []
    for color, share in flat_colors(pixels)[:3]:
        if (
            share < 0.05
            or min(color) < MIN_BACKDROP_LEVEL
            or not is_gray(color)
            or near(color, background, SAME_COLOR // 2)
        ):
            continue
        ground = color_mask(pixels, color, SAME_COLOR // 2)
        closed = cv2.morphologyEx(ground, cv2.MORPH_CLOSE, np.ones((2 * REACH + 1, 2 * REACH + 1), np.uint8))
        _, _, stats, _ = cv2.connectedComponentsWithStats(closed, connectivity=4)
        for left, top, width, height, _ in stats[1:].tolist():
            inner = left > 0 and top > 0 and left + width < pixels.shape[1] and top + height < pixels.shape[0]
            if not inner:
                continue
            part = closed[top : top + height, left : left + width]
            rows, columns = (np.flatnonzero(part.mean(axis=axis) >= MIN_BACKDROP_SIDE / 4) for axis in (1, 0))
            if not (len(rows) and len(columns)):
                continue
            top, bottom, left, right = top + rows[0], top + rows[-1] + 1, left + columns[0], left + columns[-1] + 1
            if min(bottom - top, right - left) < 2 * MIN_PIECE:
                continue
            part = closed[top:bottom, left:right]
            if sorted((part[1].mean(), part[-2].mean(), part[:, 1].mean(), part[:, -2].mean()))[1] >= MIN_BACKDROP_SIDE:
                boxes.append((int(left), int(top), int(right), int(bottom)))
    return boxes


def _extents(lines: list[StraightLine]) -> list[tuple[int, int]]:
    """Distinct pairs of ends."""
    extents: list[tuple[int, int]] = []
    for line in lines:
        if not any(_same(line.start, start) and _same(line.stop, stop) for start, stop in extents):
            extents.append((line.start, line.stop))
    return extents


def _same(one: float, other: float) -> bool:
    return abs(one - other) <= END_TOLERANCE


def _outer(boxes: list[tuple[int, int, int, int]]) -> list[tuple[int, int, int, int]]:
    """Boxes that overlap no larger one, in reading order."""
    kept: list[tuple[int, int, int, int]] = []
    for box in sorted(boxes, key=lambda box: -(box[2] - box[0]) * (box[3] - box[1])):
        if all(
            min(box[2], other[2]) - max(box[0], other[0]) <= END_TOLERANCE
            or min(box[3], other[3]) - max(box[1], other[1]) <= END_TOLERANCE
            for other in kept
        ):
            kept.append(box)
    rows: list[list[tuple[int, int, int, int]]] = []
    for box in sorted(kept, key=lambda box: box[1]):
        if rows and box[1] < (rows[-1][0][1] + rows[-1][0][3]) / 2:
            rows[-1].append(box)
        else:
            rows.append([box])
    return [box for row in rows for box in sorted(row)]


def _area(box: tuple[int, int, int, int], across: list[StraightLine], down: list[StraightLine]) -> Area:
    left, top, right, bottom = box
    rows = sorted({line.at for line in _grid(across, left, right, top, bottom)})
    columns = sorted({line.at for line in _grid(down, top, bottom, left, right)})
    frame = (
        any(_same(at, left) for at in columns),
        any(_same(at, top) for at in rows),
        any(_same(at, right) for at in columns),
        any(_same(at, bottom) for at in rows),
    )
    inner = [
        sum(not (_same(at, low) or _same(at, high)) for at in places)
        for places, low, high in ((rows, top, bottom), (columns, left, right))
    ]
    return Area(left, top, right, bottom, inner[0], inner[1], frame)


def _grid(lines: list[StraightLine], start: int, stop: int, low: int, high: int) -> list[StraightLine]:
    """The pieces of gray lines that run along most of a box and lie in it."""
    inside = [
        line
        for line in lines
        if is_gray(line.color)
        and low - END_TOLERANCE <= line.at <= high + END_TOLERANCE
        and start - 2 * END_TOLERANCE <= line.start
        and line.stop <= stop + 2 * END_TOLERANCE
    ]
    covered: Counter[int] = Counter()
    for line in inside:
        covered[line.at] += line.length
    least = MIN_COVERED * (stop - start)
    return [line for line in inside if sum(covered[line.at + step] for step in (-1, 0, 1)) >= least]


def _clear(
    pixels: np.ndarray,
    background: Color,
    area: Area,
    pieces: tuple[np.ndarray, np.ndarray],
    across: list[StraightLine],
    down: list[StraightLine],
) -> None:
    """Paints over the grid lines of an area, in place, with what lies beside it."""
    for line in _grid(across, area.left, area.right, area.top, area.bottom):
        _paint(pixels, pieces[0], line, (area.left, area.right), background)
    for line in _grid(down, area.top, area.bottom, area.left, area.right):
        _paint(pixels.swapaxes(0, 1), pieces[1], line, (area.top, area.bottom), background)


def _paint(pixels: np.ndarray, pieces: np.ndarray, line: StraightLine, ends: tuple[int, int], background: Color) -> None:
    """Paints half of a line with what lies above it and half with what lies below, in place; its halo goes with it."""
    along = slice(max(ends[0] - END_TOLERANCE, 0), ends[1] + END_TOLERANCE)
    high, low = max(line.at - REACH, 0), min(line.at + REACH, len(pixels) - 1)
    strip = pixels[high : low + 1, along]
    covers = np.abs(strip.astype(np.int16) - np.array(line.color, np.int16)).max(axis=2) <= 2 * SAME_COLOR
    covers &= cv2.dilate(pieces[high : low + 1, along], np.ones((3, 4 * MIN_PIECE + 1), np.uint8)).astype(bool)
    rows = np.flatnonzero(covers.any(axis=1))
    if not len(rows):
        return
    above = _ground(pixels[:, along], high + rows[0], -1, line.color)
    below = _ground(pixels[:, along], high + rows[-1], 1, line.color)
    near_above = np.arange(len(strip)) <= (rows[0] + rows[-1]) // 2
    for row in range(max(rows[0] - 1, 0), min(rows[-1] + 2, len(strip))):
        covered = covers[rows[0] : rows[-1] + 1].any(axis=0)
        strip[row][covered] = (above if near_above[row] else below)[covered]
    halo = np.abs(strip.astype(np.int16) - np.array(background, np.int16)).max(axis=2) <= 2 * SAME_COLOR
    strip[halo] = background


def _ground(pixels: np.ndarray, edge: int, step: int, color: Color) -> np.ndarray:
    """What lies beside a line's last row: the next row, or the one beyond where that is a half-tone; (length, 3), uint8."""
    beside, beyond, next_one = (pixels[min(max(edge + n * step, 0), len(pixels) - 1)] for n in (1, 2, 3))
    levels = [np.abs(row.astype(np.int16) - np.array(color, np.int16)).max(axis=1) for row in (beside, beyond)]
    even = np.abs(beyond.astype(np.int16) - next_one).max(axis=1) <= 2 * SAME_COLOR
    half_tone = even & (levels[1] - levels[0] > SAME_COLOR)
    return np.where(half_tone[:, None], beyond, beside)
