"""Odd but harmless pictures and pages through judge, guards and renderer, with honest samples beside them.

What is checked, with limits of about a second: nothing raises what is not the policy's fault, honest samples get the reward
that they get alone and wait at most 3 s longer, no picture holds the event loop for more than 50 ms, and memory does not
grow by more than 10%. The browser is stopped on purpose again and again (a stopped process looks like one that a page keeps
busy). The pictures are those of `perception_pictures.py`, and crowded ones of this file. `make soak` runs it.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import multiprocessing
import statistics
import threading
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import numpy as np
import psutil
import typer
from perception_pictures import FAMILIES, picture
from PIL import Image, ImageDraw

from visual_erm.errors import InfrastructureError, PolicyFault
from visual_erm.extract import Code
from visual_erm.guard.runner import GuardRunner
from visual_erm.judge.local.judge import LocalJudge
from visual_erm.kinds.table import TableSettings
from visual_erm.render.table import TableRenderer
from visual_erm.reward.report import Report
from visual_erm.spec.judge import JudgeSettings
from visual_erm.spec.task import Task, load_task
from visual_erm.vision import image_reader
from visual_erm.vision.images import on_white

LIMIT_S = 1.0
"""CPU seconds of one reading, and seconds of one page."""
MAX_DELAY_S = 3.0
MAX_HELD_S = 0.05
MAX_GROWTH = 0.1
BEAT_S = 0.005
PAUSE_S = 0.2
"""Seconds between two honest samples."""
STOP_EVERY = 40
"""The browser is stopped before each page whose number is a multiple of this."""
MOST_PIXELS = 16_000_000

# --- what is odd -----------------------------------------------------------------------------------------------------


def crowded(draw: np.random.Generator) -> Image.Image:
    """Thousands of words or boxes that stand apart."""
    width, height = (int(side) for side in draw.integers(900, 4000, 2))
    image = Image.new("RGB", (width, height), "white")
    pen = ImageDraw.Draw(image)
    boxes = bool(draw.integers(2))
    for y in range(5, height - 40, 40):
        for x in range(5, width - 64, 64):
            if boxes:
                pen.rectangle((x, y, x + 58, y + 34), outline="#333333")
            pen.text((x + 4, y + 6), str(int(draw.integers(10**6))), fill="black", font_size=14)
    return image


def odd_picture(number: int, seed: int) -> Image.Image:
    """Every eighth picture is crowded, the others are of the families of the perception's benchmark."""
    if number % 8 == 0:
        return crowded(np.random.default_rng([seed, number]))
    return on_white(picture(number, seed, MOST_PIXELS).image)


NOISE = (
    '<svg width="{0}" height="{1}"><filter id="n" x="0" y="0" width="1" height="1">'
    '<feTurbulence baseFrequency="0.9" seed="{2}"/></filter><rect width="{0}" height="{1}" filter="url(#n)"/></svg>'
)


def odd_page(number: int, seed: int) -> str:
    """A page of one of ten families: noise, wide, tall, long, nested, far and faint, gradient, one color, empty, plain."""
    draw = np.random.default_rng([seed, number])
    width, height = (int(side) for side in draw.integers(50, 3500, 2))
    count = int(draw.integers(2, 60))
    rows = "".join(f"<tr>{'<td>' + str(row) + '</td>'}{'<td>1.5' * (count % 13)}</tr>" for row in range(count))
    pages = [
        NOISE.format(width, height, number),
        f"<div style='width:{4 * width}px;height:{1 + count // 6}px;background:red'></div>",
        f"<div style='width:{1 + count // 6}px;height:{4 * height}px;background:navy'></div>",
        f"<table>{rows * 12}</table>",
        "<table><td>" * count + "x",
        f"<p>a</p><i style='position:absolute;left:{width}px;top:{height}px;color:#fdfdfd'>.</i>",
        f"<div style='width:{width}px;height:{height}px;background:linear-gradient(red,blue)'></div>",
        f"<div style='width:{width}px;height:{height}px;background:green'></div>",
        "<b></b>",
        f"<table>{rows}</table>",
    ]
    return pages[number % len(pages)]


# --- honest samples beside -------------------------------------------------------------------------------------------


