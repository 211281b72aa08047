"""What stands in for a lost judgement: the mean of recent ones, on which one broken sample has a bounded part."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from visual_erm.errors import JudgeUnavailable
from visual_erm.pipeline import RewardPipeline
from visual_erm.reward.fallback import NeutralFallback
from visual_erm.reward.scoring import max_severity, min_reward, reward
from visual_erm.spec.judge import FailurePolicy, JudgeSettings
from visual_erm.spec.task import load_task

LOST = JudgeUnavailable("no endpoint answered")


def neutral_of(values: list[float], worst: float) -> float:
    fallback = NeutralFallback(FailurePolicy(), neutral=worst / 2, worst=worst)
    for value in values:
        fallback.record_success(value)
    return fallback.record_failure(LOST)


@pytest.mark.parametrize(
    ("values", "worst", "neutral"),
    [
        ([9000, *[2] * 11], 50, (50 + 2 * 11) / 12),
        ([9000], 50, 50),
        ([1e300, 1e300, 0], 18, 12),
        ([4, 8], 50, 6),
        ([], 50, 25),
    ],
)
def test_one_broken_sample_counts_as_the_tasks_worst(values, worst, neutral):
    assert neutral_of(values, worst) == pytest.approx(neutral)


@given(st.lists(st.floats(0, 1e9)), st.floats(0.01, 1e6))
def test_what_stands_in_is_never_worse_than_the_worst(values, worst):
    assert 0 <= neutral_of(values, worst) <= worst * (1 + 1e-9)


@pytest.mark.parametrize("name", ["table", "chart", "svg"])
@pytest.mark.parametrize("mode", ["fixed", "relative", "batch", "raw"])
async def test_a_pipeline_knows_the_worst_of_its_task(name, mode):
    task = load_task(name)
    scoring = task.scoring.model_copy(update={"mode": mode, "s_max": 40.0, "raw_minimum": -30.0})
    async with RewardPipeline(task.model_copy(update={"scoring": scoring}), JudgeSettings(kind="local")) as pipeline:
        worst = max_severity(scoring)
        assert pipeline._fallback.end(LOST).neutral == worst / 2
        pipeline._fallback.record_success(0)
        pipeline._fallback.record_success(9000)
        neutral = pipeline._fallback.end(LOST).neutral
    assert neutral == worst / 2 and reward(neutral, scoring) > min_reward(scoring)
