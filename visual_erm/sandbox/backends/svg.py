"""SVG, rendered by librsvg (through libvips) or by CairoSVG, in workers that render many documents each.

Both fill an image of the task's size as CairoSVG does with an output size: the image is the viewport, and the document's
viewBox (or, without one, its own width and height) is fitted into it as its preserveAspectRatio says. Nothing that a
document names is ever loaded.
"""

from __future__ import annotations

import importlib
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from PIL import Image, ImageColor

from visual_erm.sandbox.backends.svg_document import read
from visual_erm.sandbox.backends.svg_fonts import list_fonts
from visual_erm.sandbox.outcome import Rendering, RenderingFailed

REUSABLE = True
THREADS = True
"""Pango, with which librsvg sets text, looks for fonts in one of its own; CairoSVG starts none."""

WARM_UP = """<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 100 100"><rect width="50" height="50"/>
<text y="80" font-family="sans-serif">Text 表</text></svg>"""


def warm(options: Mapping[str, Any]) -> None:
    """Imports the library and lists the fonts, in the server's temporary folder.

    Args:
        options: The task's render settings: `backend`, `librsvg` or `cairosvg`.
    """
    _library(options)
    Image.init()
    list_fonts(Path(tempfile.mkdtemp(prefix="fonts-")), lambda: render(WARM_UP, options))


def enter(options: Mapping[str, Any]) -> None:
    """Renders a first text, so that the first document waits for no font.

    Args:
        options: The task's render settings, as for `render`.
    """
    render(WARM_UP, options)


def render(code: str, options: Mapping[str, Any]) -> Rendering:
    """Renders an SVG document on the task's background.

    Args:
        code: The document.
        options: The task's render settings: `backend`, `width` and `height` in pixels, `background` as a CSS color.

    Returns:
        The image.

    Raises:
        RenderingFailed: The document cannot be rendered, or shows nothing.
    """
    size = options["width"], options["height"]
    rgba = _library(options).render_rgba(read(code), *size)
    if not rgba.getchannel("A").getbbox():
        raise RenderingFailed("BlankImage", "the picture holds nothing but one colour")
    image = Image.new("RGBA", size, ImageColor.getrgb(options["background"])[:3])
    image.alpha_composite(rgba)
    return Rendering(*size, image.convert("RGB").tobytes())


def _library(options: Mapping[str, Any]) -> Any:
    return importlib.import_module(f"visual_erm.sandbox.backends.svg_{options['backend']}")
