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

from visual_erm.vision.colors import among, color_distance, flat_colors, is_gray, near
from visual_erm.vision.scene_types import Color

REACH = 3
"""Pixels: a line is no thicker, and what lies this far to both sides of it is the same."""
SAME = 12
"""Largest difference of a channel, of 255, between pixels of the same ground."""
SHORTEST = 12
"""Pixels of the shortest piece of a line."""
SHARE = 0.1
"""Of the image's side: the shortest line."""
GAP = 0.04
"""Of the image's side: the longest interruption of one line."""
SNAP = 4
"""Pixels by which ends of lines that meet, or are as long, may differ."""
CORNER = 12
"""Pixels by which two lines may miss the corner that they form, where a tick or a mark covers their ends."""
SPANS = 0.5
"""Share of a panel's side that the pieces of a line of its grid cover at least."""
LIGHT = 200
"""Level of the darkest channel of a ground that some styles lay under a plot."""
PLATE = 0.8
"""Share of at least three sides of such a ground that nothing covers."""
MAX_RULES = 200
"""Lines looked at in each direction; the longest ones."""


@dataclass(frozen=True)
class Rule:
    """A straight line along one axis of the image: at `at` across it, from `start` to `stop`, in pixels."""

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
            Whether no channel differs by more than twice SAME.
        """
        return near(self.color, color, 2 * SAME)


@dataclass(frozen=True)
class Area:
    """A plot area in pixels, ends exclusive, and what is drawn of its ruling."""

    left: int
    top: int
    right: int
    bottom: int
    rows: int
    columns: int
    frame: tuple[bool, bool, bool, bool]


def find_areas(pixels: np.ndarray, background: Color) -> tuple[list[Area], np.ndarray]:
    """Finds plot areas and removes their ruling.

    Args:
        pixels: RGB, shape (height, width, 3), uint8.
        background: Color of the image's background.

    Returns:
        The plot areas in reading order, and the image without their frames, axes and grid lines.
    """
    height, width = pixels.shape[:2]
    if min(height, width) < 4 * SHORTEST:
        return [], pixels
    pieces = _pieces(pixels), _pieces(pixels.swapaxes(0, 1))
    across = _rules(pieces[0], pieces[1].T, pixels)
    down = _rules(pieces[1], pieces[0].T, pixels.swapaxes(0, 1))
    rows, columns = ([rule for rule in rules if not rule.like(background)] for rules in (across, down))
    plates = _plates(pixels, background)
    boxes = _outer(_framed(rows, columns, width, height) + plates)
    if not boxes:
        return [], pixels
    areas = []
    cleaned = pixels.copy()
    for box in boxes:
        ruling = (across, down) if box in plates else (rows, columns)
        areas.append(_area(box, *ruling))
        _clear(cleaned, background, areas[-1], pieces, *ruling)
    return areas, cleaned


def _pieces(pixels: np.ndarray) -> np.ndarray:
    """Where a line runs across: as its neighbours are, unlike what lies above and below or between them; uint8, 0 or 1."""
    middle = np.ascontiguousarray(pixels)
    padded = cv2.copyMakeBorder(middle, REACH, REACH, 0, 1, cv2.BORDER_REPLICATE)
    above, below = np.ascontiguousarray(padded[: -2 * REACH, :-1]), np.ascontiguousarray(padded[2 * REACH :, :-1])
    beyond = cv2.max(cv2.subtract(cv2.min(above, below), middle), cv2.subtract(middle, cv2.max(above, below)))
    red, green, blue = cv2.split(beyond)
    on_its_own = cv2.max(cv2.max(red, green), blue) > SAME
    even = color_distance(middle, np.ascontiguousarray(padded[REACH:-REACH, 1:])) <= SAME
    return cv2.morphologyEx((on_its_own & even).astype(np.uint8), cv2.MORPH_OPEN, np.ones((1, SHORTEST), np.uint8))


def _rules(along: np.ndarray, crossing: np.ndarray, pixels: np.ndarray) -> list[Rule]:
    """The long lines across; what crosses them, or lies on them for a short way, does not end them."""
    least = max(2 * SHORTEST, round(SHARE * along.shape[1]))
    gap = round(GAP * along.shape[1])
    whole = cv2.morphologyEx(along, cv2.MORPH_CLOSE, np.ones((1, 2 * REACH + 1), np.uint8))
    whole = cv2.max(whole, cv2.dilate(np.ascontiguousarray(crossing), np.ones((3, 3), np.uint8)))
    lines = cv2.morphologyEx(whole, cv2.MORPH_OPEN, np.ones((1, SHORTEST), np.uint8))
    _, _, stats, _ = cv2.connectedComponentsWithStats(
        cv2.min(lines, cv2.dilate(along, np.ones((1, 9), np.uint8))), connectivity=8
    )
    flat = [part for part in stats[1:].tolist() if part[cv2.CC_STAT_HEIGHT] <= 2 * REACH]
    rules: list[Rule] = []
    for left, top, width, height, _ in sorted(flat, key=lambda part: -part[cv2.CC_STAT_WIDTH])[:MAX_RULES]:
        part = along[top : top + height, left : left + width]
        at = top + int(part.sum(axis=1).argmax())
        color = np.median(pixels[at, left : left + width][part[at - top] > 0], axis=0)
        rules.append(Rule(at, left, left + width, tuple(color.astype(int).tolist())))
    joined: list[Rule] = []
    for rule in sorted(rules, key=lambda rule: (round(rule.at), rule.start)):
        last = joined[-1] if joined else None
        if last and abs(last.at - rule.at) <= 1 and last.like(rule.color) and rule.start - last.stop <= gap:
            joined[-1] = Rule(last.at, last.start, max(last.stop, rule.stop), last.color)
        else:
            joined.append(rule)
    return [rule for rule in joined if rule.length >= least]


def _framed(across: list[Rule], down: list[Rule], width: int, height: int) -> list[tuple[int, int, int, int]]:
    """Boxes whose sides are as long as lines that lie in them and meet."""
    boxes = []
    for left, right in _extents(across):
        rows = [rule for rule in across if _same(rule.start, left) and _same(rule.stop, right)]
        for top, bottom in _extents(down):
            columns = [rule for rule in down if _same(rule.start, top) and _same(rule.stop, bottom)]
            inside = [rule.at for rule in rows if top - CORNER <= rule.at <= bottom + CORNER]
            beside = [rule.at for rule in columns if left - CORNER <= rule.at <= right + CORNER]
            if not (_meet(inside, top, bottom) and _meet(beside, left, right)):
                continue
            if right - left < 0.97 * width or bottom - top < 0.97 * height:
                boxes.append((min(left, *beside), min(top, *inside), max(right, *beside), max(bottom, *inside)))
    if not boxes:
        for left, right in _extents(across):
            rows = [rule for rule in across if _same(rule.start, left) and _same(rule.stop, right)]
            if len(rows) > 2 and right - left < 0.97 * width:
                boxes.append((left, min(rule.at for rule in rows), right, max(rule.at for rule in rows) + 1))
    least = SHARE * width, SHARE * height
    return [box for box in boxes if box[2] - box[0] >= least[0] and box[3] - box[1] >= least[1]]


def _meet(places: list[int], low: int, high: int) -> bool:
    """Whether parallel lines are the ruling of a box from `low` to `high`: one is a side of it, or there are several."""
    return len(places) > 2 or any(min(abs(at - low), abs(at - high)) <= CORNER for at in places)


def _plates(pixels: np.ndarray, background: Color) -> list[tuple[int, int, int, int]]:
    """Rectangles of one light gray, which some styles lay under a plot instead of a frame round it."""
    boxes = []
    for color, share in flat_colors(pixels)[:3]:
        if share < 0.05 or min(color) < LIGHT or not is_gray(color) or near(color, background, SAME // 2):
            continue
        ground = among(pixels, color, SAME // 2)
        closed = cv2.morphologyEx(ground, cv2.MORPH_CLOSE, np.ones((2 * REACH + 1, 2 * REACH + 1), np.uint8))
        _, _, stats, _ = cv2.connectedComponentsWithStats(closed, connectivity=4)
        for left, top, width, height, _ in stats[1:].tolist():
            inner = left > 0 and top > 0 and left + width < pixels.shape[1] and top + height < pixels.shape[0]
            if not inner:
                continue
            part = closed[top : top + height, left : left + width]
            rows, columns = (np.flatnonzero(part.mean(axis=axis) >= PLATE / 4) for axis in (1, 0))
            if not (len(rows) and len(columns)):
                continue
            top, bottom, left, right = top + rows[0], top + rows[-1] + 1, left + columns[0], left + columns[-1] + 1
            if min(bottom - top, right - left) < 2 * SHORTEST:
                continue
            part = closed[top:bottom, left:right]
            if sorted((part[1].mean(), part[-2].mean(), part[:, 1].mean(), part[:, -2].mean()))[1] >= PLATE:
                boxes.append((int(left), int(top), int(right), int(bottom)))
    return boxes


def _extents(rules: list[Rule]) -> list[tuple[int, int]]:
    """Distinct pairs of ends."""
    extents: list[tuple[int, int]] = []
    for rule in rules:
        if not any(_same(rule.start, start) and _same(rule.stop, stop) for start, stop in extents):
            extents.append((rule.start, rule.stop))
    return extents


def _same(one: float, other: float) -> bool:
    return abs(one - other) <= SNAP


def _outer(boxes: list[tuple[int, int, int, int]]) -> list[tuple[int, int, int, int]]:
    """Boxes that overlap no larger one, in reading order."""
    kept: list[tuple[int, int, int, int]] = []
    for box in sorted(boxes, key=lambda box: -(box[2] - box[0]) * (box[3] - box[1])):
        if all(
            min(box[2], other[2]) - max(box[0], other[0]) <= SNAP or min(box[3], other[3]) - max(box[1], other[1]) <= SNAP
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


def _area(box: tuple[int, int, int, int], across: list[Rule], down: list[Rule]) -> Area:
    left, top, right, bottom = box
    rows = sorted({rule.at for rule in _grid(across, left, right, top, bottom)})
    columns = sorted({rule.at for rule in _grid(down, top, bottom, left, right)})
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


def _grid(rules: list[Rule], start: int, stop: int, low: int, high: int) -> list[Rule]:
    """The pieces of gray lines that run along most of a box and lie in it."""
    inside = [
        rule
        for rule in rules
        if is_gray(rule.color)
        and low - SNAP <= rule.at <= high + SNAP
        and start - 2 * SNAP <= rule.start
        and rule.stop <= stop + 2 * SNAP
    ]
    covered: Counter[int] = Counter()
    for rule in inside:
        covered[rule.at] += rule.length
    least = SPANS * (stop - start)
    return [rule for rule in inside if sum(covered[rule.at + step] for step in (-1, 0, 1)) >= least]


def _clear(
    pixels: np.ndarray,
    background: Color,
    area: Area,
    pieces: tuple[np.ndarray, np.ndarray],
    across: list[Rule],
    down: list[Rule],
) -> None:
    """Paints over the ruling of an area, in place, with what lies beside it."""
    for rule in _grid(across, area.left, area.right, area.top, area.bottom):
        _paint(pixels, pieces[0], rule, (area.left, area.right), background)
    for rule in _grid(down, area.top, area.bottom, area.left, area.right):
        _paint(pixels.swapaxes(0, 1), pieces[1], rule, (area.top, area.bottom), background)


def _paint(pixels: np.ndarray, pieces: np.ndarray, rule: Rule, ends: tuple[int, int], background: Color) -> None:
    """Paints half of a line with what lies above it and half with what lies below, in place; its halo goes with it."""
    along = slice(max(ends[0] - SNAP, 0), ends[1] + SNAP)
    high, low = max(rule.at - REACH, 0), min(rule.at + REACH, len(pixels) - 1)
    strip = pixels[high : low + 1, along]
    line = np.abs(strip.astype(np.int16) - np.array(rule.color, np.int16)).max(axis=2) <= 2 * SAME
    line &= cv2.dilate(pieces[high : low + 1, along], np.ones((3, 4 * SHORTEST + 1), np.uint8)).astype(bool)
    rows = np.flatnonzero(line.any(axis=1))
    if not len(rows):
        return
    above, below = strip[max(rows[0] - 1, 0)].copy(), strip[min(rows[-1] + 1, len(strip) - 1)].copy()
    near_above = np.arange(len(strip)) <= (rows[0] + rows[-1]) // 2
    for row in range(max(rows[0] - 1, 0), min(rows[-1] + 2, len(strip))):
        covered = line[rows[0] : rows[-1] + 1].any(axis=0)
        strip[row][covered] = (above if near_above[row] else below)[covered]
    halo = np.abs(strip.astype(np.int16) - np.array(background, np.int16)).max(axis=2) <= 2 * SAME
    strip[halo] = background
