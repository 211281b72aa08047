"""The guard `omission`: parts of the reference that are missing in the prediction, and what they cost.

A policy that learns that leaving out is cheaper than getting wrong leaves everything out. So each missing part costs what a
wrong one costs (MAX_SEVERITY, as in the local judge), less what the report already charges for what is missing:

    severity = S + max(0, MAX_SEVERITY * missing - (severities of the entries that speak of something missing))

Parts are counted, not compared: `missing_parts` returns for each kind how many fewer the prediction has. Cells are counted
with the empty ones and without them, and the larger difference counts. Removing parts can only raise these numbers. So no
image gets a lower severity for having less in it, whatever a judge does not report.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import numpy as np

from visual_erm.kinds import ImageReading
from visual_erm.reward.report import MAX_SEVERITY, Report
from visual_erm.vision.chart_scene import no_ocr, parse_scene
from visual_erm.vision.scene_types import Scene
from visual_erm.vision.table_grid import MIN_CONTRAST, Table, find_tables

Parts = Mapping[str, tuple[int, ...]]
"""Numbers of the parts in an image, by kind: first of all parts of the kind, then of narrower groups among them."""

_WORD = re.compile(r"\d+(?:\.\d+)*|[^\W\d_]+")
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
    page = np.ones(image.shape, dtype=bool)
    for table in tables:
        page[table.top : table.bottom, table.left : table.right] = False
    background = int(np.bincount(image[page], minlength=256).argmax()) if page.any() else 255
    inked = ((np.abs(image.astype(np.int16) - background) >= MIN_CONTRAST) & page).any(axis=1)
    lines = np.count_nonzero(np.diff(inked.astype(np.int8), prepend=0) == 1)
    return {"cell": (len(inside), filled), "line": (int(lines),)}


def words(lines: Sequence[str]) -> Parts:
    """Counts the parts of a page without grid lines.

    Args:
        lines: The text of the page.

    Returns:
        `word`: words and numbers, as many whether or not OCR found the blanks beside commas.
    """
    return {"word": (sum(len(_WORD.findall(line)) for line in lines),)}


def scene_parts(scene: Scene) -> Parts:
    """Counts the parts of a chart or a drawing.

    Args:
        scene: What the image shows.

    Returns:
        `text`: lines of text. `panel`: plot areas. `mark`: bars, lines, points and shapes.
    """
    return {"text": (len(scene.texts),), "panel": (len(scene.panels),), "mark": (len(scene.marks) + scene.uncounted_marks,)}


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


def marks_of(reading: ImageReading) -> Parts:
    """Counts the parts of an image of a chart or a drawing.

    Args:
        reading: What can be read of the image.

    Returns:
        See `scene_parts`.
    """
    return scene_parts(parse_scene(reading.image, no_ocr))


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
