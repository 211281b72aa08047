"""Figures of a policy: means over its replies, with intervals, and how two policies differ.

    groups = summarize(lines)
    groups["all"].figures["reward"].mean, groups["all"].figures["reward"].interval
    difference = compare(lines_before, lines_after)

Intervals are 95%, by bootstrap over reference images (see `visual_erm.bench.figures`): replies to one reference are not
independent.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from visual_erm.bench.figures import interval, numbered, resample
from visual_erm.errors import ConfigError
from visual_erm.evaluate.lines import ReplyLine
from visual_erm.evaluate.scoring import MEASURES

ALL = "all"
"""Name of the group of all tasks."""
OF_CATEGORY = "severity: "
"""Beginning of the name of a category's severity."""
DETECTABLE = 1.96 + 0.84
"""Standard errors of the smallest difference that is found in 80% of trials at a level of 5%."""


@dataclass(frozen=True)
class Figure:
    """A mean over replies."""

    mean: float
    interval: tuple[float, float]
    replies: int
    """Replies that have it."""


@dataclass
class Group:
    """Figures of one task, or of all."""

    replies: int
    """Replies that were scored."""
    rows: int
    references: int
    left_out: int
    """Replies that are missing or could not be scored, through no fault of the policy."""
    figures: dict[str, Figure] = field(default_factory=dict)


@dataclass
class Difference:
    """How two policies differ in one figure, on rows that both have."""

    rows: int
    before: float
    after: float
    difference: float
    """After minus before."""
    interval: tuple[float, float]
    """One that holds no 0 says that they differ."""
    detectable: float
    """The smallest difference that so many rows show in 80% of trials, at a level of 5%."""


@dataclass
class Comparison:
    """How two policies differ."""

    groups: dict[str, dict[str, Difference]]
    """By task and ALL, and by name of a figure."""
    only_before: list[str]
    """Rows that only the first has. They are left out."""
    only_after: list[str]


def values_of(lines: Sequence[ReplyLine]) -> dict[str, np.ndarray]:
    """Reads the figures of replies that were scored.

    Args:
        lines: The replies.

    Returns:
        By name: float, shape (lines,); NaN where a reply has no such figure. Severities are those of replies with a report.
    """
    found: dict[str, np.ndarray] = {
        "rendered": _numbers(lines, "render_ok"),
        "reward": _numbers(lines, "score"),
        "severity": np.array([line.number("severity") if line.severities() else math.nan for line in lines]),
    }
    for category in dict.fromkeys(name for line in lines for name in line.severities()):
        found[OF_CATEGORY + category] = np.array([line.severities().get(category, math.nan) for line in lines], float)
    for name in MEASURES:
        column = _numbers(lines, name)
        if not np.isnan(column).all():
            found[name] = column
    return found


def summarize(lines: Sequence[ReplyLine], seed: int = 0) -> dict[str, Group]:
    """Computes the figures of a policy.

    Args:
        lines: Its replies.
        seed: Seed of the intervals.

    Returns:
        By task, and ALL first.
    """
    groups = {}
    tasks = sorted({line.task for line in lines})
    for name in (ALL, *tasks) if len(tasks) > 1 else tasks:
        of_group = [line for line in lines if name in (ALL, line.task)]
        chosen = [line for line in of_group if not line.unscored]
        references = len({line.reference for line in chosen})
        group = Group(len(chosen), len({line.row for line in chosen}), references, len(of_group) - len(chosen))
        columns = values_of(chosen) if chosen else {}
        # Categories of one task say nothing of all.
        columns = {key: column for key, column in columns.items() if name != ALL or not key.startswith(OF_CATEGORY)}
        group.figures = means(columns, [line.reference for line in chosen], seed)
        groups[name] = group
    return groups


def means(columns: Mapping[str, np.ndarray], references: Sequence[str], seed: int = 0) -> dict[str, Figure]:
    """Means with intervals.

    Args:
        columns: By name: float, shape (items,). NaN is left out.
        references: One for each item: items with the same one are not independent.
        seed: Seed of the intervals.

    Returns:
        By name.
    """
    drawn = _drawn(columns, references, seed)
    return {
        name: Figure(_mean(column), interval(drawn[name]), int((~np.isnan(column)).sum()))
        for name, column in columns.items()
    }


