"""What the kinds of code have read of an image. Their declarations (visual_erm/kinds) name these functions.

Each takes pixels and an OCR reader: `ocr.lines(crops)` reads one string per crop, `ocr.page(image)` the lines of a page.

    from visual_erm.vision.ocr import Ocr

    page_text(gray, Ocr())      # ('Total', '763')
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import numpy as np
from PIL import Image

from visual_erm.vision.chart_scene import parse_scene
from visual_erm.vision.ocr import Line
from visual_erm.vision.scene_types import Scene
from visual_erm.vision.table_cells import Reading
from visual_erm.vision.table_grid import read


class TextReader(Protocol):
    """Reads text in pixels: `Ocr`, or a reader that keeps what it has read."""

    @property
    def lines(self) -> Callable[[list[np.ndarray]], list[str]]:
        """Reads one string per crop."""

    @property
    def page(self) -> Callable[[np.ndarray], list[Line]]:
        """Reads the lines of a whole image."""


def page_text(gray: np.ndarray, ocr: TextReader) -> tuple[str, ...]:
    """Reads the text of a whole image.

    Args:
        gray: Gray levels, shape (height, width), uint8.
        ocr: The reader.

    Returns:
        Lines of text in reading order.
    """
    lines = ocr.page(gray)
    return tuple(line.text for line in sorted(lines, key=lambda line: (line.top + line.bottom, line.left)))


def read_table(gray: np.ndarray, ocr: TextReader) -> Reading:
    """Reads the cells of tables, and words where there is no grid.

    Args:
        gray: Gray levels, shape (height, width), uint8.
        ocr: The reader.

    Returns:
        Cells with their places and texts.
    """
    return read(gray, ocr.lines, ocr.page)


def table_text(gray: np.ndarray, ocr: TextReader) -> tuple[str, ...]:
    """Reads the text of tables cell by cell, which is faster and more exact than by page.

    Args:
        gray: Gray levels, shape (height, width), uint8.
        ocr: The reader.

    Returns:
        One string per cell.
    """
    return tuple(cell.text for cell in read_table(gray, ocr).cells)


def read_scene(pixels: np.ndarray, ocr: TextReader) -> Scene:
    """Reads texts, panels and marks of a chart or an SVG image.

    Args:
        pixels: RGB on white, shape (height, width, 3), uint8.
        ocr: The reader.

    Returns:
        What stands in the image and where.
    """
    return parse_scene(Image.fromarray(pixels), ocr.lines)
