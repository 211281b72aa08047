"""Image -> cells: finds the grid lines of a table, cuts its cells out and reads them.

Lines that touch each other form a grid, and every hole in it is a cell. So spans need no further thought, and where a short
row has no cell there is none, because the place is open to the outside. An image without a grid (a scan, a table with three
lines) is read as lines of text. Only what is visible is read: ink that hardly differs from its background counts as
background. The time is bounded by the size of the image: a few seconds for 16 megapixels, besides the OCR.

    read(gray(image), ocr.lines, ocr.page).rows
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from scipy import ndimage

from visual_erm.vision.budget import check_budget
from visual_erm.vision.ocr import Line
from visual_erm.vision.table_cells import UNREADABLE, Cell, Reading

MAX_CELLS = 3000
"""Cells looked at per image, in reading order; the rest of a larger table is ignored."""
MAX_PRINT = 100_000
"""Pixels of text, laid end to end, that are read per image (half a minute); the rest counts as unreadable."""
MIN_CONTRAST = 32
"""Gray levels (of 255) below which a difference from the background is not seen."""
LINE_LEVELS = (51, 160, 240)
"""Gray levels at which lines are looked for: exactly the renderer's own #333, then anything dark, then anything drawn."""
SMALLEST = 8
"""Pixels of the shorter side of the smallest cell; smaller holes are those in letters."""
SNAP = 3
"""Pixels by which the edges of cells of one row or column may differ."""
LINE_HEIGHT = 15
"""Pixels: ink in two bands that together are no taller is one line (i, =, :), at the renderer's 14 px."""
WINDOW = 20
"""Pixels in height of the strip that is read of a one-line cell, so that a dash keeps its height above the baseline."""
BAR = 2
"""Pixels in height of the tallest mark that is a dash when it is wider than tall; OCR makes all sorts of things of one."""

PIXELS_PER_PART = 24
"""An image has at most one separate part of ink for so many pixels: print of 6 px has half as many. Noise and checkerboards
have more, and reading them would take a time that grows with their number."""
MOST_PARTS = 60_000
"""Parts of ink that are looked at, however large the image is."""
MAX_FIGURES = 10_000
"""Parts of ink, the largest ones, in which cells are looked for; a table is larger than the letters round it."""
MAX_OVERLAP = 16
"""Times that the boxes round those parts may cover the image: many nested open shapes cover it more often."""

ReadLines = Callable[[list[np.ndarray]], list[str]]
ReadPage = Callable[[np.ndarray], list[Line]]


@dataclass(frozen=True)
class Box:
    """Interior of a cell in pixels, ends exclusive, with its place (from 0) and spans in the grid."""

    top: int
    left: int
    bottom: int
    right: int
    row: int = 0
    column: int = 0
    rows: int = 1
    columns: int = 1


class TooManyParts(Exception):
    """The ink of an image falls into more parts than are looked at."""


@dataclass(frozen=True)
class Table:
    """A bordered table: its extent with its lines, in pixels, and its cells in reading order."""

    top: int
    left: int
    bottom: int
    right: int
    cells: list[Box]


def read(image: np.ndarray, lines: ReadLines, page: ReadPage) -> Reading:
    """Reads what an image of a table says.

    The time is bounded by the size of the image. An image of noise or of a fine pattern, which has more parts of ink than
    PIXELS_PER_PART and MOST_PARTS allow, is not read: its one cell is UNREADABLE.

    Args:
        image: Gray levels, shape (height, width), uint8.
        lines: Reads crops of one line each, see `Ocr.lines`.
        page: Finds and reads all text of an image, see `Ocr.page`.

    Returns:
        The cells of bordered tables, or lines of text where there are none.
    """
    try:
        tables = _find_tables(image)
    except TooManyParts:
        return Reading(((Cell(UNREADABLE, 1, 1, bordered=False),),))
    if tables:
        return _read_tables(image, tables, lines)
    found = page(image) if _ink(image).any() else []
    return Reading(_text_rows(found))


def find_tables(image: np.ndarray) -> list[Table]:
    """Finds the bordered tables of an image.

    Args:
        image: Gray levels, shape (height, width), uint8.

    Returns:
        The tables from top to bottom; none where the image has too many parts of ink, see `read`.
    """
    try:
        return _find_tables(image)
    except TooManyParts:
        return []


def _find_tables(image: np.ndarray) -> list[Table]:
    best: list[Table] = []
    for level in LINE_LEVELS:
        exact = level == LINE_LEVELS[0]
        tables = _tables(image == level if exact else image < level)
        if not exact:
            tables = [table for table in tables if _is_grid(table)]
        if sum(len(table.cells) for table in tables) > sum(len(table.cells) for table in best):
            best = tables
        if exact and best and not _outside(image, best).any():
            break
    return best


def _is_grid(table: Table) -> bool:
    """At least two rows and two columns: fewer in unknown ink is a frame or a stripe, not a bordered table."""
    return len({box.row for box in table.cells}) > 1 and len({box.column for box in table.cells}) > 1


