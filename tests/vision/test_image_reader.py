"""Whose fault it is when an image cannot be read, and that no image costs more than its budget."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from PIL import Image, ImageDraw

from visual_erm.errors import Illegible, JudgeUnavailable, ReferenceUnavailable
from visual_erm.guard.runner import GuardRunner
from visual_erm.judge.local.judge import LocalJudge
from visual_erm.reward.report import Report
from visual_erm.runtime.cache import Cache
from visual_erm.spec.judge import JudgeSettings
from visual_erm.spec.task import load_task
from visual_erm.vision import image_reader
from visual_erm.vision.budget import budget, check_budget
from visual_erm.vision.image_reader import CachingOcr, ImageReader
from visual_erm.vision.images import gray
from visual_erm.vision.ocr import Line, Ocr
from visual_erm.vision.readings import page_text, read_scene, read_table

LARGE = (1500, 1500)
"""Larger than what is read in the calling thread."""

BACKEND = """
import time

import numpy as np

from visual_erm.vision.budget import check_budget


def strange(pixels):
    return pixels.shape[0] > 100


def sleeps(pixels, ocr):
    time.sleep(60 if strange(pixels) else 0)


def works(pixels, ocr):
    while strange(pixels):
        sum(range(1000))


def looks(pixels, ocr):
    while strange(pixels):
        check_budget()


def allocates(pixels, ocr):
    return len(np.ones(1 << 30)) if strange(pixels) else 0


def raises(pixels, ocr):
    return 1 // (not strange(pixels))


def never_reads(pixels, ocr):
    raise RuntimeError("broken")


def size(pixels, ocr):
    return pixels.size
"""


@pytest.fixture
def backend(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Functions of our own that read images, each in its way; the process finds them too."""
    name = f"backend_{tmp_path.name}".replace("-", "_")
    (tmp_path / f"{name}.py").write_text(BACKEND)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    return __import__(name)


@pytest.fixture
def reader(monkeypatch: pytest.MonkeyPatch) -> Iterator[ImageReader]:
    monkeypatch.setattr(image_reader, "LIMIT_S", 0.5)
    made = ImageReader(Ocr)
    yield made
    made.close()
    assert [one for one in psutil.Process().children() if "endable_process" in " ".join(one.cmdline())] == []


def white(size: tuple[int, int]) -> np.ndarray:
    return np.full(size, 255, np.uint8)


