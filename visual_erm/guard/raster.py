r"""The guard `raster`: code that holds a picture as pixels, and does not draw it.

Such code reproduces an image without what a task is to teach. It is found in the code, before anything is rendered:

- in HTML, Markdown and SVG, an image in a `data:` address, whatever type the address names;
- in the same, a mosaic: more boxes with a color of their own, or without content, than any table or drawing has;
- in Python, a call that shows pixels or boxes, beside a literal of as many values, or as long a text, as a picture.

Pixels that a script computes are its own drawing, and a heat map with its numbers written out is a chart.

    raster_in(Code("html", '<img src="data:image/png;base64,iVBORw0KGgo=">'))      # 'an image in a data: address'
"""

from __future__ import annotations

import base64
import binascii
import html
import re
from urllib.parse import unquote_to_bytes

from visual_erm.extract import Code

MOSAIC = 1024
"""Largest number of boxes, or of numbers in one literal, that is no picture: 32 x 32. Large heat maps have 20 x 20."""
LONGEST_TEXT = 1024
"""Length of the longest text, of the signs of base64 or of escaped bytes, that is no picture. A PNG of 32 x 32 pixels takes
about as many."""
NESTED = 3
"""Number of `data:` addresses inside each other that are read."""

_ADDRESS = re.compile(r"data:(?:[\w.+-]+/[\w.+-]+)?((?:;[\w.+-]+(?:=[\w.+\"'-]*)?)*),([^\"'()<>]{4,})", re.IGNORECASE)
_SIGNATURES = re.compile(
    rb"\x89PNG|\xff\xd8\xff|GIF8|RIFF....WEBP|BM....\x00\x00|II\*\x00|MM\x00\*|\x00\x00[\x01\x02]\x00|P[1-6]\s"
    rb"|\xff\x0a|\x00\x00\x00.(?:JXL |ftyp)|#define\s",
    re.DOTALL,
)
"""First bytes of PNG, JPEG, GIF, WebP, BMP, TIFF, ICO, PNM, JPEG XL, AVIF and XBM."""
_CSS_ESCAPE = re.compile(r"\\([0-9a-fA-F]{1,6})\s?")
_BOX = {
    "svg": re.compile(r"<(?:\w+:)?rect\b", re.IGNORECASE),
    "html": re.compile(
        r"\bbackground(?:-color)?\s*:|\bbgcolor\s*=|<(td|th|div|span|i|b|p)\b[^<>]{0,200}>\s*(?=</?(?:t[dhr]|div|span|i|b|p)\b)",
        re.IGNORECASE,
    ),
}
_PAINTED_LIST = re.compile(r"(?:box-shadow|gradient)[^;{}<>]*", re.IGNORECASE)
"""Shadows and gradients, which paint one color after each comma."""
_SHOWS_PIXELS = re.compile(
    r"\b(?:imshow|matshow|figimage|pcolor(?:mesh|fast)?|heatmap|spy|fromarray|frombytes|frombuffer|imread|OffsetImage|BboxImage"
    r"|AxesImage|NonUniformImage|Rectangle|PatchCollection|axvspan|axhspan|add_patch)\s*\("
)
_NUMBERS = re.compile(r"[\[(][\s\d.,eE+xXa-fA-F\[\]()#'\"-]*")
_TEXT = re.compile(rf"[\w+/=\\-]{{{LONGEST_TEXT + 1},}}", re.ASCII)


def raster_in(code: Code) -> str:
    """Finds a picture that code holds as pixels.

    Args:
        code: The policy's code.

    Returns:
        What was found; empty where there is nothing.
    """
    if code.language == "python":
        return _in_python(code.text)
    text = html.unescape(code.text)
    if _has_image(text):
        return "an image in a data: address"
    boxes = sum(1 for _ in _BOX["svg" if code.language == "svg" else "html"].finditer(text))
    boxes = max([boxes, *(painted[0].count(",") for painted in _PAINTED_LIST.finditer(text))])
    return f"a mosaic of {boxes} boxes" if boxes > MOSAIC else ""


def _has_image(text: str, depth: int = 0) -> bool:
    """Whether text holds the address of an image, or of a drawing that holds one."""
    text = _CSS_ESCAPE.sub(lambda escape: chr(min(int(escape[1], 16), 0x10FFFF)), re.sub(r"[\t\r\n]", "", text))
    for address in _ADDRESS.finditer(text):
        content = unquote_to_bytes(address[2])
        if address[1].lower().endswith(";base64"):
            content = _decoded(content)
        if _SIGNATURES.match(content):
            return True
        if (
            depth < NESTED
            and b"data:" in content
            and _has_image(html.unescape(content.decode("utf-8", "replace")), depth + 1)
        ):
            return True
    return False


def _decoded(content: bytes) -> bytes:
    """The bytes that base64 stands for; up to three more characters than it needs are dropped."""
    letters = re.sub(rb"[^A-Za-z0-9+/]", b"", content)
    try:
        return base64.b64decode(letters[: len(letters) // 4 * 4])
    except binascii.Error:
        return b""


def _in_python(text: str) -> str:
    shown = _SHOWS_PIXELS.search(text)
    if shown is None:
        return ""
    call = shown[0].rstrip("( \t\n")
    if longest := max((len(literal[0]) for literal in _TEXT.finditer(text)), default=0):
        return f"{call} beside a text of {longest} characters"
    values = max((literal[0].count(",") + 1 for literal in _NUMBERS.finditer(text)), default=0)
    return f"{call} beside a literal of {values} values" if values > MOSAIC else ""