def _tables(ink: np.ndarray) -> list[Table]:
    labels, count = ndimage.label(ink)
    _check_parts(count, ink.size)
    tables = []
    taken = np.zeros(ink.shape, dtype=bool)
    searched = 0
    for number, (rows, columns) in _figures(labels):
        check_budget()
        if taken[rows.start, columns.start]:
            continue
        extent = rows, columns
        searched += (rows.stop - rows.start) * (columns.stop - columns.start)
        if searched > MAX_OVERLAP * ink.size:
            raise TooManyParts
        boxes = _holes(labels[extent] == number, rows.start, columns.start)
        if boxes:
            taken[extent] = True
            tables.append(Table(rows.start, columns.start, rows.stop, columns.stop, _placed(boxes)))
    return tables


def _figures(labels: np.ndarray) -> list[tuple[int, tuple[slice, slice]]]:
    """The parts that are large enough for a cell, in the order of their numbers, with their extents."""
    found = [
        (number, (rows, columns))
        for number, (rows, columns) in enumerate(ndimage.find_objects(labels), 1)
        if min(rows.stop - rows.start, columns.stop - columns.start) >= SMALLEST + 2
    ]
    if len(found) <= MAX_FIGURES:
        return found
    areas = [(rows.stop - rows.start) * (columns.stop - columns.start) for _, (rows, columns) in found]
    largest = np.argsort(-np.array(areas), kind="stable")[:MAX_FIGURES]
    return [found[place] for place in np.sort(largest)]


