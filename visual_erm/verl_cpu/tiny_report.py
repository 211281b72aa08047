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
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from PIL import Image

from visual_erm.extract import Code, extract
from visual_erm.render import make_renderer
from visual_erm.task import Task
from visual_erm.verl_cpu.accuracy import accuracy
from visual_erm.verl_cpu.tiny_tables import Rows

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
    """Share that became a picture."""
    severity: float
    shape: float
    """Share with the right number of rows and columns."""
    judge_ok: float
    """Share that was judged."""


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


def step_figures(calls: Sequence[Call], tables: Sequence[Rows], batch: int) -> list[Step]:
    """Figures of each step; `tables` are the prompts' true tables in the order of training, `batch` to a step."""
    by_step: dict[int, list[Call]] = {}
    for call in calls:
        by_step.setdefault(int(call["index"]) // batch, []).append(call)
    return [_figures(step + 1, by_step[step], tables) for step in sorted(by_step)]


def _figures(step: int, calls: Sequence[Call], tables: Sequence[Rows]) -> Step:
    def mean(key: str) -> float:
        return statistics.fmean(call[key] for call in calls)

    truths = [tables[int(call["index"])] for call in calls]
    shape = accuracy([call["reply"] for call in calls], truths).shape
    return Step(step, len(calls), mean("score"), mean("render_ok"), mean("severity"), shape, mean("judge_ok"))


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
        writer = csv.DictWriter(file, [field.name for field in fields(Step)])
        writer.writeheader()
        writer.writerows(asdict(step) for step in steps)
    write_json(folder / "steps.json", [asdict(step) for step in steps])


def plot_steps(steps: Sequence[Step], path: Path, title: str) -> None:
    """Draws mean reward, render-success, right structures and severity per step."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    x = [step.step for step in steps]
    figure, axes = pyplot.subplots(3, 1, figsize=(7, 8), sharex=True, layout="constrained")
    axes[0].plot(x, [step.reward for step in steps], "o-", markersize=3)
    axes[0].set_ylabel("mean reward")
    axes[1].plot(x, [step.render_ok for step in steps], "o-", markersize=3, label="replies that render")
    axes[1].plot(x, [step.shape for step in steps], "o-", markersize=3, label="right rows and columns")
    axes[1].set(ylabel="share of rollouts", ylim=(0, 1.05))
    axes[1].legend(loc="lower right")
    axes[2].plot(x, [step.severity for step in steps], "o-", markersize=3, color="tab:red")
    axes[2].set(ylabel="mean severity", xlabel="step")
    for axis in axes:
        axis.grid(alpha=0.3)
    axes[0].set_title(title)
    figure.savefig(path, dpi=110)
    pyplot.close(figure)


def write_rollouts(folder: Path, calls: Sequence[Call], references: Sequence[bytes], task: Task) -> None:
    """Writes the best and the worst rollout of each prompt in `calls`, one folder each.

    The picture is drawn again from the reply, as the reward drew it.
    """
    prompts: dict[int, list[Call]] = {}
    for call in calls:
        prompts.setdefault(int(call["index"]), []).append(call)
    chosen: dict[str, Call] = {}
    for index, group in sorted(prompts.items()):
        ranked = sorted(group, key=lambda call: call["score"])
        chosen |= {f"prompt{index:04d}-worst": ranked[0], f"prompt{index:04d}-best": ranked[-1]}
    drawn = {name: extract(call["reply"], task.languages) for name, call in chosen.items() if call["render_ok"]}
    pictures = dict(zip(drawn, asyncio.run(_draw(list(drawn.values()), task)), strict=True))
    for name, call in chosen.items():
        here = folder / name
        here.mkdir(parents=True, exist_ok=True)
        (here / "reference.png").write_bytes(references[int(call["index"])])
        (here / "reply.txt").write_text(call["reply"] + "\n", encoding="utf-8")
        write_json(here / "report.json", {key: call[key] for key in ("score", "severity", "render_ok", "reason", "report")})
        if name in pictures:
            pictures[name].save(here / "render.png")


async def _draw(codes: Sequence[Code], task: Task) -> list[Image.Image]:
    renderer = make_renderer(task.render)
    try:
        return await asyncio.gather(*(renderer.render(code) for code in codes))
    finally:
        await renderer.close()


def write_json(path: Path, content: Any) -> None:
    """Writes readable JSON."""
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