@dataclass
class Found:
    """What happened."""

    outcomes: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)
    waits_s: list[float] = field(default_factory=list)
    held_s: list[tuple[float, str]] = field(default_factory=list)
    memory: list[int] = field(default_factory=list)
    alone_s: float = 0.0


def _waited_s() -> float:
    """Seconds that this thread has waited for a processor: the event loop was not held then."""
    with contextlib.suppress(OSError, IndexError):
        file = Path(f"/proc/self/task/{threading.get_native_id()}/schedstat")
        return int(file.read_text().split()[1]) / 1e9
    return 0.0


async def _beat(found: Found, now: list[str]) -> None:
    while True:
        begun, waited = time.perf_counter(), _waited_s()
        await asyncio.sleep(BEAT_S)
        held = time.perf_counter() - begun - BEAT_S - (_waited_s() - waited)
        found.held_s.append((held, now[0]))


async def _honest(found: Found, sample: Callable[[], Awaitable[object]], expected: object) -> None:
    while True:
        begun = time.monotonic()
        try:
            if await sample() != expected:
                found.faults.append("an honest sample got another result")
        except (PolicyFault, InfrastructureError) as error:
            found.faults.append(f"an honest sample: {type(error).__name__}: {error}")
        found.waits_s.append(time.monotonic() - begun)
        await asyncio.sleep(PAUSE_S)


async def _odd(found: Found, name: str, work: Awaitable[object]) -> None:
    try:
        await work
        found.outcomes["read"] += 1
    except PolicyFault as fault:
        found.outcomes[type(fault).__name__] += 1
    except InfrastructureError as error:
        found.outcomes[type(error).__name__] += 1
        found.faults.append(f"{name}: {type(error).__name__}: {error}")


async def run_beside(
    samples: Iterator[tuple[str, Callable[[], Awaitable[object]]]], honest: Callable[[], Awaitable[object]]
) -> Found:
    """Runs odd samples one after the other, and honest ones all the time.

    Args:
        samples: Name and work of each odd sample.
        honest: An honest sample; its result must stay the same.

    Returns:
        What happened.
    """
    found, now = Found(), ["start"]
    expected = await honest()
    times = []
    for _ in range(5):
        begun = time.monotonic()
        await honest()
        times.append(time.monotonic() - begun)
    found.alone_s = statistics.median(times)
    beside = [asyncio.create_task(_beat(found, now)), asyncio.create_task(_honest(found, honest, expected))]
    for name, work in samples:
        now[0] = name
        await _odd(found, name, work())
        gc.collect()
        found.memory.append(psutil.Process().memory_info().rss)
    for task in beside:
        task.cancel()
    await asyncio.gather(*beside, return_exceptions=True)
    return found


async def pictures_beside(count: int, seed: int, task: Task) -> Found:
    """Passes pictures through the local judge and through the guards of a model judge.

    Args:
        count: Number of pictures.
        seed: Seed of all pictures.
        task: The task.

    Returns:
        What happened.
    """
    judge, guards = LocalJudge(JudgeSettings(kind="local", cache_size=64)), GuardRunner(task, model_judge=True)
    reference, answer = (crowded(np.random.default_rng(number)).crop((0, 0, 330, 130)) for number in (1, 2))

    async def compared(prediction: Image.Image) -> object:
        await guards.check_image(reference, prediction)
        report = await judge.judge(reference, prediction, task)
        verdict = await guards.check_report(reference, prediction, Report())
        return report.severity, verdict

    def samples() -> Iterator[tuple[str, Callable[[], Awaitable[object]]]]:
        for number in range(count):
            family = "crowded" if number % 8 == 0 else list(FAMILIES)[number % len(FAMILIES)]

            async def work(number: int = number) -> object:
                making = asyncio.get_running_loop().run_in_executor(maker, odd_picture, number, seed)
                return await compared(await making)

            yield f"picture {number} ({family})", work

    usual_s = image_reader.LIMIT_S
    # Pictures are made in another process: what that costs is not what is measured.
    maker = ProcessPoolExecutor(1, multiprocessing.get_context("spawn"))
    try:
        # Both threads of the guards load their models first: no honest sample is charged for that under the low limit.
        await asyncio.gather(*(guards.check_report(reference, one, Report()) for one in (answer, answer.rotate(180))))
        await compared(answer)
        image_reader.LIMIT_S = LIMIT_S
        return await run_beside(samples(), lambda: compared(answer.copy()))
    finally:
        image_reader.LIMIT_S = usual_s
        maker.shutdown()
        await asyncio.gather(judge.close(), guards.close())


