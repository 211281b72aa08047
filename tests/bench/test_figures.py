"""Intervals hold the truth as often as they say."""

from __future__ import annotations

import math

import numpy as np
import pytest

from visual_erm.bench import figures as module
from visual_erm.bench.figures import (
    NAMES,
    Sample,
    correlation,
    drawn_figures,
    f1,
    figures,
    figures_of_sums,
    interval,
    moments,
    resample,
)

TRIALS = 1000


def world(references: int, seed: int) -> Sample:
    """Items of one to four to a reference. A hard reference is hard for all its items."""
    draw = np.random.default_rng(seed)
    counts, severities, clusters = [], [], []
    for reference in range(references):
        hardness = draw.normal(0, 0.6)
        for _ in range(draw.integers(1, 5)):
            true = draw.poisson(3)
            found = draw.binomial(true, 0.7 / (1 + math.exp(-0.2 - hardness)))
            partly = draw.binomial(true - found, 0.15)
            invented = draw.poisson(1.2)
            severity = float(draw.integers(1, 4, true).sum())
            said = max(0.0, 0.7 * severity + draw.normal(0, 2.5) + 1.5 * invented + hardness)
            counts.append((found, partly, invented, true - found - partly))
            severities.append((said, severity))
            clusters.append(reference)
    return Sample(np.array(counts, float), np.array(severities), np.array(clusters))


@pytest.mark.long
def test_a_95_percent_interval_holds_the_truth_in_93_to_97_percent_of_trials() -> None:
    truth = figures(world(50_000, 10**6))
    held = dict.fromkeys(NAMES, 0)
    for seed in range(TRIALS):
        sample = world(150, seed)
        drawn = drawn_figures(sample, 600, seed)
        for name in NAMES:
            low, high = interval(drawn[name])
            held[name] += low <= getattr(truth, name) <= high
    print(held)
    assert all(0.93 * TRIALS <= count <= 0.97 * TRIALS for count in held.values()), held


def test_items_of_one_reference_are_drawn_together() -> None:
    drawn = resample(np.eye(5), np.array([0, 0, 1, 2, 2]), 50)
    assert (drawn[:, 0] == drawn[:, 1]).all()
    assert (drawn[:, 3] == drawn[:, 4]).all()
    assert (drawn[:, [0, 2, 3]].sum(axis=1) == 3).all()
    assert len(np.unique(drawn, axis=0)) > 5


@pytest.mark.parametrize("at_once", [1, 70, 1000])
def test_how_many_are_drawn_at_once_changes_nothing(monkeypatch: pytest.MonkeyPatch, at_once: int) -> None:
    sample = world(30, 0)
    expected = drawn_figures(sample, 50)
    monkeypatch.setattr(module, "MAX_DRAWN", at_once)
    for name, values in drawn_figures(sample, 50).items():
        assert values == pytest.approx(expected[name])


@pytest.mark.parametrize("level", [0.0, 0.1, 1e6])
def test_a_bootstrap_sample_of_one_severity_has_no_correlation(level: float) -> None:
    severities = np.array([[level, 1.0], [level, 2.0], [level + 1, 3.0]])
    rows = moments(Sample(np.zeros((3, 4)), severities, np.arange(3)))
    sums = np.array([[2, 1, 0], [0, 3, 0], [1, 1, 1]]) @ rows
    found = figures_of_sums(sums)["severity_correlation"]
    assert np.isnan(found).tolist() == [True, True, False]
    assert found[2] == pytest.approx(np.corrcoef(severities.T)[0, 1])


@pytest.mark.parametrize("seed", range(4))
def test_a_bootstrap_sample_of_every_item_once_has_the_figures_of_the_items(seed: int) -> None:
    sample = world(30, seed)
    drawn = figures_of_sums(moments(sample).sum(axis=0, keepdims=True))
    expected = figures(sample)
    assert {name: float(drawn[name][0]) for name in NAMES} == pytest.approx({n: getattr(expected, n) for n in NAMES})


@pytest.mark.parametrize(
    ("counts", "value"), [((0, 0, 0), 0.0), ((3, 0, 0), 1.0), ((0, 2, 2), 0.0), ((1, 1, 1), 0.5), ((2, 0, 2), 2 / 3)]
)
def test_f1(counts: tuple[int, int, int], value: float) -> None:
    assert f1(*counts) == pytest.approx(value)


def test_nothing_against_nothing_is_right_and_as_published_its_soft_f1_is_0() -> None:
    nothing = Sample(np.zeros((2, 4)), np.zeros((2, 2)), np.arange(2))
    assert (figures(nothing).f1_hard, figures(nothing).f1_soft) == (1, 1)
    assert (figures(nothing, as_published=True).f1_hard, figures(nothing, as_published=True).f1_soft) == (1, 0)


@pytest.mark.parametrize("sides", [([1.0], [2.0]), ([1.0, 1.0], [0.0, 3.0]), ([0.0, 3.0], [2.0, 2.0]), ([], [])])
def test_one_item_or_one_value_has_no_correlation(sides: tuple[list[float], list[float]]) -> None:
    assert math.isnan(correlation(*map(np.array, sides)))


def test_no_items_have_no_interval() -> None:
    empty = Sample.of([], [])
    assert all(math.isnan(end) for end in interval(drawn_figures(empty, 10)["severity_correlation"]))
