"""The tasks of the demo: the problems of each, and the sizes of its training and evaluation."""

from __future__ import annotations

from dataclasses import dataclass

from visual_erm.demo.tiny_charts import CHART
from visual_erm.demo.tiny_problem import TinyProblem
from visual_erm.demo.tiny_svgs import SVG
from visual_erm.demo.tiny_tables import TABLE


@dataclass(frozen=True)
class TinyTask:
    """One task, or a mixture of tasks."""

    problems: tuple[TinyProblem, ...]
    out: str
    """Folder for everything that is written."""
    batch: int = 16
    """Number of prompts of a training step, equally many of each problem."""
    lessons: int = 500
    """Number of steps of the warm start."""
    held_out: int = 192
    """Number of samples of the test split for each problem."""
    judged: int = 64
    """Number of these samples, from the first on, that have a reference for the judge."""


TASKS = {
    "table": TinyTask((TABLE,), "outputs/tiny"),
    "chart": TinyTask((CHART,), "outputs/tiny-chart"),
    "svg": TinyTask((SVG,), "outputs/tiny-svg"),
    "mixed": TinyTask((TABLE, CHART, SVG), "outputs/tiny-mixed", batch=18, lessons=1200, held_out=96, judged=24),
}
