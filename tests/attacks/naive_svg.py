"""SVG -> image as it is done without a thought: all that a document names is followed, entities and inclusions too."""

from __future__ import annotations

import io
import os
import xml.sax
from typing import NoReturn
from xml.dom import minidom
from xml.etree import ElementInclude, ElementTree

import cairosvg
import pyvips
from PIL import Image
from unprotected import CHANNEL, HEAD


def answer(document: str, library: str) -> NoReturn:
    """Draws, and writes head and pixels to the channel."""
    image = (_by_cairosvg if library == "cairosvg" else _by_librsvg)(document)
    data = memoryview(HEAD.pack(*image.size) + image.tobytes())
    while data:
        data = data[os.write(CHANNEL, data) :]
    os._exit(0)


def _by_cairosvg(document: str) -> Image.Image:
    parser = xml.sax.make_parser()
    parser.setFeature(xml.sax.handler.feature_external_ges, True)
    expanded = minidom.parse(io.StringIO(document), parser)
    style = "".join(node.toxml() for node in expanded.childNodes if node.nodeType == node.PROCESSING_INSTRUCTION_NODE)
    tree = ElementTree.fromstring(expanded.documentElement.toxml())
    ElementInclude.include(tree)
    text = style + ElementTree.tostring(tree, "unicode")
    return _opened(cairosvg.svg2png(bytestring=text.encode(), unsafe=True))


def _by_librsvg(document: str) -> Image.Image:
    return _opened(pyvips.Image.svgload_buffer(document.encode(), unlimited=True).write_to_buffer(".png"))


def _opened(data: bytes) -> Image.Image:
    return Image.open(io.BytesIO(data)).convert("RGB")
