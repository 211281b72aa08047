"""Best of n against brute force over all subsets, and on judges whose choice is known."""

from __future__ import annotations

import math
from itertools import combinations

import pytest
from evaluated import command, write_lines
from hypothesis import given
from hypothesis import strategies as st
from test_evaluate_figures import line

from visual_erm.evaluate.best_of_n import best_of_n, expected_best, weights

SMALL = st.integers(0, 3).map(float)
PAIRS = st.lists(st.tuples(SMALL, st.floats(-5, 5)), min_size=1, max_size=7)


def brute_force(scores: list[float], values: list[float], n: int) -> float:
    """The mean over all subsets of n; among equal best scores the mean of their values."""
    found = []
    for subset in combinations(range(len(scores)), n):
        best = max(scores[i] for i in subset)
        tied = [values[i] for i in subset if scores[i] == best]
        found.append(sum(tied) / len(tied))
    return sum(found) / len(found)


@given(PAIRS)
def test_the_expectation_is_the_mean_over_all_subsets(pairs):
    scores, values = [one for one, _ in pairs], [other for _, other in pairs]
    found = expected_best(scores, values)
    for n in range(1, len(pairs) + 1):
        assert found[n - 1] == pytest.approx(brute_force(scores, values, n), abs=1e-9)


@given(st.lists(st.integers(0, 1), min_size=1, max_size=12))
def test_for_right_and_wrong_it_is_pass_at_k(values):
    count, right = len(values), sum(values)
    found = expected_best(values, values)
    for k in range(1, count + 1):
        assert found[k - 1] == pytest.approx(1 - math.comb(count - right, k) / math.comb(count, k))


@pytest.mark.parametrize("count", [1, 2, 8, 200])
def test_chances_sum_to_one(count):
    assert weights(count).sum(axis=1) == pytest.approx([1.0] * count)


def lines(judge, rows: int = 5, n: int = 4):
    """Replies whose TEDS are 0, 1/n, … and whose reward is what `judge` makes of it."""
    return [line(row, judge(k / n), sample=k, teds=k / n, run="p judged by local") for row in range(rows) for k in range(n)]


@pytest.mark.parametrize(
    ("judge", "captured"), [(lambda teds: teds, 1.0), (lambda teds: 0.0, 0.0), (lambda teds: -teds, -1.0)]
)
def test_a_judge_that_knows_is_the_oracle_and_one_that_does_not_is_chance(judge, captured):
    curve = best_of_n(lines(judge), "teds")["table"]
    assert [one.mean for one in curve.oracle] == pytest.approx([0.375, 0.375 + 5 / 24, 0.6875, 0.75])
    assert curve.random.mean == pytest.approx(0.375)
    assert math.isnan(curve.captured[0])
    assert curve.captured[-1] == pytest.approx(captured)
    assert (curve.rows, curve.left_out) == (5, [])


def test_rows_without_all_replies_are_named_and_left_out():
    found = [*lines(lambda teds: teds), line(9, 1.0, teds=0.5), line(8, 1.0, failed_reason="x")]
    curve = best_of_n(found, "teds")["table"]
    assert curve.rows == 5
    assert [message.partition(": ")[2] for message in curve.left_out] == [
        "row 9 has 1 of 4 replies with a reward and teds",
        "row 8 has 0 of 4 replies with a reward and teds",
    ]


@pytest.mark.parametrize(
    ("content", "words", "code", "told"),
    [
        (lines(lambda teds: teds), (), 0, "100 %"),
        (lines(lambda teds: teds), ("--truth", "ssim"), 2, "no reply has ssim; it has teds"),
        (lines(lambda teds: teds, n=1), (), 2, "has one reply to each row"),
        ([line(0, 1.0)], (), 2, "no reply has a score against the ground truth; the rows need"),
    ],
)
def test_the_command_prints_the_curve_or_says_what_is_missing(tmp_path, content, words, code, told):
    path = write_lines(tmp_path / "eval.jsonl", [one.content for one in content])
    done = command("eval", "best", path, *words, "--json", tmp_path / "best.json", cwd=tmp_path)
    assert done.returncode == code, done.stderr
    assert told in done.stdout + done.stderr
    assert (tmp_path / "best.json").exists() == (code == 0)