def _check_parts(count: int, pixels: int) -> None:
    if count > min(max(pixels // PIXELS_PER_PART, MAX_CELLS), MOST_PARTS):
        raise TooManyParts


def _holes(grid: np.ndarray, top: int, left: int) -> list[Box]:
    """The rectangular holes of a connected figure."""
    ys, xs = _changes(grid), _changes(grid.T)
    if min(len(ys), len(xs)) < 4:  # round a hole there is a side above and below it, to the left and to the right
        return []
    small = np.zeros((len(ys) + 1, len(xs) + 1), dtype=bool)
    small[1:-1, 1:-1] = grid[np.ix_(ys[:-1], xs[:-1])]
    labels, count = ndimage.label(~small)
    _check_parts(count, MOST_PARTS * PIXELS_PER_PART)
    outside = labels[0, 0]
    heights, widths = np.pad(np.diff(ys), 1), np.pad(np.diff(xs), 1)
    areas = np.bincount(labels.ravel(), weights=np.outer(heights, widths).ravel())
    boxes = []
    for number, extent in enumerate(ndimage.find_objects(labels), 1):
        if number == outside:
            continue
        rows, columns = extent
        y0, y1 = ys[rows.start - 1], ys[rows.stop - 1]
        x0, x1 = xs[columns.start - 1], xs[columns.stop - 1]
        if min(y1 - y0, x1 - x0) >= SMALLEST and areas[number] >= 0.9 * (y1 - y0) * (x1 - x0):
            boxes.append(Box(int(top + y0), int(left + x0), int(top + y1), int(left + x1)))
    return boxes


def _changes(grid: np.ndarray) -> np.ndarray:
    """Where a row differs from the one before it, with both ends."""
    differs = np.flatnonzero((grid[1:] != grid[:-1]).any(axis=1)) + 1
    return np.concatenate(([0], differs, [len(grid)]))


def _placed(boxes: list[Box]) -> list[Box]:
    """The boxes with their places and spans in the grid, in reading order."""
    tops, lefts = _edges([box.top for box in boxes]), _edges([box.left for box in boxes])
    row = np.searchsorted(tops, [box.top for box in boxes], "right") - 1
    column = np.searchsorted(lefts, [box.left for box in boxes], "right") - 1
    rows = np.searchsorted(tops, [box.bottom for box in boxes]) - row
    columns = np.searchsorted(lefts, [box.right for box in boxes]) - column
    places = np.stack([row, column, rows, columns], axis=1).tolist()
    placed = [Box(box.top, box.left, box.bottom, box.right, *place) for box, place in zip(boxes, places, strict=True)]
    return sorted(placed, key=lambda box: (box.row, box.column))


def _edges(positions: list[int]) -> list[int]:
    """The distinct positions; those within SNAP of one before them are the same."""
    edges: list[int] = []
    for position in sorted(set(positions)):
        if not edges or position - edges[-1] > SNAP:
            edges.append(position)
    return edges


def _outside(image: np.ndarray, tables: list[Table]) -> np.ndarray:
    """The ink of an image without its tables, as `_ink`."""
    page = np.ones(image.shape, dtype=bool)
    for table in tables:
        page[table.top : table.bottom, table.left : table.right] = False
    return np.where(page, _ink(image, image[page]), 0)


def _ink(image: np.ndarray, sample: np.ndarray | None = None) -> np.ndarray:
    """Gray levels by which each pixel differs from the background, 0 where that cannot be seen: int16.

    The background is the most frequent level of `sample`, by default of the whole image.
    """
    background = int(np.bincount((image if sample is None else sample).ravel(), minlength=256).argmax())
    difference = np.abs(image.astype(np.int16) - background)
    difference[difference < MIN_CONTRAST] = 0
    return difference


def _read_tables(image: np.ndarray, tables: list[Table], lines: ReadLines) -> Reading:
    stray = _outside(image, tables)
    parts = [(table.top, table.left, table.cells) for table in tables]
    parts += [(top, 0, []) for top, _ in _bands(stray)]
    bottoms = dict(_bands(stray))

    found: list[tuple[Cell, list[np.ndarray]]] = []
    row = 0
    for top, _, boxes in sorted(parts, key=lambda part: part[:2]):
        for box in boxes[: MAX_CELLS - len(found)]:
            cell = Cell("", row + box.row + 1, box.column + 1, box.rows, box.columns)
            found.append((cell, _strips(_ink(image[box.top : box.bottom, box.left : box.right]))))
        if not boxes:
            found.append((Cell("", row + 1, 1, bordered=False), _strips(stray[top : bottoms[top]])))
        row += max((box.row for box in boxes), default=0) + 1
    found = found[:MAX_CELLS]

    texts = iter(_read_strips([strip for _, strips in found for strip in strips], lines))
    rows: dict[int, list[Cell]] = {}
    for cell, strips in found:
        text = " ".join(filter(None, [next(texts) for _ in strips])) or (UNREADABLE if strips else "")
        rows.setdefault(cell.row, []).append(replace(cell, text=text))
    return Reading(tuple(tuple(rows[number]) for number in sorted(rows)), bordered=True)


def _read_strips(strips: list[np.ndarray], lines: ReadLines) -> list[str]:
    texts = ["-" if _is_bar(strip) else "" for strip in strips]
    ends = np.cumsum([strip.shape[1] for strip in strips])
    unread = [index for index, text in enumerate(texts) if not text and ends[index] <= MAX_PRINT]
    for index, text in zip(unread, lines([_printed(strips[index]) for index in unread]), strict=True):
        texts[index] = text
    return texts


def _is_bar(strip: np.ndarray) -> bool:
    inked = np.flatnonzero(strip.any(axis=1))
    height = inked[-1] + 1 - inked[0]
    return bool(height <= BAR and strip.shape[1] > height and strip.any(axis=0).all())


def _strips(ink: np.ndarray) -> list[np.ndarray]:
    """The ink of a cell, line by line, blank sides cut off."""
    bands = _bands(ink)
    strips = []
    for top, bottom in bands:
        margin = max(WINDOW - (bottom - top), 4)
        middle = len(ink) // 2 if len(bands) == 1 else (top + bottom) // 2
        start = middle - WINDOW // 2
        if not start <= top <= bottom <= start + WINDOW:
            start = top - margin // 2
        stop = max(start + WINDOW, bottom + margin // 2)
        inked = np.flatnonzero(ink[top:bottom].any(axis=0))
        strip = np.zeros((stop - start, inked[-1] + 1 - inked[0]), dtype=ink.dtype)
        strip[top - start : bottom - start] = ink[top:bottom, inked[0] : inked[-1] + 1]
        strips.append(strip)
    return strips


def _bands(ink: np.ndarray) -> list[tuple[int, int]]:
    """Top and bottom (exclusive) of each line of text."""
    inked = np.flatnonzero(ink.any(axis=1))
    if not len(inked):
        return []
    breaks = np.flatnonzero(np.diff(inked) > 1)
    starts = inked[np.concatenate(([0], breaks + 1))]
    ends = inked[np.concatenate((breaks, [len(inked) - 1]))] + 1
    limit = max(LINE_HEIGHT, 1.1 * (ends - starts).max())
    bands: list[tuple[int, int]] = []
    for top, bottom in zip(starts.tolist(), ends.tolist(), strict=True):
        if bands and bottom - bands[-1][0] <= limit:
            bands[-1] = (bands[-1][0], bottom)
        else:
            bands.append((top, bottom))
    return bands


def _printed(strip: np.ndarray) -> np.ndarray:
    """A strip of ink as black on white with a margin left and right."""
    return np.pad(255 - strip, ((0, 0), (3, 3)), constant_values=255).astype(np.uint8)


def _text_rows(found: list[Line]) -> tuple[tuple[Cell, ...], ...]:
    """Lines of text as rows: lines side by side are one row."""
    rows: list[list[Line]] = []
    for line in sorted(found, key=lambda line: line.top + line.bottom):
        if rows and (line.top + line.bottom) / 2 < (rows[-1][0].top + 3 * rows[-1][0].bottom) / 4:
            rows[-1].append(line)
        else:
            rows.append([line])
    return tuple(
        tuple(
            Cell(line.text, number, place, bordered=False)
            for place, line in enumerate(sorted(row, key=lambda line: line.left), 1)
        )
        for number, row in enumerate(rows, 1)
    )
