"""Scene -> parts: what is compared of a chart or a drawing, with what each part weighs.

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

from visual_erm.kinds import ImageReading
from visual_erm.vision.chart_scene import no_ocr, parse_scene
from visual_erm.vision.scene_types import GRID, MAX_CURVE_SHARE, TRACE, Box, Color, Mark, Panel, Scene, Text

IMAGE_CELLS = 64
"""Number of cells along each side of the image of a group of marks."""
MAX_SINGLE_MARKS = 16
"""Number of small marks of one color in one place that are still compared one by one; more are a cloud."""
MAX_SMALL_SHARE = 0.004
"""Largest share of the image that a mark of a cloud covers."""
MIN_CURVE_SIDE = 0.15
"""Side of the smallest box of a curve, as a share of the image's side."""
CURVE_WEIGHT = 3
"""Weight of a curve: as much as three bars."""
MAX_CLOUD_WEIGHT = 8
"""Largest weight of a cloud."""
MARKS_PER_WEIGHT = 15
"""Number of small marks of a cloud that weigh as much as one bar."""
MAX_LAB_DISTANCE = 30.0
"""Distance in Lab below which small marks are of one color."""


@dataclass(frozen=True, eq=False)
class MarkGroup:
    """A curve, or many small marks of one color."""

    color: Color
    box: Box
    panel: int | None
    weight: int
    count: int
    raster: np.ndarray
    """(IMAGE_CELLS, IMAGE_CELLS), float32: how much of each cell is covered, in its panel, else in the image. Of a curve 1
    where it runs, because the width of its line does not count."""
    curve: bool = False


@dataclass(frozen=True)
class Canvas:
    """What everything stands on."""

    background: Color
    aspect: float
    """Width over height."""


Part = Text | Panel | Mark | MarkGroup | Canvas


def weight(part: Part) -> int:
    """Returns what a part weighs.

    Args:
        part: The part.

    Returns:
        Its weight in units of a simple part, 1 or more.
    """
    return part.weight if isinstance(part, MarkGroup) else 1


def weight_of(reading: ImageReading) -> dict[str, tuple[int]]:
    """Weighs the parts of an image of a chart or a drawing: a third of the severity of an image that lacks them all.

    Args:
        reading: What can be read of the image. Its text is counted, and not read.

    Returns:
        `part`: the weight of all parts but the canvas.
    """
    scene = parse_scene(reading.image, no_ocr)
    found = parts(scene, classes(scene))
    return {"part": (sum(weight(part) for part in found if not isinstance(part, Canvas)),)}


Classes = dict[int | None, list[tuple[Color, bool]]]
"""By panel: the colors of small marks and curves, and whether the marks of each are gathered."""


def classes(scene: Scene) -> Classes:
    """Decides what is gathered in a reference. It never depends on the prediction.

    Args:
        scene: What the reference shows.

    Returns:
        By panel: colors of small marks and curves, and whether the marks of each are gathered.
    """
    found: Classes = {}
    for panel, marks in _groups(scene)[0].items():
        seeds = [color for color, _ in _by_color(marks, [])]
        found[panel] = [(color, _is_group(members, panel)) for color, members in _by_color(marks, seeds)]
    return found


def parts(scene: Scene, like: Classes, panels: dict[int, int] | None = None) -> list[Part]:
    """Divides a scene into the parts that are compared.

    Args:
        scene: What an image shows.
        like: The reference's classes, so that what is gathered there is gathered here, however few of it are left.
        panels: Which panel of the reference each panel of the scene stands for; by default the one with the same number.

    Returns:
        Canvas, panels, texts, single marks and groups of marks.
    """
    groups, alone = _groups(scene)
    gathered: list[Part] = []
    for panel, marks in groups.items():
        model = panel if panel is None or panels is None else panels.get(panel)
        known = like.get(model, []) if panel is None or model is not None else []
        wanted = {color for color, grouped in known if grouped}
        for color, members in _by_color(marks, [color for color, _ in known]):
            if color in wanted or _is_group(members, panel):
                gathered.append(_group(members, scene, panel))
            else:
                alone += members
    canvas = Canvas(scene.background, scene.width / max(scene.height, 1))
    return [canvas, *scene.panels, *scene.texts, *alone, *gathered]


