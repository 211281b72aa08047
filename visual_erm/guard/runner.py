"""`GuardRunner`: runs the guards of a task and makes one verdict on a sample of what they find.

The pipeline calls it after extraction, after rendering and after the judge. Reading never blocks the event loop, and a
group's reference is read once. Words are read only where a table has no grid lines. A prediction that cannot be read, or
only at too high a cost, is illegible. Any other reading that fails is the infrastructure's fault: it is logged and flags
nothing, and the report stands.

The price of a sample is the larger of the report's severity and of what the guards found, whatever the report says. So a
harsher report of the same image never earns more. Thresholds are shares of the scale in force: that of the task, or that
of the sample's reference under `scoring.mode: relative`.

    guards = GuardRunner(task, model_judge=True)
    await guards.check_code(code)
    await guards.check_image(reference, prediction)
    verdict = await guards.check_report(reference, prediction, report)
"""

from __future__ import annotations

import asyncio
import functools
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any, ParamSpec, TypeVar

import numpy as np
from PIL import Image

from visual_erm.errors import BlankImage, InfrastructureError, PolicyFault, RasterImage, Tampering, TooSmall
from visual_erm.extract import Code
from visual_erm.guard.blank import is_blank, is_near_blank
from visual_erm.guard.injection import addresses_judge, is_long, shows_unknown
from visual_erm.guard.legibility import is_illegible, print_of
from visual_erm.guard.omission import Parts, confirmed, missing_parts, unreported_severity
from visual_erm.guard.plot_marks import Marks
from visual_erm.guard.plot_marks import similarity as similarity_of_marks
from visual_erm.guard.under_reporting import (
    MIN_NEW_WORDS,
    count_words,
    reads_alike,
    severity_floor,
    similarity,
    text_floor,
    wrong_words,
)
from visual_erm.kinds import PartCounter, resolve
from visual_erm.kinds.base import Named
from visual_erm.reward.report import Report
from visual_erm.reward.scoring import scale_of
from visual_erm.runtime.cache import Cache
from visual_erm.spec.task import Task
from visual_erm.vision.image_reader import ImageReader
from visual_erm.vision.images import digest_of, gray, on_white, scale_to_fit
from visual_erm.vision.new_text import NewText, all_text, new_text
from visual_erm.vision.ocr import ocr_of_thread
from visual_erm.vision.readings import TextReader

GUARDS = ("blank", "tampering", "raster", "legibility", "injection", "under_reporting", "omission")
"""Names of the guards, as in `guard_<name>` of every result."""
THREADS = 2
"""Number of threads that read images, and of those that do what is quick: they never wait for a reading."""
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
    scale: float
    """The severity from which on the reward is the lowest of an image, see `visual_erm.reward.scoring.scale_of`."""
    unfloored: float
    """The report's severity with what is missing from it, before it was raised to a floor."""
    floor: float = 0.0
    """The floor as a share of the scale, 0 to 1."""
    flags: frozenset[str] = frozenset()
    """Names of the guards that found something."""
    reason: str = ""
    invalid: bool = False
    """The report does not count: the sample earns the minimum."""

    def raised(self, severity: float, guard: str, finding: str) -> GuardVerdict:
        """Raises the severity, and never lowers it.

        Args:
            severity: The least severity that follows from the finding.
            guard: Name of the guard.
            finding: What it found.

        Returns:
            A verdict with the larger severity, the guard's flag and its reason.
        """
        severity = max(self.severity, severity)
        reason = f"{guard}: {finding}: severity {self.severity:g} -> {severity:g}"
        reasons = "; ".join(filter(None, [self.reason, reason]))
        return replace(self, severity=severity, flags=self.flags | {guard}, reason=reasons)


