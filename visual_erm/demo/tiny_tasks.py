"""The tasks of the demo: which problems each is made of, and how much of everything it takes."""

from __future__ import annotations

from dataclasses import dataclass

from visual_erm.demo.tiny_charts import CHART
from visual_erm.demo.tiny_problem import Problem
from visual_erm.demo.tiny_svgs import SVG
from visual_erm.demo.tiny_tables import TABLE


@dataclass(frozen=True)
class TinyTask:
    """One task, or the mixture."""

    problems: tuple[Problem, ...]
    out: str
    """Folder that everything is written to."""
    batch: int = 16
    """Prompts per training step, equally many of each problem."""
    lessons: int = 500
    """Steps of the warm start."""
    held_out: int = 192
    """Samples of the test split for each problem."""
    judged: int = 64
    """Of these, the first so many have a reference for the judge."""


TASKS = {
    "table": TinyTask((TABLE,), "outputs/tiny"),
    "chart": TinyTask((CHART,), "outputs/tiny-chart"),
    "svg": TinyTask((SVG,), "outputs/tiny-svg"),
    "mixed": TinyTask((TABLE, CHART, SVG), "outputs/tiny-mixed", batch=18, lessons=1200, held_out=96, judged=24),
}
