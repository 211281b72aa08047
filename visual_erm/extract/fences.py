"""Cuts a reply: removes thinking, and splits the rest into fenced blocks and the text between them.

Fences are those of CommonMark, as markdown-it-py finds them. Models also write fences that CommonMark reads otherwise.
These are mended: a fence that opens after some words, one that ends behind a line of code, and one that is still open where
the next one begins.
"""

from __future__ import annotations

import itertools
import re
from bisect import bisect
from collections.abc import Collection, Generator, Iterator
from typing import NamedTuple

from markdown_it import MarkdownIt
from markdown_it.token import Token

from visual_erm.extract.code import Section

MAX_MENDED = 8
"""Fences of one reply that are mended at most. The rest is read again after each."""
MAX_THOUGHTS = 8
"""Ends of thinking after which fences are looked for again at most."""
NEAR = 400
"""Characters before and after a tag that count as its line at most."""

_FENCES = MarkdownIt("zero").enable("fence")
_THINK = re.compile(r"<(/?)think>", re.IGNORECASE)
_STRING = re.compile(r"""[(=,\[{:][ \t]*[rbfuRBFU]{0,2}(?:"[^"\n]*("|\Z)|'[^'\n]*('|\Z))""")
# Tags of chat templates and of answers in parts. What stands on both sides of one is told apart, and the tag is no code.
_SEPARATOR = re.compile(
    r"<\|[^|<>\n]{1,40}\|>|</?(?:answer|final|final_answer|reasoning|thought|thinking|analysis|draft|solution|response|s)>",
    re.IGNORECASE,
)
_LATE = re.compile(r"^[^`\n]*[^`\s](?P<fence>[ \t]*```+(?P<label>[\w+-]+)[ \t]*)$", re.MULTILINE)
# The first word of an info string: of `python title="…"`, `{python}`, `python:plot.py`, `html {.wide}`.
_LABEL = re.compile(r"[{.\s]*([\w+#-]+)")
_CODE_IN_INFO = re.compile(r"\s*(?=<[a-z!?]|import\s|from\s)", re.IGNORECASE)


# Thinking


def without_thinking(text: str) -> str:
    """Removes what stands in `<think>…</think>`; a tag that nothing closes hides the rest.

    A tag inside of a string of code, or beside code in a line of a fenced block, is text.

    Args:
        text: The reply as the policy wrote it.

    Returns:
        What is left, joined by line breaks.
    """
    if not _THINK.search(text):
        return text
    parts: list[str] = []
    thinking, start = False, 0
    blocks = _closed_blocks(text, 0)
    ends = 0
    for mark in _THINK.finditer(text):
        if not thinking and _is_text(text, mark, blocks):
            continue
        if mark[1]:
            if not thinking:  # the chat template opened it before the reply began
                parts.clear()
            thinking, start = False, mark.end()
            ends += 1
            blocks = _closed_blocks(text, start) if ends <= MAX_THOUGHTS else []
        elif not thinking:
            parts.append(text[start : mark.start()])
            thinking = True
    if not thinking:
        parts.append(text[start:])
    return "\n".join(parts)


def _is_text(text: str, tag: re.Match[str], blocks: list[tuple[int, int]]) -> bool:
    """Whether a tag is a word of the answer's code: in a string, or beside code in a line of a block."""
    before = text[max(0, tag.start() - NEAR) : tag.start()].rpartition("\n")[2]
    if _is_in_string(before):
        return True
    after = text[tag.end() : tag.end() + NEAR].partition("\n")[0]
    block = bisect(blocks, (tag.start(), len(text))) - 1
    return block >= 0 and tag.start() < blocks[block][1] and bool(before.strip() or after.strip())


def _is_in_string(before: str) -> bool:
    last = None
    for last in _STRING.finditer(before):  # noqa: B007
        pass
    return last is not None and last.end() == len(before) and not (last[1] or last[2])


def _closed_blocks(text: str, start: int) -> list[tuple[int, int]]:
    """First and last character of the contents of all fenced blocks from `start` on that are closed."""
    part = text[start:]
    offsets = _line_offsets(part)
    return [
        (start + offsets[block.first + 1], start + offsets[block.after - 1])
        for block in _blocks(part, offsets)
        if block.closed
    ]


# Fences


