"""`TextPipeline` and `ImagePipeline`: one task's replies on their way to a baseline's reward.

The stages are those of `visual_erm.pipeline`, with a comparison in place of the judge. A reply without code, or whose
code does not render, earns 0. A failure of the infrastructure earns the mean of the recent rewards, until too many fail.

    pipeline = TextPipeline(load_task("table"), measure, FailurePolicy())
    result = await pipeline.score(reply, ground_truth)
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Protocol

from PIL import Image

from visual_erm.baselines.similarity import Similarity
from visual_erm.errors import ConfigError, InfrastructureError, NoCodeError, PolicyFault, RenderLimit, boundary
from visual_erm.extract import Code, extract
from visual_erm.guard.runner import GuardRunner
from visual_erm.pipeline import make_stage
from visual_erm.render.stage import PartialResult
from visual_erm.render.table import to_html
from visual_erm.reward.fallback import NeutralFallback
from visual_erm.reward.outcome import Outcome
from visual_erm.runtime.stage_clock import StageClock
from visual_erm.spec.judge import FailurePolicy
from visual_erm.spec.task import Task
from visual_erm.training.reward_requirements import MARKUP
from visual_erm.vision.images import Reference

NEUTRAL = 0.5
"""Reward of a comparison that failed while there is no other to take the mean of."""
GUARDS = ("blank", "tampering", "raster")
"""Names of the guards that need an image and no report."""


class TextMeasure(Protocol):
    """Compares two pieces of code. Safe to call concurrently from one event loop."""

    guards: tuple[str, ...]
    """Names of the flags that it may set."""

    async def compare(self, prediction: str, truth: str) -> Similarity:
        """Compares a reply's code with the ground truth's.

        Args:
            prediction: The reply's code.
            truth: The ground truth's code.

        Returns:
            How alike they are, and the flags that lowered it.

        Raises:
            ComparisonFailed: It took too long, or its process died.
            ConfigError: The ground truth is wrong.
        """
        ...

    async def close(self) -> None:
        """Ends what the measure started."""
        ...


class ImageMeasure(Protocol):
    """Compares two images. Safe to call concurrently from one event loop."""

    async def compare(self, prediction: Image.Image, reference: Image.Image) -> float:
        """Compares the image of a reply's code with the reference.

        Args:
            prediction: The image of the reply's code, RGB.
            reference: The reference, RGB.

        Returns:
            0 (nothing in common) to 1 (the same).

        Raises:
            ComparisonFailed: It failed through no fault of the images.
        """
        ...

    async def close(self) -> None:
        """Ends what the measure started."""
        ...


@dataclass(frozen=True)
class BaselineResult:
    """What became of one sample."""

    reward: float
    """The similarity, 0 to 1; the mean of recent ones where scoring failed."""
    outcome: Outcome
    """Why the scoring ended."""
    extract_ok: bool
    """The reply holds code of the task's languages."""
    render_ok: bool | None
    """There is an image of the code; None for rewards that look at code alone."""
    scored_ok: bool
    """False when the infrastructure failed and the reward is a neutral one."""
    reason: str = ""
    """Why the reward is not a similarity, or is a lowered one; else empty."""
    guards: tuple[str, ...] = GUARDS
    """Names of the guards that look at samples of this reward."""
    flags: frozenset[str] = frozenset()
    """Names of those that found something."""
    milliseconds: dict[str, float] = field(default_factory=dict)
    """Time spent in each stage."""

    def numbers(self) -> dict[str, float]:
        """Returns plain numbers as veRL logs them, the same keys for every sample of a reward: see `visual_erm.adapter`."""
        renders = self.render_ok is not None
        stages = ("extract", "render", "guard", "compare") if renders else ("extract", "compare")
        guards = {f"guard_{name}": float(name in self.flags) for name in self.guards}
        return {
            "score": self.reward,
            "extract_ok": float(self.extract_ok),
            **({"render_ok": float(bool(self.render_ok))} if renders else {}),
            **guards,
            "scored_ok": float(self.scored_ok),
            **self.outcome.numbers(),
            **{f"{stage}_ms": round(self.milliseconds.get(stage, 0.0), 2) for stage in stages},
        }


