"""How right are replies, as texts? Structures and parts against the true samples; pure, and no part of any reward."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from visual_erm.demo.tiny_problem import Problem, Sample


@dataclass(frozen=True)
class Accuracy:
    """Shares over samples, 0 to 1."""

    shape: float
    """Samples of the right shape: as many parts, in as many rows where there are rows."""
    parts: float
    """Parts of the true samples (cells, names and numbers, shapes) that are right and at their place, mean over samples."""


def accuracy(problem: Problem, replies: Sequence[str], truths: Sequence[Sample]) -> Accuracy:
    """Shares of right structures and right parts of `replies`."""
    pairs = list(zip(map(problem.read, replies), truths, strict=True))
    return Accuracy(
        shape=sum(problem.shape(sample) == problem.shape(truth) for sample, truth in pairs) / len(pairs),
        parts=sum(right(problem.parts(sample), problem.parts(truth)) for sample, truth in pairs) / len(pairs),
    )


def right(found: Mapping[Any, Hashable], truth: Mapping[Any, Hashable]) -> float:
    """Share of the parts of `truth` that are in `found`, the same at the same place.

    >>> right({(0, 0): "a", (1, 0): "1"}, {(0, 0): "a", (1, 0): "2"})
    0.5
    """
    return sum(found.get(place) == part for place, part in truth.items()) / len(truth)


def swap(problem: Problem, samples: Sequence[Sample]) -> list[int]:
    """For every sample the number of another one of the same shape: each shape's samples, moved on by one."""
    groups: dict[Hashable, list[int]] = {}
    for i, sample in enumerate(samples):
        groups.setdefault(problem.shape(sample), []).append(i)
    other = list(range(len(samples)))
    for members in groups.values():
        for place, i in enumerate(members):
            other[i] = members[(place + 1) % len(members)]
    return other
