"""The report of a run, from its rollout log: figures of each step, their spread, a plot, and rollouts to look at.

The rollout log has one line for each reward call. The demo's data is in the order of training, and every prompt is
used once. So the index of a prompt tells its step, and counting finds lost or repeated calls.
"""

from __future__ import annotations

import asyncio
import csv
import json
import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from visual_erm.demo.accuracy import accuracy
from visual_erm.demo.tiny_data import TinyRow, render_codes
from visual_erm.extract import extract
from visual_erm.spec.task import Task

EDGE = 5
"""Number of steps at the beginning and at the end of a run that are compared."""

Call = dict[str, Any]
"""One line of the rollout log."""


@dataclass(frozen=True)
class StepFigures:
    """Means over the rollouts of one training step."""

    step: int
    """Number of the step, from 1."""
    rollouts: int
    reward: float
    render_ok: float
    """Share of rollouts that render."""
    severity: float
    shape: float
    """Share of rollouts of the right shape."""
    scored_ok: float
    """Share of rollouts that were judged."""
    rewards: dict[str, float]
    """Mean reward of each task of a mixture; empty for a single task."""

    def figures(self) -> dict[str, float]:
        """Returns all figures as plain numbers, under names for the columns of a table."""
        plain = {name: value for name, value in asdict(self).items() if name != "rewards"}
        return plain | {f"reward_{task}": value for task, value in self.rewards.items()}


@dataclass(frozen=True)
class Trend:
    """The change of a figure over a run, beside its variation from step to step."""

    first: float
    """Mean of the first EDGE steps."""
    last: float
    """Mean of the last EDGE steps."""
    spread: float
    """Standard deviation of the steps around their regression line, which leaves the trend out."""
    spread_with_trend: float
    """Standard deviation of the steps, which includes the trend."""

    @property
    def gain(self) -> float:
        """Difference of the means at both ends."""
        return self.last - self.first

    def figures(self) -> dict[str, float | None]:
        """Returns all figures as plain numbers; `gain_over_spread` is None where the spread is 0."""
        ratio = self.gain / self.spread if self.spread else None
        return {**asdict(self), "gain": self.gain, "gain_over_spread": ratio}


def read_rollout_log(folder: Path) -> list[Call]:
    """Reads all reward calls of a run.

    Args:
        folder: Folder of the rollout log.

    Returns:
        The calls, in the order of time.
    """
    lines = [line for path in sorted(folder.glob("*.jsonl")) for line in path.read_text(encoding="utf-8").splitlines()]
    return sorted((json.loads(line) for line in lines), key=lambda call: call["time"])


def miscounts(calls: Sequence[Call], prompts: int, n: int) -> dict[int, int]:
    """Finds prompts that were not rewarded as often as they should.

    Args:
        calls: All reward calls.
        prompts: Number of prompts.
        n: Number of rollouts of each prompt.

    Returns:
        Number of calls of each wrong prompt, by index; empty when all are right.
    """
    found = Counter(int(call["index"]) for call in calls)
    numbers = sorted({*range(prompts), *found})
    return {i: found[i] for i in numbers if found[i] != (n if i < prompts else 0)}


