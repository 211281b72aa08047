"""Figures: F1 hard, F1 soft and the correlation of severities over many items, with intervals.

    sample = Sample.of(tallies, clusters)
    figures(sample)                              # as the published evaluation computes them
    interval(drawn_figures(sample)["f1_hard"])   # 95%, by bootstrap over reference images

Items that share a reference image are not independent: whoever draws one reference draws all its items (Cameron, Gelbach
and Miller 2008, "Bootstrap-based improvements for inference with clustered errors").
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np

from visual_erm.bench.tally import Counts, Tally

NAMES = ("f1_hard", "f1_soft", "severity_correlation")
"""The figures of the paper, each from -1 or 0 to 1."""
DRAWS = 2000
"""Bootstrap samples of an interval. Ends of a 95% interval move by about 0.02 of its width from seed to seed."""
LEVEL = 0.95
MAX_DRAWN = 500_000
"""Reference images that are drawn at once, in all bootstrap samples together: about 15 MB. It changes no figure."""
NO_VARIANCE = 1e-9
"""Share of a sum of squares up to which a variance is 0 but for rounding."""


def numbered(clusters: Sequence[Hashable]) -> np.ndarray:
    """Numbers what says which items belong together.

    Args:
        clusters: One for each item.

    Returns:
        Int, shape (items,): the same number for the same cluster, from 0.
    """
    numbers = {cluster: number for number, cluster in enumerate(dict.fromkeys(clusters))}
    return np.array([numbers[cluster] for cluster in clusters], int)


@dataclass(frozen=True)
class Sample:
    """What is counted of some items, and which of them share a reference image."""

    counts: np.ndarray
    """Float, shape (items, 4): found, partly, invented, missed."""
    severities: np.ndarray
    """Float, shape (items, 2): sum of predicted severities, and of true ones."""
    clusters: np.ndarray
    """Int, shape (items,): number of the reference image, from 0."""

    @classmethod
    def of(cls, tallies: Sequence[Tally], clusters: Sequence[Hashable], category: str | None = None) -> Sample:
        """Puts tallies into arrays.

        Args:
            tallies: One for each item.
            clusters: What says which items belong together, one for each item.
            category: Count the errors of this category only; None: all.

        Returns:
            The sample.
        """
        counts = [tally.all if category is None else tally.by_category.get(category, Counts()) for tally in tallies]
        severities = [
            (tally.predicted_severity, tally.true_severity)
            if category is None
            else tally.severities.get(category, (0.0, 0.0))
            for tally in tallies
        ]
        return cls(
            np.array([(one.found, one.partly, one.invented, one.missed) for one in counts], float).reshape(-1, 4),
            np.array(severities, float).reshape(-1, 2),
            numbered(clusters),
        )

    def __len__(self) -> int:
        return len(self.counts)


@dataclass(frozen=True)
class Figures:
    """The paper's figures over some items."""

    items: int
    f1_hard: float
    """0 to 1. A match of level `partial` does not count."""
    f1_soft: float
    """0 to 1. A match of level `partial` counts as half a true positive."""
    severity_correlation: float
    """S_c, -1 to 1: Pearson's correlation of predicted and true severity over items. NaN for fewer than two items, or
    where one side has one value only."""


def f1(true_positives: float, false_positives: float, false_negatives: float) -> float:
    """F1 from precision and recall; a division by 0 gives 0.

    Args:
        true_positives: 0 or more.
        false_positives: 0 or more.
        false_negatives: 0 or more.

    Returns:
        0 to 1.
    """
    predicted, true = true_positives + false_positives, true_positives + false_negatives
    precision = true_positives / predicted if predicted else 0.0
    recall = true_positives / true if true else 0.0
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def figures(sample: Sample, *, as_published: bool = False) -> Figures:
    """Computes the figures from sums over items.

    Args:
        sample: The items.
        as_published: F1 soft of nothing against nothing is 0, as in the published script, while F1 hard is 1. Else both
            are 1.

    Returns:
        The figures.
    """
    found, partly, invented, missed = (float(number) for number in sample.counts.sum(axis=0))
    nothing = not (found or partly or invented or missed)
    hard = 1.0 if not (found or invented or missed) else f1(found, invented, missed)
    soft = 1.0 if nothing and not as_published else f1(found + 0.5 * partly, invented, missed)
    return Figures(len(sample), hard, soft, correlation(*sample.severities.T))


