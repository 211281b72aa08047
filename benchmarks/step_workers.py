"""The reward workers of a step, as veRL runs them: processes, each with an event loop, pipelines and a judge of its own,
and with a part of the samples that lie next to each other (`RewardLoopManager` cuts a batch into such chunks).

All begin at one moment, which the process that started them gives once the last one is warm.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import multiprocessing
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field, replace
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any

import psutil
from heartbeat import WORST, Heartbeat
from PIL import Image
from step_bounds import Asked, requests
from step_samples import Sample, unlike
from vllm_simulator import Served

from visual_erm.judge.base import Judge, make_judge
from visual_erm.judge.usage import JudgeUsage
from visual_erm.pipeline import RewardPipeline, RewardResult, pipelines_of
from visual_erm.reward.report import Report
from visual_erm.runtime import gc_tuning
from visual_erm.spec.judge import JudgeSettings
from visual_erm.spec.task import Task

WARM = 8
"""Samples of each task before the clock starts: in the middle of a training renderers and connections are there."""
SOON_S = 0.05
"""From the word to the beginning: time for the word to reach every worker."""
END_S = 30.0
"""For a worker to close what it owns."""


@dataclass
class Outcome:
    """What became of one sample."""

    result: RewardResult
    ended: float
    """Of `time.monotonic`, which all processes of a machine share."""


@dataclass
class Step:
    """One step, or a worker's part of it, as it went."""

    outcomes: list[Outcome]
    begun: float
    seconds: float
    """Until the last result."""
    cpu_s: dict[str, float]
    """What it took of the processors: `workers`, `renderers` (all processes below them), and of the whole step `endpoints`
    and `others` (whatever else runs on the machine)."""
    loop: dict[str, Any]
    """The heartbeat's figures; of several workers the worst."""
    bodies: dict[str, bytes] = field(default_factory=dict)
    """What a judge that answers at once was asked, as requests."""
    served: list[list[Served]] = field(default_factory=list)
    """By endpoint."""
    told: list[dict[str, Any]] = field(default_factory=list)
    """What the endpoints told at its end."""


