"""What a run did, from its journal: figures per step, their spread, a plot, and rollouts to look at.

The journal has one line per reward call. A prompt's number says which step it belonged to, because the demo's data is in
the order of training and every prompt is used once; so lost or doubled calls are found by counting.
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
from visual_erm.demo.tiny_data import Row, render
from visual_erm.extract import extract
from visual_erm.spec.task import Task

EDGE = 5
"""Steps at either end of a run that are compared."""

Call = dict[str, Any]
"""One line of the journal."""


@dataclass(frozen=True)
class Step:
    """Means over the rollouts of one training step."""

    step: int
    """From 1."""
    rollouts: int
    reward: float
    render_ok: float
    """Share that became a image."""
    severity: float
    shape: float
    """Share of the right shape."""
    scored_ok: float
    """Share that was judged."""
    rewards: dict[str, float]
    """Mean reward of each task of a mixture; empty without one."""

    def figures(self) -> dict[str, float]:
        """All of it as plain numbers, under names that suit a table's head."""
        plain = {name: value for name, value in asdict(self).items() if name != "rewards"}
        return plain | {f"reward_{task}": value for task, value in self.rewards.items()}


@dataclass(frozen=True)
class Trend:
    """How far a figure moved over a run, against how much it wobbles from step to step."""

    first: float
    """Mean of the first EDGE steps."""
    last: float
    """Mean of the last EDGE steps."""
    spread: float
    """Standard deviation of the steps around their straight line: the wobble, without the trend."""
    spread_with_trend: float
    """Standard deviation of the steps as they are."""

    @property
    def gain(self) -> float:
        return self.last - self.first

    def figures(self) -> dict[str, float | None]:
        """All of it as plain numbers; `gain_over_spread` is None where nothing wobbled."""
        ratio = self.gain / self.spread if self.spread else None
        return {**asdict(self), "gain": self.gain, "gain_over_spread": ratio}


def read_journal(folder: Path) -> list[Call]:
    """All reward calls of a run, in the order of time."""
    lines = [line for path in sorted(folder.glob("*.jsonl")) for line in path.read_text(encoding="utf-8").splitlines()]
    return sorted((json.loads(line) for line in lines), key=lambda call: call["time"])


def miscounts(calls: Sequence[Call], prompts: int, n: int) -> dict[int, int]:
    """Reward calls per prompt, for those of `prompts` prompts that do not have exactly `n`; empty when all are right."""
    found = Counter(int(call["index"]) for call in calls)
    numbers = sorted({*range(prompts), *found})
    return {i: found[i] for i in numbers if found[i] != (n if i < prompts else 0)}


def step_figures(calls: Sequence[Call], rows: Sequence[Row], batch: int) -> list[Step]:
    """Figures of each step; `rows` are the prompts in the order of training, `batch` to a step."""
    by_step: dict[int, list[Call]] = {}
    for call in calls:
        by_step.setdefault(int(call["index"]) // batch, []).append(call)
    return [_figures(step + 1, by_step[step], rows) for step in sorted(by_step)]


def _figures(step: int, calls: Sequence[Call], rows: Sequence[Row]) -> Step:
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
    return Step(step, len(calls), mean("score"), mean("render_ok"), mean("severity"), shape, mean("scored_ok"), rewards)


def trend(values: Sequence[float]) -> Trend:
    """The trend of one value per step, at least three of them.

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


def write_steps(steps: Sequence[Step], folder: Path) -> None:
    """Writes `steps.csv` and `steps.json`."""
    with (folder / "steps.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, [*steps[0].figures()])
        writer.writeheader()
        writer.writerows(step.figures() for step in steps)
    write_json(folder / "steps.json", [step.figures() for step in steps])


def plot_steps(steps: Sequence[Step], path: Path, title: str) -> None:
    """Draws mean reward, render-success, right shapes and severity per step."""
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


def write_rollouts(folder: Path, calls: Sequence[Call], rows: Sequence[Row], tasks: Mapping[str, Task]) -> None:
    """Writes the best and the worst rollout of each prompt in `calls`, one folder each.

    The image is drawn again from the reply, as the reward drew it.
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
        _, images = asyncio.run(render(task, [extract(chosen[name]["reply"], task.code_languages) for name in drawn]))
        for name, image in zip(drawn, images, strict=True):
            image.save(folder / name / "render.png")


def write_json(path: Path, content: Any) -> None:
    """Writes readable JSON."""
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
