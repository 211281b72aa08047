"""Evaluation of a policy on samples that it was not trained on: does it read, and are its structures right?

There are two measures. The first is the share of right structures and parts, from a comparison of texts. The second is the
reward itself. Each reply is scored against its own reference, and against that of another sample of the same shape. A
policy that writes well-formed code without looking at the image earns the same both times.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path

from visual_erm.demo.accuracy import Evaluation, accuracy, swap
from visual_erm.demo.tiny_data import TinyRow
from visual_erm.demo.tiny_policy import TinyPolicy
from visual_erm.pipeline import RewardPipeline
from visual_erm.spec.judge import JudgeSettings
from visual_erm.spec.task import Task


async def evaluate(
    folder: Path, rows: Sequence[TinyRow], tasks: Mapping[str, Task], judge: JudgeSettings
) -> dict[str, Evaluation]:
    """Evaluates a policy.

    Args:
        folder: Folder of the policy.
        rows: Held-out samples of all tasks.
        tasks: The tasks, by name.
        judge: Settings of the judge.

    Returns:
        The results, by name of the task.
    """
    policy = TinyPolicy.load(folder)
    own = {name: [row for row in rows if row.problem.task == name] for name in tasks}
    return {name: await _evaluate(policy, own[name], task, judge) for name, task in tasks.items()}


async def _evaluate(policy: TinyPolicy, rows: Sequence[TinyRow], task: Task, judge: JudgeSettings) -> Evaluation:
    problem = rows[0].problem
    images, truths = [row.image for row in rows], [row.sample for row in rows]
    greedy = policy.reply(problem.prompt, images, temperature=0)
    sampled = policy.reply(problem.prompt, images, temperature=1)
    judged = [(i, row.reference) for i, row in enumerate(rows) if row.reference]
    order = swap(problem, [truths[i] for i, _ in judged])
    async with RewardPipeline(task, judge) as pipeline:

        async def reward(replies: Sequence[int]) -> float:
            pairs = zip(replies, judged, strict=True)
            results = await asyncio.gather(*(pipeline.score(sampled[i], reference) for i, (_, reference) in pairs))
            return sum(result.reward for result in results) / len(judged)

        own = await reward([i for i, _ in judged])
        other = await reward([judged[j][0] for j in order])
    return Evaluation(
        greedy=accuracy(problem, greedy, truths),
        sampled=accuracy(problem, sampled, truths),
        swapped=accuracy(problem, [sampled[i] for i in swap(problem, truths)], truths),
        reward=own,
        reward_swapped=other,
        samples=len(rows),
        judged=len(judged),
    )
