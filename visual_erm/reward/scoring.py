"""Severity -> reward: pure arithmetic, the last step of the path (paper, Eq. 3-5).

reward(25, task.scoring)            # one sample
batch_rewards(samples)              # those of a training step, under `scoring.mode: batch`
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from visual_erm.spec.task import Scoring


def reward(severity: float, scoring: Scoring) -> float:
    """The reward of a sample whose code rendered.

        fixed   r = r_render + clip(1 - S / S_max, 0, 1), in [r_render, r_render + 1]   (paper, Eq. 4-5, S_max constant)
        batch   the same for a single sample; those of a training step get `batch_rewards`
        raw     r = max(-S, raw_minimum), in [raw_minimum, 0]           (the published table recipe, with a lower bound)

    Args:
        severity: S, the sum of the report's severities, 0 or more.
        scoring: The task's scoring: mode, S_max and r_render.

    Returns:
        The reward.

    >>> reward(25, Scoring(mode="fixed", s_max=50, render_reward=1))
    1.5
    >>> reward(5, Scoring(mode="raw"))
    -5.0
    """
    if scoring.mode == "raw":
        return max(-float(severity), scoring.raw_minimum)
    return _visual(severity, scoring.s_max, scoring)


def _visual(severity: float, s_max: float, scoring: Scoring) -> float:
    return scoring.render_reward + min(max(1 - severity / s_max, 0.0), 1.0)


def min_reward(scoring: Scoring) -> float:
    """The reward of a sample without an image, never above any `reward(S)`.

    Args:
        scoring: The task's scoring.

    Returns:
        `raw_minimum` under `raw`, else 0.
    """
    return scoring.raw_minimum if scoring.mode == "raw" else 0.0


def max_severity(scoring: Scoring) -> float:
    """The severity from which on the reward is the lowest of an image; a sample without an image is recorded with it.

    Args:
        scoring: The task's scoring.

    Returns:
        `-raw_minimum` under `raw`, else `s_max`.
    """
    return -scoring.raw_minimum if scoring.mode == "raw" else scoring.s_max


@dataclass(frozen=True)
class ScoredSample:
    """What the scoring of a batch needs to know of one of its samples."""

    task: str
    scoring: Scoring
    """The task's scoring."""
    severity: float
    """S: of its own report, or the mean of recent ones where scoring failed."""
    judged: bool
    """S is of its own report."""
    invalid: bool
    """There is no image, or a guard found it worth nothing."""
    own_reward: float
    """Its reward as a single sample."""

    @classmethod
    def from_numbers(cls, numbers: Mapping[str, float], task: str, scoring: Scoring) -> ScoredSample:
        """Makes a sample from what the reward function returned for it.

        Args:
            numbers: The reward function's result.
            task: Name of its task.
            scoring: The task's scoring.

        Returns:
            The sample.
        """
        judged, invalid = bool(numbers["scored_ok"]), bool(numbers["invalid"])
        return cls(task, scoring, numbers["severity"], judged, invalid, numbers["score"])


def batch_rewards(samples: Sequence[ScoredSample]) -> list[float]:
    """The rewards of a batch, where those of tasks with `mode: batch` are normalised over it (paper, Eq. 3-5).

        r = r_render + clip(1 - S / S_max, 0, 1), and 0 for an invalid sample; S_max is the largest S of the batch

    S_max is found for each task among the valid samples with a report of their own. A sample whose scoring failed gets its
    reward from the S that stands in for it. Where S_max is 0, all valid samples get r_render + 1. Where no sample has a
    report, S_max is the task's constant. Samples of tasks with another mode keep their own reward.

    Args:
        samples: All samples of the batch, of any tasks.

    Returns:
        Rewards in the order of the samples.

    >>> scoring = Scoring(mode="batch")
    >>> batch_rewards([ScoredSample("table", scoring, s, judged=True, invalid=False, own_reward=0) for s in (0, 10, 20)])
    [2.0, 1.5, 1.0]
    """
    judged: dict[str, list[float]] = defaultdict(list)
    for sample in samples:
        if sample.judged and not sample.invalid:
            judged[sample.task].append(sample.severity)

    def reward_of(sample: ScoredSample) -> float:
        if sample.scoring.mode != "batch":
            return sample.own_reward
        if sample.invalid:
            return min_reward(sample.scoring)
        s_max = max(judged[sample.task], default=sample.scoring.s_max)
        return _visual(sample.severity, s_max, sample.scoring) if s_max else sample.scoring.render_reward + 1

    return [reward_of(sample) for sample in samples]


class DeferredReward(float):
    """A sample's own reward that carries the sample: veRL passes only this number on to what sees the batch.

    Args:
        sample: The sample; the number is its `own_reward`.
    """

    sample: ScoredSample

    def __new__(cls, sample: ScoredSample) -> DeferredReward:
        """Makes the number of a sample."""
        made = super().__new__(cls, sample.own_reward)
        made.sample = sample
        return made

    def __reduce__(self) -> tuple[type[DeferredReward], tuple[ScoredSample]]:
        return DeferredReward, (self.sample,)