@pytest.mark.long
def test_a_large_image_over_its_limits_is_illegible_and_the_next_is_read(
    reader: ImageReader, backend: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    whys = {"works": "CPU time", "looks": "CPU time", "allocates": "memory|allocate", "raises": "ZeroDivisionError"}
    for function, why in whys.items():
        with pytest.raises(Illegible, match=why):
            reader.read(getattr(backend, function), b"image", white(LARGE))
        assert reader.read(backend.size, b"other", white(LARGE)) == LARGE[0] * LARGE[1]
    monkeypatch.setattr(ImageReader, "_call", None)
    for function, why in whys.items():
        with pytest.raises(Illegible, match=why):  # it is known
            reader.read(getattr(backend, function), b"image", white(LARGE))


@pytest.mark.long
def test_a_reading_that_only_waits_is_ended(reader: ImageReader, backend: Any) -> None:
    with pytest.raises(Illegible, match="no answer in time"):
        reader.read(backend.sleeps, b"image", white(LARGE))


@pytest.mark.parametrize(("function", "why"), [("looks", "CPU time"), ("raises", "ZeroDivisionError")])
def test_a_small_image_is_bounded_too(reader: ImageReader, backend: Any, function: str, why: str) -> None:
    with pytest.raises(Illegible, match=why):
        reader.read(getattr(backend, function), b"image", white((300, 300)))
    assert reader.read(backend.size, b"other", white((300, 300))) == 90_000


@pytest.mark.parametrize("size", [(300, 300), pytest.param(LARGE, marks=pytest.mark.long)])
def test_where_no_image_is_read_none_is_at_fault(reader: ImageReader, backend: Any, size: tuple[int, int]) -> None:
    with pytest.raises(JudgeUnavailable, match="not even a plain image"):
        reader.read(backend.never_reads, b"image", white(size))


def test_a_reference_is_not_the_policys(reader: ImageReader, backend: Any) -> None:
    with pytest.raises(ReferenceUnavailable, match="CPU time"):
        reader.read_reference(backend.looks, b"image", white((300, 300)))


def test_a_process_reads_what_the_thread_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    image = Image.new("RGB", (640, 300), "white")
    draw = ImageDraw.Draw(image)
    for row, column in np.ndindex(4, 5):
        draw.rectangle((20 + 110 * column, 20 + 50 * row, 130 + 110 * column, 70 + 50 * row), outline="#333")
        draw.text((40 + 110 * column, 40 + 50 * row), f"{row}{column}.{row * column}", fill="black", font_size=14)
    readings = [(read_table, gray(image)), (page_text, gray(image)), (read_scene, np.asarray(image))]
    here = ImageReader(lambda: CachingOcr(lambda: own, Cache(99)))
    own = Ocr()
    expected = [here.read(function, b"", pixels) for function, pixels in readings]
    assert not here._processes
    monkeypatch.setattr(image_reader, "MAX_PIXELS_HERE", 0)
    assert [here.read(function, b"", pixels) for function, pixels in readings] == expected
    assert len(here._processes) == 1
    here.close()


def test_a_budget_is_of_its_block_and_its_thread() -> None:
    check_budget()
    with budget(60):
        with budget(0), pytest.raises(Illegible, match="more than 0 s"):
            _spin()
        _spin()
    check_budget()


def _spin() -> None:
    end = time.thread_time() + 0.01
    while time.thread_time() < end:
        pass
    check_budget()


def test_text_recognition_looks_at_the_budget_before_each_batch() -> None:
    page = Image.new("L", (400, 230), 255)
    for row in range(12):
        ImageDraw.Draw(page).text((10, 10 + 17 * row), f"line {row} of many, {row * 7}", fill=0, font_size=12)
    ocr = Ocr()
    assert len(ocr.page(np.asarray(page))) > 6
    with budget(0), pytest.raises(Illegible):
        ocr.page(np.asarray(page))
    with budget(0), pytest.raises(Illegible):
        ocr.lines([np.asarray(page)[10:27]])


# --- through judge and guards ----------------------------------------------------------------------------------------


def crowded(size: tuple[int, int]) -> Image.Image:
    """A page full of short words that stand apart: reading it takes more than 3 s."""
    image = Image.new("RGB", size, "white")
    draw = ImageDraw.Draw(image)
    for y in range(5, size[1] - 15, 20):
        for x in range(5, size[0] - 60, 70):
            draw.text((x, y), str((x * y) % 99991), fill="black", font_size=12)
    return image


def plain(text: str) -> Image.Image:
    image = Image.new("RGB", (300, 80), "white")
    ImageDraw.Draw(image).text((20, 30), text, fill="black", font_size=14)
    return image


async def test_an_image_that_costs_too_much_is_illegible_to_judge_and_guards(monkeypatch: pytest.MonkeyPatch) -> None:
    """Here a text reader of our own takes all the time that it gets, for one image."""
    costly, honest, task = crowded((500, 500)), plain("Total 763"), load_task("table")

    def page(self: Ocr, image: np.ndarray) -> list[Line]:
        while image.shape == (500, 500):
            check_budget()
        return [Line(f"Total {int(image.sum()) % 97}", 10, 10, 100, 30)]

    monkeypatch.setattr(image_reader, "LIMIT_S", 0.2)
    monkeypatch.setattr(Ocr, "page", page)
    judge, guards = LocalJudge(JudgeSettings(kind="local")), GuardRunner(task, model_judge=True)
    with pytest.raises(Illegible):
        await judge.judge(honest, costly, task)
    with pytest.raises(Illegible):
        await guards.check_report(honest, costly, Report())
    with pytest.raises(ReferenceUnavailable):
        await judge.judge(costly, honest, task)
    assert not (await guards.check_report(costly, honest, Report())).invalid
    assert (await judge.judge(honest, plain("Total 767"), task)).severity > 0
    await asyncio.gather(judge.close(), guards.close())


@pytest.mark.long
async def test_a_crowded_page_is_illegible_and_holds_up_no_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(image_reader, "LIMIT_S", 3)
    task, judge = load_task("table"), LocalJudge(JudgeSettings(kind="local"))
    with pytest.raises(Illegible, match="more than 3 s"):
        await judge.judge(plain("Total 763"), crowded((1600, 1600)), task)
    assert (await judge.judge(plain("Total 763"), plain("Total 767"), task)).severity > 0
    await judge.close()


@pytest.mark.long
async def test_a_strip_is_compared() -> None:
    task, judge = load_task("table"), LocalJudge(JudgeSettings(kind="local"))
    guards = GuardRunner(task, model_judge=True)
    for shape in ((4, 5000), (5000, 4), (1, 700)):
        strip = Image.fromarray(np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8))
        assert (await judge.judge(plain("Total 763"), strip, task)).severity > 0
        assert (await guards.check_report(plain("Total 763"), strip, Report())).severity > 0
    await asyncio.gather(judge.close(), guards.close())
