"""Python scripts, in a fenced block or between the words of a reply.

A block is taken as it stands. Without a fence Python itself says where a script ends: it is parsed, never run. Parsing is
bounded in length and number, so that a reply costs time linear in its length whatever it holds.
"""

from __future__ import annotations

import ast
import itertools
import keyword
import re
import textwrap
import threading
from collections.abc import Iterator

from visual_erm.extract.code import Candidate, Code, Section, Span

LONGEST_PARSED = 32_768
"""Characters that are parsed at most; a longer script without a fence ends where the text ends."""
MOST_PARSED = 8
"""Imports in one stretch of text that are tried as the beginning of a script."""
MOST_CUTS = 3
"""Paragraphs of prose that are tried as the end of a script."""

# Whatever draws has to be imported: code without it is a piece of a script at most.
_IMPORT = re.compile(r"^[ \t]*(?:import|from)[ \t]+\w", re.MULTILINE)
_FIRST_IMPORT = re.compile(
    r"^(?:import[ \t]+\w[\w.]*(?:[ \t]+as[ \t]+\w+)?[ \t]*(?:[,;#].*)?\r?$|from[ \t]+\w[\w.]*[ \t]+import[ \t]+[\w(*])",
    re.MULTILINE,
)
# How a paragraph of prose begins and a statement does not: markup, words in a row, a word that a full stop follows.
_PROSE = re.compile(r"[*>-]|[^\x00-\x7f]|\d+[.)][ \t]|([^\W\d_][\w'’-]*)(?:[,:;]?[ \t]+[\w`(*]|[.!:?]?[ \t]*\r?(?:\n|\Z))")
_NEWLINE = re.compile(r"\r\n?|\n")
_ESCAPE = re.compile(r"\\[^\r\n'\"]")
_LAST_NEWLINE = re.compile(r"\r?\n[ \t]*\Z")

_PARSER = threading.Lock()
"""Two threads in `ast.parse` at once can break each other's trees in Python before 3.11.5."""


def block(section: Section) -> Candidate | None:
    """The whole fenced block, byte for byte unless it is indented as a whole, as in a list.

    A block without a label is a script if it imports something. A labelled one always is, incomplete without an import.

    Args:
        section: The block.

    Returns:
        The script, or None.
    """
    text = section.text
    if last := _LAST_NEWLINE.search(text):
        text = text[: last.start()]
    imports = _IMPORT.search(text) is not None
    if not text.strip() or not (imports or section.label):
        return None
    if text.lstrip("\r\n")[:1] in " \t":
        text = textwrap.dedent(text)
    return Candidate(Code("python", text), section.closed and imports)


def bare(text: str) -> Iterator[tuple[Span, Candidate]]:
    """Scripts without a fence: from an import, or code right above it, to where the text stops being Python.

    Where it never is Python, because of an error or a cut, the script goes on to the end and is incomplete.

    Args:
        text: Text of a reply outside of any fence.

    Yields:
        Places of scripts and the scripts, in order.
    """
    for span in _spans(text):
        yield span, Candidate(Code("python", text[span.start : span.end].rstrip()), span.closed)


def _spans(text: str) -> Iterator[Span]:
    start, failed = 0, -1
    for _ in range(MOST_PARSED):
        first = _FIRST_IMPORT.search(text, start)
        if first is None:
            break
        statements, end = _read(text, first.start())
        if any(not isinstance(statement, ast.Import | ast.ImportFrom) for statement in statements):
            yield Span(start if _is_code(text[start : first.start()]) else first.start(), end)
            failed = -1
        elif not statements and failed < 0:
            failed = first.start()
        start = max(end, first.end())
    if failed >= 0:
        yield Span(failed, len(text), closed=False)


def _read(text: str, start: int) -> tuple[list[ast.stmt], int]:
    """The statements from `start` to the end or to a paragraph of prose, and where they end; none for an error within."""
    end = len(text)
    for _ in range(MOST_CUTS + 1):
        try:
            return _parse(text[start:end]), end
        except ValueError:
            break
        except SyntaxError as error:
            end = _line_start(text, start, error.lineno or 1)
            if not _begins_prose(text, start, end):
                break
    return [], end


def _parse(text: str) -> list[ast.stmt]:
    """Raises SyntaxError where `text` is no Python, ValueError where it cannot be said."""
    if len(text) > LONGEST_PARSED:
        raise ValueError("too long")
    try:
        with _PARSER:
            # Without its escapes, about which the parser may complain on stderr.
            return ast.parse(_ESCAPE.sub("__", text)).body
    except (RecursionError, MemoryError) as error:
        raise ValueError("nested too deeply") from error


def _line_start(text: str, start: int, number: int) -> int:
    """Where the line of this number begins, counted from 1 at `start`."""
    newlines = itertools.islice(_NEWLINE.finditer(text, start), max(0, number - 2), None)
    newline = next(newlines, None) if number > 1 else None
    return newline.end() if newline else start


def _begins_prose(text: str, start: int, at: int) -> bool:
    gap = at - len(text[start:at].rstrip()) - start
    prose = _PROSE.match(text, at)
    return text.count("\n", at - gap, at) > 1 and prose is not None and not keyword.iskeyword(prose[1] or "")


def _is_code(text: str) -> bool:
    """Whether `text` is Python with something in it that no single word of prose is."""
    if not text.strip():
        return False
    try:
        statements = _parse(text)
    except (SyntaxError, ValueError):
        return False
    return not any(isinstance(s, ast.Expr) and not isinstance(s.value, ast.Call | ast.Constant) for s in statements)
