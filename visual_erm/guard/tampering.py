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

_CSS = re.compile(
    rf"(?:\burl|\bimage|\bimage-set|\bsrc)\(\s*([^)]{{1,{MAX_ADDRESS}}})\)|@import\s+([^;]{{1,{MAX_ADDRESS}}})",
    re.IGNORECASE,
)
_ENTITY = re.compile(
    rf"""<!(?:ENTITY|DOCTYPE)[^>\[]{{1,200}}?\bSYSTEM\s+(?:"([^"]{{0,{MAX_ADDRESS}}})"|'([^']{{0,{MAX_ADDRESS}}})')""",
    re.IGNORECASE,
)
_OPENING = re.compile(r"<!--|<!\[CDATA\[|<\?xml-stylesheet|</?[a-z][^\s/>]*", re.IGNORECASE)
"""Where a comment, a section of text, a processing instruction or a tag begins."""
_COMMENT_END = re.compile("--!?>")
_SECTION_END = re.compile("]]>")
_NAMED_VALUE = re.compile(r"""[\s/]*([^\s/>=]+)(?:\s*=\s*("[^"]*"|'[^']*'|[^\s>]*))?""")
_CANDIDATE = re.compile(r"(\S*[^\s,])(?:\s[^,]*)?")
"""One address of a `srcset`, with its width or density."""
_STYLE_END = re.compile(r"</style", re.IGNORECASE)
_CODE = re.compile(rf"(?<!`)(`+)(?!`)[^`]{{1,{MAX_ADDRESS}}}(?<!`)\1(?!`)")
_IMAGE = re.compile(rf"!\[([^\]]{{0,300}})\](?:\(\s*<?([^)>]{{1,{MAX_ADDRESS}}})|\[([^\]]{{1,{MAX_ADDRESS}}})\])?")
_DEFINITION = re.compile(rf"^\s*\[([^\]]{{1,{MAX_ADDRESS}}})\]:\s*<?([^\s>]{{1,{MAX_ADDRESS}}})", re.MULTILINE)
_LOADING = {"src", "poster", "background"}
"""Attributes whose address is loaded. Others depend on the element."""
_LINKS = {"a", "area"}
"""Elements whose `href` is followed by a reader, and loads nothing."""
_LOADING_RELATIONS = re.compile(r"stylesheet|icon|load|fetch|manifest|import|render", re.IGNORECASE)
"""What the `rel` of a <link> says where its address is loaded."""
_TEXTS = re.compile(r"data-|aria-|(?:title|alt|label|summary|content|value|placeholder|id|class|name)$")
"""Attributes that hold text."""
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
    """What the markup loads, as a browser would resolve it: entities, escapes and line breaks undone."""
    addresses = _loaded(code.text, code.language == "svg") if code.language != "markdown" else _in_markdown(code.text)
    for address in addresses:
        yield unquote(re.sub(r"[\t\r\n]", "", address[:MAX_ADDRESS])).strip(" \"'()")


def _loaded(text: str, is_xml: bool) -> Iterator[str]:
    """Addresses in tags and style sheets. Text, comments and attributes that hold text load nothing."""
    for match in _ENTITY.finditer(text):
        yield match[1] or match[2] or ""
    at = 0
    while opening := _OPENING.search(text, at):
        at = opening.end()
        name = opening[0][1:].lower()
        if name == "!--":
            # `<!-->` is a whole comment, and HTML takes `--!>` for an end.
            end = _COMMENT_END.search(text, at - 2)
            at = end.end() if end else len(text)
        elif name == "![cdata[":
            # HTML has no such sections.
            end = _SECTION_END.search(text, at) if is_xml else opening
            at = end.end() if end else len(text)
        elif not name.startswith("/"):
            attributes, at = _attributes(text, at)
            element = name.rpartition(":")[2]
            yield from _loaded_by(element, attributes)
            if element == "style":
                end = _STYLE_END.search(text, at)
                sheet = text[at : end.start() if end else len(text)]
                yield from _in_css(html.unescape(sheet) if is_xml else sheet)
                at += len(sheet)


def _in_markdown(text: str) -> Iterator[str]:
    """Addresses of images and of HTML in Markdown. Code loads nothing, and a link's definition neither."""
    text = _CODE.sub("", text)
    yield from _loaded(text, is_xml=False)
    images = list(_IMAGE.finditer(text))
    labels = {(match[3] or match[1]).casefold() for match in images}
    yield from (match[2] for match in images if match[2])
    yield from (match[2] for match in _DEFINITION.finditer(text) if match[1].casefold() in labels)


def _attributes(text: str, at: int) -> tuple[dict[str, str], int]:
    """The attributes of a tag, of which the first of a name counts, and where the tag ends."""
    found: dict[str, str] = {}
    while at < len(text) and text[at] != ">":
        match = _NAMED_VALUE.match(text, at)
        if match is None:
            at += 1
            continue
        value = match[2] or ""
        found.setdefault(match[1].lower().rpartition(":")[2], html.unescape(value[1:-1] if value[:1] in "\"'" else value))
        at = match.end()
    return found, at + 1


def _loaded_by(element: str, attributes: dict[str, str]) -> Iterator[str]:
    """Addresses that one element loads."""
    for name, value in attributes.items():
        if name in _LOADING or (name, element) == ("data", "object"):
            yield value
        elif name == "href":
            rel = attributes.get("rel", "stylesheet")
            if element not in _LINKS and (element != "link" or _LOADING_RELATIONS.search(rel)):
                yield value
        elif name in ("srcset", "imagesrcset"):
            yield from (candidate[1] for candidate in _CANDIDATE.finditer(value))
        elif name == "srcdoc":
            yield from _loaded(value, is_xml=False)
        elif not _TEXTS.match(name):
            yield from _in_css(value)


def _in_css(text: str) -> Iterator[str]:
    for match in _CSS.finditer(text):
        yield _CSS_ESCAPE.sub(lambda escape: chr(min(int(escape[1], 16), 0x10FFFF)), match[1] or match[2])


def _is_reaching(address: str) -> bool:
    if address[:5].lower() == "file:":
        return True
    path = re.split(r"[?#]", address, maxsplit=1)[0].split(" ")[0]
    return bool(
        _MACHINE.match(path) or (not re.match(r"[a-z][\w+.-]*:|//", path, re.IGNORECASE) and _ANSWER.fullmatch(path))
    )
