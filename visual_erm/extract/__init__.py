"""Policy text -> code: the first step of the path.

A reply is read once, from top to bottom. All code in it that the task accepts becomes a candidate, and the last candidate
that is not cut off is the answer. Nothing is repaired: the code goes to the renderer as the policy wrote it. Replies may be
hostile, so every step here takes time linear in the length of the text.

`fences` cuts the reply at its fences; `tables`, `pages`, `python` and `svg` find code of one kind; `languages` names them.

    extract(reply, task.code_languages)
"""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from visual_erm.errors import NoCodeError
from visual_erm.extract.code import Candidate, Code, Language, Section, Span
from visual_erm.extract.fences import sections, without_thinking
from visual_erm.extract.languages import MARKDOWN, SHIPPED

__all__ = ["Code", "Language", "extract"]

_FindBare = Callable[[str], Iterator[tuple[Span, Candidate]]]

MAX_NESTED = 1
"""Depth of fences in fences that are opened."""
MAX_JSON = 8
"""Places of a stretch of text that are tried as the beginning of a value in JSON."""

_SHIPPED_LABELS = frozenset(label for language in SHIPPED.values() for label in language.labels)
_OTHER_LABELS = frozenset(
    (
        *("bash", "c", "c++", "cmd", "console", "cpp", "cs", "csharp", "css", "diff", "go", "java", "javascript", "js"),
        *("julia", "kotlin", "latex", "less", "lua", "makefile", "matlab", "perl", "php", "powershell", "ps1", "r", "ruby"),
        *("rust", "scala", "scss", "sh", "shell", "sql", "swift", "tex", "toml", "ts", "typescript", "yaml", "yml", "zsh"),
    )
)
"""Labels of languages that no task accepts. A block with any other unknown label is judged by what it holds."""
_FENCE = re.compile(r"^[ \t]*(?:```|~~~)", re.MULTILINE)
_NEWLINE = re.compile(r"\r\n?")
_JSON = re.compile(r"^[ \t]*[{\[]", re.MULTILINE)
_DECODER = json.JSONDecoder(strict=False)


def extract(text: str, languages: Sequence[str | Language]) -> Code:
    r"""Finds the code in a policy's reply.

    Thinking (`<think>…</think>`) is no part of the answer, and a reply that ends while thinking has none. Candidates are
    the fenced blocks that hold code of the languages, as written, and the code that stands in the text without a fence,
    without the prose around it; tables with nothing but markup or blank lines between them are one candidate. The last
    complete candidate wins. One that is cut off (neither its `<table>`, `<svg>` or statement nor its fence ever ends)
    counts only when no complete one is there, and is left to the renderer.

    Args:
        text: The reply as the policy wrote it.
        languages: Accepted languages, the preferred one first where code could be read as several. A shipped language
            may be given by its name: `html`, `markdown`, `html_page`, `python` or `svg`.

    Returns:
        The code and the name of its language.

    Raises:
        NoCodeError: The reply holds no code in any of the languages.

    >>> extract("Here it is:\n```html\n<table><tr><td>1</td></tr></table>\n```", ["html"]).text
    '<table><tr><td>1</td></tr></table>'
    """
    accepted = [SHIPPED[language] if isinstance(language, str) else language for language in languages]
    code_languages = {language.code_language for language in accepted}
    answer = without_thinking(_NEWLINE.sub("\n", text.removeprefix("\ufeff")))
    found = [candidate for candidate in _candidates(answer, accepted) if candidate.code.language in code_languages]
    if not found:
        if text.strip() and not answer.strip():
            raise NoCodeError("the reply holds nothing but thinking")
        raise NoCodeError(f"the reply holds no code in {' or '.join(language.name for language in accepted)}")
    complete = [candidate for candidate in found if candidate.complete]
    return (complete or found)[-1].code


def _candidates(answer: str, languages: Sequence[Language], depth: int = 0) -> Iterator[Candidate]:
    labels = _SHIPPED_LABELS.union(*(language.labels for language in languages))
    known = labels | _OTHER_LABELS
    by_rank = sorted(languages, key=lambda language: language.rank)
    finders = list(dict.fromkeys(language.find_bare for language in by_rank if language.find_bare))
    for section in sections(answer, labels):
        if section.label is not None:
            yield from _fenced(section, languages, known, depth)
        elif depth == 0:
            yield from _outside_json(section.text, languages, finders)


def _fenced(section: Section, languages: Sequence[Language], known: frozenset[str], depth: int) -> Iterator[Candidate]:
    """Candidates of a block: those of the blocks in it, else one in its language or the first that finds code in it."""
    own = [language for language in languages if section.label in language.labels]
    may_hold = [language for language in languages if section.label in language.also_labelled]
    if section.label in MARKDOWN.labels or section.label not in known:
        inner: list[Candidate] = []
        if depth < MAX_NESTED and _FENCE.search(section.text):
            inner = list(_candidates(section.text, languages, depth + 1))
        if inner := inner or [found for _, text in _json_texts(section.text) for found in _whole(text, languages)]:
            yield from inner
            return
    if section.label not in known:
        section, may_hold = replace(section, label=""), list(languages)
    for language in [*own, *may_hold]:
        candidate = language.find_fenced(section)
        if candidate:
            yield candidate
            return


def _whole(text: str, languages: Sequence[Language]) -> Iterator[Candidate]:
    """A text of JSON is read as an answer of its own: with fences, or code from end to end.

    Not in a language that is found in fenced blocks only: it takes any text for code.
    """
    if _FENCE.search(text):
        yield from _candidates(text, languages, MAX_NESTED)
        return
    found = (language.find_fenced(Section(text, "")) for language in languages if language.find_bare)
    yield from itertools.islice(filter(None, found), 1)


def _outside_json(text: str, languages: Sequence[Language], finders: Sequence[_FindBare]) -> Iterator[Candidate]:
    """Code without a fence, in texts of JSON and between them."""
    start = 0
    for span, value in _json_texts(text):
        found = list(_whole(value, languages))
        if found:
            yield from _bare(text[start : span.start], finders)
            yield from found
            start = span.end
    yield from _bare(text[start:], finders)


def _json_texts(text: str) -> Iterator[tuple[Span, str]]:
    """All texts in the JSON of a reply, in order, each with the place of the value that holds it."""
    end = 0
    for begin in itertools.islice(_JSON.finditer(text), MAX_JSON):
        if begin.start() < end:
            continue
        try:
            value, end = _DECODER.raw_decode(text, begin.end() - 1)
        except (ValueError, RecursionError):
            continue
        for inner in _texts_of(value):
            yield Span(begin.start(), end), inner


def _texts_of(value: Any) -> Iterator[str]:
    waiting = [value]
    while waiting:
        match waiting.pop():
            case str(text):
                yield text
            case dict(items):
                waiting += reversed(items.values())
            case list(items):
                waiting += reversed(items)


def _bare(text: str, finders: Sequence[_FindBare]) -> Iterator[Candidate]:
    """Code without a fence, in order. What the first finder takes, the others do not see: markup in a script is script."""
    if not finders:
        return
    start = 0
    for span, candidate in finders[0](text):
        yield from _bare(text[start : span.start], finders[1:])
        yield candidate
        start = span.end
    yield from _bare(text[start:], finders[1:])
