"""Thousands of images through all that looks at them: nothing may raise or warn, and no call may exceed its time bound.

Every public function of `visual_erm/vision`, of the local judge, and of the guards that look at images is called on seeded
images of many families (`perception_pictures.py`), and on pairs of them. Text recognition takes most of the time. So most
images are read by a reader that makes texts up, and some by the real one. The bounds are those of docs/performance.md.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import functools
import io
import json
import math
import multiprocessing
import os
import platform
import statistics
import time
import warnings
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated, Any

import cv2
import numpy as np
import typer
from perception_pictures import FAMILIES, WORDS, picture
from PIL import Image
from rich.console import Console
from rich.table import Table

from visual_erm.baselines.ssim import ssim
from visual_erm.errors import BlankImage, Illegible, ReferenceUnavailable
from visual_erm.guard import plot_marks
from visual_erm.guard.blank import is_near_blank
from visual_erm.guard.injection import addresses_judge
from visual_erm.guard.omission import (
    cells_of,
    confirmed,
    groups_of,
    letters_of,
    marks_of,
    missing_parts,
    print_length_of,
    unreported_severity,
    words_of,
)
from visual_erm.guard.runner import GuardRunner
from visual_erm.guard.under_reporting import (
    count_words,
    reads_alike,
    severity_floor,
    similarity,
    text_floor,
    wrong_words,
)
from visual_erm.judge.encode import data_url
from visual_erm.judge.local import charts, tables
from visual_erm.judge.local.elements import classes, lab, parts, weight_of
from visual_erm.judge.local.judge import LocalJudge
from visual_erm.reward.report import Discrepancy, Report
from visual_erm.spec.judge import JudgeSettings
from visual_erm.spec.task import ImageSettings, Task, load_task
from visual_erm.vision import colors
from visual_erm.vision.chart_scene import LONGEST_SIDE, no_ocr, parse_scene
from visual_erm.vision.foreground import foreground
from visual_erm.vision.gridlines import find_areas
from visual_erm.vision.images import (
    ReferenceCache,
    digest_of,
    digest_of_pixels,
    gray,
    load_image,
    on_white,
    upright_on_white,
)
from visual_erm.vision.new_text import all_text, new_text
from visual_erm.vision.ocr import Line, Ocr
from visual_erm.vision.readings import page_text, read_scene, read_table, table_text
from visual_erm.vision.scene_types import Scene
from visual_erm.vision.segmentation import layers, pieces
from visual_erm.vision.table_cells import Reading
from visual_erm.vision.table_grid import find_tables
from visual_erm.vision.text_lines import find_lines, printed

MOST_PIXELS = 16_000_000
"""Width times height of the largest image: `max_pixels` of the shipped tasks."""
CHUNK = len(FAMILIES)
"""Number of images in a row that one process looks at."""
LONGEST_SIDE_OF_BASELINE = 1024
"""Longest side in pixels of the canvas on which SSIM is measured."""
FORMS = ImageSettings(longest_side=1024, format="png"), ImageSettings(longest_side=2048, format="jpeg")
"""How images are encoded for a remote judge."""

# --- one image, and what was made of it ------------------------------------------------------------------------------


class MadeUp:
    """A `TextReader` that reads the same crop as the same made-up text, and finds lines anywhere on a page."""

    def lines(self, crops: list[np.ndarray]) -> list[str]:
        """A text for each crop, empty for some."""
        return [self._text(digest_of_pixels(crop)) for crop in crops]

    def scored_lines(self, crops: list[np.ndarray]) -> list[tuple[str, float]]:
        """The same texts, of any confidence."""
        return [(text, len(text) % 8 / 7) for text in self.lines(crops)]

    def page(self, image: np.ndarray) -> list[Line]:
        """Up to 63 lines."""
        draw = np.random.default_rng(list(digest_of_pixels(image)))
        height, width = image.shape
        places = draw.random((int(draw.integers(64)), 4)) * (width, height, width, height)
        texts = [self._text(place.tobytes()[2:]) for place in places]
        return [
            Line(text, min(x, x1), min(y, y1), max(x, x1), max(y, y1))
            for text, (x, y, x1, y1) in zip(texts, places.tolist(), strict=True)
            if text.strip()
        ]

    @staticmethod
    def _text(digest: bytes) -> str:
        words = ["", *WORDS]
        return " ".join(words[byte % len(words)] for byte in digest[: 1 + digest[0] % 3]).strip()


class Subject:
    """An image, and what the checks need of it; each part is made when it is first asked for.

    Args:
        number: Number of the image.
        seed: Seed of all images.
        most_pixels: Largest width times height.
    """

    def __init__(self, number: int, seed: int, most_pixels: int) -> None:
        made = picture(number, seed, most_pixels)
        self.number, self.family, self.image = number, made.family, made.image

    @property
    def megapixels(self) -> float:
        return self.image.width * self.image.height / 1e6

    @functools.cached_property
    def shown(self) -> Image.Image:
        """RGB on white."""
        return on_white(self.image)

    @functools.cached_property
    def pixels(self) -> np.ndarray:
        return np.asarray(self.shown)

    @functools.cached_property
    def gray(self) -> np.ndarray:
        return gray(self.image)

    @functools.cached_property
    def encoded(self) -> bytes:
        """The image as a file: PNG where that holds its mode, else TIFF, else PNG of what it shows."""
        buffer = io.BytesIO()
        for image, kind in ((self.image, "PNG"), (self.image, "TIFF"), (self.shown, "PNG")):
            try:
                buffer.truncate(0)
                image.save(buffer, kind)
                break
            except (OSError, KeyError, SystemError):
                continue
        return buffer.getvalue()

    @functools.cached_property
    def small(self) -> np.ndarray:
        """The pixels, scaled as `parse_scene` does before it looks."""
        scale = min(1.0, LONGEST_SIDE / max(self.pixels.shape))
        size = max(round(self.shown.width * scale), 1), max(round(self.shown.height * scale), 1)
        return np.ascontiguousarray(
            self.pixels if scale == 1 else cv2.resize(self.pixels, size, interpolation=cv2.INTER_AREA)
        )

    @functools.cached_property
    def scene(self) -> Scene:
        return read_scene(self.pixels, MadeUp())

    @functools.cached_property
    def table(self) -> Reading:
        return read_table(self.gray, MadeUp())

    @functools.cached_property
    def lines(self) -> tuple[str, ...]:
        return page_text(self.gray, MadeUp())


# --- what is called --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Check:
    """Calls of the perception, with the CPU seconds that they may take together."""

    run: Callable[[Subject, Subject], Any]
    """Takes two images; looks at the first alone, or compares both."""
    seconds: float
    """For images of a few pixels."""
    per_megapixel: float
    """Further seconds for each megapixel, of both images where they are compared."""
    with_text: bool = False
    """Whether text is recognized."""

    def bound(self, *subjects: Subject) -> float:
        """CPU seconds that the check may take."""
        return self.seconds + self.per_megapixel * sum(subject.megapixels for subject in subjects)


def _colors(one: Subject, _: Subject) -> Any:
    pixels = one.pixels
    color, share = colors.along_edge(pixels)
    frequent = colors.flat_colors(pixels)
    mask = colors.color_mask(pixels, color, 12)
    apart = colors.color_distance(pixels, np.ascontiguousarray(pixels[::-1]))
    return (
        share,
        frequent,
        mask,
        colors.largest(pixels),
        apart,
        colors.near(color, frequent[0][0], 9),
        colors.is_gray(color),
    )


def _images(one: Subject, _: Subject) -> Any:
    flat = upright_on_white(one.image)
    return gray(one.image), np.asarray(flat), digest_of(one.image.copy()), digest_of_pixels(np.asarray(flat))


def _files(one: Subject, _: Subject) -> Any:
    loaded = [asyncio.run(ReferenceCache().load(source)) for source in (one.encoded, one.image)]
    with contextlib.suppress(ReferenceUnavailable), warnings.catch_warnings():
        # What is left of some small files still opens, and Pillow warns of what is missing.
        warnings.simplefilter("ignore")
        load_image(one.encoded[: len(one.encoded) // 2])
    return [np.asarray(on_white(image)) for image in (*loaded, load_image(one.encoded))]


def _layers(one: Subject, _: Subject) -> Any:
    """The steps of `parse_scene`, one by one, on an image of any size."""
    areas, cleaned = find_areas(one.small, colors.along_edge(one.small)[0])
    found = layers(cleaned)
    lines, labels = find_lines(found.contrast)
    crops = [printed(line, found.contrast, labels) for line in lines]
    return areas, found.beneath, lines, crops, pieces(cleaned, found, found.contrast > 0)


def _parts(one: Subject, other: Subject) -> Any:
    gathered = classes(one.scene)
    return (
        parts(one.scene, gathered),
        parts(other.scene, gathered),
        lab([mark.color for mark in other.scene.marks] or [(0, 0, 0)]),
    )


def _charts(one: Subject, other: Subject) -> Any:
    return [
        compare(*pair)
        for compare in (charts.compare_charts, charts.compare_drawings)
        for pair in ((one.scene, other.scene), (one.scene, one.scene))
    ]


def _table_readings(one: Subject, _: Subject) -> Any:
    return find_tables(one.gray), read_table(one.gray, MadeUp())


def _words(one: Subject, other: Subject) -> Any:
    wrong, words = wrong_words(other.lines, one.lines)
    return count_words(one.lines), reads_alike(wrong, words), text_floor(wrong, words, 50)


def _omission(one: Subject, other: Subject) -> Any:
    counted = [[count(subject) for count in (cells_of, words_of)] for subject in (one, other)]
    missing = [missing_parts(wanted, found, slack=0.1) for wanted, found in zip(*counted, strict=True)]
    missing[0] = confirmed(missing[0], print_length_of(one), print_length_of(other))
    missing[1] = confirmed(missing[1], letters_of(one), letters_of(other))  # type: ignore[arg-type]
    return missing, [unreported_severity(found, _report(other)) for found in missing]


def _report(subject: Subject) -> Report:
    """A model's report, which need not fit the image."""
    texts = ("a label is missing", "another color", "")
    entries = [Discrepancy("text_error", 1 + number % 3, text, "") for number, text in enumerate(texts)]
    return Report(tuple(entries[: subject.number % 4]))


