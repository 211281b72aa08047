"""The guard `omission`: parts of the reference that are missing in the prediction, and what they cost.

A policy that learns that leaving out is cheaper than getting wrong leaves everything out. So each missing part costs what a
wrong one costs (MAX_SEVERITY, as in the local judge), less what the report already charges for what is missing:

    severity = S + max(0, MAX_SEVERITY * missing - (severities of the entries that speak of something missing))

Parts are counted, not compared: `missing_parts` returns for each kind how many fewer the prediction has. Cells are counted
with the empty ones and without them, and the larger difference counts. Removing parts can only raise these numbers, so no
image gets a lower severity for having fewer cells, whatever a judge does not report.

The layout must not count. Where it changes a number (text that wraps elsewhere, dashes, marks that touch), the number is an
estimate. Where the images look alike, a second number has to confirm that something is missing, see `confirmed`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import cv2
import numpy as np
from PIL import Image

from visual_erm.guard.legibility import print_of
from visual_erm.kinds import ImageReading
from visual_erm.reward.report import MAX_SEVERITY, Report
from visual_erm.vision.chart_scene import no_ocr, parse_scene
from visual_erm.vision.foreground import foreground
from visual_erm.vision.scene_types import Scene
from visual_erm.vision.table_grid import MIN_CONTRAST, Table, find_tables

Parts = Mapping[str, tuple[int, ...]]
"""Numbers of the parts in an image, by kind: first of all parts of the kind, then of narrower groups among them."""

GROUP_REACH = 0.02
"""Distance that foreground is grown by before groups are counted, as a share of the image's longer side."""
MAX_GROUP_SIDE = 400
"""Longer side in pixels to which an image is scaled down for this."""
CONFIRM_SLACK = 0.25
"""Share by which a second number may be smaller: another font makes a line a quarter shorter."""

WORD = re.compile(r"\d+(?:\.\d+)*|[^\W\d_]+")
"""A word or a number."""
_MISSING = re.compile(
    r"""
    missing | absent | omit | lack | \b(lost|dropped|removed|gone|truncated|incomplete|empty|blank|fewer|only|without)\b
    | \bcut\s+off\b | \bleft\s+out\b | \bno\s+longer\b
    | \bnot\s+(present|shown|drawn|there|included|visible|displayed|rendered|in\b)
    | n[o']t\s+(appear|exist|have|contain|include|show)
    | 缺 | 少 | 没有 | 遗漏 | 丢失 | 未显示 | 不存在
    """,
    re.VERBOSE | re.IGNORECASE,
)


def cells(image: np.ndarray, tables: Sequence[Table]) -> Parts:
    """Counts the parts of bordered tables.

    Args:
        image: Gray levels, shape (height, width), uint8.
        tables: The tables in it, from `find_tables`.

    Returns:
        `cell`: all cells, and those that show something. `line`: lines of text beside the tables.
    """
    inside = [image[box.top : box.bottom, box.left : box.right] for table in tables for box in table.cells]
    filled = sum(int(np.ptp(cell)) >= MIN_CONTRAST for cell in inside if cell.size)
    inked = _beside(image, tables).any(axis=1)
    lines = np.count_nonzero(np.diff(inked.astype(np.int8), prepend=0) == 1)
    return {"cell": (len(inside), filled), "line": (int(lines),)}


def print_length(image: np.ndarray, tables: Sequence[Table]) -> Parts:
    """Measures how much text stands beside bordered tables, however its lines are broken.

    Args:
        image: Gray levels, shape (height, width), uint8.
        tables: The tables in it, from `find_tables`.

    Returns:
        `line`: length of the lines of text, laid end to end, in heights of a line.
    """
    ink = _beside(image, tables)
    edges = np.flatnonzero(np.diff(ink.any(axis=1).astype(np.int8), prepend=0, append=0))
    lengths = [np.flatnonzero(ink[top:bottom].any(axis=0)) for top, bottom in zip(edges[::2], edges[1::2], strict=True)]
    heights = edges[1::2] - edges[::2]
    widths = [int(columns[-1] - columns[0]) + 1 for columns in lengths]
    return {"line": (round(sum(widths) / float(np.median(heights))) if widths else 0,)}


def _beside(image: np.ndarray, tables: Sequence[Table]) -> np.ndarray:
    """What stands out beside the tables, and not in them."""
    page = np.ones(image.shape, dtype=bool)
    for table in tables:
        page[table.top : table.bottom, table.left : table.right] = False
    background = int(np.bincount(image[page], minlength=256).argmax()) if page.any() else 255
    visible: np.ndarray = (np.abs(image.astype(np.int16) - background) >= MIN_CONTRAST) & page
    return visible


def words(lines: Sequence[str]) -> Parts:
    """Counts the parts of a page without grid lines.

    Args:
        lines: The text of the page.

    Returns:
        `word`: words and numbers, as many whether or not OCR found the blanks beside commas.
    """
    return {"word": (sum(len(WORD.findall(line)) for line in lines),)}


