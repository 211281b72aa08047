"""`GuardRunner`: runs the guards of a task and makes one verdict on a sample of what they find.

The pipeline calls it after extraction, after rendering and after the judge. Reading never blocks the event loop, and a
group's reference is read once. Text is read only where the report's severity is low enough for a hack to pay, and words
only where a table has no grid lines. A reading that fails is the infrastructure's fault: it is logged and flags nothing,
and the report stands.

    guards = GuardRunner(task, model_judge=True)
    await guards.check_code(code)
    await guards.check_image(reference, prediction)
    verdict = await guards.check_report(reference, prediction, report)
"""

from __future__ import annotations

import asyncio
import functools
import logging
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import ParamSpec, TypeVar

import numpy as np
from PIL import Image

from visual_erm.errors import BlankImage, InfrastructureError, PolicyFault, Tampering
from visual_erm.extract import Code
from visual_erm.guard.blank import is_blank, is_near_blank
from visual_erm.guard.injection import addresses_judge
from visual_erm.guard.omission import Parts, missing_parts, unreported_severity
from visual_erm.guard.under_reporting import severity_floor, similarity
from visual_erm.kinds import PartCounter, resolve
from visual_erm.reward.report import Report
from visual_erm.reward.scoring import max_severity
from visual_erm.runtime.cache import Cache
from visual_erm.spec.task import Task
from visual_erm.vision.colors import hidden_in_gray
from visual_erm.vision.images import digest_of, gray, on_white
from visual_erm.vision.ocr import Ocr
from visual_erm.vision.readings import page_text

GUARDS = ("blank", "tampering", "injection", "under_reporting", "omission")
"""Names of the guards, as in `guard_<name>` of every result."""
THREADS = 2
"""Number of threads that read images."""
READINGS_KEPT = 256
"""Number of images whose readings are kept: references of groups in flight, and predictions that many rollouts share."""

log = logging.getLogger(__name__)

P = ParamSpec("P")
T = TypeVar("T")


@dataclass(frozen=True)
class GuardVerdict:
    """The severity of a sample after the guards, and what they found."""

    severity: float
    """The report's, or what it was raised to."""
    flags: frozenset[str] = frozenset()
    """Names of the guards that found something."""
    reason: str = ""
    invalid: bool = False
    """The report does not count: the sample earns the minimum."""

    def raised(self, severity: float, guard: str, finding: str) -> GuardVerdict:
        """Raises the severity.

        Args:
            severity: The new severity.
            guard: Name of the guard.
            finding: What it found.

        Returns:
            A verdict with the new severity, the guard's flag and its reason.
        """
        reason = f"{guard}: {finding}: severity {self.severity:g} -> {severity:g}"
        return GuardVerdict(severity, self.flags | {guard}, "; ".join(filter(None, [self.reason, reason])), self.invalid)


