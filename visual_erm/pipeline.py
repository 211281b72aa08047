"""RewardPipeline: the one place that knows every stage of the path.

    reply --extract--> code --render--> image --judge(reference, image)--> report --score--> reward

One coroutine per sample; hundreds may be under way, and each stage bounds itself. Everything starts with the first
sample.

    async with RewardPipeline(load_task("table"), load_judge_settings("local")) as pipeline:
        result = await pipeline.score(reply, Path("reference.png"))
    result.reward, result.report

Three functions do one thing once, for scripts and notebooks: `score_reply`, `render_code`, `judge_images`.
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from PIL import Image

from visual_erm.errors import InfrastructureError, PolicyFault, boundary
from visual_erm.extract import Code, extract
from visual_erm.guard.runner import GUARDS, GuardRunner
from visual_erm.judge.base import Judge, make_judge
from visual_erm.judge.usage import JudgeUsage
from visual_erm.render.base import make_renderer
from visual_erm.render.dedup import DeduplicatingRenderer
from visual_erm.render.stage import SAMPLES_PER_PAGE, PartialResult, RenderStage
from visual_erm.reward.fallback import NeutralFallback
from visual_erm.reward.outcome import Outcome
from visual_erm.reward.report import Report
from visual_erm.reward.scoring import max_severity, min_reward, on_task_scale, reward, scale_of
from visual_erm.runtime.stage_clock import StageClock
from visual_erm.spec.judge import JudgeSettings, load_judge_settings
from visual_erm.spec.task import Task, load_task
from visual_erm.vision.images import Reference, ReferenceCache

STAGES = ("extract", "render", "judge", "guard")


@dataclass(frozen=True)
class RewardResult:
    """What became of one sample, stage by stage."""

    reward: float
    """The range depends on the task's scoring, see `visual_erm.reward.scoring.reward`."""
    severity: float
    """S, 0 or more: the report's sum, or what a guard raised it to. The mean of recent ones where scoring failed; the
    largest that counts where there is no image."""
    scale: float
    """The severity from which on the reward is the lowest of an image: of the task, or of this sample's reference."""
    unfloored: float
    """S without the floor of the guard `under_reporting`. A batch that is normalised sets the floor on its own scale."""
    outcome: Outcome
    """Why the scoring ended."""
    render_ok: bool
    """There is an image of the reply's code."""
    scored_ok: bool
    """False when the infrastructure failed and the reward is a neutral one."""
    invalid: bool = False
    """The reward is the minimum whatever S is: there is no image, or a guard found it worth nothing."""
    floor: float = 0.0
    """The floor that the guard `under_reporting` found, as a share of the scale, 0 to 1."""
    reason: str = ""
    """Why there is no image or no report, or what the guards found; empty where there is nothing to say."""
    flags: frozenset[str] = frozenset()
    """Names of the guards that found something; see GUARDS."""
    code: Code | None = None
    image: Image.Image | None = field(default=None, repr=False)
    report: Report | None = None
    judge_usage: JudgeUsage = field(default_factory=JudgeUsage)
    """What the judgement cost."""
    milliseconds: dict[str, float] = field(default_factory=dict)
    """Time spent in each of STAGES."""

    def numbers(self, categories: list[str]) -> dict[str, float]:
        """Returns plain numbers as veRL logs them, the same keys for every sample.

        Args:
            categories: Report categories of all tasks of the run.

        Returns:
            The keys that `visual_erm.adapter` describes.
        """
        report = self.report or Report()
        counts = {f"{category}_count": float(n) for category, n in report.counts(categories).items()}
        return {
            "score": self.reward,
            "render_ok": float(self.render_ok),
            "severity": float(self.severity),
            "severity_unfloored": float(self.unfloored),
            "severity_floor": float(self.floor),
            "severity_scale": float(self.scale),
            **counts,
            "scored_ok": float(self.scored_ok),
            "invalid": float(self.invalid),
            **self.outcome.numbers(),
            "truncated": float(report.truncated),
            "missing_glyphs": float(self.image.info.get("missing_glyphs", 0)) if self.image else 0.0,
            **{f"guard_{name}": float(name in self.flags) for name in GUARDS},
            **self.judge_usage.numbers(),
            **{f"{stage}_ms": round(self.milliseconds.get(stage, 0.0), 2) for stage in STAGES},
        }


