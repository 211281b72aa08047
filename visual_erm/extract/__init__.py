"""Policy text -> code: the first arrow of the path.

A reply is read once, from top to bottom, and all code in it that the task could draw becomes a candidate; the last one that
is not cut off is the answer. Nothing is repaired: the code goes to the renderer as the policy wrote it. Replies are hostile
until proven otherwise, so every step here takes time linear in the length of the text.

`sections` cuts the reply at its fences; `tables`, `scripts` and `drawings` know their kind of code.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

from visual_erm.errors import NoCodeError
from visual_erm.extract import python, svg, tables
from visual_erm.extract.code import Candidate, Code
from visual_erm.extract.fences import LABELS, Section, sections, without_thinking

__all__ = ["Code", "extract"]

_BLOCKS = {
    "html": tables.html_block,
    "markdown": tables.markdown_block,
    "python": python.block,
    "svg": svg.block,
}
_MAY_HOLD = {
    "html": ["html", "svg"],
    "markdown": ["markdown", "html"],
    "python": ["python"],
    "svg": ["svg"],
    "xml": ["svg"],
}
"""What a fence of this label may hold."""


def extract(text: str, languages: Sequence[str]) -> Code:
    """The code in a policy's reply, in one of `languages` (`html`, `markdown`, `python`, `svg`; the first where it could be
    read as several).

    Thinking (`<think>…</think>`) is no part of the answer, and a reply that ends while thinking has none. Candidates are
    the fenced blocks that hold code of the languages, as written, and the code that stands in the text without a fence,
    without the prose around it; tables with nothing but markup or blank lines between them are one candidate. The last
    complete candidate wins. One that is cut off (neither its `<table>`, `<svg>` or statement nor its fence ever ends)
    counts only when no complete one is there, and is left to the renderer.

    Raises NoCodeError when the reply holds no code in any of the languages.

    >>> extract("Here it is:\\n```html\\n<table><tr><td>1</td></tr></table>\\n```", ["html"]).text
    '<table><tr><td>1</td></tr></table>'
    """
    answer = without_thinking(text)
    found = [candidate for candidate in _candidates(answer, languages) if candidate.code.language in languages]
    if not found:
        if text.strip() and not answer.strip():
            raise NoCodeError("the reply holds nothing but thinking")
        raise NoCodeError(f"the reply holds no code in {' or '.join(languages)}")
    complete = [candidate for candidate in found if candidate.complete]
    return (complete or found)[-1].code


def _candidates(answer: str, languages: Sequence[str]) -> Iterator[Candidate]:
    for section in sections(answer):
        if section.label is None:
            yield from _bare(section.text, languages)
        else:
            yield from _fenced(section, languages)


def _fenced(section: Section, languages: Sequence[str]) -> Iterator[Candidate]:
    """At most one candidate: the block in the language of its label, or in the first one that finds code in it."""
    label = section.label or ""
    held = [language for language in _MAY_HOLD.get(LABELS.get(label, ""), []) if language in languages]
    for language in held if label else languages:
        candidate = _BLOCKS[language](section)
        if candidate:
            yield candidate
            return


def _bare(text: str, languages: Collection[str]) -> Iterator[Candidate]:
    """Code without a fence. Markup inside of a script is part of the script."""
    start = 0
    for span in python.bare(text) if "python" in languages else ():
        yield from _bare_markup(text[start : span.start], languages)
        yield Candidate(Code("python", text[span.start : span.end].rstrip()), span.closed)
        start = span.end
    yield from _bare_markup(text[start:], languages)


def _bare_markup(text: str, languages: Collection[str]) -> Iterator[Candidate]:
    start = 0
    for span in svg.find(text, in_prose=True) if "svg" in languages else ():
        yield from _bare_tables(text[start : span.start], languages)
        yield svg.candidate(text, span)
        start = span.end
    yield from _bare_tables(text[start:], languages)


def _bare_tables(text: str, languages: Collection[str]) -> Iterator[Candidate]:
    return tables.bare(text) if "html" in languages or "markdown" in languages else iter(())
