"""How another scoring changes a log: its rewards, the ranks inside groups, and the advantages of GRPO.

changes = changes_of([Pair(("train", 7, 3), 1.5, 1.25), Pair(("train", 7, 3), 0.0, 0.0)])
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

EPSILON = 1e-6
"""Added to a group's standard deviation, as veRL does."""
SAME = 1e-9
"""Rewards that differ by no more are equal."""


@dataclass(frozen=True)
class Pair:
    """A reply that was scored in both ways."""

    group: Hashable
    """Replies to one prompt in one step have the same."""
    before: float
    after: float


@dataclass(frozen=True)
class Changes:
    """What another scoring changes."""

    replies: int
    before: float
    """Mean reward."""
    after: float
    changed: int
    """Replies whose reward is another one."""
    mean_change: float
    """Mean of the absolute changes of rewards."""
    groups: int
    """Groups of two replies or more. All below is of these."""
    kendall: float
    """Mean over groups of Kendall's tau-b of both rankings; of groups in which neither scoring gives all one reward."""
    spearman: float
    """Mean over the same groups of Spearman's correlation."""
    ranked: int
    """Number of these groups."""
    best_changed: int
    """Groups whose best replies before are none of the best after."""
    equal_before: int
    """Groups in which all rewards are equal: they teach nothing."""
    equal_after: int
    advantage_change: float
    """Mean of the absolute changes of advantages; an advantage is about 1 large."""
    advantage_sign: int
    """Replies whose advantage has the other sign: one scoring encourages what the other discourages."""
    advantage_correlation: float
    """Pearson's correlation of both advantages, over all replies of groups; NaN where one side has one value only."""


def advantages(rewards: Sequence[float]) -> np.ndarray:
    """The advantages of one group under GRPO.

        A_i = (r_i - mean(r)) / (std(r) + 1e-6), with the standard deviation of a sample (n - 1)

    Shao et al. 2024, "DeepSeekMath" (arXiv 2402.03300), as veRL 0.9.1 computes it
    (`verl.trainer.ppo.core_algos.compute_grpo_outcome_advantage`). A group of one has its reward as its advantage there.

    Args:
        rewards: Those of the group.

    Returns:
        Float, shape (replies,).
    """
    given = np.asarray(rewards, float)
    if len(given) == 1:
        return given / (1 + EPSILON)
    return np.asarray((given - given.mean()) / (given.std(ddof=1) + EPSILON))


def changes_of(pairs: Sequence[Pair]) -> Changes:
    """Compares two scorings of the same replies.

    Args:
        pairs: The replies.

    Returns:
        What changes. Means of nothing are NaN.
    """
    groups: dict[Hashable, list[Pair]] = {}
    for pair in pairs:
        groups.setdefault(pair.group, []).append(pair)
    tables = [np.array([(one.before, one.after) for one in group]).T for group in groups.values() if len(group) > 1]
    moved = np.array([one.after - one.before for one in pairs])
    equal = [tuple(np.ptp(side) <= SAME for side in table) for table in tables]
    ranked = [table for table, sides in zip(tables, equal, strict=True) if not any(sides)]
    found = [np.stack([advantages(side) for side in table]) for table in tables]
    both = np.concatenate(found, axis=1) if found else np.zeros((2, 0))
    # A group of equal rewards has advantages of 0 but for rounding.
    signs = np.where(np.abs(both) <= EPSILON, 0, np.sign(both))
    varied = both.shape[1] > 1 and all(np.ptp(side) > SAME for side in both)
    return Changes(
        replies=len(pairs),
        before=_mean([one.before for one in pairs]),
        after=_mean([one.after for one in pairs]),
        changed=int((np.abs(moved) > SAME).sum()),
        mean_change=_mean(np.abs(moved)),
        groups=len(tables),
        kendall=_mean([float(stats.kendalltau(*table).statistic) for table in ranked]),
        spearman=_mean([float(stats.spearmanr(*table).statistic) for table in ranked]),
        ranked=len(ranked),
        best_changed=sum(not (_best(before) & _best(after)) for before, after in tables),
        equal_before=sum(bool(sides[0]) for sides in equal),
        equal_after=sum(bool(sides[1]) for sides in equal),
        advantage_change=_mean(np.abs(both[1] - both[0])),
        advantage_sign=int((signs[0] * signs[1] < 0).sum()),
        advantage_correlation=float(np.corrcoef(both)[0, 1]) if varied else math.nan,
    )


def _best(rewards: np.ndarray) -> set[int]:
    return set(np.flatnonzero(rewards >= rewards.max() - SAME).tolist())


def _mean(values: Sequence[float] | np.ndarray) -> float:
    return float(np.mean(values)) if len(values) else math.nan
