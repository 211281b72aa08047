"""Tally: what one item of VC-RewardBench counts, from its errors and their matching.

    tally = count(predictions, truths, matching, as_published=False)

The rules are those of the published evaluation (InternLM/Visual-ERM, evaluation scripts at c3855aa), with one exception.
The published script believes the matcher's own lists of what is unmatched, even where they contradict its matches. Here
these lists are computed from the matches, unless `as_published` is set.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from visual_erm.bench.matching import LabeledError, Matching
from visual_erm.errors import ConfigError

LARGEST_SEVERITY = 1e9
"""Largest severity that counts. Tasks have 1 to 3."""


class BadMatching(ConfigError):
    """The matcher's lists name an error that does not exist. Such an item is left out, and never counted."""


@dataclass
class Counts:
    """How many errors were found, and how many were not."""

    found: int = 0
    """Matches of level `yes`: true positives of the hard F1."""
    partly: int = 0
    """Matches of level `partial`: half a true positive of the soft F1, and nothing of the hard one."""
    invented: int = 0
    """Predicted errors without a match: false positives."""
    missed: int = 0
    """True errors without a match: false negatives."""


@dataclass
class Tally:
    """What one item counts."""

    all: Counts = field(default_factory=Counts)
    by_category: dict[str, Counts] = field(default_factory=lambda: defaultdict(Counts))
    """By category of error. A match counts for the category of the predicted error."""
    contradicts: bool = False
    """The matcher's own lists of what is unmatched contradict its matches."""
    matched_severities: list[tuple[float, float]] = field(default_factory=list)
    """Severity of the predicted error and of the true one, for each match of level `yes`."""
    found_truths: frozenset[int] = frozenset()
    """Places of the true errors in a match of level `yes`."""
    severities: dict[str, tuple[float, float]] = field(default_factory=dict)
    """By category of error: sum of predicted severities, and of true ones."""

    @property
    def predicted_severity(self) -> float:
        """Sum of the severities of all predicted errors."""
        return sum(predicted for predicted, _ in self.severities.values())

    @property
    def true_severity(self) -> float:
        """Sum of the severities of all true errors."""
        return sum(true for _, true in self.severities.values())


def severity_of(value: Any) -> float:
    """Reads a severity as the published script does, but for NaN and numbers without sense.

    Args:
        value: A number, or a text that holds one.

    Returns:
        The number; 0 where there is none, or one over LARGEST_SEVERITY: one item would spoil all scores.
    """
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return 0.0
    return number if abs(number) <= LARGEST_SEVERITY else 0.0


def errors_of(items: Any, categories: Sequence[str], keys: Sequence[str]) -> list[LabeledError]:
    """Reads a list of errors, and leaves out those of categories that the task does not have.

    Args:
        items: The list, as JSON holds it.
        categories: The task's categories.
        keys: The keys that may hold an error's category. The first that an error has counts.

    Returns:
        The errors in their order.
    """
    found = []
    for item in items if isinstance(items, list) else []:
        if isinstance(item, dict):
            category = next((item[key] for key in keys if item.get(key)), None)
            if isinstance(category, str) and category in categories:
                texts = (str(item.get(key) or "") for key in ("description", "location"))
                found.append(LabeledError(category, severity_of(item.get("severity")), *texts))
    return found


def count(
    predictions: Sequence[LabeledError], truths: Sequence[LabeledError], matching: Matching, *, as_published: bool = False
) -> Tally:
    """Counts one item.

    Args:
        predictions: The errors that the judge reports.
        truths: The errors that a person found.
        matching: What the matcher says of them. Of two matches that share an error the first counts. A match whose places
            are out of range does not count.
        as_published: Believe the matcher's own lists of what is unmatched.

    Returns:
        The counts.

    Raises:
        BadMatching: `as_published` is set, and a list names an error that does not exist.
    """
    tally = Tally()
    used_predictions: set[int] = set()
    used_truths: set[int] = set()
    for match in matching.matches:
        place, truth = match.prediction, match.truth
        if not (0 <= place < len(predictions) and 0 <= truth < len(truths)):
            continue
        if place in used_predictions or truth in used_truths:
            continue
        used_predictions.add(place)
        used_truths.add(truth)
        for counts in (tally.all, tally.by_category[predictions[place].category]):
            if match.level == "yes":
                counts.found += 1
            else:
                counts.partly += 1
        if match.level == "yes":
            tally.matched_severities.append((predictions[place].severity, truths[truth].severity))
            tally.found_truths |= {truth}
    invented = set(range(len(predictions))) - used_predictions
    missed = set(range(len(truths))) - used_truths
    said = [matching.unmatched_predictions, matching.unmatched_truths]
    tally.contradicts = any(given and set(given) != own for given, own in zip(said, (invented, missed), strict=True))
    if as_published:
        invented, missed = set(said[0] or invented), set(said[1] or missed)
    for places, errors, name in ((invented, predictions, "invented"), (missed, truths, "missed")):
        for place in places:
            try:
                category = errors[place].category
            except IndexError:
                raise BadMatching(f"the matcher calls error {place} of {len(errors)} unmatched") from None
            for counts in (tally.all, tally.by_category[category]):
                setattr(counts, name, getattr(counts, name) + 1)
    for category in sorted({error.category for error in (*predictions, *truths)}):
        tally.severities[category] = (
            math.fsum(error.severity for error in predictions if error.category == category),
            math.fsum(error.severity for error in truths if error.category == category),
        )
    return tally
