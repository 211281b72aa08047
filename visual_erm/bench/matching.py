"""LabeledError, Match and Matching: which reported errors are which true errors, as plain data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Level = Literal["yes", "partial"]


@dataclass(frozen=True)
class LabeledError:
    """One error of a pair of images: found by a person (a true error) or reported by a judge (a predicted error)."""

    category: str
    """The category of the error, one of its task's: `text_error`."""
    severity: float
    description: str
    location: str = ""


@dataclass(frozen=True)
class Match:
    """One predicted error and the true error that it is."""

    prediction: int
    """Place of the predicted error in its list, from 0."""
    truth: int
    """Place of the true error in its list, from 0."""
    level: Level
    """`yes`: the same error. `partial`: the same error, described in part or with a mistake."""


@dataclass(frozen=True)
class Matching:
    """What a matcher says of the errors of one item."""

    matches: tuple[Match, ...]
    """One to one: no predicted and no true error stands in two matches."""
    unmatched_predictions: tuple[int, ...] | None = None
    """Places of predicted errors that the matcher calls unmatched, as it gives them. They may contradict `matches`, and be
    out of range. None: it names none."""
    unmatched_truths: tuple[int, ...] | None = None
    """The same of true errors."""
