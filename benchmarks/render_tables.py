"""Tables: one Chromium per image, as published, against one warm Chromium, in the same run and on the same pixels.

The two ways take turns table by table, so that what else the machine does falls on both. Memory is read in a pass of its
own, because reading it slows what is measured.
"""

from __future__ import annotations

import asyncio
import io
import random
import shutil
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psutil
from PIL import Image
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from visual_erm.extract import Code
from visual_erm.kinds.table import TableSettings
from visual_erm.render.browser_process import VIEWPORT
from visual_erm.render.chromium import find_chromium, renderer_version_of
from visual_erm.render.table import TableRenderer, page_of

COLD = Path(__file__).with_name("cold_table.py")
SIZES = [(3, 3), (4, 5), (5, 4), (6, 6), (8, 5), (10, 4), (10, 8), (12, 10), (15, 6), (20, 5)]
SIZES += [(20, 12), (25, 8), (30, 6), (30, 12), (35, 10), (40, 8), (45, 12), (50, 6), (60, 8), (60, 12)]
LATIN = [
    "growth",
    "share",
    "total",
    "index",
    "alpha",
    "Zürich",
    "net",
    "margin,",
    "gross",
    "per",
    "unit",
    "(n)",
    "baseline",
]
CJK = ["表格", "数量", "合計", "東京", "売上高", "平均值", "비율", "年度", "地区", "增长率"]
COLD_TRIES = 3
WARM_TIMES = 3
"""Renders of a table in a row, whose median counts: a browser that idled through a cold start is not yet warm."""
FULL = ("google-chrome-stable", "google-chrome", "chromium")
"""Full browsers, which is what the published code starts; `apt-get install chromium` brings one."""
SETTINGS = TableSettings(timeout_s=60)
MOST = len(SIZES)


@dataclass(frozen=True)
class Sample:
    """One table, both ways; times in milliseconds."""

    rows: int
    columns: int
    kind: str
    cold_ms: float
    warm_ms: float
    identical: bool
    size: tuple[int, int]

    @property
    def ratio(self) -> float:
        return self.cold_ms / self.warm_ms


def table(rows: int, columns: int, kind: str, seed: int) -> str:
    """An HTML table of words and numbers; `kind`: `plain`, `spans` (merged cells) or `cjk`."""
    draw = random.Random(seed)
    words = CJK if kind == "cjk" else LATIN

    def text() -> str:
        return draw.choice(words) if draw.random() < 0.4 else f"{draw.uniform(-999, 9999):,.{draw.randint(0, 3)}f}"

    heads = "".join(f"<th>{draw.choice(words)} {column}</th>" for column in range(columns))
    lines = [f"<tr>{heads}</tr>"]
    for row in range(1, rows):
        cells = [f"<td>{text()}</td>" for _ in range(columns)]
        if kind == "spans" and row % 3 == 1:
            cells[:2] = [f'<td colspan="2">{text()}</td>']
        elif kind == "spans" and row % 3 == 2 and row + 1 < rows:
            cells[-1] = f'<td rowspan="2">{text()}</td>'
        elif kind == "spans" and row > 1:
            cells.pop()
        lines.append(f"<tr>{''.join(cells)}</tr>")
    return f"<table>{''.join(lines)}</table>"


def cold_browser() -> Path:
    """What the cold way starts: a full browser, or the renderer's own where the machine has none."""
    found = next(filter(None, map(shutil.which, FULL)), None)
    return Path(found) if found else find_chromium()


def cold(markup: str) -> tuple[Image.Image, float]:
    """One fresh Python, driver and Chromium for one image: the whole page is drawn, then cropped. With its milliseconds.

    Chromium refuses a screenshot now and then; such a try is done again, and its time does not count.
    """
    page = page_of(SETTINGS).replace("</body>", f"{markup}</body>")
    command = [sys.executable, str(COLD), str(cold_browser()), str(VIEWPORT["width"]), str(VIEWPORT["height"])]
    for _ in range(COLD_TRIES):
        begun = time.perf_counter()
        answer = subprocess.run(command, input=page.encode(), capture_output=True)
        took = 1000 * (time.perf_counter() - begun)
        if answer.returncode == 0:
            return Image.open(io.BytesIO(answer.stdout)).convert("RGB"), took
    raise SystemExit(f"the cold way failed {COLD_TRIES} times: {answer.stderr.decode()}")


async def compare(tables: list[tuple[int, int, str, str]], renderer: TableRenderer, console: Console) -> list[Sample]:
    """Both ways in turn, one table after the other."""
    samples = []
    await renderer.render(Code("html", table(3, 3, "cjk", seed=-1)))
    with Progress(console=console, transient=True) as progress:
        for rows, columns, kind, markup in progress.track(tables, description="cold and warm in turn"):
            expected, cold_ms = await asyncio.to_thread(cold, markup)
            took = []
            for _ in range(WARM_TIMES):
                begun = time.perf_counter()
                image = await renderer.render(Code("html", markup))
                took.append(1000 * (time.perf_counter() - begun))
            warm_ms = statistics.median(took)
            same = image.size == expected.size and image.tobytes() == expected.tobytes()
            samples.append(Sample(rows, columns, kind, cold_ms, warm_ms, same, image.size))
    return samples


