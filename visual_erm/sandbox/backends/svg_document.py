"""The text of an SVG document before a library sees it: read within bounds, closed where it was cut off.

What a document may hold is decided here for both libraries: no entities of files, no text that
entities make too long, no depth that a recursive reader does not survive,
no embedded image whose header promises more pixels than fit. What a text can still make a library do is left to the
libraries' own counts and to the limits of time and memory.
"""

from __future__ import annotations

import binascii
import io
import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import unquote_to_bytes
from xml.parsers import expat

from PIL import Image

from visual_erm.sandbox.outcome import RenderingFailed

MAX_CHARACTERS = 1_000_000
"""Largest number of characters, above any real image."""
MAX_ELEMENTS = 50_000
"""Largest number of elements."""
MAX_DEPTH = 200
"""Largest depth of elements inside each other; librsvg reads 255, CairoSVG some 900."""
MAX_PIXELS = 16_000_000
"""Largest width times height of one embedded image."""
MAX_ENTITY_DEPTH = 8
"""Largest depth of entities inside each other."""

_DECLARED = re.compile(r"""(\A<\?xml[^<>]{0,200}?\bencoding\s*=\s*["'])[^"'<>]{0,40}(["'])""")
_REFERENCE = re.compile(rb"<!\[CDATA\[.*?\]\]>|<!--.*?-->|&([A-Za-z_][\w.-]*);", re.DOTALL)
_CUT_OFF = {
    expat.errors.codes[message]: closing
    for message, closing in (
        (expat.errors.XML_ERROR_NO_ELEMENTS, b""),
        (expat.errors.XML_ERROR_UNCLOSED_TOKEN, b""),
        (expat.errors.XML_ERROR_UNCLOSED_CDATA_SECTION, b"]]>"),
    )
}
"""Errors of a text that ends too early, and what ends the part that is open."""


@dataclass(frozen=True)
class Document:
    """A well-formed document whose root is `svg`."""

    data: bytes
    start: int
    """Where the root's tag begins."""
    root: str
    """Its name as written, prefix included."""
    attributes: Mapping[str, str]
    """The root's."""


def read(code: str) -> Document:
    """Reads a document within bounds. One that is cut off loses its unfinished last tag, and what is open is closed.

    Args:
        code: The text of an SVG document.

    Returns:
        The document and its bounds.

    Raises:
        RenderingFailed: The text is no SVG; the message names the line.

    >>> read('<svg><g><path d="M0 0"/><path d="M1').data
    b'<svg><g><path d="M0 0"/></g></svg>'
    """
    if len(code) > MAX_CHARACTERS:
        raise RenderingFailed("RenderLimit", f"{len(code)} characters of SVG; at most {MAX_CHARACTERS} are drawn")
    try:
        # The text is decoded already: whatever encoding its declaration names is history.
        data = _DECLARED.sub(r"\1UTF-8\2", code.removeprefix("\ufeff").strip(), count=1).encode()
    except UnicodeEncodeError as error:
        raise RenderingFailed("RenderFailed", f"no text: {error.reason}") from error
    scan = _Scan(data)
    if scan.entities:
        data = _expanded(data, scan)
        scan = _Scan(data)
    if scan.error is None:
        return scan.document
    closing = _CUT_OFF.get(scan.error.code)
    if closing is not None and scan.open:
        end_tags = b"".join(b"</%b>" % name.encode() for name in reversed(scan.open))
        closed = _Scan(data[: scan.end] + closing + end_tags)
        if closed.error is None:
            return closed.document
    raise RenderingFailed("RenderFailed", f"line {scan.error.lineno}: {expat.ErrorString(scan.error.code)}")


def check_embedded(data: bytes) -> None:
    """Checks an embedded image. What is no image at all is left to the library.

    Args:
        data: The bytes of the image.

    Raises:
        RenderingFailed: It is too large, or holds what a document may not hold.
    """
    if data.startswith(b"\x1f\x8b"):
        raise RenderingFailed("RenderFailed", "an embedded picture is packed with gzip")
    if b"<svg" in data:
        scan = _Scan(data)
        if scan.entities:
            raise RenderingFailed("RenderFailed", "an embedded SVG has entities")
        error = scan.error
        if error is not None:
            raise RenderingFailed("RenderFailed", f"an embedded SVG, line {error.lineno}: {expat.ErrorString(error.code)}")
        return
    try:
        with Image.open(io.BytesIO(data)) as image:
            width, height = image.size
    except Image.DecompressionBombError as error:
        raise RenderingFailed("RenderLimit", f"an embedded picture: {error}") from error
    except (OSError, ValueError, SyntaxError):
        return
    if width * height > MAX_PIXELS:
        raise RenderingFailed("RenderLimit", f"an embedded picture of {width}x{height} pixels; at most {MAX_PIXELS}")


