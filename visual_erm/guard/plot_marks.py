"""Where the marks of a chart are, for the guard `under_reporting`: two charts with equal axes and other values look alike.

Axes, print and frames are most of a chart's foreground, and equal in charts of the same kind. So the marks alone are
compared: the edges of what is drawn inside the largest plot area, without its frame and lines through it. Edges tell where
a line runs, a bar ends and a slice begins. Their widths, dashes and grids hardly count.

    similarity(marks_of(pixels_of_reference), marks_of(pixels_of_prediction))
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from visual_erm.vision.colors import along_edge
from visual_erm.vision.gridlines import find_areas

LONGEST_SIDE = 800
"""Longest side in pixels; a larger image is scaled down to it."""
INSET = 2
"""Distance in pixels from the sides of a plot area at which its marks begin: frames are no marks."""
EDGE_SIDE = 256
"""Side in pixels of the square in which edges are found."""
MIN_EDGE = 24
"""Difference of a channel, 0 to 255, from which two neighbors have an edge between them."""
MAX_LINE_SHARE = 0.75
"""Share of a row or column from which its edges are those of a line through the whole plot, if they reach both ends."""
END = 6
"""Length in pixels of the ends of a row or column. Bars stop before them."""
THUMBNAIL_SIDE = 32
"""Side of a thumbnail in pixels."""
BLUR_SIGMA = 1.5
"""Standard deviation of its blur, in pixels of it."""
MARGIN = 4
"""Ground round a thumbnail, in pixels of it."""
MAX_SHIFT = 2
"""Largest distance, in pixels of a thumbnail, by which it is moved to fit better."""
CHANCE_CORRELATION = 0.42
"""Correlation of charts of the same kind with other values."""


@dataclass(frozen=True, eq=False)
class Marks:
    """Thumbnails of the edges in a chart: float32, mean 0 and length 1, or all 0 where there are none."""

    inside: np.ndarray | None
    """Of its largest plot area; None where there is none."""
    whole: np.ndarray
    """Of the whole image."""


def marks_of(pixels: np.ndarray, _: Any = None) -> Marks:
    """Finds where the marks of a chart are.

    Args:
        pixels: RGB on white, shape (height, width, 3), uint8.

    Returns:
        The thumbnails.
    """
    scale = LONGEST_SIDE / max(pixels.shape[:2])
    if scale < 1:
        height, width = (max(1, round(side * scale)) for side in pixels.shape[:2])
        pixels = cv2.resize(pixels, (width, height), interpolation=cv2.INTER_AREA)
    background = along_edge(pixels)[0]
    areas, _ = find_areas(pixels, background)
    inside = None
    if areas:
        area = max(areas, key=lambda area: (area.right - area.left) * (area.bottom - area.top))
        inside = _thumbnail(pixels[area.top + INSET : area.bottom - INSET, area.left + INSET : area.right - INSET])
    drawn = (pixels != np.array(background)).any(axis=2)
    rows, columns = np.flatnonzero(drawn.any(axis=1)), np.flatnonzero(drawn.any(axis=0))
    if len(rows):
        pixels = pixels[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    return Marks(inside, _thumbnail(pixels))


def similarity(reference: Marks, prediction: Marks) -> float:
    """Measures whether marks are in the same places.

    Args:
        reference: The marks of the reference.
        prediction: Those of the prediction.

    Returns:
        1 for the same places, about 0 for other values, -1 at least. Charts are compared as a whole where one of them has
        no plot area, and are alike if the reference has no edges.
    """
    one, other = reference.inside, prediction.inside
    if one is None or other is None:
        one, other = reference.whole, prediction.whole
    if not one.any():
        return 1.0
    moves = range(-MAX_SHIFT, MAX_SHIFT + 1)
    best = max(float(np.vdot(one, np.roll(other, (down, right), (0, 1)))) for down in moves for right in moves)
    return max((best - CHANCE_CORRELATION) / (1 - CHANCE_CORRELATION), -1.0)


def _thumbnail(pixels: np.ndarray) -> np.ndarray:
    square = cv2.resize(pixels, (EDGE_SIDE, EDGE_SIDE), interpolation=cv2.INTER_AREA).astype(np.int16)
    across = np.abs(np.diff(square, axis=1, append=square[:, -1:])).max(axis=2)
    down = np.abs(np.diff(square, axis=0, append=square[-1:])).max(axis=2)
    edges = (np.maximum(across, down) > MIN_EDGE).astype(np.float32)
    edges[_through(edges)] = 0
    edges[:, _through(edges.T)] = 0
    small = cv2.resize(edges, (THUMBNAIL_SIDE, THUMBNAIL_SIDE), interpolation=cv2.INTER_AREA)
    blurred = cv2.GaussianBlur(np.pad(small, MARGIN), (0, 0), BLUR_SIGMA)
    blurred = blurred - blurred.mean()
    length = float(np.sqrt(np.vdot(blurred, blurred)))
    return blurred / length if length else blurred


def _through(edges: np.ndarray) -> np.ndarray:
    """Which rows hold the edges of a line through the whole plot: a grid line."""
    ends = np.minimum(edges[:, :END].mean(axis=1), edges[:, -END:].mean(axis=1))
    found: np.ndarray = (edges.mean(axis=1) > MAX_LINE_SHARE) & (ends > 0.5)
    return found