@functools.cache
def _task(name: str, with_text: bool) -> Task:
    task = load_task(name)
    injection = task.guard.injection.model_copy(update={"enabled": with_text})
    return task.model_copy(update={"guard": task.guard.model_copy(update={"injection": injection})})


@functools.cache
def _guards(name: str, with_text: bool) -> GuardRunner:
    return GuardRunner(_task(name, with_text), model_judge=True)


@functools.cache
def _judge() -> LocalJudge:
    return LocalJudge(JudgeSettings(kind="local"))


@functools.cache
def _ocr() -> Ocr:
    return Ocr()


def _guarded(names: tuple[str, ...], with_text: bool) -> Callable[[Subject, Subject], Any]:
    """The guards of one of the tasks, in turn: those of charts and of drawings look at an image in the same way."""

    async def guarded(one: Subject, other: Subject) -> Any:
        guards = _guards(names[one.number % len(names)], with_text)
        with contextlib.suppress(BlankImage, Illegible):
            await guards.check_image(other.shown, one.shown)
        return await guards.check_report(other.shown, one.shown, _report(other))

    return lambda one, other: asyncio.run(guarded(one, other))


def _judged(one: Subject, other: Subject) -> Any:
    task = _task(("chart", "svg", "table")[one.number % 3], True)
    return asyncio.run(_judge().judge(other.image, one.image, task))