class RewardPipeline:
    """Scores replies for one task with one judge. Bound to the event loop of its first sample.

    Args:
        task: The task.
        settings: The judge's settings, and what happens when scoring fails.
        pages: Renders at once at most: pages of the browser, or workers of the sandbox.
        judge: A judge that several pipelines share; by default one of its own. Either is closed with the pipeline.
        admission: Bounds the samples under way of several pipelines; by default SAMPLES_PER_PAGE for each page.
    """

    def __init__(
        self,
        task: Task,
        settings: JudgeSettings,
        pages: int = 2,
        judge: Judge | None = None,
        admission: asyncio.Semaphore | None = None,
    ) -> None:
        self.task = task
        self._guards = GuardRunner(task, model_judge=settings.kind != "local")
        self._stage = make_stage(task, self._guards, pages, low_priority=settings.kind != "local", admission=admission)
        self._judge = judge or make_judge(settings)
        worst = max_severity(task.scoring)
        self._fallback = NeutralFallback(settings.failure, neutral=worst / 2, worst=worst)

    async def __aenter__(self) -> RewardPipeline:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    @property
    def renderer_version(self) -> str:
        """Name and version of what renders."""
        return self._stage.renderer_version

    async def score(self, reply: str, reference: Reference) -> RewardResult:
        """Scores one reply.

        Args:
            reply: The policy's reply, or bare code.
            reference: The reference image: decoded, encoded, or a file.

        Returns:
            The result. A fault of the reply earns the minimum reward, a failure of the infrastructure a neutral one.

        Raises:
            TooManyFailures: Too many recent samples could not be scored.
            InfrastructureError: This one could not, and the settings say `on_failure: abort`.
        """
        clock, usage, partial = StageClock(), JudgeUsage(), PartialResult()
        scoring = self.task.scoring
        try:
            shown, image = await self._stage.render(reply, reference, clock, partial)
            with clock("judge"), boundary("judge"):
                report = await self._judge.judge(shown, image, self.task, usage)
            with clock("guard"), boundary("guard"):
                verdict = await self._guards.check_report(shown, image, report)
        except (PolicyFault, InfrastructureError) as fault:
            ending = self._fallback.end(fault)
            at_fault = ending.neutral is None
            severity = max_severity(scoring) if ending.neutral is None else ending.neutral
            return RewardResult(
                min_reward(scoring) if at_fault else reward(severity, scoring),
                severity,
                scale_of(scoring),
                severity,
                ending.outcome,
                render_ok=not at_fault and partial.image is not None,
                scored_ok=at_fault,
                invalid=at_fault,
                reason=ending.reason,
                flags=partial.flags | (self._guards.flags(fault) if isinstance(fault, PolicyFault) else frozenset()),
                code=partial.code,
                image=None if at_fault else partial.image,
                judge_usage=usage,
                milliseconds=clock.milliseconds,
            )
        self._fallback.record_success(on_task_scale(verdict.severity, verdict.scale, scoring))
        return RewardResult(
            min_reward(scoring) if verdict.invalid else reward(verdict.severity, scoring, verdict.scale),
            verdict.severity,
            verdict.scale,
            verdict.unfloored,
            Outcome.REJECTED if verdict.invalid else Outcome.SCORED,
            render_ok=True,
            scored_ok=True,
            invalid=verdict.invalid,
            floor=verdict.floor,
            reason=verdict.reason,
            flags=partial.flags | verdict.flags,
            code=partial.code,
            image=image,
            report=report,
            judge_usage=usage,
            milliseconds=clock.milliseconds,
        )

    async def close(self) -> None:
        """Closes renderer, guards and judge; no process is left behind. May be called twice."""
        await asyncio.gather(self._stage.close(), self._judge.close())


