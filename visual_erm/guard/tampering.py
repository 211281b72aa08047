r"""The guard `tampering`: markup that names a file of the machine. Nothing is ever loaded, but the attempt counts.

Python is not looked at: what a script does is for the sandbox to stop, which raises Tampering itself.

An honest slip is what web pages and READMEs hold: `https://…/logo.png`, `//cdn/…`, `/static/logo.png`, `logo.png`,
`../img/flag.png`. The image just lacks it. Reaching for the reference is a `file:` address, a path into the folders of a
machine (`/tmp/…`, `C:\…`, `~/…`), and a file that is called what the answer would be called (`reference.png`,
`../images/ground_truth_12.jpg`). Data URIs are images by value and always fine.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from urllib.parse import unquote

from visual_erm.extract import Code

MAX_ADDRESS = 4096
"""Number of characters of one address that are read; no path is longer."""

_VALUE = rf"""(?:"([^"]{{0,{MAX_ADDRESS}}})"|'([^']{{0,{MAX_ADDRESS}}})'|([^\s>"']{{1,{MAX_ADDRESS}}}))"""
_ATTRIBUTE = re.compile(rf"\b(?:src|srcset|href|data|poster|background)\s*=\s*{_VALUE}", re.IGNORECASE)
_CSS = re.compile(
    rf"(?:\burl|\bimage|\bimage-set|\bsrc)\(\s*([^)]{{1,{MAX_ADDRESS}}})\)|@import\s+([^;]{{1,{MAX_ADDRESS}}})",
    re.IGNORECASE,
)
_MARKDOWN = re.compile(
    rf"!\[[^\]]{{0,{MAX_ADDRESS}}}\](?:\(\s*<?([^)>]{{1,{MAX_ADDRESS}}})|:\s*(\S{{1,{MAX_ADDRESS}}}))|^\s*\[[^\]]{{1,200}}\]:\s*(\S{{1,{MAX_ADDRESS}}})",
    re.M,
)
_ENTITY = re.compile(rf"""<!ENTITY[^>]{{1,200}}?\bSYSTEM\s+{_VALUE}""", re.IGNORECASE)
_TAG = re.compile(
    rf"""<([a-z][\w:-]{{0,40}})((?:"[^"]{{0,{MAX_ADDRESS}}}"|'[^']{{0,{MAX_ADDRESS}}}'|[^"'<>])*)>""", re.IGNORECASE
)
_LINKS = {"a", "area", "svg:a"}
"""Elements whose `href` is followed by a reader, and loads nothing."""
_LINK_TARGET = re.compile(rf"\bhref\s*=\s*{_VALUE}", re.IGNORECASE)
_CSS_ESCAPE = re.compile(r"\\([0-9a-fA-F]{1,6})\s?")

_FOLDERS = "dev etc home mnt opt private proc root run srv sys tmp usr var volumes workspace"
_MACHINE = re.compile(rf"/(?:{'|'.join(_FOLDERS.split())})/|~[\w-]*[/\\]|[a-z]:[/\\]|\\\\", re.IGNORECASE)
_ANSWER = re.compile(
    r"(?:.*[/\\])?(?:reference|ref|ground[_-]?truth|gt|target|expected|original|solution)(?:[_-]?(?:image|img|picture))?[_-]?\d*"
    r"\.(?:png|jpe?g|gif|webp|bmp|svgz?|tiff?|avif|pdf)",
    re.IGNORECASE,
)


def forbidden_reference(code: Code) -> str:
    """Finds an address that names a file of the machine.

    Args:
        code: The policy's code.

    Returns:
        The first such address, at most 200 characters of it; empty where there is none, and for Python.
    """
    if code.language == "python":
        return ""
    return next((address[:200] for address in _addresses(code) if _is_reaching(address)), "")


def _addresses(code: Code) -> Iterator[str]:
    """What the markup refers to, as a browser would resolve it: entities, escapes and line breaks undone."""
    text = html.unescape(_TAG.sub(_without_link, code.text))
    markdown = code.language == "markdown" and "![" in text
    for pattern in [_ATTRIBUTE, _CSS, _ENTITY] + [_MARKDOWN] * markdown:
        for match in pattern.finditer(text):
            value = next(filter(None, match.groups()), "")
            if pattern is _CSS:
                value = _CSS_ESCAPE.sub(lambda escape: chr(min(int(escape[1], 16), 0x10FFFF)), value)
            yield unquote(re.sub(r"[\t\r\n]", "", value)).strip(" \"'()")


def _without_link(tag: re.Match[str]) -> str:
    return _LINK_TARGET.sub("", tag[0]) if tag[1].lower() in _LINKS else tag[0]


def _is_reaching(address: str) -> bool:
    if address[:5].lower() == "file:":
        return True
    path = re.split(r"[?#]", address, maxsplit=1)[0].split(" ")[0]
    return bool(
        _MACHINE.match(path) or (not re.match(r"[a-z][\w+.-]*:|//", path, re.IGNORECASE) and _ANSWER.fullmatch(path))
    )
