"""Accuracy of replies as texts: structures and parts, compared with the true samples. No reward uses it.

`evaluate` measures a policy with it, and `tiny_report` every training step.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from visual_erm.demo.tiny_problem import TinyProblem, TinySample


@dataclass(frozen=True)
class Accuracy:
    """Shares over samples, 0 to 1."""

    shape: float
    """Share of samples of the right shape: as many parts, in as many rows where there are rows."""
    parts: float
    """Share of the true parts (cells, names, numbers, shapes) that are right and at their position; mean over samples."""


@dataclass(frozen=True)
class Evaluation:
    """Results of one policy on the held-out samples of one problem."""

    greedy: Accuracy
    sampled: Accuracy
    """Accuracy of replies at temperature 1, as in training."""
    swapped: Accuracy
    """Accuracy of the sampled replies against other samples of the same shape."""
    reward: float
    """Mean reward of the sampled replies to those samples that have a reference."""
    reward_swapped: float
    """Mean reward of the same replies, each against the reference of another sample of the same shape."""
    samples: int
    """Number of samples."""
    judged: int
    """Number of samples that have a reference."""


def accuracy(problem: TinyProblem, replies: Sequence[str], truths: Sequence[TinySample]) -> Accuracy:
    """Computes the accuracy of replies.

    Args:
        problem: The problem that the replies answer.
        replies: What the policy wrote.
        truths: The true sample of each reply.

    Returns:
        Shares of right structures and of right parts.
    """
    pairs = list(zip(map(problem.read, replies), truths, strict=True))
    return Accuracy(
        shape=sum(problem.shape(sample) == problem.shape(truth) for sample, truth in pairs) / len(pairs),
        parts=sum(right(problem.parts(sample), problem.parts(truth)) for sample, truth in pairs) / len(pairs),
    )


def right(found: Mapping[Any, Hashable], truth: Mapping[Any, Hashable]) -> float:
    """Computes the share of right parts of one sample.

    Args:
        found: Parts of the reply, by position.
        truth: Parts of the true sample, by position.

    Returns:
        Share of the parts of `truth` that `found` has at the same position, 0 to 1.

    >>> right({(0, 0): "a", (1, 0): "1"}, {(0, 0): "a", (1, 0): "2"})
    0.5
    """
    return sum(found.get(place) == part for place, part in truth.items()) / len(truth)


def swap(problem: TinyProblem, samples: Sequence[TinySample]) -> list[int]:
    """Pairs every sample with another one of the same shape.

    Args:
        problem: The problem of the samples.
        samples: The samples.

    Returns:
        For every sample the index of the next sample of its shape.
    """
    groups: dict[Hashable, list[int]] = {}
    for i, sample in enumerate(samples):
        groups.setdefault(problem.shape(sample), []).append(i)
    other = list(range(len(samples)))
    for members in groups.values():
        for place, i in enumerate(members):
            other[i] = members[(place + 1) % len(members)]
    return other
