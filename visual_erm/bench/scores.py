"""Scores: how well one judge does on VC-RewardBench, and how two judges differ.

    scores = score(rows)
    difference = compare(rows_a, rows_b)

The rows are those of files that `bench match` wrote.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
from scipy import stats

from visual_erm.bench.figures import (
    DRAWS,
    NAMES,
    Figures,
    Sample,
    drawn_figures,
    figures,
    figures_of_sums,
    interval,
    moments,
    resample,
)
from visual_erm.bench.rows import CATEGORIES, Row, error_categories
from visual_erm.bench.tally import BadMatching, Tally, count
from visual_erm.jobs.rows import BadRow

ALL = "all"
"""Name of the group of all items."""
POWER = 0.8
"""Share of trials in which the smallest detectable difference is detected."""


@dataclass(frozen=True)
class Item:
    """One item that counts."""

    row: Row
    tally: Tally
    predicted: int
    """Number of predicted errors."""
    true: int
    """Number of true errors."""


@dataclass
class Group:
    """Scores of some items: of all, of one category of pairs, or of one category of errors."""

    figures: Figures
    intervals: dict[str, tuple[float, float]]
    """By name of a figure: lower and upper end of its 95% interval."""
    error_categories: dict[str, Group] = field(default_factory=dict)
    unreadable: int = 0
    """Items whose answer of the judge was not read. They count as answers without errors."""
    clean: int = 0
    """Items without a true error."""
    false_alarms: int = 0
    """Items without a true error for which the judge reports one."""
    severity_bias: float = math.nan
    """Mean of predicted minus true severity, over matches of level `yes`."""
    severity_agreement: float = math.nan
    """Share of matches of level `yes` with equal severities."""


@dataclass
class Scores:
    """Scores of one judge."""

    groups: dict[str, Group]
    """By category of pairs, and ALL."""
    left_out: list[str]
    """One message for each item that counts for nothing: not matched, or its matching failed."""
    contradictions: int
    """Items whose matcher contradicts itself: its lists of what is unmatched are not what its matches leave."""
    change: dict[str, float]
    """By name of a figure: how much it would change over all items if those lists were believed, as published."""
    matchers: dict[str, int]
    """How many items each matcher has matched."""

    def wire(self) -> dict[str, Any]:
        """What JSON can hold; NaN is null."""
        return without_nan(asdict(self))


def items_of(rows: Sequence[Row], *, as_published: bool = False) -> tuple[list[Item], list[str]]:
    """Counts the errors of all rows.

    Args:
        rows: Rows with `pred_json` and `matching`.
        as_published: Believe the matcher's own lists, and read true errors by `type` only.

    Returns:
        The items by their ids, and one message for each row that is left out. Intervals depend on the order of items, and
        that of a file is the order in which servers answered.
    """
    items, left_out = [], []
    for row in sorted(rows, key=lambda row: row.id):
        try:
            predictions, truths = row.predictions(), row.truths(as_published=as_published)
            tally = count(predictions, truths, row.matching(), as_published=as_published)
            items.append(Item(row, tally, len(predictions), len(truths)))
        except (BadRow, BadMatching) as error:
            message = str(error)
            left_out.append(message if message.startswith(row.place) else f"{row.place}: {message}")
    return items, left_out


def score(rows: Sequence[Row], *, as_published: bool = False, seed: int = 0, draws: int = DRAWS) -> Scores:
    """Scores one judge.

    Args:
        rows: Rows that `bench match` wrote.
        as_published: Believe the matcher's own lists of what is unmatched, as the published evaluation does.
        seed: Seed of the intervals.
        draws: Bootstrap samples of an interval.

    Returns:
        The scores.
    """
    items, left_out = items_of(rows, as_published=as_published)
    groups = {}
    for name in (ALL, *CATEGORIES):
        chosen = [item for item in items if name in (ALL, item.row.category)]
        if chosen:
            groups[name] = _group(chosen, as_published, seed, draws)
    change = {}
    if items and not as_published:
        others, _ = items_of(rows, as_published=True)
        published = figures(_sample(others), as_published=True)
        change = {name: getattr(published, name) - getattr(groups[ALL].figures, name) for name in NAMES}
    matchers = Counter(item.row.matcher or "unknown" for item in items)
    return Scores(groups, left_out, sum(item.tally.contradicts for item in items), change, dict(matchers))


def _sample(items: Sequence[Item], error_category: str | None = None) -> Sample:
    return Sample.of([item.tally for item in items], [item.row.reference for item in items], error_category)


def _group(items: Sequence[Item], as_published: bool, seed: int, draws: int) -> Group:
    categories = dict.fromkeys(item.row.category for item in items)
    # Categories of errors that the same items have share their bootstrap samples; None: all errors.
    shared: dict[frozenset[str], list[str | None]] = {frozenset(categories): [None]}
    known = dict.fromkeys(name for category in categories for name in error_categories(category))
    for name in known:
        having = frozenset(category for category in categories if name in error_categories(category))
        shared.setdefault(having, []).append(name)
    found: dict[str | None, Group] = {}
    for having, names in shared.items():
        chosen = [item for item in items if item.row.category in having]
        samples = [_sample(chosen, name) for name in names]
        found |= zip(names, _figures_of(samples, as_published, seed, draws), strict=True)
    group = found[None]
    group.error_categories = {name: found[name] for name in known}
    group.unreadable = sum(not item.row.is_answered for item in items)
    clean = [item for item in items if not item.true]
    group.clean, group.false_alarms = len(clean), sum(item.predicted > 0 for item in clean)
    pairs = np.array([pair for item in items for pair in item.tally.matched_severities]).reshape(-1, 2)
    if len(pairs):
        group.severity_bias = float((pairs[:, 0] - pairs[:, 1]).mean())
        group.severity_agreement = float((pairs[:, 0] == pairs[:, 1]).mean())
    return group


def _figures_of(samples: Sequence[Sample], as_published: bool, seed: int, draws: int) -> list[Group]:
    """Scores of samples of the same items."""
    sums = resample(np.hstack([moments(sample) for sample in samples]), samples[0].clusters, draws, seed)
    drawn = [figures_of_sums(part) for part in np.split(sums, len(samples), axis=1)]
    return [
        Group(figures(sample, as_published=as_published), {name: interval(values[name]) for name in NAMES})
        for sample, values in zip(samples, drawn, strict=True)
    ]


@dataclass
class Difference:
    """How judge B differs from judge A on one group of items that both have judged."""

    items: int
    a: dict[str, float]
    """By name of a figure: that of judge A."""
    b: dict[str, float]
    difference: dict[str, float]
    """B minus A."""
    intervals: dict[str, tuple[float, float]]
    """95% intervals of the difference. One that holds no 0 says that the judges differ."""
    detectable: dict[str, float]
    """The smallest difference that so many items show in 80% of trials, at a level of 5%."""
    found_by_a_only: int
    """True errors that A finds and B does not, by matches of level `yes`."""
    found_by_b_only: int
    p_value: float
    """McNemar's exact test of these two numbers, two-sided. Errors are taken as independent."""
    adjusted_p_value: float = math.nan
    """The same, with the false-discovery rate over categories held (Benjamini and Hochberg 1995). NaN for ALL."""