class GuardRunner:
    """The guards of one task. Threads start with the first reading and end with `close`.

    Args:
        task: The task; its `guard` has thresholds and switches, and its kind says what the guards read.
        model_judge: Whether the judge is a model. Only such a judge is checked for injection, under-reporting and omission.
    """

    def __init__(self, task: Task, model_judge: bool) -> None:
        self._task = task
        self._settings = task.guard
        self._max_severity = max_severity(task.scoring)
        self._model_judge = model_judge
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="guard")
        self._own = threading.local()
        self._lines: Cache[tuple[str, ...]] = Cache(READINGS_KEPT)
        self._hidden_lines: Cache[tuple[str, ...]] = Cache(READINGS_KEPT)
        self._parts: Cache[Parts] = Cache(READINGS_KEPT)

    async def check_code(self, code: Code) -> None:
        """Searches code for the names of files of the machine.

        Args:
            code: The policy's code.

        Raises:
            Tampering: The code names such a file.
        """
        search = self._task.kind.file_references
        if self._settings.tampering.enabled and search and (address := await self._run(resolve(search), code)):
            raise Tampering(f"the code names a file of the machine: {address}")

    async def check_image(self, reference: Image.Image, prediction: Image.Image) -> None:
        """Looks for blank and near-blank predictions. A blank one has no image, whether or not the guard is switched on.

        Args:
            reference: The reference image.
            prediction: The image that the policy's code rendered.

        Raises:
            BlankImage: The prediction shows nothing, or next to nothing, where the reference shows something.
        """
        if await self._run(is_blank, reference, prediction):
            raise BlankImage("the picture holds nothing but one colour")
        guard = self._settings.blank
        if guard.enabled and await self._run(is_near_blank, reference, prediction, guard.share):
            raise BlankImage("the picture holds next to nothing but its background")

    def flags(self, fault: PolicyFault) -> frozenset[str]:
        """Names the guards that a fault of the policy belongs to.

        Args:
            fault: The fault, from a guard, the renderer or the sandbox.

        Returns:
            Names from GUARDS, without those that are switched off.
        """
        blank = self._settings.blank.enabled and isinstance(fault, BlankImage)
        tampering = self._settings.tampering.enabled and isinstance(fault, Tampering)
        return frozenset(name for name, found in (("blank", blank), ("tampering", tampering)) if found)

    async def check_report(self, reference: Image.Image, prediction: Image.Image, report: Report) -> GuardVerdict:
        """Checks what a judge reported.

        Args:
            reference: The reference image.
            prediction: The image that the policy's code rendered.
            report: The judge's report.

        Returns:
            The verdict. Its severity is the report's or higher.
        """
        if not self._model_judge:
            return GuardVerdict(report.severity)
        return await self._run(self._check, reference, prediction, report)

    async def close(self) -> None:
        """Ends the threads after the readings under way. May be called twice."""
        await asyncio.to_thread(self._pool.shutdown, cancel_futures=True)
        self._lines.clear()
        self._hidden_lines.clear()
        self._parts.clear()
        self._own = threading.local()

    async def _run(self, function: Callable[P, T], *arguments: P.args, **keywords: P.kwargs) -> T:
        call = functools.partial(function, *arguments, **keywords)
        return await asyncio.get_running_loop().run_in_executor(self._pool, call)

    def _check(self, reference: Image.Image, prediction: Image.Image, report: Report) -> GuardVerdict:
        verdict = GuardVerdict(report.severity)
        images = _Image(reference), _Image(prediction)
        if report.severity >= self._max_severity or images[0].key == images[1].key:
            return verdict
        for guard in (self._omission, self._under_reporting, self._injection):
            try:
                verdict = guard(*images, report, verdict)
            except InfrastructureError as fault:
                log.warning("a guard could not look: %s: %s", type(fault).__name__, fault)
        return verdict

    def _omission(self, reference: _Image, prediction: _Image, report: Report, verdict: GuardVerdict) -> GuardVerdict:
        guard = self._settings.omission
        if not guard.enabled:
            return verdict
        missing = self._absent(reference, prediction, guard.slack)
        more = unreported_severity(missing, report)
        parts = ", ".join(f"{count} {kind}(s)" for kind, count in missing.items())
        return verdict.raised(verdict.severity + more, "omission", f"{parts} absent") if more else verdict

    def _under_reporting(
        self, reference: _Image, prediction: _Image, report: Report, verdict: GuardVerdict
    ) -> GuardVerdict:
        guard = self._settings.under_reporting
        if not guard.enabled or report.severity > guard.max_severity:
            return verdict
        alike = similarity(reference.image, prediction.image)
        floor = severity_floor(alike, guard.min_similarity, self._max_severity)
        return verdict.raised(floor, "under_reporting", f"similarity {alike:.2f}") if floor > verdict.severity else verdict

    def _injection(self, reference: _Image, prediction: _Image, report: Report, verdict: GuardVerdict) -> GuardVerdict:
        guard = self._settings.injection
        if not guard.enabled or report.severity > guard.check_below_severity_share * self._max_severity:
            return verdict
        found = addresses_judge(self._colored_text(prediction), self._colored_text(reference))
        return replace(verdict.raised(self._max_severity, "injection", repr(found)), invalid=True) if found else verdict

    def _absent(self, reference: _Image, prediction: _Image, slack: float) -> dict[str, int]:
        parts: tuple[Parts, Parts] = ({}, {})
        for counter in self._task.kind.parts:
            parts = self._count(counter, reference), self._count(counter, prediction)
            slack_here = 0 if counter.exact else slack
            if all(next(iter(counts.values()), (0,))[0] for counts in parts):
                break
        return missing_parts(*parts, slack_here)

    def _count(self, counter: PartCounter, image: _Image) -> Parts:
        """The parts of an image, counted in one of the ways of the task's kind."""
        return self._parts.get((image.key, counter), lambda: resolve(counter.count)(_Reading(self, image)))

    def _text(self, image: _Image) -> tuple[str, ...]:
        return self._lines.get(image.key, lambda: self._read(gray(image.image)))

    def _colored_text(self, image: _Image) -> tuple[str, ...]:
        """The text of an image, and what only its colors show."""
        hidden = self._hidden_lines.get(image.key, lambda: self._read_hidden(image.image))
        return self._text(image) + hidden

    def _read(self, image: np.ndarray) -> tuple[str, ...]:
        """Lines of text as the task's kind reads them."""
        return tuple(resolve(self._task.kind.read_text)(image, self._ocr()))

    def _read_hidden(self, image: Image.Image) -> tuple[str, ...]:
        parts = hidden_in_gray(np.asarray(on_white(image)))
        return tuple(line for part in parts for line in page_text(part, self._ocr()))

    def _ocr(self) -> Ocr:
        """The reader of this thread."""
        if not hasattr(self._own, "ocr"):
            self._own.ocr = Ocr()
        return self._own.ocr


class _Image:
    """An image and its digest."""

    def __init__(self, image: Image.Image) -> None:
        self.image = image
        self.key = digest_of(image)


class _Reading:
    """An `ImageReading` of one image: what its kind may read in order to count parts."""

    def __init__(self, runner: GuardRunner, image: _Image) -> None:
        self._runner = runner
        self._image = image

    @property
    def image(self) -> Image.Image:
        return self._image.image

    @property
    def gray(self) -> np.ndarray:
        return gray(self._image.image)

    @property
    def lines(self) -> tuple[str, ...]:
        return self._runner._text(self._image)