def make_stage(
    task: Task, guards: GuardRunner, pages: int, low_priority: bool, admission: asyncio.Semaphore | None = None
) -> RenderStage:
    """Makes the render stage of a task.

    Args:
        task: The task.
        guards: Closed with the stage.
        pages: Renders at once at most.
        low_priority: Let this process go before the renderer's where processors are scarce.
        admission: Bounds the samples under way; by default SAMPLES_PER_PAGE for each page.

    Returns:
        The stage. Nothing is started before its first sample.
    """
    return RenderStage(
        functools.partial(extract, languages=task.code_languages),
        guards,
        DeduplicatingRenderer(make_renderer(task.render, pages=pages, low_priority=low_priority)),
        admission or asyncio.Semaphore(SAMPLES_PER_PAGE * pages),
    )


def pipelines_of(
    tasks: Mapping[str, Task], settings: JudgeSettings, pages: int = 2, judge: Judge | None = None
) -> dict[str, RewardPipeline]:
    """Makes a pipeline for each task of a run. All ask one judge, which is closed with them.

    Samples are admitted in the order in which they come, whatever their task: slow ones do not get ahead of quick ones, and
    the judge has work early.

    Args:
        tasks: Tasks by name.
        settings: The judge's settings.
        pages: Renders at once at most, of each task.
        judge: The judge; by default the one that the settings ask for.

    Returns:
        Pipelines by the name of their task.
    """
    judge = judge or make_judge(settings)
    admission = asyncio.Semaphore(SAMPLES_PER_PAGE * pages * len(tasks))
    return {name: RewardPipeline(task, settings, pages, judge, admission) for name, task in tasks.items()}


Settings = str | Path | Mapping[str, Any]
"""A task or a judge: by name, by file, or as a mapping; a judge also by the URL of its server."""


async def score_reply(
    task: Settings | Task, reply: str, reference: Reference, judge: Settings | JudgeSettings = "local"
) -> RewardResult:
    """Scores one reply. For many, use one `RewardPipeline`: its browser and its judge stay open.

    Args:
        task: The task.
        reply: The policy's reply, or bare code.
        reference: The reference image: decoded, encoded, or a file.
        judge: The judge.

    Returns:
        The result.

    Raises:
        ConfigError: The task or the judge is wrong.
        InfrastructureError: The reply could not be scored, and the judge's settings say `on_failure: abort`.
    """
    async with RewardPipeline(_task(task), _judge_settings(judge), pages=1) as pipeline:
        return await pipeline.score(reply, reference)


async def render_code(task: Settings | Task, reply: str) -> Image.Image:
    """Renders the code of one reply.

    Args:
        task: The task.
        reply: The policy's reply, or bare code.

    Returns:
        The image, RGB.

    Raises:
        ConfigError: The task is wrong.
        PolicyFault: The reply holds no code, or its code does not render.
        RendererUnavailable: The renderer failed.
    """
    loaded = _task(task)
    renderer = make_renderer(loaded.render, pages=1)
    try:
        return await renderer.render(await asyncio.to_thread(extract, reply, loaded.code_languages))
    finally:
        await renderer.close()


async def judge_images(
    task: Settings | Task, reference: Reference, prediction: Reference, judge: Settings | JudgeSettings = "local"
) -> Report:
    """Lists what differs between two images.

    Args:
        task: The task, whose categories the report has.
        reference: The reference image: decoded, encoded, or a file.
        prediction: The image to compare with it.
        judge: The judge.

    Returns:
        The report.

    Raises:
        ConfigError: The task or the judge is wrong.
        Illegible: The prediction cannot be compared, because of its own shape or cost.
        InfrastructureError: An image cannot be read, or the judge failed.
    """
    images = ReferenceCache()
    asked = make_judge(_judge_settings(judge))
    try:
        return await asked.judge(await images.load(reference), await images.load(prediction), _task(task))
    finally:
        await asked.close()


def _task(task: Settings | Task) -> Task:
    return task if isinstance(task, Task) else load_task(task)


def _judge_settings(judge: Settings | JudgeSettings) -> JudgeSettings:
    return judge if isinstance(judge, JudgeSettings) else load_judge_settings(judge)