class Instant:
    """A judge that finds nothing at once, and remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[Asked] = []

    async def judge(
        self, reference: Image.Image, prediction: Image.Image, task: Task, account: JudgeUsage | None = None
    ) -> Report:
        self.asked.append((reference, prediction, task))
        return Report()

    async def close(self) -> None: ...


# In a worker


@contextlib.asynccontextmanager
async def _warmed(
    mix: Sequence[Sample], tasks: dict[str, Task], settings: JudgeSettings, judge: Judge
) -> AsyncIterator[dict[str, RewardPipeline]]:
    """What reward_func/ scores with, a pipeline for each task and one judge for all, as it is after the first step."""
    pipelines = pipelines_of(tasks, settings, judge=judge)
    try:
        others = [one for sample in {sample.task: sample for sample in mix}.values() for one in unlike(sample, WARM)]
        with gc_tuning.track_sample():
            await asyncio.gather(*(pipelines[one.task].score(one.reply, one.reference) for one in others))
        yield pipelines
    finally:
        await asyncio.gather(*(pipeline.close() for pipeline in pipelines.values()))


async def _part(mix: Sequence[Sample], pipelines: dict[str, RewardPipeline], begun: float) -> Step:
    """All samples at once. They start one after the other, as they are handed over by the workers that generate."""

    async def one(sample: Sample) -> Outcome:
        with gc_tuning.track_sample():
            result = await pipelines[sample.task].score(sample.reply, sample.reference)
        return Outcome(replace(result, image=None), time.monotonic())

    before = _used()
    async with Heartbeat() as heartbeat:
        started = []
        for sample in mix:
            started.append(asyncio.create_task(one(sample)))
            await asyncio.sleep(0)
        outcomes = list(await asyncio.gather(*started))
    seconds = max(outcome.ended for outcome in outcomes) - begun
    cpu_s = {name: total - before[name] for name, total in _used().items()}
    return Step(outcomes, begun, seconds, cpu_s, heartbeat.figures())


def _used() -> dict[str, float]:
    """Seconds of the processors so far, of this process and of all below it."""
    here = psutil.Process()
    return {
        "workers": sum(here.cpu_times()[:2]),
        "renderers": sum(map(_cpu_s, here.children(recursive=True))),
    }


def _cpu_s(process: psutil.Process) -> float:
    with contextlib.suppress(psutil.Error):
        return float(sum(process.cpu_times()[:4]))
    return 0.0


def _work(line: Connection, mix: Sequence[Sample], tasks: dict[str, Task], settings: JudgeSettings, instant: bool) -> None:
    """A worker: says when it is warm, is told when to begin, and hands its part of the step back."""

    async def work() -> None:
        finding_nothing = Instant()
        judge = finding_nothing if instant else make_judge(settings)
        async with _warmed(mix, tasks, settings, judge) as pipelines:
            finding_nothing.asked.clear()
            line.send("warm")
            begin = await asyncio.to_thread(line.recv)
            await asyncio.sleep(begin - time.monotonic())
            done = await _part(mix, pipelines, begin)
            line.send(replace(done, bodies=requests(finding_nothing.asked)))

    # The one that started it is gone, or has ended the step.
    with contextlib.suppress(EOFError, BrokenPipeError):
        asyncio.run(work())


# In the process that starts them


class Workers:
    """Warm workers, each with its part. Use as an async context manager."""

    def __init__(
        self, count: int, mix: Sequence[Sample], tasks: dict[str, Task], settings: JudgeSettings, instant: bool = False
    ) -> None:
        """`instant`: with a judge that answers at once, in place of the one of `settings`."""
        spawn = multiprocessing.get_context("spawn")
        each = -(-len(mix) // count)
        self._lines: list[Connection] = []
        self._processes: list[BaseProcess] = []
        for start in range(0, len(mix), each):
            here, there = spawn.Pipe()
            part = (there, mix[start : start + each], tasks, settings, instant)
            self._processes.append(spawn.Process(target=_work, args=part))
            self._processes[-1].start()
            there.close()
            self._lines.append(here)

    async def __aenter__(self) -> Workers:
        try:
            await self._note_response()
        except BaseException:
            await self.__aexit__()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        for line in self._lines:
            line.close()
        await asyncio.to_thread(self._end)

    async def step(self) -> Step:
        """The step, of all workers together. Raises RuntimeError when one of them ended before its part was done."""
        before, begin = self._used(), time.monotonic() + SOON_S
        for line in self._lines:
            line.send(begin)
        parts: list[Step] = await self._note_response()
        cpu_s = {name: sum(part.cpu_s[name] for part in parts) for name in parts[0].cpu_s}
        endpoints, machine = (after - then for then, after in zip(before, self._used(), strict=True))
        cpu_s |= {"endpoints": endpoints, "others": max(0.0, machine - endpoints - sum(cpu_s.values()))}
        return Step(
            list(itertools.chain(*(part.outcomes for part in parts))),
            begin,
            max(part.seconds for part in parts),
            cpu_s,
            _worst([part.loop for part in parts]),
            {pair: body for part in parts for pair, body in part.bodies.items()},
        )

    async def _note_response(self) -> list[Any]:
        """What each of them says next."""
        try:
            return list(await asyncio.gather(*(asyncio.to_thread(line.recv) for line in self._lines)))
        except EOFError:
            raise RuntimeError("a reward worker ended before its part of the step was done") from None

    def _used(self) -> tuple[float, float]:
        """Seconds of the processors so far: of what this process started but the workers, and of the machine."""
        workers = {process.pid for process in self._processes}
        others = [child for child in psutil.Process().children() if child.pid not in workers]
        machine = psutil.cpu_times()
        return sum(map(_cpu_s, others)), machine.user + machine.nice + machine.system

    def _end(self) -> None:
        for process in self._processes:
            process.join(END_S)
            if process.is_alive():
                process.kill()
                process.join()


def _worst(loops: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Of the heartbeats of several event loops."""
    return {
        "longest_ms": max(loop["longest_ms"] for loop in loops),
        "longest_own_ms": max(loop["longest_own_ms"] for loop in loops),
        "blocks": sum(loop["blocks"] for loop in loops),
        "worst": sorted(itertools.chain(*(loop["worst"] for loop in loops)), key=lambda block: -block["ms"])[:WORST],
    }
