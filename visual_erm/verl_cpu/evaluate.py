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
from visual_erm.verl_cpu.tiny_data import HeldOut
from visual_erm.verl_cpu.tiny_policy import TinyPolicy
from visual_erm.verl_cpu.tiny_tables import Rows, from_html


@dataclass(frozen=True)
class Accuracy:
    """Shares over tables, 0 to 1."""

    shape: float
    """Tables with the right number of rows and, in every row, of cells."""
    cells: float
    """Cells of the true tables that hold the right text at the right place, mean over tables."""


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


def accuracy(replies: Sequence[str], truths: Sequence[Rows]) -> Accuracy:
    """Shares of right structures and cells of `replies`, as a browser would read them."""
    read = [from_html(reply) for reply in replies]
    pairs = list(zip(read, truths, strict=True))
    return Accuracy(
        shape=sum([len(row) for row in rows] == [len(row) for row in truth] for rows, truth in pairs) / len(pairs),
        cells=sum(right_cells(rows, truth) for rows, truth in pairs) / len(pairs),
    )


def right_cells(rows: Rows, truth: Rows) -> float:
    """Share of the cells of `truth` that `rows` has, same text at the same place.

    >>> right_cells([["a", "b"], ["1"]], [["a", "b"], ["1", "2"]])
    0.75
    """
    placed = {(r, c): text for r, row in enumerate(rows) for c, text in enumerate(row)}
    cells = [((r, c), text) for r, row in enumerate(truth) for c, text in enumerate(row)]
    return sum(placed.get(place) == text for place, text in cells) / len(cells)


def swap(tables: Sequence[Rows]) -> list[int]:
    """For every table the number of another one of the same shape: each shape's tables, moved on by one.

    >>> swap([[["a"]], [["b"], ["1"]], [["c"]], [["d"], ["2"]]])
    [2, 3, 0, 1]
    """
    groups: dict[tuple[int, int], list[int]] = {}
    for i, rows in enumerate(tables):
        groups.setdefault((len(rows), len(rows[0])), []).append(i)
    other = list(range(len(tables)))
    for members in groups.values():
        for place, i in enumerate(members):
            other[i] = members[(place + 1) % len(members)]
    return other