def step_figures(calls: Sequence[Call], rows: Sequence[TinyRow], batch: int) -> list[StepFigures]:
    """Computes the figures of each step.

    Args:
        calls: All reward calls.
        rows: The prompts, in the order of training.
        batch: Number of prompts of a step.

    Returns:
        The figures, in the order of steps.
    """
    by_step: dict[int, list[Call]] = {}
    for call in calls:
        by_step.setdefault(int(call["index"]) // batch, []).append(call)
    return [_figures(step + 1, by_step[step], rows) for step in sorted(by_step)]


def _figures(step: int, calls: Sequence[Call], rows: Sequence[TinyRow]) -> StepFigures:
    def mean(key: str) -> float:
        return statistics.fmean(call[key] for call in calls)

    by_task: dict[str, list[float]] = {}
    shapes = []
    for call in calls:
        row = rows[int(call["index"])]
        by_task.setdefault(row.problem.task, []).append(call["score"])
        shapes.append(accuracy(row.problem, [call["reply"]], [row.sample]).shape)
    rewards = {task: statistics.fmean(scores) for task, scores in sorted(by_task.items())} if len(by_task) > 1 else {}
    shape = statistics.fmean(shapes)
    return StepFigures(
        step, len(calls), mean("score"), mean("render_ok"), mean("severity"), shape, mean("scored_ok"), rewards
    )


def trend(values: Sequence[float]) -> Trend:
    """Computes the trend of a figure.

    Args:
        values: One value for each step, at least three.

    Returns:
        The trend.

    >>> trend([1.0, 2.0, 3.0, 4.0, 5.0, 6.0]).spread
    0.0
    """
    slope, intercept = statistics.linear_regression(range(len(values)), values)
    around = [value - intercept - slope * step for step, value in enumerate(values)]
    edge = min(EDGE, len(values))
    return Trend(
        first=statistics.fmean(values[:edge]),
        last=statistics.fmean(values[-edge:]),
        spread=statistics.stdev(around),
        spread_with_trend=statistics.stdev(values),
    )


def write_steps(steps: Sequence[StepFigures], folder: Path) -> None:
    """Writes `steps.csv` and `steps.json`.

    Args:
        steps: Figures of each step.
        folder: An existing folder.
    """
    with (folder / "steps.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, [*steps[0].figures()])
        writer.writeheader()
        writer.writerows(step.figures() for step in steps)
    write_json(folder / "steps.json", [step.figures() for step in steps])


def plot_steps(steps: Sequence[StepFigures], path: Path, title: str) -> None:
    """Plots mean reward, shares that render and have the right shape, and severity, by step.

    Args:
        steps: Figures of each step.
        path: Image file to write.
        title: Title of the plot.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    x = [step.step for step in steps]
    figure, axes = pyplot.subplots(3, 1, figsize=(7, 8), sharex=True, layout="constrained")
    axes[0].plot(x, [step.reward for step in steps], "o-", markersize=3, label="all")
    for task in steps[0].rewards:
        axes[0].plot(x, [step.rewards[task] for step in steps], markersize=3, alpha=0.6, label=task)
    axes[0].set_ylabel("mean reward")
    if steps[0].rewards:
        axes[0].legend(loc="lower right")
    axes[1].plot(x, [step.render_ok for step in steps], "o-", markersize=3, label="replies that render")
    axes[1].plot(x, [step.shape for step in steps], "o-", markersize=3, label="right shape")
    axes[1].set(ylabel="share of rollouts", ylim=(0, 1.05))
    axes[1].legend(loc="lower right")
    axes[2].plot(x, [step.severity for step in steps], "o-", markersize=3, color="tab:red")
    axes[2].set(ylabel="mean severity", xlabel="step")
    for axis in axes:
        axis.grid(alpha=0.3)
    axes[0].set_title(title)
    figure.savefig(path, dpi=110)
    pyplot.close(figure)


def write_rollouts(folder: Path, calls: Sequence[Call], rows: Sequence[TinyRow], tasks: Mapping[str, Task]) -> None:
    """Writes the best and the worst rollout of each prompt, each to a folder of its own.

    The image is rendered again from the reply, as the reward rendered it.

    Args:
        folder: Folder of the rollouts.
        calls: Reward calls of the prompts to show.
        rows: The prompts, in the order of training.
        tasks: The tasks, by name.
    """
    prompts: dict[int, list[Call]] = {}
    for call in calls:
        prompts.setdefault(int(call["index"]), []).append(call)
    chosen: dict[str, Call] = {}
    for index, group in sorted(prompts.items()):
        ranked = sorted(group, key=lambda call: call["score"])
        chosen |= {f"prompt{index:04d}-worst": ranked[0], f"prompt{index:04d}-best": ranked[-1]}
    for name, call in chosen.items():
        here = folder / name
        here.mkdir(parents=True, exist_ok=True)
        (here / "reference.png").write_bytes(rows[int(call["index"])].reference or b"")
        (here / "reply.txt").write_text(call["reply"] + "\n", encoding="utf-8")
        write_json(here / "report.json", {key: call[key] for key in ("score", "severity", "render_ok", "reason", "report")})
    for task_name, task in tasks.items():
        drawn = [name for name, call in chosen.items() if call["data_source"] == task_name and call["render_ok"]]
        _, images = asyncio.run(render_codes(task, [extract(chosen[name]["reply"], task.code_languages) for name in drawn]))
        for name, image in zip(drawn, images, strict=True):
            image.save(folder / name / "render.png")


def write_json(path: Path, content: Any) -> None:
    """Writes readable JSON.

    Args:
        path: The file.
        content: Anything that JSON can hold.
    """
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
