"""Policy text -> code: the first arrow of the path.

A reply is read once, from top to bottom, and every table in it becomes a candidate; the last one that is not cut off is
the answer. Nothing is repaired: the code goes to the renderer as the policy wrote it. Replies are hostile until proven
otherwise, so every step here takes time linear in the length of the text.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from visual_erm.errors import NoCode

_THINK = re.compile(r"<(/?)think>", re.IGNORECASE)
_FENCE = re.compile(r"\s*(`{3,}|~{3,})[ \t]*([\w+-]*)")
_FENCE_LABELS = {"html": "html", "htm": "html", "markdown": "markdown", "md": "markdown", "gfm": "markdown"}
# The tag of a real table is followed by another tag; one that text follows is a word of the reply: `a <table> element`.
_HTML_TAG = re.compile(
    r"(?:<!doctype[^<>]*>\s*)?<(?P<end>/?)(?P<name>table|html)(?=[\s/>])[^<>]*>(?=(?P<tag_follows>\s*(?:<|\Z))?)",
    re.IGNORECASE,
)
_CELL_TAG = re.compile(r"<t[dhr][\s/>]", re.IGNORECASE)
_PART_TAG = re.compile(r"<(/?)(?:table|caption|colgroup|col|thead|tbody|tfoot|tr|td|th)(?=[\s/>])[^<>]*>", re.IGNORECASE)
_DELIMITER_CELL = re.compile(r":?-+:?")


@dataclass(frozen=True)
class Code:
    """What a policy wants drawn."""

    language: str
    """`html` or `markdown`."""
    text: str


def extract(text: str, languages: Sequence[str]) -> Code:
    """The code in a policy's reply, in one of `languages` (`html`, `markdown`; the first where it could be read as both).

    Thinking (`<think>…</think>`) is no part of the answer, and a reply that ends while thinking has none. Candidates are
    the fenced blocks that hold a table, whole and as written, and the tables that stand in the text without a fence,
    without the prose around them; tables with nothing but markup or blank lines between them are one candidate. The last
    complete candidate wins. One that is cut off (its `<table>` and its fence never end) counts only when no complete one
    is there, and is left to the browser, which closes what is open.

    Raises NoCode when the reply holds no table in any of the languages.

    >>> extract("Here it is:\\n```html\\n<table><tr><td>1</td></tr></table>\\n```", ["html"]).text
    '<table><tr><td>1</td></tr></table>'
    """
    answer = _without_thinking(text)
    found = [candidate for candidate in _candidates(answer, languages) if candidate.code.language in languages]
    if not found:
        if text.strip() and not answer.strip():
            raise NoCode("the reply holds nothing but thinking")
        raise NoCode(f"the reply holds no table in {' or '.join(languages)}")
    complete = [candidate for candidate in found if candidate.complete]
    return (complete or found)[-1].code


@dataclass(frozen=True)
class _Candidate:
    code: Code
    complete: bool


@dataclass(frozen=True)
class _Section:
    """A stretch of the reply: inside a fence with this label, or outside of any (`label` is None)."""

    text: str
    label: str | None
    closed: bool = True


@dataclass(frozen=True)
class _Span:
    """A part of a text that holds a table: characters `start` to `end`; `closed` unless it is cut off."""

    start: int
    end: int
    closed: bool = True


def _without_thinking(text: str) -> str:
    parts: list[str] = []
    thinking, start = False, 0
    for mark in _THINK.finditer(text):
        if mark[1]:
            if not thinking:  # the chat template opened it before the reply began
                parts.clear()
            thinking, start = False, mark.end()
        elif not thinking:
            parts.append(text[start : mark.start()])
            thinking = True
    if not thinking:
        parts.append(text[start:])
    return "\n".join(parts)


def _candidates(answer: str, languages: Sequence[str]) -> Iterator[_Candidate]:
    for section in _sections(answer):
        if section.label is None:
            yield from _bare(section.text)
        else:
            yield from _fenced(section, languages)


# Fences


def _sections(answer: str) -> Iterator[_Section]:
    """`answer` cut at its fences, in order.

    More forgiving than CommonMark where replies are sloppy: a fence may share a line with its content, open after some
    words when its label is known, and end at the end of a line of content; a labelled fence inside a fence of the same
    kind begins a new one.
    """
    marks, label = "", None
    start = offset = 0
    for line in answer.split("\n"):
        line_start, offset = offset, offset + len(line) + 1
        opening = _opening(line)
        if label is not None:
            closing = _closing(line, marks)
            if closing is None:
                continue
            yield _Section(answer[start : line_start + closing], label)
            label, start = None, offset
            if opening and opening[2].lower() not in _FENCE_LABELS:
                opening = None
        if opening:
            at = line_start + opening.start(1)
            if at > start:
                yield _Section(answer[start:at], None)
            marks, label, start = opening[1], opening[2].lower(), line_start + opening.end()
            rest = line[opening.end() :].rstrip()
            if rest.endswith(marks):
                yield _Section(rest.rstrip(marks[0]), label)
                label, start = None, offset
    yield _Section(answer[start:], label, closed=label is None)


def _opening(line: str) -> re.Match[str] | None:
    """The fence that `line` opens, if any: marks and label."""
    fence = _FENCE.match(line)
    if fence is None and (at := line.rfind("```")) >= 0:
        fence = _FENCE.match(line, at)
        if fence and (fence[2].lower() not in _FENCE_LABELS or line[fence.end() :].strip()):
            return None
    return fence


def _closing(line: str, marks: str) -> int | None:
    """Where in `line` a fence of these marks ends: at its first characters or at its last."""
    if line.lstrip().startswith(marks):
        return len(line) - len(line.lstrip())
    content = line.rstrip()
    return len(content.rstrip(marks[0])) if content.endswith(marks) else None


def _fenced(section: _Section, languages: Sequence[str]) -> Iterator[_Candidate]:
    """At most one candidate: the whole block in the language of its label, or in the first one that finds a table in it."""
    labels: dict[str, Sequence[str]] = {"": languages, "html": ["html"], "markdown": ["markdown", "html"]}
    body = section.text
    for language in labels.get(_FENCE_LABELS.get(section.label or "", section.label or ""), []):
        spans = _html_tables(body, in_prose=False) if language == "html" else list(_pipe_tables(body))
        if not spans or (language == "html" and not _CELL_TAG.search(body)):
            continue
        if not section.closed and spans[-1].closed:
            body = body[: spans[-1].end]
        text = body.strip() if language == "html" else body.strip("\r\n").rstrip()
        yield _Candidate(Code(language, text), section.closed or spans[-1].closed)
        return


# Tables without a fence


def _bare(text: str) -> Iterator[_Candidate]:
    start = 0
    for span in _groups(text, _html_tables(text, in_prose=True)):
        yield from _bare_markdown(text[start : span.start])
        if _CELL_TAG.search(text, span.start, span.end):
            yield _Candidate(Code("html", text[span.start : span.end].rstrip()), span.closed)
        start = span.end
    yield from _bare_markdown(text[start:])


def _bare_markdown(text: str) -> Iterator[_Candidate]:
    for span in _groups(text, _pipe_tables(text)):
        lines = text[span.start : span.end].split("\n")
        yield _Candidate(Code("markdown", "\n".join(line.strip() for line in lines)), complete=True)


def _groups(text: str, spans: Iterable[_Span]) -> Iterator[_Span]:
    """Neighbours with nothing but markup between them, put together."""
    group: _Span | None = None
    for span in spans:
        if group is None:
            group = span
            continue
        gap = text[group.end : span.start].strip()
        if not gap or (gap.startswith("<") and gap.endswith(">")):
            group = _Span(group.start, span.end, span.closed)
        else:
            yield group
            group = span
    if group:
        yield group


# What a table is


def _html_tables(text: str, in_prose: bool, start: int = 0, names: Sequence[str] = ("table", "html")) -> list[_Span]:
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
            spans.append(_Span(opened.start(), tag.end()))
            opened = None
    if opened and opened["name"].lower() == "html":
        inside = _html_tables(text, in_prose, opened.end(), ("table",))
        spans += [_Span(opened.start(), inside[-1].end, inside[-1].closed)] if inside else []
    elif opened:
        spans.append(_Span(opened.start(), _end_of_cut_off(text, opened.end()), closed=False))
    return spans


def _end_of_cut_off(text: str, start: int) -> int:
    """Where a table that never ends stops being one: after its last end tag, or with the text inside an open cell."""
    last = None
    for last in _PART_TAG.finditer(text, start):  # noqa: B007
        pass
    return last.end() if last and last[1] else len(text)


def _pipe_tables(text: str) -> Iterator[_Span]:
    """Markdown tables: a header, a delimiter row of as many cells, and the lines with a pipe that follow."""
    header = start = offset = end = 0
    inside = False
    for line in text.split("\n"):
        cells = _cell_count(line)
        if inside and not cells:
            yield _Span(start, end)
            inside = False
        elif inside or (header and _is_delimiter(line, header)):
            inside, end = True, offset + len(line)
        if not inside:
            header, start = cells, offset
        offset += len(line) + 1
    if inside:
        yield _Span(start, end)


def _cell_count(line: str) -> int:
    """Cells of a table row, 0 for a line without a pipe."""
    row = line.strip().replace("\\\\", "").replace("\\|", "")
    pipes = row.count("|")
    return pipes and pipes + 1 - row.startswith("|") - (row.endswith("|") and len(row) > 1)


def _is_delimiter(line: str, cells: int) -> bool:
    found = line.strip().removeprefix("|").removesuffix("|").split("|")
    return len(found) == cells and all(_DELIMITER_CELL.fullmatch(cell.strip()) for cell in found)
