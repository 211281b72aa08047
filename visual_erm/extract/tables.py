"""Tables in HTML or Markdown, in a fenced block or between the words of a reply."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from visual_erm.extract.code import Candidate, Code, Section, Span, is_markup

# The tag of a real table is followed by another tag; one that text follows is a word of the reply: `a <table> element`.
_HTML_TAG = re.compile(
    r"(?:<!doctype[^<>]*>\s*)?<(?P<end>/?)(?P<name>table|html)(?=[\s/>])[^<>]*>(?=(?P<tag_follows>\s*(?:<|\Z))?)",
    re.IGNORECASE,
)
_CELL_TAG = re.compile(r"<t[dhr][\s/>]", re.IGNORECASE)
_PART_TAG = re.compile(r"<(/?)(?:table|caption|colgroup|col|thead|tbody|tfoot|tr|td|th)(?=[\s/>])[^<>]*>", re.IGNORECASE)
_DELIMITER_CELL = re.compile(r":?-+:?")


def html_block(section: Section) -> Candidate | None:
    """The whole fenced block, if it holds a table in HTML.

    Args:
        section: The block.

    Returns:
        The block, or None.
    """
    spans = _html_tables(section.text, in_prose=False)
    return _block(section, "html", spans) if _CELL_TAG.search(section.text) else None


def markdown_block(section: Section) -> Candidate | None:
    """The whole fenced block, if it holds a table in Markdown.

    Args:
        section: The block.

    Returns:
        The block, or None.
    """
    return _block(section, "markdown", list(_pipe_tables(section.text)))


def _block(section: Section, language: str, spans: Sequence[Span]) -> Candidate | None:
    if not spans:
        return None
    body = section.text
    if not section.closed and spans[-1].closed:
        body = body[: spans[-1].end]
    text = body.strip() if language == "html" else body.strip("\r\n").rstrip()
    return Candidate(Code(language, text), section.closed or spans[-1].closed)


def bare(text: str) -> Iterator[tuple[Span, Candidate]]:
    """Tables in HTML and Markdown without a fence. Those with nothing but markup or blanks between them are one candidate.

    Args:
        text: Text of a reply outside of any fence.

    Yields:
        Places of candidates and the candidates, in order.
    """
    start = 0
    for span in _groups(text, _html_tables(text, in_prose=True)):
        yield from _bare_markdown(text, start, span.start)
        if _CELL_TAG.search(text, span.start, span.end):
            yield span, Candidate(Code("html", text[span.start : span.end].rstrip()), span.closed)
        start = span.end
    yield from _bare_markdown(text, start, len(text))


def _bare_markdown(text: str, start: int, end: int) -> Iterator[tuple[Span, Candidate]]:
    part = text[start:end]
    for span in _groups(part, _pipe_tables(part)):
        lines = part[span.start : span.end].split("\n")
        found = Candidate(Code("markdown", "\n".join(line.strip() for line in lines)), complete=True)
        yield Span(start + span.start, start + span.end), found


def _groups(text: str, spans: Iterable[Span]) -> Iterator[Span]:
    """Joins neighbours with nothing but markup between them."""
    group: Span | None = None
    for span in spans:
        if group is None:
            group = span
            continue
        gap = text[group.end : span.start].strip()
        if not gap or is_markup(gap):
            group = Span(group.start, span.end, span.closed)
        else:
            yield group
            group = span
    if group:
        yield group


# What a table is


def _html_tables(text: str, in_prose: bool, start: int = 0, names: Sequence[str] = ("table", "html")) -> list[Span]:
    """The outermost tables, or documents that hold one, from `start` on; only the last can be open."""
    spans = []
    opened: re.Match[str] | None = None
    depth = 0
    for tag in _HTML_TAG.finditer(text, start):
        name = tag["name"].lower()
        if name not in names or (opened and name != opened["name"].lower()):
            continue
        if tag["end"]:
            depth -= 1 if opened else 0
        elif tag["tag_follows"] is not None or not in_prose:
            opened = opened or tag
            depth += 1
        if opened and depth == 0:
            spans.append(Span(opened.start(), tag.end()))
            opened = None
    if opened and opened["name"].lower() == "html":
        inside = _html_tables(text, in_prose, opened.end(), ("table",))
        spans += [Span(opened.start(), inside[-1].end, inside[-1].closed)] if inside else []
    elif opened:
        spans.append(Span(opened.start(), _end_of_cut_off(text, opened.end()), closed=False))
    return spans


def _end_of_cut_off(text: str, start: int) -> int:
    """Where a table that never ends stops being one: after its last end tag, or with the text inside an open cell."""
    last = None
    for last in _PART_TAG.finditer(text, start):  # noqa: B007
        pass
    return last.end() if last and last[1] else len(text)


def _pipe_tables(text: str) -> Iterator[Span]:
    """Markdown tables: a header, a delimiter row of as many cells, and the lines with a pipe that follow."""
    header = start = offset = end = 0
    inside = False
    for line in text.split("\n"):
        cells = _cell_count(line)
        if inside and not cells:
            yield Span(start, end)
            inside = False
        elif inside or (header and _is_delimiter(line, header)):
            inside, end = True, offset + len(line)
        if not inside:
            header, start = cells, offset
        offset += len(line) + 1
    if inside:
        yield Span(start, end)


def _cell_count(line: str) -> int:
    """Cells of a table row, 0 for a line without a pipe."""
    row = line.strip().replace("\\\\", "").replace("\\|", "")
    pipes = row.count("|")
    return pipes and pipes + 1 - row.startswith("|") - (row.endswith("|") and len(row) > 1)


def _is_delimiter(line: str, cells: int) -> bool:
    found = line.strip(" \t").removeprefix("|").removesuffix("|").split("|")
    return len(found) == cells and all(_DELIMITER_CELL.fullmatch(cell.strip(" \t")) for cell in found)
