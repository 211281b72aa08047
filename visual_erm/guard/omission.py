"""Parts of the reference that are absent from the prediction, counted by kind, and what they cost where no report says so.

A policy that learns that leaving out is cheaper than getting wrong leaves everything out. So each absent part is worth what
a wrong one is worth (MAX_SEVERITY, as in the local judge), less what the report already charges for what is missing:

    severity = S + max(0, MAX_SEVERITY * absent - (severities of the entries that speak of something missing))

Parts are counted, not compared: `absent` is, kind by kind, how many fewer the prediction has; cells are counted with the
empty ones and without them, and the larger lack counts. Taking parts away can only raise it, so whatever a judge leaves
unsaid, no image is priced lower for having less in it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import numpy as np

from visual_erm.kinds import ImageReading
from visual_erm.reward.report import MAX_SEVERITY, Report
from visual_erm.vision.chart_scene import see, unread
from visual_erm.vision.scene_types import Scene
from visual_erm.vision.table_grid import MIN_CONTRAST, Table, find_tables

Parts = Mapping[str, tuple[int, ...]]
"""How many parts of each kind a image shows: of the kind as such, and of narrower ones among them."""

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
    """Parts of ruled tables: cells, among them those with ink, and lines of text beside the tables.

    `image`: gray levels, shape (height, width), uint8.
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
    """Parts of a page without ruling: its words and numbers, as many whether or not blanks beside commas were seen."""
    return {"word": (sum(len(_WORD.findall(line)) for line in lines),)}


def drawn(seen: Scene) -> Parts:
    """Parts of a chart or a drawing."""
    return {"text": (len(seen.texts),), "panel": (len(seen.panels),), "mark": (len(seen.marks) + seen.uncounted_marks,)}


def cells_of(reading: ImageReading) -> Parts:
    """Parts of an image of ruled tables, see `cells`."""
    gray = reading.gray
    return cells(gray, find_tables(gray))


def words_of(reading: ImageReading) -> Parts:
    """Parts of an image of text, see `words`."""
    return words(reading.lines)


def marks_of(reading: ImageReading) -> Parts:
    """Parts of an image of a chart or a drawing, see `drawn`."""
    return drawn(see(reading.image, unread))


def absent(reference: Parts, prediction: Parts, slack: float) -> dict[str, int]:
    """How many parts of each kind the prediction lacks, kinds that it lacks none of left out.

    `slack`: share of a kind that may be absent, for parts that are only estimated.

    >>> absent({"cell": (12, 10), "line": (1,)}, {"cell": (12, 7), "line": (4,)}, slack=0)
    {'cell': 3}
    """
    lacking = {}
    for kind, counts in reference.items():
        pairs = zip(counts, prediction.get(kind, (0,) * len(counts)), strict=True)
        lacking[kind] = max(ours - int(slack * ours) - theirs for ours, theirs in pairs)
    return {kind: count for kind, count in lacking.items() if count > 0}


def unpriced(missing: Mapping[str, int], report: Report) -> int:
    """The severity of what is missing that a report does not charge."""
    charged = sum(entry.severity for entry in report.discrepancies if _MISSING.search(entry.description))
    return max(0, MAX_SEVERITY * sum(missing.values()) - charged)
