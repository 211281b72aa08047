"""What text a renderer shows: it draws real characters, and they are compared with what it draws for no character.

A renderer shows a character that it has no font for as a box. Then wrong text looks like right text. A list of installed
fonts does not say what a renderer makes of them, so `visual-erm doctor` draws some characters of each of SCRIPTS.

    lacking = await scripts_without_font(make_renderer(load_task("chart").render), CHART_SHEET)
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image

from visual_erm.extract import Code
from visual_erm.render.base import Renderer
from visual_erm.render.table import CROP

CELL = 48
"""Width and height of the cell of one character, in pixels."""
FONT_SIZE = 24
"""Font size in pixels."""
LEFT, BASELINE = 8, 34
"""Where a character begins in its cell, in pixels from the left and from the top."""
DARK = 220
"""Gray level below which a pixel belongs to a character; thin frames are gray."""
MAX_CHARACTERS = 6
"""Largest number of characters on a sheet."""
SVG_SIZE = {"width": MAX_CHARACTERS * CELL, "height": CELL + 2}
"""Render settings of a renderer for SVG_SHEET, in pixels."""
NO_CHARACTERS = "\u0378\u0e7e\u1bfa\u2d2e\u1c8d"
"""Code points that Unicode gives to no character, so that no font has them. Their numbers have few digits in common: a box
may show them."""
BOX_SHARE = 0.8
"""Share of a box's pixels that a character needs to be taken for one. Boxes reach 0.9, real characters of SCRIPTS 0.7."""


@dataclass(frozen=True)
class Script:
    """Some characters of a script, and where there is a font for them."""

    name: str
    characters: str
    """Some of its characters, at most MAX_CHARACTERS. None looks like a box."""
    package: str
    """The package of Debian and Ubuntu with a font."""


SCRIPTS = (
    Script("Latin", "Aßgé", "fonts-dejavu-core"),
    Script("Chinese", "数据图表", "fonts-noto-cjk"),
    Script("Japanese", "データひ", "fonts-noto-cjk"),
    Script("Korean", "데이터를", "fonts-noto-cjk"),
    Script("Hindi", "आकडन", "fonts-lohit-deva"),
    Script("Arabic", "بيدن", "fonts-dejavu-core"),
)
"""What `visual-erm doctor` draws. Emoji are not among them: no renderer is said to show them."""


@dataclass(frozen=True)
class Sheet:
    """How characters are drawn by one kind of renderer, each in a cell of its own, side by side."""

    code: Callable[[str], Code]
    """Takes the characters."""
    left: int = 0
    """Distance of the first cell from the image's left edge, in pixels."""
    top: int = 0
    """Distance of the cells from the image's top edge, in pixels."""

    def cells(self, image: Image.Image, count: int) -> list[npt.NDArray[np.bool_]]:
        """Cuts an image of the sheet into its cells.

        Args:
            image: What a renderer made of `code`.
            count: Number of characters.

        Returns:
            For each character which pixels are dark, shape (CELL, CELL).
        """
        dark = np.asarray(image.convert("L"))[self.top : self.top + CELL] < DARK
        starts = range(self.left, self.left + count * CELL, CELL)
        return [dark[:, start : start + CELL] for start in starts]


def _table(characters: str) -> Code:
    place = f"position: absolute; top: 0; line-height: {CELL}px; font-size: {FONT_SIZE}px"
    spans = (f'<span style="{place}; left: {i * CELL + LEFT}px">{one}</span>' for i, one in enumerate(characters))
    box = f"position: relative; width: {CELL * len(characters)}px; height: {CELL}px; border: 1px solid"
    return Code("html", f'<div style="{box}">{"".join(spans)}</div>')


def _chart(characters: str) -> Code:
    return Code(
        "python",
        f"""
import matplotlib.pyplot as plt
width, height = {CELL * len(characters)}, {CELL}
figure = plt.figure(figsize=(width / 100, height / 100), dpi=100)
for place, character in enumerate({characters!r}):
    left, bottom = (place * {CELL} + {LEFT}) / width, 1 - {BASELINE} / height
    figure.text(left, bottom, character, fontsize={FONT_SIZE * 72 / 100})
plt.show()
""",
    )


def _svg(characters: str) -> Code:
    """The line below the cells keeps the image from being blank."""
    texts = (
        f'<text x="{i * CELL + LEFT}" y="{BASELINE}" font-size="{FONT_SIZE}">{one}</text>'
        for i, one in enumerate(characters)
    )
    line = f'<rect y="{CELL + 1}" width="{CELL}" height="1"/>'
    size = f"0 0 {SVG_SIZE['width']} {SVG_SIZE['height']}"
    return Code("svg", f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="{size}">{line}{"".join(texts)}</svg>')


TABLE_SHEET = Sheet(_table, left=CROP + 1, top=CROP + 1)
CHART_SHEET = Sheet(_chart)
SVG_SHEET = Sheet(_svg)


async def scripts_without_font(renderer: Renderer, sheet: Sheet) -> list[Script]:
    """Has a renderer draw the characters of each of SCRIPTS.

    Args:
        renderer: The renderer. It stays open.
        sheet: How characters are drawn by it.

    Returns:
        The scripts of which at least one character is a box, or not there.

    Raises:
        InfrastructureError: The renderer does not work on this machine.
    """
    image = await renderer.render(sheet.code(NO_CHARACTERS))
    counts = bool(image.info.get("missing_glyphs"))
    box = np.logical_and.reduce(sheet.cells(image, len(NO_CHARACTERS)))
    lacking = []
    for script in SCRIPTS:
        drawn = await renderer.render(sheet.code(script.characters))
        boxes = (_is_box(cell, box) for cell in sheet.cells(drawn, len(script.characters)))
        if drawn.info["missing_glyphs"] if counts else any(boxes):
            lacking.append(script)
    return lacking


def _is_box(cell: npt.NDArray[np.bool_], box: npt.NDArray[np.bool_]) -> bool:
    """Whether a cell holds all that the cells of no character have in common: a frame, in which a number may stand."""
    return bool(cell[box].mean() >= BOX_SHARE) if box.any() else not cell.any()