def _groups(scene: Scene) -> tuple[dict[int | None, list[Mark]], list[Mark]]:
    """The marks that can be gathered, by panel, and the others."""
    groups: dict[int | None, list[Mark]] = defaultdict(list)
    alone: list[Mark] = []
    for mark in scene.marks:
        (groups[mark.panel] if _gatherable(mark) else alone).append(mark)
    return groups, alone


def _is_group(marks: list[Mark], panel: int | None) -> bool:
    return len(marks) > MAX_SINGLE_MARKS or (panel is not None and any(map(_is_curve, marks)))


def _gatherable(mark: Mark) -> bool:
    return mark.area <= MAX_SMALL_SHARE or (mark.panel is not None and _is_curve(mark))


def _is_curve(mark: Mark) -> bool:
    return mark.fill <= MAX_CURVE_SHARE and max(mark.box.width, mark.box.height) >= MIN_CURVE_SIDE


def _by_color(marks: list[Mark], colors: list[Color]) -> list[tuple[Color, list[Mark]]]:
    """Marks of nearly one color together; those of `colors` first, then by the color of the largest mark."""
    groups: list[tuple[Color, list[Mark]]] = [(color, []) for color in colors]
    if not marks:
        return []
    found = lab([mark.color for mark in marks])
    centres = list(lab(colors)) if colors else []
    for mark, color in zip(marks, found, strict=True):
        away = [float(np.linalg.norm(color - centre)) for centre in centres]
        nearest = int(np.argmin(away)) if away else -1
        if nearest >= 0 and away[nearest] <= MAX_LAB_DISTANCE:
            groups[nearest][1].append(mark)
        else:
            groups.append((mark.color, [mark]))
            centres.append(color)
    return [group for group in groups if group[1]]


def _group(marks: list[Mark], scene: Scene, panel: int | None) -> MarkGroup:
    frame = scene.panels[panel].box if panel is not None else Box(0, 0, 1, 1)
    curve = panel is not None and any(map(_is_curve, marks))
    raster = np.zeros((IMAGE_CELLS, IMAGE_CELLS), np.float32)
    for mark in marks:
        _lay(raster, mark, mark.box.within(frame), curve)
    box = Box(
        min(mark.box.left for mark in marks),
        min(mark.box.top for mark in marks),
        max(mark.box.right for mark in marks),
        max(mark.box.bottom for mark in marks),
    )
    units = CURVE_WEIGHT if curve else min(max(2, round(len(marks) / MARKS_PER_WEIGHT)), MAX_CLOUD_WEIGHT)
    largest = max(marks, key=lambda mark: mark.area)
    return MarkGroup(largest.color, box, panel, units, len(marks), np.minimum(raster, 1), curve)


def _lay(raster: np.ndarray, mark: Mark, box: Box, curve: bool) -> None:
    """Adds what a mark covers to the raster under its box, in place."""
    side = TRACE if curve and mark.trace else GRID
    cells = np.frombuffer(mark.trace if side == TRACE else mark.mask, np.uint8).reshape(side, side).astype(np.float32) / 255
    left, top = max(box.left, 0) * IMAGE_CELLS, max(box.top, 0) * IMAGE_CELLS
    right, bottom = min(box.right, 1) * IMAGE_CELLS, min(box.bottom, 1) * IMAGE_CELLS
    if right <= left or bottom <= top:
        return
    y, x = np.nonzero(cells > 0.05)
    rows = np.minimum((top + (y + 0.5) / side * (bottom - top)).astype(int), IMAGE_CELLS - 1)
    columns = np.minimum((left + (x + 0.5) / side * (right - left)).astype(int), IMAGE_CELLS - 1)
    np.add.at(raster, (rows, columns), 1 if curve else cells[y, x] * ((right - left) * (bottom - top) / side**2))


def lab(colors: Sequence[Color]) -> np.ndarray:
    """Converts colors to Lab, where distances are about as large as the eye sees them.

    OpenCV converts. skimage.color would differ by up to 0.4 of a unit, because OpenCV interpolates in a table. That moves
    colors over the limits in charts.py and changes severities.

    Args:
        colors: The colors.

    Returns:
        L (0 to 100), a and b: shape (n, 3), float32.
    """
    pixels = np.array(colors, np.float32).reshape(-1, 1, 3) / 255
    return cv2.cvtColor(pixels, cv2.COLOR_RGB2LAB).reshape(-1, 3)