async def throughput(renderer: TableRenderer, count: int = 64) -> float:
    """Small tables per second, as many in flight as a step of training has."""
    codes = [Code("html", table(4, 4, "plain", seed)) for seed in range(count)]
    begun = time.perf_counter()
    await asyncio.gather(*(renderer.render(code) for code in codes))
    return count / (time.perf_counter() - begun)


def memory_of(family: Callable[[], list[psutil.Process]]) -> int:
    """Bytes that the processes hold, with shared pages counted once (PSS)."""
    total = 0
    for process in family():
        try:
            total += process.memory_full_info().pss
        except (psutil.Error, OSError):
            continue
    return total


def peak_memory(work: Callable[[], Any], family: Callable[[], list[psutil.Process]]) -> int:
    """The most that `family` held while `work` ran."""
    peak, done = 0, threading.Event()

    def watch() -> None:
        nonlocal peak
        while not done.wait(0.05):
            peak = max(peak, memory_of(family))

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        work()
    finally:
        done.set()
        watcher.join()
    return peak


def memory(markups: list[str], pages: int) -> dict[str, int]:
    """Peak memory in bytes of both ways, apart from this Python itself."""
    here = psutil.Process()

    def children() -> list[psutil.Process]:
        return here.children(recursive=True)

    async def warm() -> None:
        renderer = TableRenderer(SETTINGS, pages=pages)
        await asyncio.gather(*(renderer.render(Code("html", markup)) for markup in markups))
        await renderer.close()

    return {
        "cold": peak_memory(lambda: [cold(markup) for markup in markups[-2:]], children),
        "warm": peak_memory(lambda: asyncio.run(warm()), children),
    }


def measure(console: Console, count: int, pages: int) -> dict[str, Any]:
    """The figures of `count` tables, evenly from the smallest to the largest, with `pages` tabs."""
    chosen = [SIZES[round(step * (MOST - 1) / (count - 1))] for step in range(count)]
    kinds = [("plain", "spans", "cjk")[index % 3] for index in range(count)]
    inputs = [(*size, kind, table(*size, kind, seed)) for seed, (size, kind) in enumerate(zip(chosen, kinds, strict=True))]

    async def timed() -> tuple[list[Sample], float, str]:
        renderer = TableRenderer(SETTINGS, pages=pages)
        try:
            samples = await compare(inputs, renderer, console)
            return samples, await throughput(renderer), renderer.renderer_version
        finally:
            await renderer.close()

    samples, rate, engine = asyncio.run(timed())
    peaks = memory([markup for *_, markup in inputs], pages)
    return {
        "engine": engine,
        "cold_engine": renderer_version_of(cold_browser()),
        "tables": count,
        "median_ratio": statistics.median(sample.ratio for sample in samples),
        "median_cold_ms": statistics.median(sample.cold_ms for sample in samples),
        "median_warm_ms": statistics.median(sample.warm_ms for sample in samples),
        "identical": sum(sample.identical for sample in samples),
        "cold_peak_mb": peaks["cold"] / 1e6,
        "warm_peak_mb": peaks["warm"] / 1e6,
        "small_tables_per_s": rate,
        "samples": [asdict(sample) for sample in samples],
    }


def show(console: Console, figures: dict[str, Any]) -> None:
    grid = Table("table", "kind", "picture", "cold ms", "warm ms", "ratio", "pixels")
    for sample in figures["samples"]:
        grid.add_row(
            f"{sample['rows']}x{sample['columns']}",
            sample["kind"],
            "{}x{}".format(*sample["size"]),
            f"{sample['cold_ms']:.0f}",
            f"{sample['warm_ms']:.0f}",
            f"{sample['cold_ms'] / sample['warm_ms']:.1f}",
            "same" if sample["identical"] else "[red]differ[/red]",
        )
    console.print(grid)
    console.print(f"cold, warm          {figures['cold_engine']}, {figures['engine']}")
    console.print(f"median ratio        {figures['median_ratio']:.1f}x (from {figures['median_cold_ms']:.0f} ms ", end="")
    console.print(f"to {figures['median_warm_ms']:.0f} ms)")
    console.print(f"pixel-identical     {figures['identical']} of {figures['tables']}")
    console.print(f"peak memory (PSS)   cold {figures['cold_peak_mb']:.0f} MB for one picture at a time, ", end="")
    console.print(f"warm {figures['warm_peak_mb']:.0f} MB")
    console.print(f"small tables        {figures['small_tables_per_s']:.1f}/s, 64 in flight")
