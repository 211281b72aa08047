"""Data classes of extraction: a language, and the code and candidates that are found in a reply."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from lxml.html import defs


@dataclass(frozen=True)
class Code:
    """Code that a policy wrote, ready to be rendered."""

    language: str
    """Name of its language: `html`, `markdown`, `python`, `svg`, or one of the user's own."""
    text: str
    """The code as the policy wrote it."""


@dataclass(frozen=True)
class Candidate:
    """Code found in a reply. The reply may hold several."""

    code: Code
    complete: bool
    """The code is not cut off."""


@dataclass(frozen=True)
class Span:
    """A stretch of a text that holds code: the characters from `start` up to `end`."""

    start: int
    end: int
    closed: bool = True
    """False for code that is cut off."""


@dataclass(frozen=True)
class Section:
    """A stretch of a reply, inside or outside of a fenced block."""

    text: str
    label: str | None
    """The word after the opening fence in lower case; None outside of any fence."""
    closed: bool = True
    """False for a fenced block that never ends."""


@dataclass(frozen=True)
class Language:
    """A language that a reply may use, and how code in it is found.

    A language without `find_bare` is found in fenced blocks only.
    """

    name: str
    """Its name in a task's `languages`."""
    labels: tuple[str, ...]
    """Words after an opening fence that mean this language, in lower case."""
    suffixes: tuple[str, ...]
    """Endings of files that hold code in this language, with the dot, in lower case."""
    find_fenced: Callable[[Section], Candidate | None]
    """The code in a fenced block, or None."""
    find_bare: Callable[[str], Iterator[tuple[Span, Candidate]]] | None = None
    """Code in text without a fence, in order, each with its place."""
    also_labelled: tuple[str, ...] = ()
    """Labels of other languages whose blocks may hold this one."""
    rank: int = 0
    """Text without a fence is searched in order of rank: a lower rank owns what stands inside of its code."""
    code_language: str = ""
    """`Code.language` of what is found; empty: `name`."""
    whole_file: bool = True
    """A file of this language is code from end to end; false: the code is found in it as in a reply."""

    def __post_init__(self) -> None:
        """Fills `code_language`."""
        object.__setattr__(self, "code_language", self.code_language or self.name)


_TAG = re.compile(r"</?([a-zA-Z][\w-]*)(?=[\s/>])[^<>]*>|<!--.*?-->", re.DOTALL)


def is_markup(gap: str) -> bool:
    """Tells whether what stands between two pieces of HTML belongs to them: elements of HTML, and text within those.

    Args:
        gap: Text between two tables or other elements, without blanks around it.

    Returns:
        True for nothing, and for HTML from its first character to its last. False where a tag is none of HTML's.
    """
    if not gap:
        return True
    names = [tag[1] for tag in _TAG.finditer(gap) if tag[1]]
    return gap.startswith("<") and gap.endswith(">") and all(name.lower() in defs.tags for name in names)


def whole_block(language: str) -> Callable[[Section], Candidate | None]:
    """An extractor for languages whose fenced blocks hold code and nothing else.

    Args:
        language: `Code.language` of what is found.

    Returns:
        A function for `Language.find_fenced`: takes the block without the line breaks around it, if it is not blank.
    """

    def find(section: Section) -> Candidate | None:
        text = section.text.strip("\r\n").rstrip()
        return Candidate(Code(language, text), section.closed) if text.strip() else None

    return find
