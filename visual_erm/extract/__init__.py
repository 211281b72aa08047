"""Policy text -> code: the first step of the path.

A reply is read once, from top to bottom. All code in it that the task accepts becomes a candidate, and the last candidate
that is not cut off is the answer. Nothing is repaired: the code goes to the renderer as the policy wrote it. Replies may be
hostile, so every step here takes time linear in the length of the text.

`fences` cuts the reply at its fences; `tables`, `pages`, `python` and `svg` find code of one kind; `languages` names them.

    extract(reply, task.code_languages)
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from visual_erm.errors import NoCodeError
from visual_erm.extract.code import Candidate, Code, Language, Section, Span
from visual_erm.extract.fences import sections, without_thinking
from visual_erm.extract.languages import SHIPPED

__all__ = ["Code", "Language", "extract"]

_FindBare = Callable[[str], Iterator[tuple[Span, Candidate]]]

_SHIPPED_LABELS = frozenset(label for language in SHIPPED.values() for label in language.labels)


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
    answer = without_thinking(text)
    found = [candidate for candidate in _candidates(answer, accepted) if candidate.code.language in code_languages]
    if not found:
        if text.strip() and not answer.strip():
            raise NoCodeError("the reply holds nothing but thinking")
        raise NoCodeError(f"the reply holds no code in {' or '.join(language.name for language in accepted)}")
    complete = [candidate for candidate in found if candidate.complete]
    return (complete or found)[-1].code


def _candidates(answer: str, languages: Sequence[Language]) -> Iterator[Candidate]:
    labels = _SHIPPED_LABELS.union(*(language.labels for language in languages))
    by_rank = sorted(languages, key=lambda language: language.rank)
    finders = list(dict.fromkeys(language.find_bare for language in by_rank if language.find_bare))
    for section in sections(answer, labels):
        if section.label is None:
            yield from _bare(section.text, finders)
        else:
            yield from _fenced(section, languages)


def _fenced(section: Section, languages: Sequence[Language]) -> Iterator[Candidate]:
    """At most one candidate: the block in the language of its label, or in the first language that finds code in it."""
    if section.label:
        own = [language for language in languages if section.label in language.labels]
        languages = [*own, *(language for language in languages if section.label in language.also_labelled)]
    for language in languages:
        candidate = language.find_fenced(section)
        if candidate:
            yield candidate
            return


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