class GuardRunner:
    """The guards of one task. Threads start with the first reading and end with `close`.

    Args:
        task: The task; its `guard` has thresholds and switches, and its kind says what the guards read.
        model_judge: Whether the judge is a model. Only such a judge is checked for injection, under-reporting and omission.
    """

    def __init__(self, task: Task, model_judge: bool) -> None:
        self._task = task
        self._settings = task.guard
        self._model_judge = model_judge
        self._quick = ThreadPoolExecutor(THREADS, thread_name_prefix="guard-quick")
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="guard")
        self._reader = ImageReader(ocr_of_thread, task.kind.reference)
        self._lines: Cache[tuple[str, ...]] = Cache(READINGS_KEPT)
        self._new_lines: Cache[NewText] = Cache(READINGS_KEPT)
        self._all_lines: Cache[NewText] = Cache(READINGS_KEPT)
        self._parts: Cache[Parts] = Cache(READINGS_KEPT)
        self._prints: Cache[np.ndarray] = Cache(READINGS_KEPT)
        self._similarities: Cache[float] = Cache(READINGS_KEPT)
        self._marks: Cache[Marks] = Cache(READINGS_KEPT)

    async def check_code(self, code: Code) -> frozenset[str]:
        """Searches code for the names of files of the machine, and for pictures that it holds as pixels.

        Args:
            code: The policy's code.

        Returns:
            Names of the guards that found something and let it pass.

        Raises:
            Tampering: The code names such a file.
            RasterImage: It holds such a picture, and the task refuses it.
        """
        search = self._task.kind.file_references
        if self._settings.tampering.enabled and search and (address := await _run(self._quick, resolve(search), code)):
            raise Tampering(f"the code names a file of the machine: {address}")
        raster, search = self._settings.raster, self._task.kind.raster
        if raster.enabled and search and (found := await _run(self._quick, resolve(search), code)):
            if raster.action == "refuse":
                raise RasterImage(f"the code holds a picture as pixels: {found}")
            return frozenset({"raster"})
        return frozenset()

    async def check_image(self, reference: Image.Image, prediction: Image.Image) -> None:
        """Looks for blank and near-blank predictions, and for those that a model judge cannot read.

        A blank one has no image, whether or not the guard is switched on.

        Args:
            reference: The reference image.
            prediction: The image that the policy's code rendered.

        Raises:
            BlankImage: The prediction shows nothing, or next to nothing, where the reference shows something.
            TooSmall: Its print is too small in the image that the judge is sent.
        """
        if await _run(self._quick, is_blank, reference, prediction):
            raise BlankImage("the picture holds nothing but one colour")
        guard = self._settings.blank
        if guard.enabled and await _run(self._quick, is_near_blank, reference, prediction, guard.share):
            raise BlankImage("the picture holds next to nothing but its background")
        legible = self._settings.legibility
        if legible.enabled and self._model_judge:
            await _run(self._quick, self._check_legibility, reference, prediction, legible.min_print)

    def flags(self, fault: PolicyFault) -> frozenset[str]:
        """Names the guards that a fault of the policy belongs to.

        Args:
            fault: The fault, from a guard, the renderer or the sandbox.

        Returns:
            Names from GUARDS, without those that are switched off.
        """
        faults = {"blank": BlankImage, "tampering": Tampering, "raster": RasterImage, "legibility": TooSmall}
        return frozenset(
            name for name, kind in faults.items() if getattr(self._settings, name).enabled and isinstance(fault, kind)
        )

    async def check_report(self, reference: Image.Image, prediction: Image.Image, report: Report) -> GuardVerdict:
        """Checks what a judge reported.

        Args:
            reference: The reference image.
            prediction: The image that the policy's code rendered.
            report: The judge's report.

        Returns:
            The verdict. Its severity is the report's or higher. A harsher report never has a lower one.

        Raises:
            Illegible: The prediction cannot be read, because of its own shape or cost.
        """
        if not self._model_judge and self._task.scoring.mode != "relative":
            return GuardVerdict(report.severity, scale_of(self._task.scoring), report.severity)
        return await _run(self._pool, self._check, reference, prediction, report)

    async def close(self) -> None:
        """Ends the threads after the readings under way. May be called twice."""
        for pool in (self._quick, self._pool):
            await asyncio.to_thread(pool.shutdown, cancel_futures=True)
        await asyncio.to_thread(self._reader.close)
        self._lines.clear()
        self._new_lines.clear()
        self._all_lines.clear()
        self._parts.clear()
        self._prints.clear()
        self._similarities.clear()
        self._marks.clear()

    def _check_legibility(self, reference: Image.Image, prediction: Image.Image, share: float) -> None:
        longest_side = self._task.judge.image.longest_side
        scales = [scale_to_fit(image.size, longest_side) for image in (reference, prediction)]
        key = digest_of(reference)
        if digest_of(prediction) == key:
            return
        wanted, found = self._prints.get(key, lambda: print_of(reference, scales[0])), print_of(prediction, scales[1])
        if is_illegible(wanted, found, share):
            heights = " and ".join(f"{float(np.median(pieces)):.1f}" for pieces in (wanted, found))
            sent = "x".join(str(max(round(side * scales[1]), 1)) for side in prediction.size)
            raise TooSmall(
                f"{prediction.width}x{prediction.height} pixels are sent as {sent}: the print of reference and "
                f"prediction is {heights} pixels tall there"
            )

    def _check(self, reference: Image.Image, prediction: Image.Image, report: Report) -> GuardVerdict:
        images = _Image(reference, is_reference=True), _Image(prediction)
        scale, reason = self._scale(images[0])
        verdict = GuardVerdict(report.severity, scale, report.severity, reason=reason)
        if not self._model_judge or images[0].key == images[1].key:
            return verdict
        for guard in (self._omission, self._under_reporting, self._wrong_text, self._injection):
            try:
                verdict = guard(*images, report, verdict)
            except InfrastructureError as fault:
                log.warning("a guard could not look: %s: %s", type(fault).__name__, fault)
        return verdict

    def _scale(self, reference: _Image) -> tuple[float, str]:
        """The scale of a sample, and why it is not the one that the task asks for."""
        scoring = self._task.scoring
        if scoring.mode != "relative":
            return scale_of(scoring), ""
        try:
            parts, why = self._parts_of(reference), "the reference shows no parts that can be counted"
        except InfrastructureError as fault:
            parts, why = 0, f"the reference's parts could not be counted ({type(fault).__name__}: {fault})"
        if parts:
            # A model's report has a bounded length. On a larger scale, a wholly wrong image would earn more than the least.
            return scale_of(scoring, min(parts, self._task.report.max_discrepancies) if self._model_judge else parts), ""
        scale = scale_of(scoring)
        log.warning("%s: scoring.s_max=%g stands in for the scale of `scoring.mode: relative`", why, scale)
        return scale, f"scale: {why}: s_max {scale:g}"

    def _parts_of(self, reference: _Image) -> int:
        """The number of parts of a reference, counted in the first way that finds any, and else in the last."""
        parts: Parts = {}
        for counter in self._task.kind.size or self._task.kind.parts:
            parts = self._count(counter, reference)
            if _any(parts):
                break
        return sum(numbers[0] for numbers in parts.values())

    def _omission(self, reference: _Image, prediction: _Image, report: Report, verdict: GuardVerdict) -> GuardVerdict:
        guard = self._settings.omission
        if not guard.enabled:
            return verdict
        missing, counter = self._absent(reference, prediction, guard.slack)
        if missing and counter and (counter.exact or self._look_alike(reference, prediction)):
            missing = self._confirmed(missing, counter, reference, prediction)
        more = unreported_severity(missing, report)
        parts = ", ".join(f"{count} {kind}(s)" for kind, count in missing.items())
        if not more:
            return verdict
        raised = verdict.raised(verdict.severity + more, "omission", f"{parts} absent")
        return replace(raised, unfloored=raised.severity)

    def _under_reporting(
        self, reference: _Image, prediction: _Image, report: Report, verdict: GuardVerdict
    ) -> GuardVerdict:
        guard = self._settings.under_reporting
        if not guard.enabled or not verdict.scale:
            return verdict
        alike = self._similarity(reference, prediction)
        floor = severity_floor(alike, guard.min_similarity, verdict.scale)
        if not self._counts(floor, verdict):
            return verdict
        if self._task.kind.compare_text and reads_alike(*self._wrong_words(reference, prediction)):
            return verdict
        return _floored(verdict, floor, f"similarity {alike:.2f}")

    def _wrong_text(self, reference: _Image, prediction: _Image, report: Report, verdict: GuardVerdict) -> GuardVerdict:
        """The part of `under_reporting` that reads: only where much text is new."""
        if not self._settings.under_reporting.enabled or not verdict.scale or not self._task.kind.compare_text:
            return verdict
        if not self._counts(text_floor(1 << 30, 0, verdict.scale), verdict):
            return verdict
        if count_words(self._new_text(reference, prediction).lines) < MIN_NEW_WORDS:
            return verdict
        wrong, words = self._wrong_words(reference, prediction)
        return _floored(verdict, text_floor(wrong, words, verdict.scale), f"{wrong} word(s) wrong, of {words}")

    def _counts(self, floor: float, verdict: GuardVerdict) -> bool:
        """Whether a floor changes what a sample gets: under `batch` it is set again on the scale of the step."""
        return floor > verdict.severity or (floor > 0 and self._task.scoring.mode == "batch")

    def _wrong_words(self, reference: _Image, prediction: _Image) -> tuple[int, int]:
        return wrong_words(self._text(reference), self._text(prediction))

    def _injection(self, reference: _Image, prediction: _Image, report: Report, verdict: GuardVerdict) -> GuardVerdict:
        guard = self._settings.injection
        unread = guard.check_below_severity_share < 1 and (
            report.severity > guard.check_below_severity_share * verdict.scale
        )
        if not guard.enabled or unread:
            return verdict
        found = self._addressed(reference, prediction)
        return replace(verdict.raised(verdict.scale, "injection", found), invalid=True) if found else verdict

    def _similarity(self, reference: _Image, prediction: _Image) -> float:
        key = reference.key, prediction.key
        return self._similarities.get(key, lambda: self._compared(reference, prediction))

    def _compared(self, reference: _Image, prediction: _Image) -> float:
        alike = similarity(reference.image, prediction.image)
        find = self._task.kind.marks
        if find is None:
            return alike
        return min(alike, similarity_of_marks(self._marks_of(reference, find), self._marks_of(prediction, find)))

    def _marks_of(self, image: _Image, find: Named) -> Marks:
        return self._marks.get(image.key, lambda: self._read(resolve(find), image, image.pixels()))

    def _look_alike(self, reference: _Image, prediction: _Image) -> bool:
        return self._similarity(reference, prediction) >= self._settings.under_reporting.min_similarity

    def _confirmed(
        self, missing: dict[str, int], counter: PartCounter, reference: _Image, prediction: _Image
    ) -> dict[str, int]:
        if counter.confirm is None:
            return missing
        second = PartCounter(counter.confirm)
        return confirmed(missing, self._count(second, reference), self._count(second, prediction))

    def _absent(self, reference: _Image, prediction: _Image, slack: float) -> tuple[dict[str, int], PartCounter | None]:
        """The missing parts, and how they were counted."""
        counter, slack_here = None, slack
        parts: tuple[Parts, Parts] = ({}, {})
        for counter in self._task.kind.parts:
            parts = self._count(counter, reference), self._count(counter, prediction)
            slack_here = 0 if counter.exact else slack
            if all(map(_any, parts)):
                break
        return missing_parts(*parts, slack_here), counter

    def _count(self, counter: PartCounter, image: _Image) -> Parts:
        """The parts of an image, counted in one of the ways of the task's kind."""

        def count() -> Parts:
            how = counter.count, self._task.kind.read_text, self._lines.find(image.key)
            parts, lines = self._read(count_parts, image, image.pixels(), *how)
            if lines is not None:
                self._lines.keep(image.key, lines)
            return parts  # type: ignore[no-any-return]

        return self._parts.get((image.key, counter), count)

    def _text(self, image: _Image) -> tuple[str, ...]:
        """Lines of text as the task's kind reads them."""
        read = resolve(self._task.kind.read_text)
        return self._lines.get(image.key, lambda: tuple(self._read(read, image, gray(image.image))))

    def _addressed(self, reference: _Image, prediction: _Image) -> str:
        """Text of the prediction that may address the judge. The reference is read only where there is such text."""
        new = self._new_text(reference, prediction)
        # Lines that rise, or stand upside down, come in the reverse order.
        for ordered in (new.lines, new.lines[::-1]):
            if addresses_judge(ordered, ()):
                known = self._text(reference) + self._new_text(prediction, reference).lines
                if found := addresses_judge(ordered, known):
                    return repr(found)
        if is_long(new.unread) and not shows_unknown(self._all_text(reference).unread):
            return "text in a script that the reference does not show and that cannot be read"
        return ""

    def _new_text(self, known: _Image, image: _Image) -> NewText:
        """The text of an image that another one does not show."""

        def read() -> NewText:
            return self._read(new_text, image, image.pixels(), known.pixels())  # type: ignore[no-any-return]

        return self._new_lines.get((known.key, image.key), read)

    def _all_text(self, image: _Image) -> NewText:
        return self._all_lines.get(image.key, lambda: self._read(all_text, image, image.pixels()))

    def _read(self, function: Callable[..., Any], image: _Image, pixels: np.ndarray, *more: Any) -> Any:
        read = self._reader.read_reference if image.is_reference else self._reader.read
        return read(function, image.key, pixels, *more)


