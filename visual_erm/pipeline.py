"""RewardPipeline: the one place that knows every station, and decides whose fault a failure is.

    reply --extract--> code --render--> image --judge(reference, image)--> report --score--> reward

It owns what costs something (the browser, the judge's connections or OCR threads) and nothing else. One coroutine per
sample; hundreds may be in flight, each station bounds itself. Everything starts with the first sample.
"""

from __future__ import annotations

import asyncio
import io
import logging
import time
from collections import OrderedDict, deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path

from PIL import Image, UnidentifiedImageError

from visual_erm.errors import InfrastructureError, PolicyFault, ReferenceUnavailable, TooManyFailures, boundary
from visual_erm.extract import Code, extract
from visual_erm.guard.runner import GUARDS, GuardRunner
from visual_erm.judge.base import Judge, make_judge
from visual_erm.judge.usage import JudgeUsage
from visual_erm.render.base import make_renderer
from visual_erm.render.dedup import DeduplicatingRenderer
from visual_erm.reward.report import Report
from visual_erm.reward.scoring import minimum, reward, worst
from visual_erm.spec.judge import FailurePolicy, JudgeSettings
from visual_erm.spec.task import Task
from visual_erm.vision.colors import on_white

log = logging.getLogger(__name__)

Reference = Image.Image | bytes | Path
"""A reference image: decoded, encoded, or a file."""

AT_WORK = 8
"""Samples on their way to a image, for each page: the first come to the judge while the last have not begun."""
STAGES = ("extract", "render", "judge", "guard")

REFERENCES_KEPT = 64
"""Decoded references kept: the rollouts of a group share theirs."""


@dataclass(frozen=True)
class Result:
    """What became of one sample, station by station."""

    reward: float
    severity: float
    """S as it was priced: the report's sum or what a guard raised it to, the running mean without a judgement, the worst
    without a image."""
    render_ok: bool
    scored_ok: bool
    """False when our side failed and the reward is a neutral one."""
    void: bool = False
    """The reward is the minimum whatever S is: there is no image, or a guard found it worth nothing."""
    reason: str = ""
    """Empty, or why there is no image or no judgement, or what the guards found."""
    flags: frozenset[str] = frozenset()
    """Names of the guards that found something; see GUARDS."""
    code: Code | None = None
    image: Image.Image | None = field(default=None, repr=False)
    report: Report | None = None
    account: JudgeUsage = field(default_factory=JudgeUsage)
    """What the judgement cost."""
    milliseconds: dict[str, float] = field(default_factory=dict)

    def numbers(self, categories: list[str]) -> dict[str, float]:
        """The same plain numbers for every sample, as veRL logs them; `categories` are those of all tasks of the run."""
        report = self.report or Report()
        counts = {f"{category}_count": float(n) for category, n in report.counts(categories).items()}
        return {
            "score": self.reward,
            "render_ok": float(self.render_ok),
            "severity": float(self.severity),
            **counts,
            "scored_ok": float(self.scored_ok),
            "void": float(self.void),
            "truncated": float(report.truncated),
            **{f"guard_{name}": float(name in self.flags) for name in GUARDS},
            **self.account.numbers(),
            **{f"{stage}_ms": round(self.milliseconds.get(stage, 0.0), 2) for stage in STAGES},
        }