class TextPipeline:
    """Scores replies for one task by their code alone; nothing is rendered.

    Args:
        task: The task.
        measure: Compares; it is not closed with the pipeline.
        failure: What a sample gets that could not be scored.
    """

    def __init__(self, task: Task, measure: TextMeasure, failure: FailurePolicy) -> None:
        self.task = task
        self._measure = measure
        self._fallback = NeutralFallback(failure, NEUTRAL)

    async def score(self, reply: str, truth: str) -> BaselineResult:
        """Scores one reply.

        Args:
            reply: The policy's reply.
            truth: The code that the reference was rendered from.

        Returns:
            The result.

        Raises:
            ConfigError: `truth` is wrong.
            InfrastructureError: The run must stop, as `failure` says.
        """
        clock, partial = StageClock(), PartialResult()
        try:
            with clock("extract"), boundary("extract"):
                partial.code = await asyncio.to_thread(extract, reply, self.task.code_languages)
                prediction = await asyncio.to_thread(_text, partial.code)
                expected = await asyncio.to_thread(self._truth, truth)
            with clock("compare"), boundary("compare"):
                similarity = await self._measure.compare(prediction, expected)
        except (PolicyFault, InfrastructureError) as fault:
            return _ended(self._fallback, fault, partial, clock, False, self._measure.guards)
        self._fallback.record_success(similarity.value)
        return BaselineResult(
            similarity.value,
            Outcome.SCORED,
            extract_ok=True,
            render_ok=None,
            scored_ok=True,
            reason=similarity.reason,
            guards=self._measure.guards,
            flags=similarity.flags,
            milliseconds=clock.milliseconds,
        )

    def _truth(self, truth: str) -> str:
        if not MARKUP & set(self.task.languages):
            return truth
        try:
            return _text(extract(truth, self.task.code_languages))
        except NoCodeError:
            raise ConfigError(f"`reward_model.ground_truth` is no table in {' or '.join(self.task.languages)}") from None
        except RenderLimit as error:
            raise ConfigError(f"`reward_model.ground_truth` is too long: {error}") from None


class ImagePipeline:
    """Scores replies for one task by their images. Owns the renderer; bound to the event loop of its first sample.

    Args:
        task: The task.
        measure: Compares; it is not closed with the pipeline.
        failure: What a sample gets that could not be scored.
        pages: Renders at once at most.
    """

    def __init__(self, task: Task, measure: ImageMeasure, failure: FailurePolicy, pages: int = 2) -> None:
        self.task = task
        self._measure = measure
        self._guards = GuardRunner(task, model_judge=False)
        self._stage = make_stage(task, self._guards, pages, low_priority=False)
        self._fallback = NeutralFallback(failure, NEUTRAL)

    @property
    def renderer_version(self) -> str:
        """Name and version of what renders."""
        return self._stage.renderer_version

    async def score(self, reply: str, reference: Reference) -> BaselineResult:
        """Scores one reply.

        Args:
            reply: The policy's reply.
            reference: The reference image: decoded, encoded, or a file.

        Returns:
            The result.

        Raises:
            InfrastructureError: The run must stop, as `failure` says.
        """
        clock, partial = StageClock(), PartialResult()
        try:
            shown, image = await self._stage.render(reply, reference, clock, partial)
            with clock("compare"), boundary("compare"):
                similarity = await self._measure.compare(image, shown)
        except (PolicyFault, InfrastructureError) as fault:
            flags = self._guards.flags(fault) if isinstance(fault, PolicyFault) else frozenset()
            return _ended(self._fallback, fault, partial, clock, True, GUARDS, partial.flags | flags)
        self._fallback.record_success(similarity)
        return BaselineResult(
            similarity, Outcome.SCORED, True, True, True, flags=partial.flags, milliseconds=clock.milliseconds
        )

    async def close(self) -> None:
        """Closes renderer and guards; no process is left behind. May be called twice."""
        await self._stage.close()


def _ended(
    fallback: NeutralFallback,
    fault: PolicyFault | InfrastructureError,
    partial: PartialResult,
    clock: StageClock,
    renders: bool,
    guards: tuple[str, ...],
    flags: frozenset[str] = frozenset(),
) -> BaselineResult:
    """The result of a sample that did not reach its comparison."""
    ending = fallback.end(fault)
    at_fault = ending.neutral is None
    return BaselineResult(
        0.0 if ending.neutral is None else ending.neutral,
        ending.outcome,
        extract_ok=partial.code is not None,
        render_ok=(not at_fault and partial.image is not None) if renders else None,
        scored_ok=at_fault,
        reason=ending.reason,
        guards=guards,
        flags=flags,
        milliseconds=clock.milliseconds,
    )


def _text(code: Code) -> str:
    """Code as it is compared: tables in HTML, whatever they are written in."""
    return to_html(code) if code.language in MARKUP else code.text
