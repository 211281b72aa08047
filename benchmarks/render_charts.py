"""Charts: one Python per script, as published, against the sandbox; and the sandbox against rendering without isolation.

What the sandbox adds is taken from pairs that follow each other at once: the same script rendered in a warm interpreter of
its own (warm_chart.py), then in the sandbox.
"""

from __future__ import annotations

import asyncio
import hashlib
import io
import json
import statistics
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from chart_inputs import KINDS, script
from PIL import Image
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from visual_erm.extract import Code
from visual_erm.kinds.chart import ChartSettings
from visual_erm.render.chart import ChartRenderer
from visual_erm.vision.images import on_white

HERE = Path(__file__).parent
MANY = 2 * len(KINDS)
PAIRS = 5
"""Number of times that one script is rendered without isolation and in the sandbox, in turn."""
SETTLED_S = 0.1
IN_FLIGHT = 8
SETTINGS = ChartSettings(timeout_s=60)


@dataclass(frozen=True)
class Sample:
    """One script, three ways; times in milliseconds, medians of the pairs."""

    kind: str
    cold_ms: float
    in_process_ms: float
    sandbox_ms: float
    overhead_ms: float
    identical: bool
    """The pixels of all three ways."""
    size: tuple[int, int]


def cold(code: str) -> tuple[Image.Image, float]:
    """One fresh Python for one chart, with its milliseconds."""
    begun = time.perf_counter()
    command = [sys.executable, str(HERE / "cold_chart.py")]
    png = subprocess.run(command, input=code.encode(), capture_output=True, check=True).stdout
    took = 1000 * (time.perf_counter() - begun)
    return on_white(Image.open(io.BytesIO(png))), took


class InProcess:
    """An interpreter that stays warm and has no isolation."""

    def __init__(self) -> None:
        command = [sys.executable, str(HERE / "warm_chart.py")]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def draw(self, code: str) -> tuple[float, str]:
        """Milliseconds, and the hash of the pixels."""
        assert self._process.stdin and self._process.stdout
        self._process.stdin.write(json.dumps(code) + "\n")
        self._process.stdin.flush()
        took, pixels = json.loads(self._process.stdout.readline())
        return took, pixels

    def close(self) -> None:
        self._process.communicate()


async def compare(code: str, kind: str, renderer: ChartRenderer, plain: InProcess) -> Sample:
    """All three ways."""
    expected, cold_ms = await asyncio.to_thread(cold, code)
    pairs = []
    hashes = {hashlib.sha256(expected.tobytes()).hexdigest()}
    for _ in range(PAIRS):
        # The next worker is being prepared, which must not slow down the interpreter without isolation.
        await asyncio.sleep(SETTLED_S)
        in_process_ms, pixels = await asyncio.to_thread(plain.draw, code)
        begun = time.perf_counter()
        image = await renderer.render(Code("python", code))
        pairs.append((in_process_ms, 1000 * (time.perf_counter() - begun)))
        hashes |= {pixels, hashlib.sha256(image.tobytes()).hexdigest()}
    return Sample(
        kind,
        cold_ms,
        statistics.median(pair[0] for pair in pairs),
        statistics.median(pair[1] for pair in pairs),
        statistics.median(pair[1] - pair[0] for pair in pairs),
        len(hashes) == 1,
        expected.size,
    )


async def measured(scripts: list[tuple[str, str]], pages: int, console: Console) -> tuple[list[Sample], float, str]:
    """Samples, charts per second with many in flight, and the engine."""
    renderer, plain = ChartRenderer(SETTINGS, workers=pages), InProcess()
    try:
        for kind in dict(scripts):
            plain.draw(script(kind, seed=1000))
        await renderer.render(Code("python", scripts[0][1]))
        with Progress(console=console, transient=True) as progress:
            tracked = progress.track(scripts, description="cold, in process and sandboxed in turn")
            samples = [await compare(code, kind, renderer, plain) for kind, code in tracked]
        begun = time.perf_counter()
        await asyncio.gather(
            *(renderer.render(Code("python", scripts[step % len(scripts)][1])) for step in range(IN_FLIGHT))
        )
        return samples, IN_FLIGHT / (time.perf_counter() - begun), renderer.renderer_version
    finally:
        await renderer.close()
        plain.close()


def measure(console: Console, count: int, pages: int) -> dict[str, Any]:
    """The figures of `count` charts."""
    kinds = [list(KINDS)[step % len(KINDS)] for step in range(count)]
    scripts = [(kind, script(kind, seed)) for seed, kind in enumerate(kinds)]
    samples, rate, engine = asyncio.run(measured(scripts, pages, console))
    return {
        "engine": engine,
        "charts": count,
        "median_overhead_ms": statistics.median(sample.overhead_ms for sample in samples),
        "median_ratio": statistics.median(sample.cold_ms / sample.sandbox_ms for sample in samples),
        "median_cold_ms": statistics.median(sample.cold_ms for sample in samples),
        "median_in_process_ms": statistics.median(sample.in_process_ms for sample in samples),
        "median_sandbox_ms": statistics.median(sample.sandbox_ms for sample in samples),
        "identical": sum(sample.identical for sample in samples),
        "charts_per_s": rate,
        "samples": [asdict(sample) for sample in samples],
    }


def show(console: Console, figures: dict[str, Any]) -> None:
    grid = Table("chart", "picture", "cold ms", "in process ms", "sandboxed ms", "added ms", "ratio", "pixels")
    for sample in figures["samples"]:
        grid.add_row(
            sample["kind"],
            "{}x{}".format(*sample["size"]),
            f"{sample['cold_ms']:.0f}",
            f"{sample['in_process_ms']:.0f}",
            f"{sample['sandbox_ms']:.0f}",
            f"{sample['overhead_ms']:.1f}",
            f"{sample['cold_ms'] / sample['sandbox_ms']:.1f}",
            "same" if sample["identical"] else "[red]differ[/red]",
        )
    console.print(grid)
    console.print(f"engine              {figures['engine']}")
    console.print(f"median added        {figures['median_overhead_ms']:.1f} ms by the sandbox")
    console.print(f"median ratio        {figures['median_ratio']:.1f}x (from {figures['median_cold_ms']:.0f} ms ", end="")
    console.print(f"to {figures['median_sandbox_ms']:.0f} ms; {figures['median_in_process_ms']:.0f} ms in process)")
    console.print(f"pixel-identical     {figures['identical']} of {figures['charts']}, all three ways")
    console.print(f"charts              {figures['charts_per_s']:.1f}/s, {IN_FLIGHT} in flight")
