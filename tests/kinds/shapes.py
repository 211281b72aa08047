"""A kind of code outside of the package: circles and squares, one a line, in a language of its own.

    circle 20 20 10 red
    square 40 20 8 blue

Each line names a shape, the pixel of its center, half its width in pixels, and its color.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from visual_erm.errors import BlankImage, RenderFailed
from visual_erm.extract.code import Candidate, Code, Language, Span, whole_block
from visual_erm.kinds import Kind, LocalComparison, RenderSettings
from visual_erm.reward.report import Discrepancy
from visual_erm.spec.base import Count

_SHAPE = re.compile(r"(circle|square) (\d{1,3}) (\d{1,3}) (\d{1,3}) (red|green|blue)")


class ShapeRenderer:
    """Draws shapes with Pillow; a `Renderer`."""

    def __init__(self, settings: ShapeSettings, pages: int, low_priority: bool) -> None:
        self._size = settings.size

    @property
    def renderer_version(self) -> str:
        return "shapes 1"

    async def render(self, code: Code) -> Image.Image:
        return await asyncio.to_thread(self._draw, code.text)

    async def close(self) -> None:
        """There is nothing to end."""

    def _draw(self, text: str) -> Image.Image:
        image = Image.new("RGB", (self._size, self._size), "white")
        pen = ImageDraw.Draw(image)
        for number, line in enumerate(text.splitlines(), 1):
            if not line.strip():
                continue
            shape = _SHAPE.fullmatch(line.strip())
            if shape is None:
                raise RenderFailed(f"line {number} is no shape: {line[:80]}")
            x, y, half = (int(shape[i]) for i in (2, 3, 4))
            draw = pen.ellipse if shape[1] == "circle" else pen.rectangle
            draw((x - half, y - half, x + half, y + half), fill=shape[5])
        if len(image.getcolors() or ()) == 1:
            raise BlankImage("the shapes show nothing")
        return image


class ShapeSettings(RenderSettings):
    """Settings under `render` of the task."""

    renderer_class = ShapeRenderer

    size: Count = 64
    """Width and height of the image in pixels."""


def find_bare(text: str) -> Iterator[tuple[Span, Candidate]]:
    """All shapes between the words of a reply, one a line, are one candidate."""
    found = list(_SHAPE.finditer(text))
    if found:
        code = Code("shapes", "\n".join(shape[0] for shape in found))
        yield Span(found[0].start(), found[-1].end()), Candidate(code, complete=True)


def compare(reference: np.ndarray, prediction: np.ndarray) -> tuple[Discrepancy, ...]:
    """One discrepancy for each quarter of the image that differs."""
    if reference.shape != prediction.shape:
        return (Discrepancy("shape_error", 3, "the images differ in size"),)
    half = reference.shape[0] // 2
    halves = (
        {"upper": slice(None, half), "lower": slice(half, None)},
        {"left": slice(None, half), "right": slice(half, None)},
    )
    return tuple(
        Discrepancy("shape_error", 3, f"the {row} {column} quarter differs")
        for row, rows in halves[0].items()
        for column, columns in halves[1].items()
        if (reference[rows, columns] != prediction[rows, columns]).any()
    )


def read(pixels: np.ndarray, ocr: Any) -> np.ndarray:
    """The local judge compares the pixels themselves."""
    return pixels


KIND = Kind(
    name="shapes",
    languages=(
        Language(
            "shapes",
            labels=("shapes",),
            suffixes=(".shapes",),
            find_fenced=whole_block("shapes"),
            find_bare=find_bare,
        ),
    ),
    render_settings=ShapeSettings,
    prompts={"shapes": "<image>\nWrite the shapes."},
    examples={"shapes": "circle 10 10 5 red"},
    local_comparison=LocalComparison(
        categories=("shape_error",),
        limits="pixels, a quarter of the image at a time",
        read=read,
        compare=compare,
    ),
)
