"""How another scoring changes ranks and advantages, against figures worked out by hand."""

from __future__ import annotations

import math

import pytest

from visual_erm.evaluate.changes import Pair, changes_of


def pairs(*groups: tuple[list[float], list[float]]) -> list[Pair]:
    return [Pair(name, *one) for name, group in enumerate(groups) for one in zip(*group, strict=True)]


def test_the_same_scoring_changes_nothing():
    found = changes_of(pairs(([0, 1, 2], [0, 1, 2]), ([1, 1], [1, 1]), ([5], [5])))
    assert (found.replies, found.changed, found.mean_change) == (6, 0, 0)
    assert (found.groups, found.ranked, found.kendall, found.spearman) == (2, 1, pytest.approx(1), pytest.approx(1))
    assert (found.best_changed, found.equal_before, found.equal_after) == (0, 1, 1)
    assert (found.advantage_change, found.advantage_sign) == (0, 0)
    assert found.advantage_correlation == pytest.approx(1)


@pytest.mark.parametrize(
    ("after", "kendall", "spearman", "best", "signs"),
    [
        ([2, 1, 0], -1, -1, 1, 2),
        ([0, 2, 1], 1 / 3, 0.5, 1, 0),
        ([1, 0, 2], 1 / 3, 0.5, 0, 0),
        ([0, 10, 20], 1, 1, 0, 0),
    ],
)
def test_ranks_of_one_group(after, kendall, spearman, best, signs):
    found = changes_of(pairs(([0, 1, 2], after)))
    assert (found.kendall, found.spearman) == (pytest.approx(kendall), pytest.approx(spearman))
    assert (found.best_changed, found.advantage_sign) == (best, signs)


def test_one_of_several_best_that_stays_best_is_no_change_and_a_group_without_order_is_not_ranked():
    found = changes_of(pairs(([1, 1, 0], [1, 0, 0]), ([1, 1], [0, 1])))
    assert (found.best_changed, found.ranked, found.equal_before, found.equal_after) == (0, 1, 1, 0)


def test_advantages_do_not_change_with_the_scale_of_rewards():
    found = changes_of(pairs(([0, 1, 2, 4], [0, 10, 20, 40])))
    assert found.advantage_change == pytest.approx(0, abs=1e-5)
    assert found.changed == 3


def test_nothing_has_no_figures():
    found = changes_of([])
    assert (found.replies, found.groups, found.best_changed) == (0, 0, 0)
    assert math.isnan(found.before) and math.isnan(found.kendall) and math.isnan(found.advantage_correlation)