def _recognized(one: Subject, _: Subject) -> Any:
    ocr = _ocr()
    lines = page_text(one.gray, ocr)
    return lines, ocr.lines([one.gray[:200, :900]]), addresses_judge(lines, ()), addresses_judge((), lines)


def _read_with_text(one: Subject, _: Subject) -> Any:
    return read_scene(one.pixels, _ocr()), read_table(one.gray, _ocr())


CHECKS: dict[str, Check] = {
    "load": Check(_files, 0.5, 0.5),
    "pixels and digests": Check(_images, 0.5, 0.5),
    "colors": Check(_colors, 0.5, 0.5),
    "foreground": Check(lambda one, _: foreground(one.image), 0.5, 0.5),
    "steps of a scene": Check(_layers, 3, 0.1),
    "scene without text": Check(lambda one, _: parse_scene(one.image, no_ocr), 3, 0.1),
    "scene": Check(lambda one, _: read_scene(one.pixels, MadeUp()), 3, 0.1),
    "table": Check(_table_readings, 1, 1),
    "new text": Check(lambda one, other: new_text(one.pixels, other.pixels, MadeUp()), 2, 1),
    "all text": Check(lambda one, _: all_text(one.pixels, MadeUp()), 2, 1),
    "words": Check(lambda one, _: (table_text(one.gray, MadeUp()), one.lines), 1, 1),
    "parts of scenes": Check(_parts, 1, 0),
    "local judge on charts and drawings": Check(_charts, 3, 0),
    "local judge on tables": Check(lambda one, other: tables.compare(one.table, other.table), 3, 0),
    "guard blank": Check(lambda one, other: is_near_blank(other.image, one.image, 0.001), 0.5, 0.5),
    "guard under_reporting": Check(
        lambda one, other: severity_floor(similarity(other.image, one.image), 0.4, 50), 0.5, 0.5
    ),
    "marks of a plot": Check(
        lambda one, other: plot_marks.similarity(plot_marks.marks_of(other.pixels), plot_marks.marks_of(one.pixels)), 1, 0.5
    ),
    "wrong words": Check(_words, 1, 0),
    "guard omission on tables": Check(_omission, 1, 1),
    "guard omission on charts": Check(lambda one, _: (marks_of(one), groups_of(one)), 3, 0.1),  # type: ignore[arg-type]
    "parts of a reference": Check(lambda one, _: weight_of(one), 3, 0.1),  # type: ignore[arg-type]
    "guards of charts and drawings": Check(_guarded(("chart", "svg"), False), 10, 1),
    "images for a remote judge": Check(lambda one, _: [data_url(one.image, form) for form in FORMS], 0.5, 0.5),
    "baseline ssim": Check(lambda one, other: ssim(one.image, other.image, LONGEST_SIDE_OF_BASELINE), 1, 0.5),
    "text of a page": Check(_recognized, 30, 1, with_text=True),
    "text of a scene and of a table": Check(_read_with_text, 30, 1, with_text=True),
    "local judge": Check(_judged, 30, 1, with_text=True),
    "guards": Check(_guarded(("chart", "table", "svg", "table"), True), 30, 1, with_text=True),
}