class RewardPipeline:
    """Scores replies for one task with one judge. Bound to the event loop of its first sample."""

    def __init__(
        self,
        task: Task,
        settings: JudgeSettings,
        pages: int = 2,
        judge: Judge | None = None,
        entrance: asyncio.Semaphore | None = None,
    ) -> None:
        """`judge`, `entrance`: those of several pipelines, see `pipelines_of`; by default it has its own."""
        self.task = task
        self._studio = RenderStage(task, pages, model_judge=settings.kind != "local", entrance=entrance)
        self._judge = judge or make_judge(settings)
        self._judgements = NeutralFallback(settings.failure, neutral=task.scoring.s_max / 2)

    async def __aenter__(self) -> RewardPipeline:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    @property
    def renderer_version(self) -> str:
        """What draws, by name and version."""
        return self._studio.renderer_version

    async def score(self, reply: str, reference: Reference) -> Result:
        """The reward of one reply.

        A failure of the reply earns the minimum; one of ours a neutral reward, until too many fail.
        Raises TooManyFailures then, or the failure itself (an InfrastructureError) under `on_failure: abort`.
        """
        clock = Clock()
        account = JudgeUsage()
        draft = PartialResult()
        try:
            shown, image = await self._studio.draw(reply, reference, clock, draft)
            with clock("judge"), boundary("judge"):
                report = await self._judge.judge(shown, image, self.task, account)
            with clock("guard"), boundary("guard"):
                ruling = await self._studio.guards.review(shown, image, report)
        except PolicyFault as fault:
            return Result(
                minimum(self.task.scoring),
                worst(self.task.scoring),
                render_ok=False,
                scored_ok=True,
                void=True,
                reason=f"{type(fault).__name__}: {fault}",
                flags=self._studio.guards.flags(fault),
                code=draft.code,
                milliseconds=clock.milliseconds,
            )
        except InfrastructureError as fault:
            log.warning("no judgement: %s: %s", type(fault).__name__, fault)
            severity = self._judgements.failed(fault)
            return Result(
                reward(severity, self.task.scoring),
                severity,
                render_ok=True,
                scored_ok=False,
                reason=f"{type(fault).__name__}: {fault}",
                code=draft.code,
                image=draft.image,
                account=account,
                milliseconds=clock.milliseconds,
            )
        self._judgements.succeeded(ruling.severity)
        return Result(
            minimum(self.task.scoring) if ruling.void else reward(ruling.severity, self.task.scoring),
            ruling.severity,
            render_ok=True,
            scored_ok=True,
            void=ruling.void,
            reason=ruling.reason,
            flags=ruling.flags,
            code=draft.code,
            image=image,
            report=report,
            account=account,
            milliseconds=clock.milliseconds,
        )

    async def close(self) -> None:
        """Ends the browser and the judge; nothing is left behind. May be called twice."""
        await asyncio.gather(self._studio.close(), self._judge.close())


def pipelines_of(
    tasks: Mapping[str, Task], settings: JudgeSettings, pages: int = 2, judge: Judge | None = None
) -> dict[str, RewardPipeline]:
    """A pipeline for each task of a run. All ask one judge, which is closed with them; made from the settings by default.

    Samples are let in in the order in which they come, whatever their task: slow ones do not get ahead of quick ones, and
    the judge has work early.
    """
    judge = judge or make_judge(settings)
    entrance = asyncio.Semaphore(AT_WORK * pages * len(tasks))
    return {name: RewardPipeline(task, settings, pages, judge, entrance) for name, task in tasks.items()}


@dataclass
class PartialResult:
    """What there is of a reply on its way to a image, also when it gets no further."""

    code: Code | None = None
    image: Image.Image | None = None


class RenderStage:
    """The way of one task's replies to images beside their references, for every reward that looks at images.

    Owns the renderer and the guards; bound to the event loop of its first sample.
    """

    def __init__(self, task: Task, pages: int, model_judge: bool, entrance: asyncio.Semaphore | None = None) -> None:
        self.guards = GuardRunner(task, model_judge=model_judge)
        self._languages = task.code_languages
        self._at_work = entrance or asyncio.Semaphore(AT_WORK * pages)
        self._renderer = DeduplicatingRenderer(make_renderer(task.render, pages=pages, low_priority=model_judge))
        self._references = References()

    @property
    def renderer_version(self) -> str:
        """What draws, by name and version."""
        return self._renderer.renderer_version

    async def draw(
        self, reply: str, reference: Reference, clock: Clock, draft: PartialResult
    ) -> tuple[Image.Image, Image.Image]:
        """The reference, and the image of the reply's code; the guards admit both. Raises PolicyFault or InfrastructureError."""
        async with self._at_work:
            with clock("extract"), boundary("extract"):
                code = draft.code = await asyncio.to_thread(extract, reply, self._languages)
            with clock("guard"), boundary("guard"):
                await self.guards.check_code(code)
            with clock("render"), boundary("render"):
                image = draft.image = await self._renderer.render(code)
            with clock("guard"), boundary("guard"):
                shown = await self._references.load(reference)
                await self.guards.check_image(shown, image)
        return shown, image

    async def close(self) -> None:
        """Ends what draws and what guards. May be called twice."""
        await asyncio.gather(self._renderer.close(), self.guards.close())


