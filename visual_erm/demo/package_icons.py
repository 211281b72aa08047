"""Real icons for trials: those of matplotlib's toolbar, and the symbols of its DejaVu font in colors.

The toolbar's icons were drawn with the font of Font Awesome 4.7 (SIL Open Font License); DejaVu is under the Bitstream Vera
licence. Both licences allow anyone to use and pass on images that are made with the font.
"""

from __future__ import annotations

import random
import unicodedata
from collections.abc import Iterator
from pathlib import Path

import matplotlib
from fontTools.misc.transform import Transform
from fontTools.pens.boundsPen import BoundsPen
from fontTools.pens.svgPathPen import SVGPathPen
from fontTools.pens.transformPen import TransformPen
from fontTools.ttLib import TTFont

from visual_erm.data.sources import Item
from visual_erm.extract import Code

SYMBOLS = (
    range(0x2190, 0x2200),
    range(0x2600, 0x2624),
    range(0x2639, 0x27C0),
    range(0x1F600, 0x1F650),
)
"""Ranges of Unicode that hold pictograms: arrows, weather, chess, dingbats, faces."""
SIZE = 128
"""Side of an icon's square, in its own units."""
LONGEST = 6000
"""Longest document in characters. A longer one, such as matplotlib's logo, does not fit a reply."""
_COLORS = ("#1d3557", "#c1121f", "#2a9d8f", "#e76f51", "#6a4c93", "#0077b6", "#588157", "#f4a261", "#3a3a3a", "#d62976")


def icons(seed: int) -> Iterator[Item]:
    """Makes all icons.

    Args:
        seed: Decides the colors and the style of each symbol.

    Yields:
        One item for each icon, with its SVG as ground truth.
    """
    data = Path(matplotlib.get_data_path())
    for path in sorted((data / "images").glob("*.svg")):
        text = path.read_text(encoding="utf-8")
        if len(text) <= LONGEST and not path.stem.endswith("-symbolic"):  # these are copies
            yield Item(f"matplotlib/{path.name}", code=Code("svg", text), ground_truth=text)
    font = TTFont(data / "fonts" / "ttf" / "DejaVuSans.ttf")
    drawn = font.getBestCmap()
    for point in (point for block in SYMBOLS for point in block if point in drawn):
        name = unicodedata.name(chr(point))
        text = _icon(font, drawn[point], random.Random(f"{seed} {name}"))
        yield Item(f"DejaVu Sans/{name.lower()}", code=Code("svg", text), ground_truth=text)


def _icon(font: TTFont, glyph: str, rng: random.Random) -> str:
    """Writes one symbol: filled, as an outline, or in white on a disc or a tile."""
    color, other = rng.sample(_COLORS, 2)
    style = rng.choice(["plain", "plain", "outline", "disc", "tile"])
    path = _outline(font, glyph, round(SIZE * (0.84 if style in ("plain", "outline") else 0.6)))
    shapes = {
        "plain": f'<path d="{path}" fill="{color}"/>',
        "outline": f'<path d="{path}" fill="none" stroke="{color}" stroke-width="{rng.choice([2, 3, 4])}"/>',
        "disc": f'<circle cx="64" cy="64" r="60" fill="{color}"/>\n  <path d="{path}" fill="white"/>',
        "tile": f'<rect x="4" y="4" width="120" height="120" rx="{rng.choice([0, 12, 28])}" fill="{color}"'
        f' stroke="{other}" stroke-width="{rng.choice([0, 4])}"/>\n  <path d="{path}" fill="white"/>',
    }
    return f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {SIZE} {SIZE}">\n  {shapes[style]}\n</svg>\n'


def _outline(font: TTFont, glyph: str, side: int) -> str:
    """Writes path data of a glyph, upright, centered in the square, with a longer side of `side` units."""
    glyphs = font.getGlyphSet()
    bounds = BoundsPen(glyphs)
    glyphs[glyph].draw(bounds)
    left, bottom, right, top = bounds.bounds
    scale = side / max(right - left, top - bottom)
    middle = Transform(scale, 0, 0, -scale, (SIZE - scale * (left + right)) / 2, (SIZE + scale * (bottom + top)) / 2)
    path = SVGPathPen(glyphs, ntos=lambda number: f"{round(number, 1):g}")
    glyphs[glyph].draw(TransformPen(path, middle))
    return path.getCommands()