# --- what came of it -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Fault:
    """A call that raised, warned, returned what is no number, or took too long."""

    number: int
    family: str
    mode: str
    size: tuple[int, int]
    check: str
    kind: str
    """`raised`, `warned`, `no number` or `too long`."""
    what: str


@dataclass
class Outcome:
    """What came of the checks of some images."""

    seconds: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    """CPU seconds of every call, by check."""
    shares: dict[str, tuple[float, int]] = field(default_factory=dict)
    """By check: the largest share of its bound that a call took, and the number of its image."""
    faults: list[Fault] = field(default_factory=list)
    families: Counter[str] = field(default_factory=Counter)

    def add(self, other: Outcome) -> None:
        """Takes in what came of other images."""
        for name, seconds in other.seconds.items():
            self.seconds[name] += seconds
        for name, share in other.shares.items():
            self.shares[name] = max(self.shares.get(name, share), share)
        self.faults += other.faults
        self.families += other.families


def look(numbers: Iterable[int], seed: int, with_text: bool, most_pixels: int = MOST_PIXELS) -> Outcome:
    """Runs the checks on some images.

    Args:
        numbers: Numbers of the images. Each is compared with the one before it, or with the one before it of its family.
        seed: Seed of all images.
        with_text: Run the checks that recognize text; else all others.
        most_pixels: Largest width times height of an image.

    Returns:
        What came of it.
    """
    outcome = Outcome()
    make = functools.lru_cache(2 * CHUNK)(lambda number: Subject(number, seed, most_pixels))
    for number in numbers:
        one, other = make(number), make(max(number - (1 if number % 2 else len(FAMILIES)), 0))
        outcome.families[one.family] += 1
        for name, check in CHECKS.items():
            if check.with_text == with_text:
                _try(name, check, one, other, outcome)
    return outcome


def _try(name: str, check: Check, one: Subject, other: Subject, outcome: Outcome) -> None:
    faults: list[tuple[str, str]] = []
    result = None
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        begun = time.process_time()
        try:
            _ = one.scene, other.scene, one.table, other.table, one.small
            begun = time.process_time()
            result = check.run(one, other)
        except Exception as error:  # noqa: BLE001  any exception is what is looked for
            faults.append(("raised", f"{type(error).__name__}: {error}"))
        took = time.process_time() - begun
    faults += [("warned", f"{warning.category.__name__}: {warning.message}") for warning in warned]
    if any(not math.isfinite(value) for value in _numbers(result)):
        faults.append(("no number", ""))
    share = took / check.bound(one, other)
    if share > 1:
        faults.append(("too long", f"{took:.2f} s; its bound is {check.bound(one, other):.2f} s"))
    outcome.seconds[name].append(took)
    outcome.shares[name] = max(outcome.shares.get(name, (0.0, 0)), (share, one.number))
    outcome.faults += [
        Fault(one.number, one.family, one.image.mode, one.image.size, name, kind, what)
        for kind, what in dict.fromkeys(faults)
    ]