async def pages_beside(count: int, seed: int) -> Found:
    """Renders pages in a browser that is stopped again and again.

    Args:
        count: Number of pages.
        seed: Seed of all pages.

    Returns:
        What happened.
    """
    renderer = TableRenderer(TableSettings(timeout_s=LIMIT_S), pages=2)

    def samples() -> Iterator[tuple[str, Callable[[], Awaitable[object]]]]:
        for number in range(count):

            async def work(number: int = number) -> object:
                if number % STOP_EVERY == STOP_EVERY - 1:
                    stop_browsers()
                return await renderer.render(Code("html", odd_page(number, seed)))

            yield f"page {number}", work

    async def honest() -> object:
        return (await renderer.render(Code("html", "<table><tr><td>Total</td><td>763</td></tr></table>"))).tobytes()

    try:
        return await run_beside(samples(), honest)
    finally:
        await renderer.close()


def stop_browsers() -> None:
    """Stops the browsers' own processes; whoever uses them ends them."""
    for process in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.Error):
            if "--remote-debugging-pipe" in process.cmdline():
                process.suspend()


def problems(found: Found) -> list[str]:
    """Compares what happened with what may.

    Args:
        found: What happened.

    Returns:
        What is wrong, one sentence each.
    """
    wrong = list(found.faults)
    delay = max(found.waits_s, default=0.0) - found.alone_s
    if delay > MAX_DELAY_S:
        wrong.append(f"an honest sample waited {delay:.1f} s longer than alone; at most {MAX_DELAY_S:g}")
    held, name = max(found.held_s, default=(0.0, ""))
    if held > MAX_HELD_S:
        wrong.append(f"the event loop was held for {1000 * held:.0f} ms during {name}; at most {1000 * MAX_HELD_S:g}")
    half = len(found.memory) // 2
    if half >= 50 and max(found.memory[half:]) > (1 + MAX_GROWTH) * max(found.memory[:half]):
        wrong.append(f"memory grew from {max(found.memory[:half]) >> 20} to {max(found.memory[half:]) >> 20} MB")
    return wrong


def main(
    pictures: Annotated[int, typer.Option(help="Number of pictures for judge and guards.")] = 1600,
    pages: Annotated[int, typer.Option(help="Number of pages for the renderer.")] = 400,
    seed: Annotated[int, typer.Option(help="Seed of all pictures and pages.")] = 0,
    json_file: Annotated[Path | None, typer.Option("--json", help="File for the figures.")] = None,
) -> None:
    """Ends with an error if anything is wrong."""
    figures, failed = {}, False
    for name, count, work in (
        ("pictures", pictures, pictures_beside(pictures, seed, load_task("table"))),
        ("pages", pages, pages_beside(pages, seed)),
    ):
        begun = time.monotonic()
        found = asyncio.run(work)
        wrong = problems(found)
        failed = failed or bool(wrong)
        figures[name] = {
            "count": count,
            "seconds": round(time.monotonic() - begun),
            "outcomes": dict(found.outcomes),
            "honest": len(found.waits_s),
            "honest_alone_s": round(found.alone_s, 3),
            "honest_longest_s": round(max(found.waits_s, default=0.0), 2),
            "held_longest_ms": round(1000 * max(found.held_s, default=(0.0, ""))[0]),
            "memory_mb": [found.memory[len(found.memory) // 2] >> 20, found.memory[-1] >> 20] if found.memory else [],
            "wrong": wrong,
        }
        typer.echo(json.dumps({name: figures[name]}, indent=2))
    if json_file is not None:
        json_file.write_text(json.dumps(figures, indent=2) + "\n")
    raise typer.Exit(1 if failed else 0)


if __name__ == "__main__":
    typer.run(main)
