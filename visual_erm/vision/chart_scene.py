"""Image -> Scene: finds the plot areas, texts and marks of a chart or a drawing.

Plot areas come first, because their gridlines cut up everything else. Then the image is divided into grounds and ink. Lines
of text are found in the ink, and the rest of it is marks. The same image always gives the same result. The time is bounded
whatever the image shows, because images larger than LONGEST_SIDE are scaled down first.

    scene = parse_scene(image, Ocr().lines)
    [text.text for text in scene.texts]
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
from PIL import Image
from scipy import ndimage

from visual_erm.vision.colors import along_edge, is_gray, near
from visual_erm.vision.gridlines import Area, find_areas
from visual_erm.vision.images import on_white
from visual_erm.vision.scene_types import GRID, MAX_CURVE_SHARE, TRACE, Box, Color, Mark, Panel, Scene, Text
from visual_erm.vision.segmentation import Layers, layers, pieces
from visual_erm.vision.text_lines import Line, find_lines, printed

LONGEST_SIDE = 1200
"""Longest side in pixels; a larger image is scaled down to it."""
MIN_SIDE = 12
"""Shorter side in pixels of the smallest image in which anything is looked for."""
MIN_EDGE_SHARE = 0.5
"""Smallest share of the image's edge that has the background's color."""
DEFAULT_BACKGROUND = (255, 255, 255)
"""Background color where the edge shows none."""
MAX_OUTLINE = 0.07
"""Widest outline of something transparent that is no mark, as a share of the image's side."""
MAX_LETTER_INSIDE = 0.05
"""Largest patch of color that may be the inside of a letter and no mark, as a share of the image."""
SAMPLE_PIXELS = 1000
"""Number of pixels that the color of a large region is taken from."""
MAX_MARKS = 600
"""Number of marks that are looked at, the largest ones."""
MAX_COLOR_DIFFERENCE = 14
"""Largest difference of a channel between a region and what surrounds it, if it is no mark."""
MAX_TICK = 9
"""Length in pixels of the longest tick at a panel's side; in an image of more than TICK_SIDE pixels it is longer."""
MAX_TICK_WIDTH = 3
"""Width in pixels of the widest tick, as above."""
MAX_TICK_GAP = 5
"""Largest distance in pixels between a tick and the side that it belongs to, as above."""
TICK_SIDE = 640
"""Longest side in pixels of an image from which on ticks are longer."""
GROUND_INSET = 3
"""Distance in pixels from the side of a panel at which the color of its ground is read; less in a panel too thin for it."""
MIN_WORD = 4
"""Number of letters of the shortest colored text that is looked for in a plot."""
MIN_SLIVER_CONTRAST = 72
"""Contrast below which a stroke two pixels thick between two grounds is where their half-tones meet."""

ReadLines = Callable[[list[np.ndarray]], list[str]]
"""Texts of crops, each one line of dark text on white, shape (height, width), uint8."""


def no_ocr(crops: list[np.ndarray]) -> list[str]:
    """Reads nothing: the `ReadLines` for those who need the places of texts only.

    Args:
        crops: Crops of one line each.

    Returns:
        An empty text for each crop.
    """
    return [""] * len(crops)