def compare(before: Sequence[ReplyLine], after: Sequence[ReplyLine], seed: int = 0) -> Comparison:
    """Compares two policies row by row. Several replies to a row count by their mean.

    Args:
        before: Replies of the one.
        after: Replies of the other, to the same rows.
        seed: Seed of the intervals.

    Returns:
        The differences.

    Raises:
        ConfigError: No row is in both, or a row has another reference or task in one than in the other.
    """
    rows = [_by_row(lines) for lines in (before, after)]
    shared = [name for name in rows[0] if name in rows[1]]
    if not shared:
        raise ConfigError("no row was scored in both files; are they of the same data?")
    for name in shared:
        one, other = rows[0][name][0], rows[1][name][0]
        if (one.task, one.reference) != (other.task, other.reference):
            raise ConfigError(f"{one.place} and {other.place} have one index and other references or tasks")
    tasks = sorted({rows[0][name][0].task for name in shared})
    groups = {}
    for task in (ALL, *tasks) if len(tasks) > 1 else tasks:
        chosen = [name for name in shared if task in (ALL, rows[0][name][0].task)]
        groups[task] = _differences([[of_file[name] for name in chosen] for of_file in rows], task, seed)
    missing = [sorted(_names(rows[k][name][0]) for name in rows[k] if name not in rows[1 - k]) for k in (0, 1)]
    return Comparison(groups, *missing)


def _differences(rows: Sequence[Sequence[Sequence[ReplyLine]]], task: str, seed: int) -> dict[str, Difference]:
    """By name of a figure. `rows` has both files' replies by row, in the same order."""
    references = [lines[0].reference for lines in rows[0]]
    tables = [_row_means(of_file) for of_file in rows]
    names = [name for name in tables[0] if name in tables[1] and (task != ALL or not name.startswith(OF_CATEGORY))]
    moved = {name: tables[1][name] - tables[0][name] for name in names}
    drawn = _drawn(moved, references, seed)
    found = {}
    for name, column in moved.items():
        has = ~np.isnan(column)
        spread = float(np.nanstd(drawn[name])) if has.any() else math.nan
        found[name] = Difference(
            int(has.sum()),
            _mean(tables[0][name][has]),
            _mean(tables[1][name][has]),
            _mean(column),
            interval(drawn[name]),
            DETECTABLE * spread,
        )
    return {name: one for name, one in found.items() if one.rows}


def _row_means(rows: Sequence[Sequence[ReplyLine]]) -> dict[str, np.ndarray]:
    """Means over the replies to each row: float, shape (rows,)."""
    columns = values_of([line for lines in rows for line in lines])
    ends = np.cumsum([len(lines) for lines in rows])[:-1]
    return {name: np.array([_mean(part) for part in np.split(column, ends)]) for name, column in columns.items()}


def _by_row(lines: Sequence[ReplyLine]) -> dict[str, list[ReplyLine]]:
    rows: dict[str, list[ReplyLine]] = {}
    for line in lines:
        if not line.unscored:
            rows.setdefault(line.row, []).append(line)
    return rows


def _names(line: ReplyLine) -> str:
    return f"{line.place} (index {line.content.get('index')})"


def _drawn(columns: Mapping[str, np.ndarray], references: Sequence[str], seed: int) -> dict[str, np.ndarray]:
    """Means of bootstrap samples: float, shape (draws,); NaN where a sample has no value."""
    if not columns or not references:
        return {name: np.array([]) for name in columns}
    table = np.column_stack([part for column in columns.values() for part in (np.nan_to_num(column), ~np.isnan(column))])
    sums = resample(table.astype(float), numbered(references), seed=seed)
    with np.errstate(invalid="ignore", divide="ignore"):
        drawn = sums[:, 0::2] / sums[:, 1::2]
    return dict(zip(columns, drawn.T, strict=True))


def _mean(column: np.ndarray) -> float:
    present = column[~np.isnan(column)]
    return float(present.mean()) if len(present) else math.nan


def _numbers(lines: Sequence[ReplyLine], key: str) -> np.ndarray:
    return np.array([line.number(key) for line in lines], float)
