"""What a tiny policy can be taught to write: tables, charts and SVG images behind one plain description.

A problem is small enough when everything that must be read fits one canvas of cells, one visual token each. The modules
`tiny_tables`, `tiny_charts` and `tiny_svgs` each end with theirs; data, warm start, evaluation and report know no other
difference between them.
"""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from PIL import Image

CELL = 32
"""Side of a cell in the policy's images, in pixels."""
MAX_ROWS, MAX_COLUMNS = 4, 3
"""Cells of a image."""
CANVAS = (MAX_COLUMNS * CELL, MAX_ROWS * CELL)
"""Width and height of every image."""
MAX_TEXT = 4
"""Characters of a text in a cell."""

Sample = Any
"""One table, chart or image, as its problem's module describes it."""
Place = tuple[int, int]
"""Row and column on the canvas, from the top left."""


@dataclass(frozen=True)
class Problem:
    """One kind of image and the code for it."""

    task: str
    """Name of its task: the rows' `data_source`."""
    prompt: str
    """All that the policy is asked, after the image; a single token."""
    language: Literal["html", "python", "svg"]
    """What it answers in."""
    s_max: float
    """Severity at which nothing is left of the visual reward."""
    words: Sequence[str]
    """Single tokens of the policy: words that its code holds."""
    runs: Sequence[str]
    """Single tokens of the policy: fixed stretches of its code."""
    synthetic: Callable[[random.Random], Sample]
    """A random sample for the warm start."""
    batch: Callable[[random.Random, int], list[Sample]]
    """So many samples for one training step, of the same shapes in every step."""
    held_out: Callable[[random.Random, int], list[Sample]]
    """So many samples that neither the warm start nor the training shows, equally many of each shape."""
    damaged: Callable[[random.Random, Sample], Sample]
    """The sample with a part missing, too many or wrong."""
    write: Callable[[Sample], str]
    """The sample as the policy is taught to write it."""
    read: Callable[[str], Sample]
    """The sample that a reply describes; an empty one when it describes none."""
    shape: Callable[[Sample], Hashable]
    """How many parts it has, and how they are arranged."""
    parts: Callable[[Sample], Mapping[Any, Hashable]]
    """What must be right, by where it is."""
    sight: Callable[[Sample], Mapping[Place, Sequence[str]]]
    """What can be seen in each cell of the canvas: at most MAX_TEXT letters, and a word."""
    draw: Callable[[Sequence[Sample]], Awaitable[list[Image.Image]]]
    """The policy's images, RGB, each of the CANVAS size."""


def letters(text: str, word: str = "") -> tuple[str, ...]:
    """What `sight` says of a cell that shows `text`, and beside it something that is called `word`.

    >>> letters("5.1", "red")
    ('5', '.', '1', '', 'red')
    """
    return (*text, *[""] * (MAX_TEXT - len(text)), word)
