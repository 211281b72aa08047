"""SVG images small enough for a tiny policy to read: circles, squares and triangles, each in a cell of its own.

All of them are made up, and one image in five is held out: which one depends on the image alone. The policy sees them
drawn small by Pillow, one cell per visual token; the judge sees what the renderer makes of the code.
"""

from __future__ import annotations

import random
import re
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

from bs4 import BeautifulSoup
from PIL import Image, ImageDraw

from visual_erm.demo.tiny_problem import CANVAS, CELL, MAX_COLUMNS, MAX_ROWS, Place, TinyProblem

COLORS = ("red", "green", "blue", "orange", "purple")
ELEMENTS = {
    "circle": '<circle r=".4" fill="',
    "square": '<rect x="-.4" y="-.4" width=".8" height=".8" fill="',
    "triangle": '<path d="M-.4 .4h.8L0-.4z" fill="',
}
"""Beginning of the element of each kind of shape."""
COUNTS = (2, 3, 4)
"""Numbers of shapes of the drawings."""
CELLS = [(column, row) for column in range(MAX_COLUMNS) for row in range(MAX_ROWS)]

START = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="-.5 -.5 {MAX_COLUMNS} {MAX_ROWS}"><g transform="translate('
TO_SHAPE, NEXT, END = ')">', '"/></g><g transform="translate(', '"/></g></svg>'


@dataclass(frozen=True)
class Shape:
    """One colored shape in one cell."""

    column: int
    row: int
    kind: str
    color: str


Drawing = tuple[Shape, ...]
"""At least one shape, ordered by column, then by row."""


def random_drawing(rng: random.Random, split: str, count: int) -> Drawing:
    """Makes a random drawing of one split.

    Args:
        rng: Source of randomness.
        split: `train` or `test`; no drawing belongs to both.
        count: Number of shapes.

    Returns:
        A drawing whose shapes are in different cells.
    """
    while True:
        cells = sorted(rng.sample(CELLS, count))
        drawing = tuple(Shape(*cell, rng.choice([*ELEMENTS]), rng.choice(COLORS)) for cell in cells)
        if (zlib.crc32(to_svg(drawing).encode()) % 5 == 0) == (split == "test"):
            return drawing


def synthetic_drawing(rng: random.Random) -> Drawing:
    """Makes a random drawing for the warm start.

    Args:
        rng: Source of randomness.

    Returns:
        A drawing of the training split.
    """
    return random_drawing(rng, "train", rng.choice(COUNTS))


def batch(rng: random.Random, count: int) -> list[Drawing]:
    """Makes samples of the training split for one step.

    Args:
        rng: Source of randomness.
        count: Number of samples.

    Returns:
        The samples, of the same shapes in every step.
    """
    return [random_drawing(rng, "train", COUNTS[i % len(COUNTS)]) for i in range(count)]


def held_out(rng: random.Random, count: int) -> list[Drawing]:
    """Makes samples of the test split.

    Args:
        rng: Source of randomness.
        count: Number of samples.

    Returns:
        The samples, equally many of each shape.
    """
    return [random_drawing(rng, "test", COUNTS[i % len(COUNTS)]) for i in range(count)]


def damaged(rng: random.Random, drawing: Drawing) -> Drawing:
    """Makes a wrong copy of a drawing.

    Args:
        rng: Source of randomness.
        drawing: The drawing to copy.

    Returns:
        The drawing without its last shape, with one shape repeated elsewhere, or with one shape moved.
    """
    kind = rng.choice(["drop", "double", "move"])
    if kind == "drop":
        return drawing[:-1]
    column, row = rng.choice(sorted(set(CELLS) - {(shape.column, shape.row) for shape in drawing}))
    chosen = rng.choice(drawing)
    rest = [shape for shape in drawing if kind == "double" or shape is not chosen]
    return tuple(sorted([*rest, replace(chosen, column=column, row=row)], key=lambda shape: (shape.column, shape.row)))


def to_svg(drawing: Drawing) -> str:
    """Writes a drawing as the policy is taught to write it.

    Args:
        drawing: The drawing.

    Returns:
        One `<svg>` element.

    >>> to_svg((Shape(2, 0, "circle", "red"),)).partition(">")[2]
    '<g transform="translate(2 0)"><circle r=".4" fill="red"/></g></svg>'
    """
    return START + NEXT.join(f"{s.column} {s.row}{TO_SHAPE}{ELEMENTS[s.kind]}{s.color}" for s in drawing) + END


def from_svg(reply: str) -> Drawing:
    """Reads the last SVG of a reply.

    Args:
        reply: What the policy wrote.

    Returns:
        The shapes that are in a group which moves them to a cell.
    """
    images = BeautifulSoup(reply, "html5lib").find_all("svg")
    kinds = {"circle": "circle", "rect": "square", "path": "triangle"}
    shapes = []
    for group in images[-1].find_all("g") if images else []:
        place = re.fullmatch(r"translate\((\d) (\d)\)", str(group.get("transform")))
        if place is None:
            continue
        for element in group.find_all([*kinds], recursive=False):
            shapes.append(Shape(int(place[1]), int(place[2]), kinds[element.name], str(element.get("fill"))))
    return tuple(shapes)


def parts(drawing: Drawing) -> dict[Place, tuple[str, str]]:
    """Lists what must be right about a drawing.

    Args:
        drawing: The drawing.

    Returns:
        Kind and color of each shape, by row and column.
    """
    return {(shape.row, shape.column): (shape.kind, shape.color) for shape in drawing}


async def render(drawings: Sequence[Drawing]) -> list[Image.Image]:
    """Draws the policy's images with Pillow.

    Args:
        drawings: The drawings.

    Returns:
        One image of the CANVAS size for each drawing.
    """
    return [_render(drawing) for drawing in drawings]


def _render(drawing: Drawing) -> Image.Image:
    image = Image.new("RGB", CANVAS, "white")
    pen = ImageDraw.Draw(image)
    for shape in drawing:
        left, top = shape.column * CELL + 3, shape.row * CELL + 3
        right, bottom = left + CELL - 7, top + CELL - 7
        if shape.kind == "circle":
            pen.ellipse([left, top, right, bottom], shape.color)
        elif shape.kind == "square":
            pen.rectangle([left, top, right, bottom], shape.color)
        else:
            pen.polygon([(left, bottom), (right, bottom), ((left + right) / 2, top)], shape.color)
    return image


SVG = TinyProblem(
    task="svg",
    prompt="svg",
    language="svg",
    s_max=12,
    words=COLORS,
    runs=(START, *(TO_SHAPE + element for element in ELEMENTS.values()), NEXT, END),
    synthetic=synthetic_drawing,
    batch=batch,
    held_out=held_out,
    damaged=damaged,
    write=to_svg,
    read=from_svg,
    shape=len,
    parts=parts,
    sight=parts,
    render=render,
)
