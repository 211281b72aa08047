"""Any HTML, with or without a table: in a fenced block, or between the words of a reply."""

from __future__ import annotations

import re
from collections.abc import Iterator

from visual_erm.extract.code import Candidate, Code, Section, Span, is_markup

_TAG = re.compile(r"<[a-z][a-z0-9]*(?=[\s/>])[^<>]*>", re.IGNORECASE)
# Without a fence, HTML begins with one of these elements at the beginning of a line; a table begins anywhere.
_ELEMENT = re.compile(
    r"(?P<begins>^[ \t]*)?(?:<!doctype[^<>]*>\s*)?"
    r"<(?P<end>/?)(?P<name>html|body|main|section|article|header|footer|nav|aside|form|fieldset|table|div|ul|ol|dl)"
    r"(?=[\s/>])[^<>]*>",
    re.IGNORECASE | re.MULTILINE,
)


def block(section: Section) -> Candidate | None:
    """The whole fenced block, if it holds any tag.

    Args:
        section: The block.

    Returns:
        The block without the blanks around it, or None.
    """
    if not _TAG.search(section.text):
        return None
    return Candidate(Code("html", section.text.strip()), section.closed)


def bare(text: str) -> Iterator[tuple[Span, Candidate]]:
    """HTML without a fence. Elements with nothing but markup or blanks between them are one candidate.

    Args:
        text: Text of a reply outside of any fence.

    Yields:
        Places of candidates and the candidates, in order.
    """
    group: Span | None = None
    for span in _elements(text):
        gap = text[group.end : span.start].strip() if group else ""
        if group and is_markup(gap):
            group = Span(group.start, span.end, span.closed)
            continue
        if group:
            yield group, _candidate(text, group)
        group = span
    if group:
        yield group, _candidate(text, group)


def _candidate(text: str, span: Span) -> Candidate:
    return Candidate(Code("html", text[span.start : span.end].strip()), span.closed)


def _elements(text: str) -> Iterator[Span]:
    """The outermost elements; only the last can be open."""
    start, name, depth = -1, "", 0
    for tag in _ELEMENT.finditer(text):
        if depth and tag["name"].lower() != name:
            continue
        if tag["end"]:
            depth -= 1 if depth else 0
        elif depth or tag["begins"] is not None or tag["name"].lower() == "table":
            if not depth:
                start, name = tag.start() + len(tag["begins"] or ""), tag["name"].lower()
            depth += 1
        if start >= 0 and depth == 0:
            yield Span(start, tag.end())
            start = -1
    if start >= 0:
        yield Span(start, len(text), closed=False)
