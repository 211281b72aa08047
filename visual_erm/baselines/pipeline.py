"""One task's replies on their way to a baseline's reward, and whose fault it is when they do not get there.

The same stations as `visual_erm.pipeline`, with a comparison in place of the judge, and the same answers: a reply without
code, or whose code does not draw, earns 0; a failure of ours the mean of the recent rewards, until too many fail.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, field
from typing import Protocol

from PIL import Image

from visual_erm.errors import ConfigError, InfrastructureError, NoCodeError, PolicyFault, RenderLimit
from visual_erm.extract import Code, extract
from visual_erm.pipeline import Clock, NeutralFallback, PartialResult, Reference, RenderStage
from visual_erm.render.table import to_html
from visual_erm.spec.judge import FailurePolicy
from visual_erm.spec.task import Task
from visual_erm.training.reward_requirements import MARKUP

log = logging.getLogger(__name__)

NEUTRAL = 0.5
"""Stands for a lost comparison while there is no other to take the mean of."""


class TextMeasure(Protocol):
    """Compares code with the ground truth's. Safe to call concurrently from one event loop."""

    async def compare(self, prediction: str, truth: str) -> float:
        """0 (nothing in common) to 1 (the same). Raises ComparisonFailed, or ConfigError for a wrong ground truth."""
        ...

    async def close(self) -> None: ...


class ImageMeasure(Protocol):
    """Compares images, RGB. Safe to call concurrently from one event loop."""

    async def compare(self, prediction: Image.Image, reference: Image.Image) -> float:
        """0 (nothing in common) to 1 (the same). Raises ComparisonFailed."""
        ...

    async def close(self) -> None: ...


@dataclass(frozen=True)
class BaselineResult:
    """What became of one sample."""

    reward: float
    """The similarity, 0 to 1; the recent mean where it is not known by no fault of the reply's."""
    extract_ok: bool
    """The reply holds code of the task's languages."""
    render_ok: bool | None
    """Its code draws; None for rewards that look at code only."""
    compare_ok: bool
    """False when our side failed."""
    reason: str = ""
    flags: frozenset[str] = frozenset()
    """Names of the guards that found something."""
    milliseconds: dict[str, float] = field(default_factory=dict)

    def numbers(self) -> dict[str, float]:
        """The same plain numbers for every sample of a reward, as veRL logs them."""
        draws = self.render_ok is not None
        stages = ("extract", "render", "guard", "compare") if draws else ("extract", "compare")
        guards = {f"guard_{name}": float(name in self.flags) for name in ("blank", "tampering")}
        return {
            "score": self.reward,
            "extract_ok": float(self.extract_ok),
            **({"render_ok": float(bool(self.render_ok)), **guards} if draws else {}),
            "compare_ok": float(self.compare_ok),
            **{f"{stage}_ms": round(self.milliseconds.get(stage, 0.0), 2) for stage in stages},
        }


class TextPipeline:
    """Scores replies for one task by their code alone; nothing is drawn."""

    def __init__(self, task: Task, measure: TextMeasure, failure: FailurePolicy) -> None:
        self.task = task
        self._measure = measure
        self._recent = NeutralFallback(failure, NEUTRAL)

    async def score(self, reply: str, truth: str) -> BaselineResult:
        """The reward of one reply. Raises ConfigError for a wrong `truth`, and an InfrastructureError as `failure` says."""
        clock = Clock()
        code = None
        try:
            with clock("extract"):
                code = await asyncio.to_thread(extract, reply, self.task.code_languages)
                prediction = await asyncio.to_thread(_text, code)
                wanted = await asyncio.to_thread(self._truth, truth)
            with clock("compare"):
                similarity = await self._measure.compare(prediction, wanted)
        except PolicyFault as fault:
            return BaselineResult(0.0, code is not None, None, True, _reason(fault), milliseconds=clock.milliseconds)
        except InfrastructureError as fault:
            log.warning("no comparison: %s: %s", type(fault).__name__, fault)
            neutral = self._recent.failed(fault)
            return BaselineResult(neutral, True, None, False, _reason(fault), milliseconds=clock.milliseconds)
        self._recent.succeeded(similarity)
        return BaselineResult(similarity, True, None, True, milliseconds=clock.milliseconds)

    async def close(self) -> None:
        """Nothing of the task's own is open."""

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
    """Scores replies for one task by their images. Owns the renderer; bound to the event loop of its first sample."""

    def __init__(self, task: Task, measure: ImageMeasure, failure: FailurePolicy, pages: int = 2) -> None:
        self.task = task
        self._measure = measure
        self._studio = RenderStage(task, pages, model_judge=False)
        self._recent = NeutralFallback(failure, NEUTRAL)

    @property
    def renderer_version(self) -> str:
        """What draws, by name and version."""
        return self._studio.renderer_version

    async def score(self, reply: str, reference: Reference) -> BaselineResult:
        """The reward of one reply. Raises an InfrastructureError as `failure` says."""
        clock = Clock()
        draft = PartialResult()
        try:
            shown, image = await self._studio.draw(reply, reference, clock, draft)
            with clock("compare"):
                similarity = await self._measure.compare(image, shown)
        except PolicyFault as fault:
            flags = self._studio.guards.flags(fault)
            return BaselineResult(0.0, draft.code is not None, False, True, _reason(fault), flags, clock.milliseconds)
        except InfrastructureError as fault:
            log.warning("no comparison: %s: %s", type(fault).__name__, fault)
            neutral = self._recent.failed(fault)
            return BaselineResult(neutral, True, True, False, _reason(fault), milliseconds=clock.milliseconds)
        self._recent.succeeded(similarity)
        return BaselineResult(similarity, True, True, True, milliseconds=clock.milliseconds)

    async def close(self) -> None:
        """Ends what draws; nothing is left behind. May be called twice."""
        await self._studio.close()


def _text(code: Code) -> str:
    """Code as it is compared: tables in HTML, whatever they are written in."""
    return to_html(code) if code.language in MARKUP else code.text


def _reason(fault: Exception) -> str:
    return f"{type(fault).__name__}: {fault}"
