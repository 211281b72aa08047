"""SVG -> RGBA by librsvg, which libvips carries.

It is given no base, so it loads nothing but `data:`. It sizes an image by the document's own size, so the root is written
anew with the task's: no document gets more memory than its image takes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from xml.sax.saxutils import quoteattr

import pyvips
from PIL import Image

from visual_erm.sandbox.backends.svg_document import Document
from visual_erm.sandbox.outcome import RenderingFailed

DPI = 96
"""CSS pixels of an inch."""

_PIXELS = {
    "": 1,
    "px": 1,
    "pt": DPI / 72,
    "pc": 16,
    "in": DPI,
    "cm": DPI / 2.54,
    "mm": DPI / 25.4,
    "em": 16,
    "rem": 16,
    "ex": 8,
}
_LENGTH = re.compile(rf"\s*\+?(\d*\.?\d+(?:e[+-]?\d+)?)({'|'.join(_PIXELS)})\s*", re.IGNORECASE)
_VIEW_BOX = re.compile(r"\s*[^\s,]+(?:[\s,]+[^\s,]+){3}\s*")
_TAG = re.compile(rb"""<(?:[^>"']|"[^"]*"|'[^']*')*>""")

# Every document is another: results that libvips keeps would only grow.
pyvips.cache_set_max(0)


def render_rgba(document: Document, width: int, height: int) -> Image.Image:
    """Renders a document, transparent where it shows nothing.

    Args:
        document: The document.
        width: Width of the image in pixels.
        height: Height of the image in pixels.

    Returns:
        The image, RGBA.

    Raises:
        RenderingFailed: librsvg cannot render the document.
    """
    try:
        # The scale undoes what libvips makes of the resolution: a pixel larger than a point.
        image = pyvips.Image.svgload_buffer(with_size(document, width, height), dpi=DPI, scale=72 / DPI)
        if (image.width, image.height) != (width, height):
            raise RenderingFailed("RenderFailed", f"the style of <{document.root}> insists on {image.width}x{image.height}")
        # Fetching renders in this thread; writing to memory would hand the work to others and wait for them.
        return Image.frombytes("RGBA", (width, height), pyvips.Region.new(image).fetch(0, 0, width, height))
    except pyvips.Error as error:
        raise RenderingFailed("RenderFailed", " ".join(str(error).split())) from error


def with_size(document: Document, width: int, height: int) -> bytes:
    """Gives the root of a document a size, into which its viewBox, or else its own size, is fitted.

    Args:
        document: The document. Its own size is that of the image where it gives none.
        width: Width of the image in pixels.
        height: Height of the image in pixels.

    Returns:
        The changed document.

    Raises:
        RenderingFailed: The document's own size is zero.
    """
    attributes = dict(document.attributes)
    style = attributes.get("style", "")
    across, down = (_own_length(name, attributes, style) for name in ("width", "height"))
    if across == 0 or down == 0:
        raise RenderingFailed("BlankImage", "the document's own size is zero")
    if not _VIEW_BOX.fullmatch(attributes.get("viewBox", "")):
        across = width if across is None else across
        down = height if down is None else down
        attributes["viewBox"] = f"0 0 {across} {down}"
    attributes["width"], attributes["height"] = str(width), str(height)
    # A style sheet's size would count more than an attribute's.
    attributes["style"] = f"{style};width:{width}px!important;height:{height}px!important"
    return _with_root(document, attributes)


def _own_length(name: str, attributes: Mapping[str, str], style: str) -> float | None:
    """The root's own width or height in pixels; None where it has none, or a share of what is round it."""
    declared = re.search(rf"(?:^|;)\s*{name}\s*:\s*([^;!]+)", style)
    length = _LENGTH.fullmatch(declared[1] if declared else attributes.get(name, ""))
    return float(length[1]) * _PIXELS[length[2].lower()] if length else None


def _with_root(document: Document, attributes: Mapping[str, str]) -> bytes:
    tag = _TAG.match(document.data, document.start)
    assert tag is not None
    written = " ".join(f"{name}={quoteattr(value)}" for name, value in attributes.items())
    end = "/>" if tag[0].endswith(b"/>") else ">"
    return document.data[: tag.start()] + f"<{document.root} {written}{end}".encode() + document.data[tag.end() :]
