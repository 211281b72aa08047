"""Best of n: what is gained when a judge picks the best of n replies to a row, against picking by the ground truth.

    curves = best_of_n(lines, "teds")
    curves["table"].judge[-1].mean, curves["table"].oracle[-1].mean, curves["table"].random.mean

A judge that chooses well comes near the oracle. One whose curve stays at `random` says nothing about the measure. One whose
reward grows with n while the measure falls is exploited.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from visual_erm.evaluate.figures import Figure, means
from visual_erm.evaluate.lines import ReplyLine
from visual_erm.evaluate.scoring import MEASURES


@dataclass
class Curve:
    """Best of n on the rows of one task."""

    rows: int
    left_out: list[str]
    """Rows without the full number of replies that have a reward and the measure."""
    reward: list[Figure]
    """Reward of the reply that the judge picks, for n = 1, 2, …"""
    judge: list[Figure]
    """The measure of that reply."""
    oracle: list[Figure]
    """The measure of the reply that is best by the measure."""
    random: Figure
    """The measure of a reply drawn at random, for any n."""
    captured: list[float]
    """(judge - random) / (oracle - random), for each n: 1 for a perfect choice, 0 for none. NaN: nothing to gain."""


def weights(count: int) -> np.ndarray:
    """The chance of each reply to be the best of a random subset.

    Of `count` replies sorted from the worst to the best, reply i (from 1) is the best of a subset of n, drawn without
    replacement, in C(i - 1, n - 1) of C(count, n) subsets. So the expected best of n is

        sum over i of C(i - 1, n - 1) / C(count, n) * x_(i)

    which is unbiased: each subset of n replies is a sample of n. For values 0 and 1 it is pass@k of Chen et al. 2021,
    "Evaluating Large Language Models Trained on Code" (arXiv 2107.03374), 1 - C(count - c, k) / C(count, k).

    Args:
        count: Replies, 1 or more.

    Returns:
        Float, shape (count, count): row n - 1 has the chances for subsets of n; each row sums to 1.
    """
    rows = range(1, count + 1)
    return np.array([[math.comb(i - 1, n - 1) / math.comb(count, n) for i in rows] for n in rows])


def expected_best(scores: Sequence[float], values: Sequence[float]) -> np.ndarray:
    """The expected value of the reply with the highest score among n, for every n.

    Args:
        scores: What the choice is made by, one for each reply.
        values: What is wanted of the chosen reply.

    Returns:
        Float, shape (replies,): over all subsets of 1, 2, … replies. Of equal scores one is drawn at random.
    """
    order = np.argsort(scores, kind="stable")
    ranked, wanted = np.asarray(scores, float)[order], np.asarray(values, float)[order]
    # Equal scores are chosen among at random, so each of them has the mean value.
    _, tied = np.unique(ranked, return_inverse=True)
    wanted = (np.bincount(tied, wanted) / np.bincount(tied))[tied]
    return np.asarray(weights(len(ranked)) @ wanted)


def measures_of(lines: Sequence[ReplyLine]) -> list[str]:
    """Names of the measures that lines have.

    Args:
        lines: Replies.

    Returns:
        Some of MEASURES.
    """
    return [name for name in MEASURES if any(not math.isnan(line.number(name)) for line in lines)]


def best_of_n(lines: Sequence[ReplyLine], measure: str, seed: int = 0) -> dict[str, Curve]:
    """Computes the curves of each task that has the measure.

    Args:
        lines: Replies, several to each row.
        measure: Name of the ground-truth score.
        seed: Seed of the intervals.

    Returns:
        Curves by task. All points of a curve are of the same rows: those with the largest number of replies.
    """
    found = {}
    for task in sorted({line.task for line in lines}):
        rows: dict[str, list[ReplyLine]] = {}
        for line in lines:
            if line.task == task:
                rows.setdefault(line.row, []).append(line)
        usable = {name: [line for line in of_row if _is_usable(line, measure)] for name, of_row in rows.items()}
        count = max(map(len, usable.values()))
        if count:
            found[task] = _curve(usable, rows, count, measure, seed)
    return found


def _curve(
    usable: dict[str, list[ReplyLine]], rows: dict[str, list[ReplyLine]], count: int, measure: str, seed: int
) -> Curve:
    chosen = [of_row for of_row in usable.values() if len(of_row) == count]
    left_out = [
        f"{rows[name][0].place}: row {name} has {len(of_row)} of {count} replies with a reward and {measure}"
        for name, of_row in usable.items()
        if len(of_row) < count
    ]
    rewards = [[line.number("score") for line in of_row] for of_row in chosen]
    values = [[line.number(measure) for line in of_row] for of_row in chosen]
    tables = {
        "reward": np.array([expected_best(reward, reward) for reward in rewards]),
        "judge": np.array([expected_best(reward, value) for reward, value in zip(rewards, values, strict=True)]),
        "oracle": np.array([expected_best(value, value) for value in values]),
    }
    references = [of_row[0].reference for of_row in chosen]
    columns = {f"{name} {n}": table[:, n] for name, table in tables.items() for n in range(count)}
    columns["random"] = np.array([np.mean(value) for value in values])
    figures = means(columns, references, seed)
    curves = {name: [figures[f"{name} {n}"] for n in range(count)] for name in tables}
    base = figures["random"]
    gains = [one.mean - base.mean for one in curves["oracle"]]
    captured = [
        (one.mean - base.mean) / gain if gain > 1e-12 else math.nan
        for one, gain in zip(curves["judge"], gains, strict=True)
    ]
    return Curve(len(chosen), left_out, curves["reward"], curves["judge"], curves["oracle"], base, captured)


def _is_usable(line: ReplyLine, measure: str) -> bool:
    return not line.unscored and not math.isnan(line.number(measure)) and not math.isnan(line.number("score"))