def compare(rows_a: Sequence[Row], rows_b: Sequence[Row], *, seed: int = 0) -> dict[str, Difference]:
    """Compares two judges on the items that both have, pair by pair.

    Args:
        rows_a: Rows of judge A that `bench match` wrote.
        rows_b: Rows of judge B.
        seed: Seed of the intervals.

    Returns:
        The differences by category of pairs, and over ALL.

    Raises:
        BadRow: No item is in both, or one has other true errors in A than in B.
    """
    by_id = [{item.row.id: item for item in items_of(rows)[0]} for rows in (rows_a, rows_b)]
    pairs = [(item, by_id[1][name]) for name, item in by_id[0].items() if name in by_id[1]]
    if not pairs:
        raise BadRow("no item was matched in both files; are they of the same benchmark?")
    for a, b in pairs:
        if (a.row.category, a.row.truths()) != (b.row.category, b.row.truths()):
            raise BadRow(f"{a.row.place} and {b.row.place} have one id and other true errors")
    found = {}
    for name in (ALL, *CATEGORIES):
        chosen = [pair for pair in pairs if name in (ALL, pair[0].row.category)]
        if chosen:
            found[name] = _difference([a for a, _ in chosen], [b for _, b in chosen], seed)
    categories = [name for name in found if name != ALL]
    adjusted = stats.false_discovery_control([found[name].p_value for name in categories])
    for name, value in zip(categories, adjusted, strict=True):
        found[name].adjusted_p_value = float(value)
    return found


def _difference(a: Sequence[Item], b: Sequence[Item], seed: int) -> Difference:
    sample_a = _sample(a)
    samples = sample_a, replace(_sample(b), clusters=sample_a.clusters)
    draws_a, draws_b = (drawn_figures(sample, seed=seed) for sample in samples)
    figures_a, figures_b = ({name: getattr(figures(sample), name) for name in NAMES} for sample in samples)
    moved = {name: draws_b[name] - draws_a[name] for name in NAMES}
    reach = float(stats.norm.ppf(0.975) + stats.norm.ppf(POWER))
    only_a = sum(len(one.tally.found_truths - other.tally.found_truths) for one, other in zip(a, b, strict=True))
    only_b = sum(len(other.tally.found_truths - one.tally.found_truths) for one, other in zip(a, b, strict=True))
    test = stats.binomtest(only_b, only_a + only_b) if only_a + only_b else None
    return Difference(
        items=len(a),
        a=figures_a,
        b=figures_b,
        difference={name: figures_b[name] - figures_a[name] for name in NAMES},
        intervals={name: interval(moved[name]) for name in NAMES},
        detectable={
            name: reach * float(np.nanstd(values)) if not np.isnan(values).all() else math.nan
            for name, values in moved.items()
        },
        found_by_a_only=only_a,
        found_by_b_only=only_b,
        p_value=float(test.pvalue) if test else 1.0,
    )


def without_nan(content: Any) -> Any:
    """Replaces NaN by None in what JSON holds, for JSON has no NaN.

    Args:
        content: Mappings, lists, tuples and values.

    Returns:
        The same with lists for tuples.
    """
    if isinstance(content, dict):
        return {key: without_nan(value) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [without_nan(value) for value in content]
    return None if isinstance(content, float) and math.isnan(content) else content