class References:
    """The decoded references of recent samples. Use it from one event loop."""

    def __init__(self) -> None:
        self._kept: OrderedDict[object, Image.Image] = OrderedDict()

    async def load(self, reference: Reference) -> Image.Image:
        """The image, as RGB on white. Raises ReferenceUnavailable."""
        if isinstance(reference, Image.Image):
            return reference
        key = str(reference) if isinstance(reference, Path) else blake2b(reference, digest_size=16).digest()
        if key not in self._kept:
            self._kept[key] = await asyncio.to_thread(load_image, reference)
        self._kept.move_to_end(key)
        image = self._kept[key]
        while len(self._kept) > REFERENCES_KEPT:
            self._kept.popitem(last=False)
        return image


class NeutralFallback:
    """The recent judgements of a task: what a sample without one is worth, and when to stop."""

    def __init__(self, policy: FailurePolicy, neutral: float) -> None:
        self._policy = policy
        self._neutral = neutral
        self._severities: deque[float] = deque(maxlen=policy.window)
        self._failures: deque[bool] = deque(maxlen=policy.window)

    def succeeded(self, severity: float) -> None:
        self._severities.append(severity)
        self._failures.append(False)

    def failed(self, fault: InfrastructureError) -> float:
        """The severity that stands in for the lost judgement: the running mean, or half of s_max before there is one.

        Raises `fault` under `on_failure: abort`, and TooManyFailures once the failures are more than
        `max_failure_share` of `window`.
        """
        if self._policy.on_failure == "abort":
            raise fault
        self._failures.append(True)
        failures = sum(self._failures)
        if failures > self._policy.max_failure_share * self._policy.window:
            raise TooManyFailures(
                f"{failures} of the last {len(self._failures)} samples could not be judged, more than the share of "
                f"{self._policy.max_failure_share:g} of {self._policy.window} that `failure` allows; the last: {fault}"
            ) from fault
        return sum(self._severities) / len(self._severities) if self._severities else self._neutral


class Clock:
    """Milliseconds spent in each stage, failed ones included."""

    def __init__(self) -> None:
        self.milliseconds: dict[str, float] = {}
        self._stage = ""
        self._start = 0.0

    def __call__(self, stage: str) -> Clock:
        self._stage = stage
        return self

    def __enter__(self) -> None:
        self._start = time.perf_counter()

    def __exit__(self, *_: object) -> None:
        spent = (time.perf_counter() - self._start) * 1000
        self.milliseconds[self._stage] = self.milliseconds.get(self._stage, 0.0) + spent


def load_image(source: bytes | Path) -> Image.Image:
    """A image from its file or its encoded bytes, as RGB on white. Raises ReferenceUnavailable."""
    name = str(source) if isinstance(source, Path) else f"{len(source)} bytes"
    try:
        with Image.open(source if isinstance(source, Path) else io.BytesIO(source)) as image:
            return on_white(image)
    except FileNotFoundError as error:
        raise ReferenceUnavailable(f"reference image {name} does not exist") from error
    except (OSError, UnidentifiedImageError, Image.DecompressionBombError, ValueError, SyntaxError) as error:
        raise ReferenceUnavailable(f"reference image {name} cannot be read: {error}") from error
