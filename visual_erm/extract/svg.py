"""SVG documents, in a fenced block or between the words of a reply."""

from __future__ import annotations

import re
from collections.abc import Iterator

from visual_erm.extract.code import Candidate, Code, Section, Span

# The tag of a real document has attributes, or another tag follows; one that text follows is a word of the reply.
_TAG = re.compile(r"<(?P<end>/?)(?:\w+:)?svg(?=[\s/>])[^<>]*>(?=(?P<tag_follows>\s*(?:<|\Z))?)")
_PROLOG = re.compile(r"(?:<\?xml[^<>]*\?>|<!--(?:(?!-->).)*-->|<!DOCTYPE[^\[\]<>]*(?:\[[^\[\]]*\]\s*)?>)\s*", re.DOTALL)


def block(section: Section) -> Candidate | None:
    """The last complete document of a fenced block, or the beginning of one.

    Args:
        section: The block.

    Returns:
        The document with its XML declaration, or None.
    """
    spans = _find(section.text, in_prose=False)
    if not spans:
        return None
    span = ([span for span in spans if span.closed] or spans)[-1]
    return _candidate(section.text, span)


def bare(text: str) -> Iterator[tuple[Span, Candidate]]:
    """Documents without a fence.

    Args:
        text: Text of a reply outside of any fence.

    Yields:
        Places of documents and the documents, in order.
    """
    for span in _find(text, in_prose=True):
        yield span, _candidate(text, span)


def _candidate(text: str, span: Span) -> Candidate:
    return Candidate(Code("svg", text[span.start : span.end].rstrip()), span.closed)


def _find(text: str, in_prose: bool) -> list[Span]:
    """The outermost documents, each with the declarations right before it; only the last can be open."""
    spans: list[Span] = []
    opened, depth, after = -1, 0, 0
    for tag in _TAG.finditer(text):
        if tag["end"]:
            depth -= 1 if depth else 0
        elif in_prose and not depth and tag["tag_follows"] is None and "=" not in tag[0]:
            continue
        else:
            opened = opened if depth else _declared(text, after, tag.start())
            depth += 0 if tag[0].endswith("/>") else 1
        if opened >= 0 and depth == 0:
            spans.append(Span(opened, tag.end()))
            opened, after = -1, tag.end()
    if opened >= 0:
        spans.append(Span(opened, len(text), closed=False))
    return spans


def _declared(text: str, after: int, start: int) -> int:
    """Where the XML declaration or document type begins that leads up to `start`; `start` without one."""
    begin = text.rfind("<?xml", after, start)
    if begin < 0:
        begin = text.rfind("<!DOCTYPE", after, start)
    position = begin
    while 0 <= position < start and (part := _PROLOG.match(text, position, start)):
        position = part.end()
    return begin if position == start else start