def correlation(one: np.ndarray, other: np.ndarray) -> float:
    """Pearson's correlation.

    Args:
        one: Float, shape (items,).
        other: Float, shape (items,).

    Returns:
        -1 to 1; NaN for fewer than two items, or where one side has one value only.
    """
    if len(one) < 2 or np.ptp(one) == 0 or np.ptp(other) == 0:
        return math.nan
    return float(np.corrcoef(one, other)[0, 1])


def resample(table: np.ndarray, clusters: np.ndarray, draws: int = DRAWS, seed: int = 0) -> np.ndarray:
    """Draws reference images with replacement, and sums what their items count.

    Args:
        table: Float, shape (items, columns): what each item counts.
        clusters: Int, shape (items,): number of the reference image of each item, from 0.
        draws: How many bootstrap samples.
        seed: Seed of the draws. With the same clusters it gives the same draws for any table.

    Returns:
        Float, shape (draws, columns): the sums of each bootstrap sample.
    """
    number = int(clusters.max(initial=-1)) + 1
    sums = np.zeros((draws, table.shape[1]))
    if not number:
        return sums
    of_cluster = np.stack([np.bincount(clusters, column, number) for column in table.T], axis=1)
    random = np.random.default_rng(seed)
    block = max(1, MAX_DRAWN // number)
    for start in range(0, draws, block):
        count = min(block, draws - start)
        drawn = random.integers(number, size=(count, number)) + number * np.arange(count)[:, None]
        times = np.bincount(drawn.ravel(), minlength=count * number).reshape(count, number)
        sums[start : start + count] = times @ of_cluster
    return sums


def moments(sample: Sample) -> np.ndarray:
    """What each item adds to the sums that its figures are computed from.

    Args:
        sample: The items.

    Returns:
        Float, shape (items, 10): the counts, 1, both severities less their means over the sample, and their three products.
    """
    if not len(sample):
        return np.zeros((0, 10))
    # Less the means, because a variance from sums of large numbers is not exact.
    predicted, true = (sample.severities - sample.severities.mean(axis=0)).T
    products = predicted * predicted, true * true, predicted * true
    return np.column_stack([sample.counts, np.ones(len(sample)), predicted, true, *products])


def figures_of_sums(sums: np.ndarray) -> dict[str, np.ndarray]:
    """Computes the figures of several samples.

    Args:
        sums: Float, shape (samples, 10): the sums of the `moments` of each sample.

    Returns:
        By name of NAMES: float, shape (samples,). NaN where a sample has no such figure.
    """
    found, partly, invented, missed, items, predicted, true, predicted2, true2, product = sums.T
    with np.errstate(divide="ignore", invalid="ignore"):
        # 2PR / (P + R) = 2TP / (2TP + FP + FN).
        hard = 2 * found / (2 * found + invented + missed)
        positives = found + 0.5 * partly
        soft = 2 * positives / (2 * positives + invented + missed)
        variances = predicted2 - predicted**2 / items, true2 - true**2 / items
        pearson = (product - predicted * true / items) / np.sqrt(variances[0] * variances[1])
    varied = (variances[0] > NO_VARIANCE * (1 + predicted2)) & (variances[1] > NO_VARIANCE * (1 + true2))
    return {
        "f1_hard": np.where(found + invented + missed > 0, hard, 1.0),
        "f1_soft": np.where(positives + invented + missed > 0, soft, 1.0),
        "severity_correlation": np.where(varied, pearson, np.nan),
    }


def drawn_figures(sample: Sample, draws: int = DRAWS, seed: int = 0) -> dict[str, np.ndarray]:
    """Computes the figures of bootstrap samples.

    Args:
        sample: The items.
        draws: How many bootstrap samples.
        seed: Seed of the draws.

    Returns:
        By name of NAMES: float, shape (draws,). NaN where a bootstrap sample has no such figure.
    """
    return figures_of_sums(resample(moments(sample), sample.clusters, draws, seed))


def interval(values: np.ndarray) -> tuple[float, float]:
    """The interval between percentiles of bootstrap samples.

    Args:
        values: Float, shape (draws,). NaN is left out.

    Returns:
        Lower and upper end of the 95% interval; NaN where nothing is left.
    """
    values = values[~np.isnan(values)]
    if not len(values):
        return math.nan, math.nan
    low, high = np.quantile(values, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def percent(value: float) -> str:
    """Writes a figure in percent; `-` for NaN."""
    return "-" if math.isnan(value) else f"{100 * value:.1f}"


def with_interval(value: float, ends: tuple[float, float]) -> str:
    """Writes a figure and its interval in percent: `42.1 (40.0 to 44.3)`."""
    return percent(value) if math.isnan(ends[0]) else f"{percent(value)} ({percent(ends[0])} to {percent(ends[1])})"
