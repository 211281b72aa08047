"""Ink -> lines of text: pieces of ink that look like letters and stand in a row, across or upwards.

For clean print this costs a fraction of a text detector. A line that OCR reads as nothing is no text. Letters that touch
what they stand on stay marks. Text at other angles is not found.

    lines, labels = find_lines(contrast)
    crops = [printed(line, contrast, labels) for line in lines]
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

MIN_LETTER_HEIGHT = 5
"""Height of the smallest letter in pixels."""
MAX_LETTER_HEIGHT = 0.14
"""Height of the largest letter, as a share of the image's height."""
MAX_STROKE = 0.5
"""Thickest stroke, as a share of a letter's height."""
MAX_SPACE = 0.67
"""Widest gap in a line, as a share of a letter's height."""
WIDEST_SIGN = 1.1
"""Width of the widest sign that is no letter, such as a minus, as a share of the height of the letter beside it."""
MAX_LETTERS = 2000
"""Number of letters that are looked at in an image."""
MAX_LINES = 300
"""Number of lines of text that are found in an image, those with the most letters."""


@dataclass(frozen=True)
class Line:
    """Where a line of text stands, in pixels, ends exclusive."""

    left: int
    top: int
    right: int
    bottom: int
    upwards: bool
    letters: int
    pieces: tuple[int, ...]
    """Numbers of its pieces of ink."""


def find_lines(contrast: np.ndarray) -> tuple[list[Line], np.ndarray]:
    """Finds lines of text.

    Args:
        contrast: How much each pixel stands out, 0 for none: shape (height, width), uint8.

    Returns:
        At most MAX_LINES lines, those with the most letters first. And the number of each pixel's piece of ink, from 1, 0
        for none: shape (height, width), int32.
    """
    count, labels, stats, _ = cv2.connectedComponentsWithStats((contrast > 0).astype(np.uint8), connectivity=8)
    if count == 1:
        return [], labels
    left, top, width, height, area = stats.T.astype(np.int64)
    tallest = max(MAX_LETTER_HEIGHT * max(contrast.shape), 4 * MIN_LETTER_HEIGHT)
    depth = cv2.distanceTransform(np.pad((contrast > 0).astype(np.uint8), 1), cv2.DIST_C, 3)[1:-1, 1:-1]
    inked = np.flatnonzero(contrast)
    deepest = np.zeros(count, np.float32)
    np.maximum.at(deepest, labels.ravel()[inked].astype(np.intp), depth.ravel()[inked])
    stroke = 2 * deepest - 1
    small = (np.maximum(height, width) <= 4 * tallest) & (np.minimum(height, width) <= tallest)
    small[0] = False
    chosen = np.flatnonzero(small)
    chosen = chosen[np.argsort(-area[chosen], kind="stable")][:MAX_LETTERS]
    boxes = np.stack([left, top, left + width, top + height], axis=1)[chosen]
    stroke = stroke[chosen]
    across = _rows(boxes, stroke)
    up = _rows(boxes[:, [1, 0, 3, 2]], stroke)
    sizes = np.bincount(across)[across], np.bincount(up)[up]
    turned = (sizes[1] > sizes[0]) & (sizes[1] >= 3) & (sizes[0] <= 2)
    lines = []
    for groups, members, upwards in ((across, ~turned, False), (up, turned, True)):
        for group in np.unique(groups[members]):
            parts = np.flatnonzero((groups == group) & members)
            line = _line(boxes[parts], stroke[parts], upwards, chosen[parts])
            if line:
                lines.append(line)
    lines.sort(key=lambda line: -line.letters)
    return lines[:MAX_LINES], labels


def _rows(boxes: np.ndarray, stroke: np.ndarray) -> np.ndarray:
    """The number of the row that each piece stands in; boxes as left, top, right, bottom."""
    left, top, right, bottom = boxes.T
    height = bottom - top
    order = np.argsort(left, kind="stable")
    starts, stops = [], []
    letter = (height >= MIN_LETTER_HEIGHT) & (stroke <= MAX_STROKE * height)
    reach = MAX_SPACE * np.minimum(height.max(initial=0), 10_000)
    ends = np.searchsorted(left[order], right[order] + reach, "right")
    for place, one in enumerate(order):
        others = order[place + 1 : ends[place]]
        tall = np.maximum(height[one], height[others])
        overlap = np.minimum(bottom[one], bottom[others]) - np.maximum(top[one], top[others])
        gap = left[others] - right[one]
        both = letter[one] & letter[others]
        level = np.where(both, overlap >= 0.5 * np.minimum(height[one], height[others]), overlap > 0)
        level |= (letter[one] | letter[others]) & _below(top, bottom, one, others)
        close = (gap <= MAX_SPACE * tall) & (gap >= -0.8 * tall)
        alike = np.where(both, tall <= 2.6 * np.minimum(height[one], height[others]), letter[one] | letter[others])
        narrow = np.where(both, True, np.maximum(right[one] - left[one], 0) <= WIDEST_SIGN * tall)
        narrow &= np.where(both | letter[others], True, right[others] - left[others] <= WIDEST_SIGN * tall)
        near = others[level & close & alike & narrow]
        starts += [one] * len(near)
        stops += near.tolist()
    graph = coo_matrix((np.ones(len(starts), np.int8), (starts, stops)), shape=(len(boxes), len(boxes)))
    return connected_components(graph, directed=False)[1]


def _below(top: np.ndarray, bottom: np.ndarray, one: int, others: np.ndarray) -> np.ndarray:
    """Full stops, dots and accents: just under or over a letter's own height."""
    tall = np.maximum(bottom[one] - top[one], bottom[others] - top[others])
    middle = np.abs((top[one] + bottom[one]) - (top[others] + bottom[others])) / 2
    return middle <= 0.75 * tall


def _line(boxes: np.ndarray, stroke: np.ndarray, upwards: bool, numbers: np.ndarray) -> Line | None:
    along = boxes[:, [1, 0, 3, 2]] if upwards else boxes
    height = along[:, 3] - along[:, 1]
    letters = int(((height >= MIN_LETTER_HEIGHT) & (stroke <= MAX_STROKE * height)).sum())
    if not letters:
        return None
    left, top = boxes[:, :2].min(axis=0).tolist()
    right, bottom = boxes[:, 2:].max(axis=0).tolist()
    return Line(left, top, right, bottom, upwards, letters, tuple(numbers.tolist()))


def printed(line: Line, contrast: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Cuts a line of text out for OCR.

    Args:
        line: The line.
        contrast: As for `find_lines`.
        labels: Numbers of the pieces of ink, from `find_lines`.

    Returns:
        The line dark on white, upright, with a margin: shape (height, width), uint8.
    """
    part = contrast[line.top : line.bottom, line.left : line.right]
    own = np.isin(labels[line.top : line.bottom, line.left : line.right], line.pieces)
    ink = np.where(own, part, 0).astype(np.float32)
    ink *= 255 / max(ink.max(), 1)
    crop = (255 - ink).astype(np.uint8)
    if line.upwards:
        crop = np.rot90(crop, -1)
    margin = max(round(0.3 * len(crop)), 3)
    return np.pad(crop, ((margin, margin), (margin, margin)), constant_values=255)