def parse_scene(image: Image.Image, read: ReadLines) -> Scene:
    """Finds what an image shows.

    Args:
        image: An image of any mode; transparent parts are laid on white.
        read: Reads the crops of lines of text. What it reads as nothing counts as a mark, unless it is `no_ocr`.

    Returns:
        The texts, panels and marks. An image whose shorter side is under MIN_SIDE pixels has none.
    """
    pixels = np.ascontiguousarray(np.asarray(on_white(image)))
    scale = LONGEST_SIDE / max(pixels.shape)
    if scale < 1:
        size = max(round(image.width * scale), 1), max(round(image.height * scale), 1)
        pixels = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
    color, share = along_edge(pixels)
    background = color if share >= MIN_EDGE_SHARE else DEFAULT_BACKGROUND
    if min(pixels.shape[:2]) < MIN_SIDE:
        return Scene(image.width, image.height, background)
    areas, cleaned = find_areas(pixels, background)
    found = layers(cleaned)
    _erase_ticks(found.contrast, areas)
    lines, labels = find_lines(found.contrast)
    kept = _texts(lines, labels, found, areas, cleaned, read)

    ink = found.contrast > 0
    for line, _ in kept:
        part = slice(line.top, line.bottom), slice(line.left, line.right)
        ink[part] &= ~np.isin(labels[part], line.pieces)
    drawer = _Marks(cleaned, areas, background)
    strokes, count = pieces(cleaned, found, ink)
    marks = drawer.grounds(found) + drawer.strokes(strokes, count, found)
    marks.sort(key=lambda mark: (-mark.area, mark.box.top, mark.box.left))
    height, width = pixels.shape[:2]
    texts = [
        Text(
            text,
            _box(line.left, line.top, line.right, line.bottom, width, height),
            _ink_color(cleaned, found, labels, line),
            _panel_at(areas, (line.left + line.right) / 2, (line.top + line.bottom) / 2),
        )
        for line, text in kept
    ]
    texts.sort(key=lambda text: (text.box.top, text.box.left))
    return Scene(
        image.width,
        image.height,
        background,
        tuple(texts),
        tuple(_panel(area, cleaned) for area in areas),
        tuple(marks[:MAX_MARKS]),
        max(len(marks) - MAX_MARKS, 0) + max(count - MAX_MARKS, 0),
    )


def _erase_ticks(contrast: np.ndarray, areas: list[Area]) -> None:
    """Takes short thin strokes at the sides of plot areas, and remnants of their frames, out of the ink, in place."""
    if not areas:
        return
    _, labels, stats, _ = cv2.connectedComponentsWithStats((contrast > 0).astype(np.uint8), connectivity=8)
    left, top, width, height, _ = stats.T
    right, bottom = left + width, top + height
    scale = max(max(contrast.shape) / TICK_SIDE, 1)
    longest, gap = MAX_TICK * scale, MAX_TICK_GAP * scale
    thin = (np.minimum(width, height) <= MAX_TICK_WIDTH * scale) & (np.maximum(width, height) <= longest)
    tick = np.zeros(len(stats), dtype=bool)
    for area in areas:
        beside = (bottom >= area.top - gap) & (top <= area.bottom + gap)
        beside &= (
            (np.abs(right - area.left) <= gap) | (np.abs(left - area.right) <= gap) | (np.abs(left - area.left) <= gap)
        )
        under = (right >= area.left - gap) & (left <= area.right + gap)
        under &= (
            (np.abs(top - area.bottom) <= gap) | (np.abs(bottom - area.top) <= gap) | (np.abs(bottom - area.bottom) <= gap)
        )
        tick |= thin & (beside | under)
    tick[0] = False
    contrast[tick[labels]] = 0


def _texts(
    lines: list[Line], labels: np.ndarray, found: Layers, areas: list[Area], pixels: np.ndarray, read: ReadLines
) -> list[tuple[Line, str]]:
    """The lines that are text; what reads as nothing is something drawn."""
    likely = [line for line in lines if line.letters >= MIN_WORD or _may_be_text(line, labels, found, areas, pixels)]
    crops = [printed(line, found.contrast, labels) for line in likely]
    texts = read(crops)
    if read is no_ocr:
        return list(zip(likely, texts, strict=True))
    return [(line, text) for line, text in zip(likely, texts, strict=True) if any(map(str.isalnum, text))]


def _may_be_text(line: Line, labels: np.ndarray, found: Layers, areas: list[Area], pixels: np.ndarray) -> bool:
    """In a plot a few colored letters are markers, or dashes of a line."""
    inside = _panel_at(areas, (line.left + line.right) / 2, (line.top + line.bottom) / 2) is not None
    return not inside or is_gray(_ink_color(pixels, found, labels, line))


