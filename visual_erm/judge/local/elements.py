"""Seen -> parts: what is compared of a chart or a drawing, with what each part weighs.

One thing that a reader would name is one part: a line of text, a bar, a slice, a shape, a panel. What a reader takes in as
a whole (a curve and the dashes that it consists of, a cloud of points) is gathered into one part that weighs as much as
several, because it is compared piece by piece and may be half right.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from visual_erm.vision.scene_types import GRID, Box, Colour, Mark, Panel, Seen, Text

RASTER = 64
"""Cells along each side of a gathered part's picture of itself."""
CLOUD = 16
"""Small marks of one colour in one place that are still compared one by one."""
SMALL = 0.004
"""Share of the picture that a mark covers at most, if it can be one of many."""
THIN = 0.35
"""Share of its box that a curve covers at most."""
LONG = 0.15
"""Of the picture's side: the shortest box of a curve."""
CURVE = 3
"""What a curve weighs: as much as three bars."""
HEAVIEST = 8
"""What a cloud weighs at most."""
PER_UNIT = 15
"""Small marks that weigh as much as one bar, in a cloud."""
SHADE = 30.0
"""Distance in Lab below which small marks are of one colour."""


@dataclass(frozen=True, eq=False)
class Whole:
    """A curve, or many small marks of one colour."""

    colour: Colour
    box: Box
    panel: int | None
    weight: int
    count: int
    raster: np.ndarray
    """(RASTER, RASTER), float32: how much of each cell is covered, over its panel, or over the picture without one."""


@dataclass(frozen=True)
class Canvas:
    """What everything stands on."""

    background: Colour
    aspect: float
    """Width over height."""


Part = Text | Panel | Mark | Whole | Canvas


def weight(part: Part) -> int:
    """In units of a simple part."""
    return part.weight if isinstance(part, Whole) else 1


Classes = dict[int | None, list[tuple[Colour, bool]]]
"""By panel: the colours of small marks and curves, and whether the marks of each are gathered."""


def classes(seen: Seen) -> Classes:
    """What is gathered in a reference; it never depends on the prediction."""
    found: Classes = {}
    for panel, marks in _groups(seen)[0].items():
        seeds = [colour for colour, _ in _by_colour(marks, [])]
        found[panel] = [(colour, _is_whole(members, panel)) for colour, members in _by_colour(marks, seeds)]
    return found


def parts(seen: Seen, like: Classes, panels: dict[int, int] | None = None) -> list[Part]:
    """The parts of a picture.

    `like`: the reference's classes, so that what is gathered there is gathered here, however few of it are left;
    `panels`: which of the reference's panels each of ours stands for, by default the one with the same number.
    """
    groups, alone = _groups(seen)
    gathered: list[Part] = []
    for panel, marks in groups.items():
        model = panel if panel is None or panels is None else panels.get(panel)
        known = like.get(model, []) if panel is None or model is not None else []
        wanted = {colour for colour, whole in known if whole}
        for colour, members in _by_colour(marks, [colour for colour, _ in known]):
            if colour in wanted or _is_whole(members, panel):
                gathered.append(_whole(members, seen, panel))
            else:
                alone += members
    canvas = Canvas(seen.background, seen.width / max(seen.height, 1))
    return [canvas, *seen.panels, *seen.texts, *alone, *gathered]


def _groups(seen: Seen) -> tuple[dict[int | None, list[Mark]], list[Mark]]:
    """The marks that can be gathered, by panel, and the others."""
    groups: dict[int | None, list[Mark]] = defaultdict(list)
    alone: list[Mark] = []
    for mark in seen.marks:
        (groups[mark.panel] if _gatherable(mark) else alone).append(mark)
    return groups, alone


def _is_whole(marks: list[Mark], panel: int | None) -> bool:
    return len(marks) > CLOUD or (panel is not None and any(map(_is_curve, marks)))


def _gatherable(mark: Mark) -> bool:
    return mark.area <= SMALL or (mark.panel is not None and _is_curve(mark))


def _is_curve(mark: Mark) -> bool:
    return mark.fill <= THIN and max(mark.box.width, mark.box.height) >= LONG


def _by_colour(marks: list[Mark], colours: list[Colour]) -> list[tuple[Colour, list[Mark]]]:
    """Marks of nearly one colour together; those of `colours` first, then by the colour of the largest mark."""
    groups: list[tuple[Colour, list[Mark]]] = [(colour, []) for colour in colours]
    if not marks:
        return []
    found = lab([mark.colour for mark in marks])
    centres = list(lab(colours)) if colours else []
    for mark, colour in zip(marks, found, strict=True):
        away = [float(np.linalg.norm(colour - centre)) for centre in centres]
        nearest = int(np.argmin(away)) if away else -1
        if nearest >= 0 and away[nearest] <= SHADE:
            groups[nearest][1].append(mark)
        else:
            groups.append((mark.colour, [mark]))
            centres.append(colour)
    return [group for group in groups if group[1]]


def _whole(marks: list[Mark], seen: Seen, panel: int | None) -> Whole:
    frame = seen.panels[panel].box if panel is not None else Box(0, 0, 1, 1)
    raster = np.zeros((RASTER, RASTER), np.float32)
    for mark in marks:
        _lay(raster, mark.mask, mark.box.within(frame))
    box = Box(
        min(mark.box.left for mark in marks),
        min(mark.box.top for mark in marks),
        max(mark.box.right for mark in marks),
        max(mark.box.bottom for mark in marks),
    )
    curve = panel is not None and any(map(_is_curve, marks))
    units = CURVE if curve else min(max(2, round(len(marks) / PER_UNIT)), HEAVIEST)
    largest = max(marks, key=lambda mark: mark.area)
    return Whole(largest.colour, box, panel, units, len(marks), np.minimum(raster, 1))


def _lay(raster: np.ndarray, mask: bytes, box: Box) -> None:
    """Adds what a mask covers to the raster under its box, in place."""
    cells = np.frombuffer(mask, np.uint8).reshape(GRID, GRID).astype(np.float32) / 255
    left, top = max(box.left, 0) * RASTER, max(box.top, 0) * RASTER
    right, bottom = min(box.right, 1) * RASTER, min(box.bottom, 1) * RASTER
    if right <= left or bottom <= top:
        return
    y, x = np.nonzero(cells > 0.05)
    rows = np.minimum((top + (y + 0.5) / GRID * (bottom - top)).astype(int), RASTER - 1)
    columns = np.minimum((left + (x + 0.5) / GRID * (right - left)).astype(int), RASTER - 1)
    np.add.at(raster, (rows, columns), cells[y, x] * ((right - left) * (bottom - top) / GRID**2))


def lab(colours: Sequence[Colour]) -> np.ndarray:
    """Colours where distances are as the eye sees them: (n, 3)."""
    pixels = np.array(colours, np.float32).reshape(-1, 1, 3) / 255
    return cv2.cvtColor(pixels, cv2.COLOR_RGB2LAB).reshape(-1, 3)
