"""Does the policy read, and does it get the rows and columns right? Measured on tables it was never trained on.

Two ways of asking: the share of right structures and right cells, by comparing texts; and the reward itself, through the
project's pipeline, once with each reply against its own reference and once against that of another table of the same
shape. A policy that wrote well-formed tables without looking would earn the same both times.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from visual_erm.judge import JudgeSettings
from visual_erm.pipeline import RewardPipeline
from visual_erm.task import Task
from visual_erm.verl_cpu.accuracy import Accuracy, accuracy, swap
from visual_erm.verl_cpu.tiny_data import HeldOut
from visual_erm.verl_cpu.tiny_policy import TinyPolicy


@dataclass(frozen=True)
class Evaluation:
    """What one policy does on the held-out tables."""

    greedy: Accuracy
    sampled: Accuracy
    """At temperature 1, as in training."""
    swapped: Accuracy
    """The sampled replies against other tables of the same shape."""
    reward: float
    """Mean reward of the sampled replies to those tables that have a reference."""
    reward_swapped: float
    """The same replies, each against the reference of another table of the same shape."""
    tables: int
    judged: int


async def evaluate(folder: Path, tables: Sequence[HeldOut], task: Task, judge: JudgeSettings) -> Evaluation:
    """Questions the policy in `folder` about `tables`."""
    policy = TinyPolicy.load(folder)
    pictures = [table.picture for table in tables]
    truths = [table.rows for table in tables]
    greedy = policy.reply(pictures, temperature=0)
    sampled = policy.reply(pictures, temperature=1)
    judged = [i for i, table in enumerate(tables) if table.reference is not None]
    order = [judged[i] for i in swap([truths[i] for i in judged])]
    async with RewardPipeline(task, judge) as pipeline:
        own, other = [
            await asyncio.gather(*(pipeline.score(sampled[i], tables[j].reference) for i, j in pairs))  # type: ignore[arg-type]
            for pairs in (zip(judged, judged, strict=True), zip(order, judged, strict=True))
        ]
    return Evaluation(
        greedy=accuracy(greedy, truths),
        sampled=accuracy(sampled, truths),
        swapped=accuracy([sampled[i] for i in swap(truths)], truths),
        reward=sum(result.reward for result in own) / len(judged),
        reward_swapped=sum(result.reward for result in other) / len(judged),
        tables=len(tables),
        judged=len(judged),
    )