def scene_parts(scene: Scene) -> Parts:
    """Counts the parts of a chart or a drawing.

    Args:
        scene: What the image shows.

    Returns:
        `part`: lines of text, plot areas, bars, lines, points and shapes. They are one number, because a few small marks
        may look like text, and a shape like a plot area.
    """
    return {"part": (len(scene.texts) + len(scene.panels) + len(scene.marks) + scene.uncounted_marks,)}


def groups(image: Image.Image) -> Parts:
    """Counts what stands apart in an image, however many pieces it consists of: a dashed line is one group.

    Args:
        image: The image.

    Returns:
        `part`: pieces of foreground between which there is a gap of more than twice GROUP_REACH.
    """
    visible = foreground(image) >= MIN_CONTRAST
    scale = MAX_GROUP_SIDE / max(visible.shape)
    if scale < 1:
        height, width = (max(1, round(side * scale)) for side in visible.shape)
        visible = cv2.resize(visible.astype(np.uint8) * 255, (width, height), interpolation=cv2.INTER_AREA) > 0
    side = 2 * max(1, round(max(visible.shape) * GROUP_REACH)) + 1
    grown = cv2.dilate(visible.astype(np.uint8), np.ones((side, side), np.uint8))
    return {"part": (cv2.connectedComponents(grown, connectivity=4)[0] - 1,)}


def cells_of(reading: ImageReading) -> Parts:
    """Counts the parts of an image of bordered tables.

    Args:
        reading: What can be read of the image.

    Returns:
        See `cells`.
    """
    gray = reading.gray
    return cells(gray, find_tables(gray))


def words_of(reading: ImageReading) -> Parts:
    """Counts the parts of an image of text.

    Args:
        reading: What can be read of the image.

    Returns:
        See `words`.
    """
    return words(reading.lines)


def letters_of(reading: ImageReading) -> Parts:
    """Counts what is shaped like letters: as many where text recognition loses words, or lines wrap elsewhere.

    Args:
        reading: What can be read of the image.

    Returns:
        `word`: the number of letters, or of words where nothing looks like letters.
    """
    return {"word": (len(print_of(reading.image, 1.0)),)}


def marks_of(reading: ImageReading) -> Parts:
    """Counts the parts of an image of a chart or a drawing.

    Args:
        reading: What can be read of the image.

    Returns:
        See `scene_parts`.
    """
    return scene_parts(parse_scene(reading.image, no_ocr))


def groups_of(reading: ImageReading) -> Parts:
    """Counts what stands apart in an image of a chart or a drawing.

    Args:
        reading: What can be read of the image.

    Returns:
        See `groups`.
    """
    return groups(reading.image)


def print_length_of(reading: ImageReading) -> Parts:
    """Measures the text beside bordered tables.

    Args:
        reading: What can be read of the image.

    Returns:
        See `print_length`.
    """
    gray = reading.gray
    return print_length(gray, find_tables(gray))


def missing_parts(reference: Parts, prediction: Parts, slack: float) -> dict[str, int]:
    """Counts the parts that are missing in the prediction.

    Args:
        reference: Parts of the reference image.
        prediction: Parts of the other image.
        slack: Share of a kind, 0 to 1, that may be missing, for parts whose number is only estimated.

    Returns:
        Number of missing parts by kind, without the kinds of which none is missing.

    >>> missing_parts({"cell": (12, 10), "line": (1,)}, {"cell": (12, 7), "line": (4,)}, slack=0)
    {'cell': 3}
    """
    missing = {}
    for kind, counts in reference.items():
        pairs = zip(counts, prediction.get(kind, (0,) * len(counts)), strict=True)
        missing[kind] = max(wanted - int(slack * wanted) - found for wanted, found in pairs)
    return {kind: count for kind, count in missing.items() if count > 0}


def confirmed(missing: Mapping[str, int], reference: Parts, prediction: Parts) -> dict[str, int]:
    """Leaves out of missing parts those that a second number shows to be there.

    Args:
        missing: Number of missing parts by kind, from `missing_parts`.
        reference: Second numbers of the reference, for some of the kinds.
        prediction: Those of the other image.

    Returns:
        The missing parts whose second number is smaller in the prediction too, by more than CONFIRM_SLACK, and those that
        have none.

    >>> confirmed({"cell": 2, "line": 1}, {"line": (60,)}, {"line": (58,)})
    {'cell': 2}
    """
    short = missing_parts(reference, prediction, CONFIRM_SLACK)
    return {kind: count for kind, count in missing.items() if kind in short or kind not in reference}


def unreported_severity(missing: Mapping[str, int], report: Report) -> float:
    """Computes the severity of missing parts that a report does not charge.

    Args:
        missing: Number of missing parts by kind, from `missing_parts`.
        report: What the judge reported.

    Returns:
        The severity to add to the report's, 0 or more.
    """
    charged = sum(entry.severity for entry in report.discrepancies if _MISSING.search(entry.description))
    return max(0, MAX_SEVERITY * sum(missing.values()) - charged)
