"""SVG -> RGBA by CairoSVG: the pixels of `cairosvg.svg2png`, without the PNG, which takes longer than the rendering."""

from __future__ import annotations

import functools
import unicodedata

import numpy as np
import numpy.typing as npt
from cairocffi import CairoError, Matrix, ScaledFont, ToyFontFace
from cairosvg import surface as cairo_surface
from cairosvg.parser import Node, Tree
from cairosvg.surface import TAGS, PNGSurface
from cairosvg.url import safe_fetch
from PIL import Image

from visual_erm.sandbox.backends.fallback_fonts import FAMILIES
from visual_erm.sandbox.backends.svg_document import Document, check_embedded
from visual_erm.sandbox.outcome import RenderingFailed

_ERRORS = (
    ArithmeticError,
    AttributeError,
    LookupError,
    NameError,
    OSError,
    RecursionError,
    SyntaxError,
    TypeError,
    ValueError,
)
"""What it raises for documents that it was not written for."""

FONTS_KEPT = 64
"""Number of fonts that are kept open; a document may name any number."""


def _text(surface: PNGSurface, node: Node, draw_as_text: bool = False) -> None:
    """Draws a text element in a font that has its characters. Cairo takes one font for a text, whatever it lacks."""
    if node.text and not node.text.isascii():
        family = (node.get("font-family") or "sans-serif").split(",")[0].strip("\"' ")
        lacking = _lacking(family, node.text)
        if lacking:
            stand_in = min(FAMILIES, key=lambda name: _lacking(name, node.text))
            if _lacking(stand_in, node.text) < lacking:
                node["font-family"] = stand_in
    _own_text(surface, node, draw_as_text)


def _lacking(family: str, text: str) -> int:
    """Number of letters, digits, signs and symbols in a text that a font does not have."""
    shown = "".join(one for one in text if not one.isascii() and unicodedata.category(one)[0] in "LNPS")
    glyphs = _font(family).text_to_glyphs(0, 0, shown, with_clusters=False)
    return sum(glyph == 0 for glyph, *_ in glyphs)


@functools.lru_cache(maxsize=FONTS_KEPT)
def _font(family: str) -> ScaledFont:
    """A font by its name, in any size; another one where the machine has none of that name."""
    return ScaledFont(ToyFontFace(family), Matrix(xx=16, yy=16))


_own_text = TAGS["text"]
TAGS.update({name: _text for name, draw in TAGS.items() if draw is _own_text})
cairo_surface.text = _text  # it compares with its own name


def render_rgba(document: Document, width: int, height: int) -> Image.Image:
    """Renders a document, transparent where it shows nothing.

    Args:
        document: The document.
        width: Width of the image in pixels.
        height: Height of the image in pixels.

    Returns:
        The image, RGBA.

    Raises:
        RenderingFailed: CairoSVG cannot render the document.
    """
    try:
        tree = Tree(bytestring=document.data, url_fetcher=_fetch)
        surface = PNGSurface(tree, None, 96, output_width=width, output_height=height).cairo
    except (CairoError, *_ERRORS) as error:
        raise RenderingFailed("RenderFailed", f"{type(error).__name__}: {error}") from error
    surface.flush()
    rows = np.frombuffer(surface.get_data(), np.uint8).reshape(height, surface.get_stride() // 4, 4)
    return Image.frombytes("RGBA", (width, height), unpremultiplied(rows[:, :width]).tobytes(), "raw", "BGRA")


def unpremultiplied(pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Divides the colors of Cairo's pixels by alpha, rounded as Cairo does for a PNG.

    Args:
        pixels: Premultiplied pixels, uint8, shape (..., 4), alpha last.

    Returns:
        The pixels with colors that are not multiplied by alpha, in the same shape.

    >>> unpremultiplied(np.array([[0, 64, 128, 128]], np.uint8)).tolist()
    [[0, 128, 255, 128]]
    """
    pixels = pixels.copy()
    alpha = pixels[..., 3]
    translucent = (alpha > 0) & (alpha < 255)
    weight = alpha[translucent].astype(np.uint32)[:, np.newaxis]
    colors = pixels[translucent, :3].astype(np.uint32)
    pixels[translucent, :3] = (colors * 255 + weight // 2) // weight
    return pixels


def _fetch(url: str, kind: str) -> bytes:
    """Called for whatever the document names; knows `data:` alone, and answers everything else with an empty image."""
    data: bytes = safe_fetch(url, kind)
    if kind != "text/css":
        check_embedded(data)
    return data
