"""Report -> reward: pure arithmetic, the last arrow of the path."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from visual_erm.spec.task import Scoring


def reward(severity: float, scoring: Scoring) -> float:
    """Reward of a sample whose code rendered and whose report sums up to `severity` (S, 0 or more).

    `fixed`: r = r_render + clip(1 - S / S_max, 0, 1), in [r_render, r_render + 1] (paper, Eq. 4-5, S_max constant).
    `batch`: the same, for a sample that is alone; those of a training step get `batch_rewards`.
    `raw`: r = max(-S, raw_minimum), in [raw_minimum, 0] (the published table recipe, with a floor).

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
    """Reward of a sample without a image: `raw_minimum` under `raw`, else 0; never above any `reward(S)`."""
    return scoring.raw_minimum if scoring.mode == "raw" else 0.0


def max_severity(scoring: Scoring) -> float:
    """The severity from which on nothing is left to lose; what a sample without a image is recorded with."""
    return -scoring.raw_minimum if scoring.mode == "raw" else scoring.s_max


@dataclass(frozen=True)
class ScoredSample:
    """What scoring a batch has to know of one of its samples."""

    task: str
    scoring: Scoring
    """The task's."""
    severity: float
    """S: of its judgement, or, where that was lost, the mean of recent ones."""
    judged: bool
    """S is of its own judgement."""
    invalid: bool
    """There is no image, or a guard found it worth nothing."""
    own_reward: float
    """Its reward by itself."""

    @classmethod
    def from_numbers(cls, numbers: Mapping[str, float], task: str, scoring: Scoring) -> ScoredSample:
        """From what the reward function returns for it."""
        judged, invalid = bool(numbers["scored_ok"]), bool(numbers["invalid"])
        return cls(task, scoring, numbers["severity"], judged, invalid, numbers["score"])


def batch_rewards(samples: Sequence[ScoredSample]) -> list[float]:
    """Rewards of the samples of a batch, those of tasks with `mode: batch` normalised over it (paper, Eq. 3-5):

        r = r_render + clip(1 - S / S_max, 0, 1), and 0 for an invalid sample; S_max is the largest S of the batch.

    S_max is found for each task by itself, among samples with a judgement of their own: neither what did not draw nor what
    lost its judgement sets the scale for others. A sample that lost its judgement is priced by the S that stands in for it.
    Where the largest S is 0, nothing is wrong with any picture, and all get r_render + 1. Where no sample has a judgement,
    the task's constant s_max stands in. Samples of tasks with another mode keep their own reward.

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
    """A sample's reward by itself, which carries the sample: veRL hands only this number to whoever has the batch."""

    sample: ScoredSample

    def __new__(cls, sample: ScoredSample) -> DeferredReward:
        made = super().__new__(cls, sample.own_reward)
        made.sample = sample
        return made

    def __reduce__(self) -> tuple[type[DeferredReward], tuple[ScoredSample]]:
        return DeferredReward, (self.sample,)