def _numbers(value: Any) -> Iterator[float]:
    """The numbers with a fraction in a result, however deep; none of them may be NaN or infinite."""
    if isinstance(value, float | np.floating):
        yield float(value)
    elif isinstance(value, np.ndarray) and value.dtype.kind == "f":
        yield float(value.sum(dtype=np.float64))
    elif isinstance(value, dict):
        yield from _numbers(list(value.values()))
    elif isinstance(value, list | tuple | set | frozenset):
        for one in value:
            yield from _numbers(one)
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        for part in dataclasses.fields(value):
            yield from _numbers(getattr(value, part.name))


def run(pictures: int, with_text: int, seed: int, workers: int, console: Console) -> Outcome:
    """Looks at all images, in several processes."""
    jobs = [
        (range(start, min(start + CHUNK, count)), seed, text, MOST_PIXELS)
        for count, text in ((with_text, True), (pictures, False))
        for start in range(0, count, CHUNK)
    ]
    outcome, done = Outcome(), 0
    with multiprocessing.get_context("spawn").Pool(workers, cv2.setNumThreads, (1,)) as pool:
        for found in pool.imap_unordered(_look, jobs):
            outcome.add(found)
            done += found.families.total()
            console.print(f"{done} of {pictures + with_text}: {len(outcome.faults)} faults", style="dim")
            for fault in found.faults[:3]:
                console.print(fault, style="red")
    return outcome


def _look(job: tuple[Iterable[int], int, bool, int]) -> Outcome:
    return look(*job)


def main(
    pictures: Annotated[int, typer.Option(help="How many images without text recognition.", min=0)] = 5000,
    with_text: Annotated[int, typer.Option(help="How many images with it.", min=0)] = 300,
    seed: Annotated[int, typer.Option(help="Of the images.", min=0)] = 0,
    workers: Annotated[int, typer.Option(help="Processes.", min=1)] = os.cpu_count() or 1,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the figures there.")] = None,
) -> None:
    """Look at many images in every way; fail when anything raises, warns, or takes longer than it may."""
    console = Console()
    begun = time.monotonic()
    outcome = run(pictures, with_text, seed, workers, console)
    took = time.monotonic() - begun
    grid = Table("", "calls", "median, ms", "longest, s", "most of its bound", "image")
    for name, check in CHECKS.items():
        if seconds := outcome.seconds.get(name):
            share, number = outcome.shares[name]
            text = " with text" if check.with_text else ""
            grid.add_row(
                name, str(len(seconds)), f"{1000 * statistics.median(seconds):.1f}", f"{max(seconds):.2f}", f"{share:.0%}",
                f"{number}{text}",
            )  # fmt: skip
    console.print(grid)
    kinds = Counter((fault.check, fault.kind) for fault in outcome.faults)
    calls = sum(map(len, outcome.seconds.values()))
    console.print(
        f"{pictures} images without and {with_text} with text, {calls} checks, in {took:.0f} s: {kinds.total()} faults"
    )
    for (name, what), count in kinds.most_common():
        console.print(f"{count} times {name}: {what}", style="red")
    figures: dict[str, Any] = {
        "pictures": pictures,
        "with_text": with_text,
        "seed": seed,
        "seconds": took,
        "checks": calls,
        "families": dict(outcome.families),
        "faults": [asdict(fault) for fault in outcome.faults],
        "longest_s": {name: max(seconds) for name, seconds in outcome.seconds.items()},
        "share_of_bound": {name: share for name, (share, _) in outcome.shares.items()},
        "python": platform.python_version(),
        "cores": os.cpu_count(),
        "load": os.getloadavg()[0],
    }
    if json_file is not None:
        json_file.write_text(json.dumps(figures, indent=2) + "\n")
    raise typer.Exit(1 if outcome.faults else 0)


if __name__ == "__main__":
    typer.run(main)
