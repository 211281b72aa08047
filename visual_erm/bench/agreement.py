"""How far several runs over one benchmark agree: of one judge with itself, or with its images in the other order.

    agreement = agree([rows_of_first_run, rows_of_second_run])

The rows are those of files that `bench run` wrote.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from visual_erm.bench.figures import DRAWS, correlation, f1, interval, numbered, resample
from visual_erm.bench.offline_matcher import match_offline
from visual_erm.bench.rows import Row
from visual_erm.jobs.rows import BadRow


@dataclass
class Agreement:
    """How far runs agree, over all pairs of runs."""

    items: int
    """Items that every run has an answer of."""
    f1: float
    """F1 of the errors of one run against those of another, by the offline matcher. 1: the same errors."""
    f1_interval: tuple[float, float]
    """Its 95% interval, by bootstrap over reference images."""
    same_severity: float
    """Share of items with the same summed severity in both runs."""
    severity_correlation: float
    """Pearson's correlation of summed severities. NaN where one run has one value only."""
    severity_difference: float
    """Mean absolute difference of summed severities."""


def agree(runs: Sequence[Sequence[Row]], *, seed: int = 0) -> Agreement:
    """Compares runs over the items that all of them have an answer of.

    Args:
        runs: Rows that `bench run` wrote, two runs or more.
        seed: Seed of the interval.

    Returns:
        The agreement.

    Raises:
        BadRow: There are fewer than two runs, or no item is in all of them.
    """
    answered = [{row.id: row for row in rows if row.is_answered} for rows in runs]
    common = sorted(set.intersection(*map(set, answered))) if len(answered) > 1 else []
    if not common:
        raise BadRow("no item has an answer in two runs or more; give the files of several runs over one benchmark")
    errors = [[one[name].predictions() for name in common] for one in answered]
    severities = [np.array([sum(error.severity for error in item) for item in one]) for one in errors]
    counts = np.zeros((len(common), 3))
    same, together, apart = [], [], []
    for a, b in itertools.combinations(range(len(runs)), 2):
        for place in range(len(common)):
            found = len(match_offline(errors[a][place], errors[b][place]))
            counts[place] += found, len(errors[a][place]) - found, len(errors[b][place]) - found
        same.append(float((severities[a] == severities[b]).mean()))
        together.append(correlation(severities[a], severities[b]))
        apart.append(float(np.abs(severities[a] - severities[b]).mean()))
    clusters = numbered([answered[0][name].reference for name in common])
    return Agreement(
        items=len(common),
        f1=_f1(counts.sum(axis=0)),
        f1_interval=interval(np.array([_f1(sums) for sums in resample(counts, clusters, DRAWS, seed)])),
        same_severity=float(np.mean(same)),
        severity_correlation=math.nan if any(map(math.isnan, together)) else float(np.mean(together)),
        severity_difference=float(np.mean(apart)),
    )


def _f1(sums: np.ndarray) -> float:
    """F1 of sums of found, invented and missed errors; no error on either side is agreement."""
    return f1(*map(float, sums)) if sums.any() else 1.0
