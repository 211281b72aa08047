"""Severity -> reward: pure arithmetic, the last step of the path (paper, Eq. 3-5).

More severity never earns more: in no mode, and in a batch with any others.

reward(25, task.scoring)                                # one sample
reward(25, task.scoring, scale_of(task.scoring, 30))    # under `scoring.mode: relative`, of a reference with 30 parts
batch_rewards(samples)                                  # those of a training step, under `scoring.mode: batch`
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from visual_erm.reward.report import MAX_SEVERITY
from visual_erm.spec.task import Scoring

MIN_PARTS = 4
"""Number of parts that a reference counts as at least, under `relative`: one shape can have several faults."""


def reward(severity: float, scoring: Scoring, scale: float | None = None) -> float:
    """The reward of a sample whose code rendered.

        fixed     r = r_render + clip(1 - S / scale, 0, 1), in [r_render, r_render + 1]  (paper, Eq. 4-5, S_max constant)
        relative  the same, with the scale of the sample's reference
        batch     as `fixed` for a single sample; those of a training step get `batch_rewards`
        raw       r = max(-S, raw_minimum), in [raw_minimum, 0]         (the published table recipe, with a lower bound)

    Args:
        severity: S, the sum of the report's severities, 0 or more.
        scoring: The task's scoring: mode, s_max and r_render.
        scale: Severity at which nothing is left of the visual part, over 0; by default s_max. See `scale_of`.

    Returns:
        The reward.

    >>> reward(25, Scoring(mode="fixed", s_max=50, render_reward=1))
    1.5
    >>> reward(5, Scoring(mode="raw"))
    -5.0
    >>> reward(15, Scoring(mode="relative"), scale=60)
    1.75
    """
    if scoring.mode == "raw":
        return max(-float(severity), scoring.raw_minimum)
    return _visual(severity / (scale or scoring.s_max), scoring)


def _visual(share: float, scoring: Scoring) -> float:
    """The reward of a severity that is this share of the scale."""
    return scoring.render_reward + min(max(1 - share, 0.0), 1.0)


def min_reward(scoring: Scoring) -> float:
    """The reward of a sample without an image, never above any `reward(S)`.

    Args:
        scoring: The task's scoring.

    Returns:
        `raw_minimum` under `raw`, else 0.
    """
    return scoring.raw_minimum if scoring.mode == "raw" else 0.0


def max_severity(scoring: Scoring) -> float:
    """The task's worst severity: that of a sample without an image, and the bound of one that stands in for a lost one.

    Args:
        scoring: The task's scoring.

    Returns:
        `-raw_minimum` under `raw`, else `s_max`.
    """
    return -scoring.raw_minimum if scoring.mode == "raw" else scoring.s_max


def scale_of(scoring: Scoring, parts: int = 0) -> float:
    """The severity from which on the reward of a sample is the lowest of an image.

        relative  MAX_SEVERITY * max(parts, MIN_PARTS): as if each part of the reference were missing or wrong
        others    `max_severity`

    Args:
        scoring: The task's scoring.
        parts: Number of parts of the sample's reference; 0 where they could not be counted. Only `relative` uses it.

    Returns:
        The scale; `max_severity` under `relative` too, where the parts could not be counted.

    >>> scale_of(Scoring(mode="relative"), parts=30)
    90.0
    """
    if scoring.mode == "relative" and parts:
        return float(MAX_SEVERITY * max(parts, MIN_PARTS))
    return max_severity(scoring)


def on_task_scale(severity: float, scale: float, scoring: Scoring) -> float:
    """A severity in the unit that all samples of a task share.

    Args:
        severity: S of a sample.
        scale: The sample's own scale.
        scoring: The task's scoring.

    Returns:
        The same share of `max_severity`, which has the same reward. Under other modes than `relative`, S itself.

    >>> on_task_scale(45, 90, Scoring(mode="relative", s_max=50))
    25.0
    """
    return severity * (max_severity(scoring) / scale) if scale else severity


@dataclass(frozen=True)
class ScoredSample:
    """What the scoring of a batch needs to know of one of its samples."""

    task: str
    scoring: Scoring
    """The task's scoring."""
    severity: float
    """S: of its own report with what is missing from it, or the mean of recent ones where scoring failed."""
    judged: bool
    """S is of its own report."""
    invalid: bool
    """There is no image, or a guard found it worth nothing."""
    own_reward: float
    """Its reward as a single sample."""
    floor: float = 0.0
    """Least share of the scale, 0 to 1, that its severity counts as: what the guard `under_reporting` found."""

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
        severity, floor = numbers["severity_unfloored"], numbers["severity_floor"]
        return cls(task, scoring, severity, judged, invalid, numbers["score"], floor)


def batch_rewards(samples: Sequence[ScoredSample]) -> list[float]:
    """The rewards of a batch, where those of tasks with `mode: batch` are normalised over it (paper, Eq. 3-5).

        r = r_render + clip(1 - max(S / S_max, floor), 0, 1), and 0 for an invalid sample; S is at most `batch_cap`

    S_max is found for each task among the valid samples with a report of their own. It is the smallest S that at least the
    share `batch_quantile` of them do not exceed: the largest where the share is 1. The paper has that, and no cap. A sample
    whose scoring failed gets the mean of those samples' rewards, or its own reward where there are none. Where S_max is 0,
    a sample without a fault gets r_render + 1. Samples of tasks with another mode keep their own reward.

    Args:
        samples: All samples of the batch, of any tasks.

    Returns:
        Rewards in the order of the samples.

    >>> scoring = Scoring(mode="batch")
    >>> batch_rewards([ScoredSample("table", scoring, s, judged=True, invalid=False, own_reward=0) for s in (0, 10, 20)])
    [2.0, 1.5, 1.0]
    """
    judged: dict[str, list[ScoredSample]] = defaultdict(list)
    for sample in samples:
        if sample.scoring.mode == "batch" and sample.judged and not sample.invalid:
            judged[sample.task].append(sample)
    scales = {task: _largest([_capped(sample) for sample in found], found[0].scoring) for task, found in judged.items()}

    def priced(sample: ScoredSample) -> float:
        severity, s_max = _capped(sample), scales[sample.task]
        share = severity / s_max if s_max else float(severity > 0)
        return _visual(max(share, sample.floor), sample.scoring)

    neutral = {task: fmean(map(priced, found)) for task, found in judged.items()}

    def reward_of(sample: ScoredSample) -> float:
        if sample.scoring.mode != "batch":
            return sample.own_reward
        if sample.invalid:
            return min_reward(sample.scoring)
        return priced(sample) if sample.judged else neutral.get(sample.task, sample.own_reward)

    return [reward_of(sample) for sample in samples]


def _capped(sample: ScoredSample) -> float:
    cap = sample.scoring.batch_cap
    return sample.severity if cap is None else min(sample.severity, cap)


def _largest(severities: Sequence[float], scoring: Scoring) -> float:
    """S_max of a batch: one of its severities, so that no severity lowers its own share of S_max by growing."""
    return sorted(severities)[max(math.ceil(scoring.batch_quantile * len(severities)), 1) - 1]


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
