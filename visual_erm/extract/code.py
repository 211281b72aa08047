"""What extraction hands on: code, and on the way there the candidates for it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Code:
    """What a policy wants drawn."""

    language: str
    """`html`, `markdown`, `python` or `svg`."""
    text: str


@dataclass(frozen=True)
class Candidate:
    """Code in a reply, which may not be the last word."""

    code: Code
    complete: bool
    """Not cut off."""


@dataclass(frozen=True)
class Span:
    """A part of a text that holds code: characters `start` to `end`; `closed` unless it is cut off."""

    start: int
    end: int
    closed: bool = True