def embedded(uri: str) -> bytes:
    """Decodes a `data:` URI.

    Args:
        uri: The URI.

    Returns:
        What it holds; nothing where it is damaged.

    >>> embedded("data:text/plain;base64,aGk=")
    b'hi'
    """
    header, _, body = uri.partition(",")
    content = unquote_to_bytes(body)
    if not header.rstrip().lower().endswith(";base64"):
        return content
    try:
        return binascii.a2b_base64(content + b"==")
    except binascii.Error:
        return b""


def _expanded(data: bytes, scan: _Scan) -> bytes:
    """The document with its own entities written out and without its document type. CairoSVG takes no entities.

    Raises RenderingFailed when they hold each other, or make more than MAX_CHARACTERS.
    """
    start, end = scan.doctype
    lines = data.count(b"\n", start, end)
    body = data[:start] + b"\n" * lines + data[end:]
    for _ in range(MAX_ENTITY_DEPTH):
        total = len(body)
        for reference in _REFERENCE.finditer(body):
            total += len(scan.entities.get(reference[1], b"")) if reference[1] else 0
            if total > MAX_CHARACTERS:
                raise RenderingFailed("RenderLimit", f"entities make more than {MAX_CHARACTERS} characters")
        expanded = _REFERENCE.sub(lambda found: scan.entities.get(found[1], found[0]) if found[1] else found[0], body)
        if expanded == body:
            return body
        body = expanded
    raise RenderingFailed("RenderLimit", f"entities hold entities more than {MAX_ENTITY_DEPTH} deep")


class _Scan:
    """One pass over a document: how it ends, and its root. Raises RenderingFailed for what is not rendered at all."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._elements = 0
        self._root: Document | None = None
        self.entities: dict[bytes, bytes] = {}
        """Replacement texts by name."""
        self.doctype = (0, 0)
        """First byte of the document type, and the byte after it."""
        self.open: list[str] = []
        self.error: expat.ExpatError | None = None
        self._parser = expat.ParserCreate()
        self._parser.StartElementHandler = self._start
        self._parser.EndElementHandler = lambda name: self.open.pop()
        self._parser.EntityDeclHandler = self._entity
        self._parser.StartDoctypeDeclHandler = lambda *_: self._bound(0)
        self._parser.EndDoctypeDeclHandler = lambda: self._bound(1)
        try:
            self._parser.Parse(data, True)
        except expat.ExpatError as error:
            self.error = error
        self.end = self._parser.ErrorByteIndex

    @property
    def document(self) -> Document:
        assert self._root is not None
        return self._root

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        if self._root is None:
            if name.rpartition(":")[2] != "svg":
                raise RenderingFailed("RenderFailed", f"the document is <{name}>, not <svg>")
            self._root = Document(self._data, self._parser.CurrentByteIndex, name, attributes)
        self.open.append(name)
        self._elements += 1
        if self._elements > MAX_ELEMENTS:
            raise RenderingFailed("RenderLimit", f"more than {MAX_ELEMENTS} elements")
        if len(self.open) > MAX_DEPTH:
            raise RenderingFailed(
                "RenderLimit", f"line {self._parser.CurrentLineNumber}: more than {MAX_DEPTH} levels deep"
            )
        for key, value in attributes.items():
            if key.rpartition(":")[2] == "href" and value.lstrip()[:5].lower() == "data:":
                check_embedded(embedded(value))

    def _bound(self, end: int) -> None:
        at = self._parser.CurrentByteIndex
        if end:
            self.doctype = (self.doctype[0], self._data.index(b">", at) + 1)
        else:
            self.doctype = (self._data.rindex(b"<!DOCTYPE", 0, at + 9), at)

    def _entity(self, name: str, is_parameter: bool, value: str | None, *_: object) -> None:
        if is_parameter or value is None:
            line = self._parser.CurrentLineNumber
            raise RenderingFailed("RenderFailed", f"line {line}: entities of files or parameters are not read: {name}")
        self.entities[name.encode()] = value.encode()