def _ink_color(pixels: np.ndarray, found: Layers, labels: np.ndarray, line: Line) -> Color:
    part = slice(line.top, line.bottom), slice(line.left, line.right)
    return _strongest(pixels[part], np.where(np.isin(labels[part], line.pieces), found.contrast[part], 0))


def _strongest(pixels: np.ndarray, contrast: np.ndarray) -> Color:
    """The color of ink where it stands out most: half-tones along its edges do not count."""
    levels = np.sort(contrast[contrast > 0])
    strongest = np.sort(pixels[contrast >= levels[3 * len(levels) // 4]], axis=0)
    red, green, blue = strongest[len(strongest) // 2].tolist()
    return red, green, blue


def _box(left: float, top: float, right: float, bottom: float, width: int, height: int) -> Box:
    return Box(left / width, top / height, right / width, bottom / height)


def _panel_at(areas: list[Area], x: float, y: float) -> int | None:
    for number, area in enumerate(areas):
        if area.left <= x <= area.right and area.top <= y <= area.bottom:
            return number
    return None


def _panel(area: Area, pixels: np.ndarray) -> Panel:
    height, width = pixels.shape[:2]
    box = _box(area.left, area.top, area.right, area.bottom, width, height)
    return Panel(box, _ground_color(area, pixels), area.rows, area.columns, area.frame)


def _ground_color(area: Area, pixels: np.ndarray) -> Color:
    down, right = (min(GROUND_INSET, (side - 1) // 2) for side in (area.bottom - area.top, area.right - area.left))
    return along_edge(pixels[area.top + down : area.bottom - down, area.left + right : area.right - right])[0]


def _middle(extent: tuple[slice, slice]) -> tuple[float, float]:
    rows, columns = extent
    return (columns.start + columns.stop) / 2, (rows.start + rows.stop) / 2


class _Marks:
    """Makes marks of the numbered pieces of one image."""

    def __init__(self, pixels: np.ndarray, areas: list[Area], background: Color) -> None:
        self._pixels = pixels
        self._areas = areas
        self._background = background
        self._panels = {area: _ground_color(area, pixels) for area in areas}

    def grounds(self, found: Layers) -> list[Mark]:
        """Large regions that differ from what surrounds them."""
        marks = []
        for number, extent in enumerate(ndimage.find_objects(found.grounds, found.count), 1):
            own = found.grounds[extent] == number
            shown = self._pixels[extent][own]
            red, green, blue = np.median(shown[:: len(shown) // SAMPLE_PIXELS + 1], axis=0).astype(int).tolist()
            if not self._is_ground(number, extent, (red, green, blue), found):
                own |= self._covered(extent, own, found)
                marks.append(self._mark(extent, own.astype(np.uint8), (red, green, blue)))
        return marks

    def _is_ground(self, number: int, extent: tuple[slice, slice], color: Color, found: Layers) -> bool:
        """Whether a region is the background, a panel's ground, or a part of either that something encloses."""
        rows, columns = extent
        height, width = found.grounds.shape
        border = rows.start == 0, columns.start == 0, rows.stop == height, columns.stop == width
        if near(color, self._background, MAX_COLOR_DIFFERENCE) and any(border):
            return True
        for area in self._areas:
            if near(color, self._panels[area], MAX_COLOR_DIFFERENCE) and _panel_at([area], *_middle(extent)) is not None:
                return True
            inside = min(columns.stop, area.right) - max(columns.start, area.left)
            tall = min(rows.stop, area.bottom) - max(rows.start, area.top)
            whole = 0.9 * (area.right - area.left), 0.9 * (area.bottom - area.top)
            if is_gray(color) and inside >= whole[0] and tall >= whole[1]:
                return True
        grounds = (self._background, *self._panels.values())
        enclosed = 0.5 if any(near(color, ground, MAX_COLOR_DIFFERENCE) for ground in grounds) else 0.9
        if (
            enclosed > 0.5
            and (rows.stop - rows.start) * (columns.stop - columns.start) > MAX_LETTER_INSIDE * height * width
        ):
            return False
        reaches = 4, round(MAX_OUTLINE * max(height, width))
        return any(self._around(number, extent, reach, color, found) > enclosed for reach in reaches)

    def _around(self, number: int, extent: tuple[slice, slice], reach: int, color: Color, found: Layers) -> float:
        """Share of what lies `reach` pixels from a region that has its color."""
        rows, columns = extent
        top, left = max(rows.start - reach - 2, 0), max(columns.start - reach - 2, 0)
        around = slice(top, rows.stop + reach + 2), slice(left, columns.stop + reach + 2)
        away = cv2.distanceTransform((found.grounds[around] != number).astype(np.uint8), cv2.DIST_C, 3)
        ring = found.beneath[around][np.abs(away - reach) <= 1]
        if not len(ring):
            return 0.0
        return float((np.abs(ring.astype(int) - np.array(color)).max(axis=1) <= MAX_COLOR_DIFFERENCE).mean())

    def _covered(self, extent: tuple[slice, slice], own: np.ndarray, found: Layers) -> np.ndarray:
        """What of a region's inside is hidden by something that lies on it, rather than cut out."""
        outside = np.pad((~own).astype(np.uint8), 1, constant_values=1)
        cv2.floodFill(outside, None, (0, 0), 2)
        inside = outside[1:-1, 1:-1] == 1
        seen_through = (
            np.abs(found.beneath[extent].astype(int) - np.array(self._background)).max(axis=2) <= MAX_COLOR_DIFFERENCE
        )
        return inside & ~seen_through

    def strokes(self, labels: np.ndarray, count: int, found: Layers) -> list[Mark]:
        """Pieces of ink."""
        marks = []
        for number, extent in enumerate(ndimage.find_objects(labels, min(count, MAX_MARKS)), 1):
            own = (labels[extent] == number).astype(np.uint8)
            if not self._is_sliver(extent, own, found):
                color = _strongest(self._pixels[extent], np.where(own > 0, found.contrast[extent], 0))
                marks.append(self._mark(extent, own, color))
        return marks

    def _is_sliver(self, extent: tuple[slice, slice], own: np.ndarray, found: Layers) -> bool:
        if min(own.shape) > 2 or found.contrast[extent][own > 0].max() >= MIN_SLIVER_CONTRAST:
            return False
        rows, columns = extent
        around = slice(max(rows.start - 2, 0), rows.stop + 2), slice(max(columns.start - 2, 0), columns.stop + 2)
        return len(np.unique(found.grounds[around])) > 2

    def _mark(self, extent: tuple[slice, slice], own: np.ndarray, color: Color) -> Mark:
        rows, columns = extent
        height, width = self._pixels.shape[:2]
        area = int(own.sum())
        x, y = (float(sums @ (np.arange(len(sums)) + 0.5)) / area for sums in (own.sum(axis=0), own.sum(axis=1)))
        curve = area <= MAX_CURVE_SHARE * own.size
        return Mark(
            color,
            _box(columns.start, rows.start, columns.stop, rows.stop, width, height),
            ((columns.start + x) / width, (rows.start + y) / height),
            area / (width * height),
            area / own.size,
            _cells(own, GRID),
            _panel_at(self._areas, columns.start + x, rows.start + y),
            _cells(own, TRACE) if curve else b"",
        )


def _cells(own: np.ndarray, side: int) -> bytes:
    """How much of each of `side` x `side` cells is covered, 0 to 255."""
    how = cv2.INTER_AREA if own.size > side * side else cv2.INTER_LINEAR
    return cv2.resize(own * np.uint8(255), (side, side), interpolation=how).tobytes()
