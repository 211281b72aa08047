"""RewardPipeline: the one place that knows every station, and decides whose fault a failure is.

    reply --extract--> code --render--> picture --judge(reference, picture)--> report --score--> reward

It owns what costs something (the browser, the judge's connections or OCR threads) and nothing else. One coroutine per
sample; hundreds may be in flight, each station bounds itself. Everything starts with the first sample.
"""

from __future__ import annotations

import asyncio
import io
import logging
import time
from collections import OrderedDict, deque
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path

from PIL import Image, UnidentifiedImageError

from visual_erm.errors import JudgeFailureShare, OurFault, PolicyFault, ReferenceUnavailable
from visual_erm.extract import Code, extract
from visual_erm.judge import FailurePolicy, JudgeSettings, make_judge
from visual_erm.render import make_renderer
from visual_erm.report import Report
from visual_erm.score import minimum, reward
from visual_erm.task import Task

log = logging.getLogger(__name__)

Reference = Image.Image | bytes | Path
"""A reference image: decoded, encoded, or a file."""

REFERENCES_KEPT = 64
"""Decoded references kept: the rollouts of a group share theirs."""


@dataclass(frozen=True)
class Result:
    """What became of one sample, station by station."""

    reward: float
    severity: float
    """S as it was priced: the report's sum, the running mean without a judgement, the worst without a picture."""
    render_ok: bool
    judge_ok: bool
    """False when our side failed and the reward is a neutral one."""
    reason: str = ""
    """Empty, or why there is no picture or no judgement."""
    code: Code | None = None
    picture: Image.Image | None = field(default=None, repr=False)
    report: Report | None = None
    milliseconds: dict[str, float] = field(default_factory=dict)

    def numbers(self, task: Task) -> dict[str, float]:
        """The same plain numbers for every sample, as veRL logs them."""
        report = self.report or Report()
        counts = {f"{category}_count": float(n) for category, n in report.counts(task.report.categories).items()}
        return {
            "score": self.reward,
            "render_ok": float(self.render_ok),
            "severity": float(self.severity),
            **counts,
            "judge_ok": float(self.judge_ok),
            "truncated": float(report.truncated),
            **{f"{stage}_ms": round(self.milliseconds.get(stage, 0.0), 2) for stage in ("extract", "render", "judge")},
        }


class RewardPipeline:
    """Scores replies for one task with one judge. Bound to the event loop of its first sample."""

    def __init__(self, task: Task, judge: JudgeSettings, pages: int = 2) -> None:
        self.task = task
        self._renderer = make_renderer(task.render, pages=pages)
        self._judge = make_judge(judge)
        self._judgements = Judgements(judge.failure, neutral=task.scoring.s_max / 2)
        self._references: OrderedDict[object, Image.Image] = OrderedDict()

    async def __aenter__(self) -> RewardPipeline:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    @property
    def engine(self) -> str:
        """What draws, by name and version."""
        return self._renderer.engine

    async def score(self, reply: str, reference: Reference) -> Result:
        """The reward of one reply.

        A failure of the reply earns the minimum; one of ours a neutral reward, until too many fail.
        Raises JudgeFailureShare then, or the failure itself (an OurFault) under `on_failure: abort`.
        """
        clock = Clock()
        code = picture = None
        try:
            with clock("extract"):
                code = await asyncio.to_thread(extract, reply, self.task.languages)
            with clock("render"):
                picture = await self._renderer.render(code)
            with clock("judge"):
                report = await self._judge.judge(await self._load(reference), picture, self.task)
        except PolicyFault as fault:
            scoring = self.task.scoring
            worst = -scoring.raw_minimum if scoring.mode == "raw" else scoring.s_max
            reason = f"{type(fault).__name__}: {fault}"
            return Result(minimum(scoring), worst, False, True, reason, code, None, None, clock.milliseconds)
        except OurFault as fault:
            log.warning("no judgement: %s: %s", type(fault).__name__, fault)
            severity = self._judgements.failed(fault)
            value = reward(severity, self.task.scoring)
            reason = f"{type(fault).__name__}: {fault}"
            return Result(value, severity, True, False, reason, code, picture, None, clock.milliseconds)
        self._judgements.succeeded(report.severity)
        value = reward(report.severity, self.task.scoring)
        return Result(value, report.severity, True, True, "", code, picture, report, clock.milliseconds)

    async def close(self) -> None:
        """Ends the browser and the judge; nothing is left behind. May be called twice."""
        await asyncio.gather(self._renderer.close(), self._judge.close())

    async def _load(self, reference: Reference) -> Image.Image:
        if isinstance(reference, Image.Image):
            return reference
        key = str(reference) if isinstance(reference, Path) else blake2b(reference, digest_size=16).digest()
        if key not in self._references:
            self._references[key] = await asyncio.to_thread(load_image, reference)
        self._references.move_to_end(key)
        picture = self._references[key]
        while len(self._references) > REFERENCES_KEPT:
            self._references.popitem(last=False)
        return picture


class Judgements:
    """The recent judgements of a task: what a sample without one is worth, and when to stop."""

    def __init__(self, policy: FailurePolicy, neutral: float) -> None:
        self._policy = policy
        self._neutral = neutral
        self._severities: deque[float] = deque(maxlen=policy.window)
        self._failures: deque[bool] = deque(maxlen=policy.window)

    def succeeded(self, severity: float) -> None:
        self._severities.append(severity)
        self._failures.append(False)

    def failed(self, fault: OurFault) -> float:
        """The severity that stands in for the lost judgement: the running mean, or half of s_max before there is one.

        Raises `fault` under `on_failure: abort`, and JudgeFailureShare once the failures are more than
        `max_failure_share` of `window`.
        """
        if self._policy.on_failure == "abort":
            raise fault
        self._failures.append(True)
        failures = sum(self._failures)
        if failures > self._policy.max_failure_share * self._policy.window:
            raise JudgeFailureShare(
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
        self.milliseconds[self._stage] = (time.perf_counter() - self._start) * 1000


def load_image(source: bytes | Path) -> Image.Image:
    """A picture from its file or its encoded bytes, as RGB on white. Raises ReferenceUnavailable."""
    name = str(source) if isinstance(source, Path) else f"{len(source)} bytes"
    try:
        with Image.open(source if isinstance(source, Path) else io.BytesIO(source)) as image:
            return on_white(image)
    except FileNotFoundError as error:
        raise ReferenceUnavailable(f"reference image {name} does not exist") from error
    except (OSError, UnidentifiedImageError, Image.DecompressionBombError, ValueError, SyntaxError) as error:
        raise ReferenceUnavailable(f"reference image {name} cannot be read: {error}") from error


def on_white(image: Image.Image) -> Image.Image:
    """The picture as RGB, transparent parts on white."""
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        layer = image.convert("RGBA")
        image = Image.new("RGBA", layer.size, "white")
        image.alpha_composite(layer)
    return image.convert("RGB")
