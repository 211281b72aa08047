"""What a tiny policy can be taught to write: tables, charts and SVG drawings behind one description.

A problem is small enough when everything that must be read fits a canvas of cells, with one visual token each. Each of the
modules `tiny_tables`, `tiny_charts` and `tiny_svgs` defines one problem. Data, warm start, evaluation and report know of no
other difference between them.
"""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from PIL import Image

CELL = 32
"""Side of a cell of the policy's images in pixels."""
MAX_ROWS, MAX_COLUMNS = 4, 3
"""Largest number of rows and columns of cells of an image."""
CANVAS = (MAX_COLUMNS * CELL, MAX_ROWS * CELL)
"""Width and height of every image in pixels."""
MAX_TEXT = 4
"""Largest number of characters of a text in a cell."""

TinySample = Any
"""One table, chart or drawing, in the form that its problem's module defines."""
Place = tuple[int, int]
"""Row and column on the canvas, from the top left."""


@dataclass(frozen=True)
class TinyProblem:
    """One kind of image, and the code for it."""

    task: str
    """Name of its task, which is `data_source` in the rows."""
    prompt: str
    """The policy's prompt after the image; a single token."""
    language: Literal["html", "python", "svg"]
    """Language of the policy's replies."""
    s_max: float
    """Severity from which on the visual reward is 0."""
    words: Sequence[str]
    """Words of the code that are single tokens of the policy."""
    runs: Sequence[str]
    """Fixed stretches of the code that are single tokens of the policy."""
    synthetic: Callable[[random.Random], TinySample]
    """Makes a random sample for the warm start."""
    batch: Callable[[random.Random, int], list[TinySample]]
    """Makes the given number of samples for one training step, with the same shapes in every step."""
    held_out: Callable[[random.Random, int], list[TinySample]]
    """Makes the given number of samples that neither warm start nor training shows, equally many of each shape."""
    damaged: Callable[[random.Random, TinySample], TinySample]
    """Makes a copy of a sample in which a part is missing, too many or wrong."""
    write: Callable[[TinySample], str]
    """Writes a sample as the policy is taught to write it."""
    read: Callable[[str], TinySample]
    """Reads the sample that a reply describes; an empty one when it describes none."""
    shape: Callable[[TinySample], Hashable]
    """Tells how many parts a sample has, and how they are arranged."""
    parts: Callable[[TinySample], Mapping[Any, Hashable]]
    """Returns what must be right, by its position."""
    sight: Callable[[TinySample], Mapping[Place, Sequence[str]]]
    """Returns what each cell of the canvas shows: at most MAX_TEXT letters, and a word."""
    render: Callable[[Sequence[TinySample]], Awaitable[list[Image.Image]]]
    """Renders the policy's images, RGB, each of the CANVAS size."""


def letters(text: str, word: str = "") -> tuple[str, ...]:
    """Describes a cell for `TinyProblem.sight`.

    Args:
        text: What is written in the cell, at most MAX_TEXT characters.
        word: Name of what else the cell shows.

    Returns:
        The letters, padded to MAX_TEXT, and the word.

    >>> letters("5.1", "red")
    ('5', '.', '1', '', 'red')
    """
    return (*text, *[""] * (MAX_TEXT - len(text)), word)