def _floored(verdict: GuardVerdict, floor: float, finding: str) -> GuardVerdict:
    """A verdict with a floor that the guard `under_reporting` found; the larger one of several."""
    verdict = replace(verdict, floor=max(verdict.floor, floor / verdict.scale))
    return verdict.raised(floor, "under_reporting", finding) if floor > verdict.severity else verdict


def _any(parts: Parts) -> bool:
    """Whether there are parts of the first kind: cells, words or texts. The others are what stands beside them."""
    return bool(next(iter(parts.values()), (0,))[0])


async def _run(pool: ThreadPoolExecutor, function: Callable[P, T], *arguments: P.args, **keywords: P.kwargs) -> T:
    call = functools.partial(function, *arguments, **keywords)
    return await asyncio.get_running_loop().run_in_executor(pool, call)


class _Image:
    """An image and its digest."""

    def __init__(self, image: Image.Image, is_reference: bool = False) -> None:
        self.image = image
        self.key = digest_of(image)
        self.is_reference = is_reference

    def pixels(self) -> np.ndarray:
        return np.asarray(on_white(self.image))


class _Reading:
    """An `ImageReading` of one image: what its kind may read in order to count parts."""

    def __init__(self, pixels: np.ndarray, read_text: Named, lines: tuple[str, ...] | None, ocr: TextReader) -> None:
        self._pixels = pixels
        self._read_text = read_text
        self._ocr = ocr
        self.lines_read = lines

    @property
    def image(self) -> Image.Image:
        return Image.fromarray(self._pixels)

    @property
    def gray(self) -> np.ndarray:
        return gray(self.image)

    @property
    def lines(self) -> tuple[str, ...]:
        if self.lines_read is None:
            self.lines_read = tuple(resolve(self._read_text)(self.gray, self._ocr))
        return self.lines_read


def count_parts(
    pixels: np.ndarray, count: Named, read_text: Named, lines: tuple[str, ...] | None, ocr: TextReader
) -> tuple[Parts, tuple[str, ...] | None]:
    """Counts the parts of an image, for an `ImageReader`.

    Args:
        pixels: RGB on white, shape (height, width, 3), uint8.
        count: A `PartCounter.count`.
        read_text: A `Kind.read_text`.
        lines: The text of the image, if it is known.
        ocr: The text reader.

    Returns:
        The parts; and the text of the image, if it is known by now.
    """
    reading = _Reading(pixels, read_text, lines, ocr)
    return resolve(count)(reading), reading.lines_read
