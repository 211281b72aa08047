"""Cuts a reply: removes thinking, and splits the rest into fenced blocks and the text between them."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator

from visual_erm.extract.code import Section

_THINK = re.compile(r"<(/?)think>", re.IGNORECASE)
_FENCE = re.compile(r"\s*(`{3,}|~{3,})[ \t]*([\w+-]*)")


def without_thinking(text: str) -> str:
    """Removes what stands in `<think>…</think>`; a tag that nothing closes hides the rest.

    Args:
        text: The reply as the policy wrote it.

    Returns:
        What is left, joined by line breaks.
    """
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


def sections(answer: str, labels: Collection[str]) -> Iterator[Section]:
    """Cuts a reply at its fences.

    More forgiving than CommonMark where replies are sloppy: a fence may share a line with its content, open after some
    words when its label is known, and end at the end of a line of content; a labelled fence inside a fence of the same
    kind begins a new one.

    Args:
        answer: The reply without thinking.
        labels: Words that may follow a fence, in lower case.

    Yields:
        Fenced blocks and the stretches between them, in order.
    """
    marks, label = "", None
    start = offset = 0
    for line in answer.split("\n"):
        line_start, offset = offset, offset + len(line) + 1
        opening = _opening(line, labels)
        if label is not None:
            closing = _closing(line, marks)
            if closing is None:
                continue
            yield Section(answer[start : line_start + closing], label)
            label, start = None, offset
            if opening and opening[2].lower() not in labels:
                opening = None
        if opening:
            at = line_start + opening.start(1)
            if at > start:
                yield Section(answer[start:at], None)
            marks, label, start = opening[1], opening[2].lower(), line_start + opening.end()
            rest = line[opening.end() :].rstrip()
            if rest.endswith(marks):
                yield Section(rest.rstrip(marks[0]), label)
                label, start = None, offset
    yield Section(answer[start:], label, closed=label is None)


def _opening(line: str, labels: Collection[str]) -> re.Match[str] | None:
    """The fence that `line` opens, if any: marks and label."""
    fence = _FENCE.match(line)
    if fence is None and (at := line.rfind("```")) >= 0:
        fence = _FENCE.match(line, at)
        if fence and (fence[2].lower() not in labels or line[fence.end() :].strip()):
            return None
    return fence


def _closing(line: str, marks: str) -> int | None:
    """Where in `line` a fence of these marks ends: at its first characters or at its last."""
    if line.lstrip().startswith(marks):
        return len(line) - len(line.lstrip())
    content = line.rstrip()
    return len(content.rstrip(marks[0])) if content.endswith(marks) else None