def sections(answer: str, labels: Collection[str]) -> Iterator[Section]:
    r"""Cuts a reply at its fences, and the text between them at tags of chat templates and answers.

    Args:
        answer: The reply without thinking, its lines separated by `\n`.
        labels: Words that may follow a fence which opens after some words, in lower case.

    Yields:
        Fenced blocks without the indentation of their fence, and the stretches between them, in order.
    """
    rest: str | None = answer
    for mended in itertools.count():
        if rest is None:
            return
        rest = yield from _read(rest, labels if mended < MAX_MENDED else None)


def _read(text: str, labels: Collection[str] | None) -> Generator[Section, None, str | None]:
    """Cuts a text up to its end, or up to the first fence to be mended. Then it returns the rest of the text, mended.

    Without labels nothing is mended.
    """
    offsets = _line_offsets(text)
    at = 0
    for block in (*_blocks(text, offsets), None):
        before = text[at : offsets[block.first] if block else len(text)]
        if labels and (late := _late_fence(before, labels)):
            yield from _text(before[: late.start("fence")])
            return text[at + late.start("fence") :]
        yield from _text(before)
        if block is None:
            return None
        label, beginning = _read_info(block.info)
        cut = _sloppy_end(block.content, block.marks) if labels else None
        if cut:
            end, closed, behind, line = cut
            yield Section(beginning + block.content[:end], label, closed)
            return behind + text[offsets[block.first + line + 2] :]
        yield Section(beginning + block.content, label, block.closed)
        at = offsets[block.after]
    return None


class _Block(NamedTuple):
    """A fenced block of CommonMark."""

    first: int
    """Number of the line with its fence."""
    after: int
    """Number of the line after it."""
    marks: str
    info: str
    content: str
    closed: bool
    """Its last line is a fence that ends it."""


def _blocks(text: str, offsets: list[int]) -> list[_Block]:
    tokens: list[Token] = []
    _FENCES.block.parse(text, _FENCES, {}, tokens)
    found = []
    for token in tokens:
        if token.type == "fence" and token.map:
            first, after = token.map
            last = text[offsets[after - 1] : offsets[after]].strip()
            closed = after - first > 1 and last.startswith(token.markup) and not last.strip(last[:1])
            found.append(_Block(first, after, token.markup, token.info, token.content, closed))
    return found


def _line_offsets(text: str) -> list[int]:
    """Where each line begins; one more for the end."""
    ends = list(itertools.accumulate(len(line) + 1 for line in text.split("\n")))
    return [0, *ends[:-1], len(text)]


def _text(text: str) -> Iterator[Section]:
    """The stretches of a text between tags that are no code."""
    start = 0
    for tag in _SEPARATOR.finditer(text):
        if not _is_in_string(text[max(start, tag.start() - NEAR) : tag.start()].rpartition("\n")[2]):
            yield Section(text[start : tag.start()], None)
            start = tag.end()
    if start < len(text):
        yield Section(text[start:], None)


def _read_info(info: str) -> tuple[str, str]:
    """The label of a fence, and code in the same line."""
    label = _LABEL.match(info)
    rest = info[label.end() if label else 0 :]
    code = _CODE_IN_INFO.match(rest)
    return (label[1].lower() if label else ""), f"{rest[code.end() :]}\n" if code else ""


def _late_fence(text: str, labels: Collection[str]) -> re.Match[str] | None:
    """The first fence after some words, if its label is known."""
    return next((late for late in _LATE.finditer(text) if late["label"].lower() in labels), None)


def _sloppy_end(content: str, marks: str) -> tuple[int, bool, str, int] | None:
    """Where a block ends that CommonMark takes to be longer.

    Returns:
        End of the content, whether the block is closed, what of the line is not content, and the number of the line.
    """
    if marks not in content:
        return None
    start = 0
    for number, line in enumerate(content.split("\n")):
        words = line.strip()
        if marks in words:
            behind = words.lstrip(marks[0]).strip()
            if words.startswith(marks) and behind:
                opens = _LABEL.fullmatch(behind) or _read_info(behind)[1]
                return (start, False, f"{words}\n", number) if opens else (start, True, f"{behind}\n", number)
            if words.endswith(marks) and not words.startswith(marks):
                return start + len(line.rstrip().rstrip(marks[0])), True, "", number
        start += len(line) + 1
    return None
