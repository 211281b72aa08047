"""SVG: one Python with CairoSVG per document, as published, against warm workers of the sandbox, with either engine."""

from __future__ import annotations

import asyncio
import io
import statistics
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from PIL import Image
from rich.console import Console
from rich.progress import Progress
from rich.table import Table
from svg_inputs import KINDS, document

from visual_erm.extract import Code
from visual_erm.kinds.svg import SvgSettings
from visual_erm.render.svg import SvgRenderer
from visual_erm.vision.images import on_white

COLD = Path(__file__).with_name("cold_svg.py")
MANY = 4 * len(KINDS)
WARM_TIMES = 5
"""Renders of a document in a row, whose median counts: caches that idled through a cold start are not yet warm."""
IN_FLIGHT = 64
LIBRSVG = SvgSettings(backend="librsvg", timeout_s=60)
CAIROSVG = SvgSettings(backend="cairosvg", timeout_s=60)


@dataclass(frozen=True)
class Sample:
    """One document, three ways; times in milliseconds."""

    kind: str
    cold_ms: float
    librsvg_ms: float
    cairosvg_ms: float
    identical: bool
    """The pixels of CairoSVG, cold and warm."""


def cold(text: str) -> tuple[Image.Image, float]:
    """One fresh Python for one document, with its milliseconds."""
    begun = time.perf_counter()
    command = [sys.executable, str(COLD), str(CAIROSVG.width), str(CAIROSVG.height)]
    png = subprocess.run(command, input=text.encode(), capture_output=True, check=True).stdout
    took = 1000 * (time.perf_counter() - begun)
    return on_white(Image.open(io.BytesIO(png))), took


async def warm(text: str, renderer: SvgRenderer) -> tuple[Image.Image, float]:
    took = []
    for _ in range(WARM_TIMES):
        begun = time.perf_counter()
        image = await renderer.render(Code("svg", text))
        took.append(1000 * (time.perf_counter() - begun))
    return image, statistics.median(took)


async def compare(text: str, kind: str, librsvg: SvgRenderer, cairosvg: SvgRenderer) -> Sample:
    """All three ways in turn."""
    expected, cold_ms = await asyncio.to_thread(cold, text)
    _, librsvg_ms = await warm(text, librsvg)
    image, cairosvg_ms = await warm(text, cairosvg)
    return Sample(kind, cold_ms, librsvg_ms, cairosvg_ms, image.tobytes() == expected.tobytes())


async def throughput(renderer: SvgRenderer, documents: list[tuple[str, str]]) -> float:
    """Documents per second, as many in flight as a step of training has."""
    begun = time.perf_counter()
    await asyncio.gather(*(renderer.render(Code("svg", documents[i % len(documents)][1])) for i in range(IN_FLIGHT)))
    return IN_FLIGHT / (time.perf_counter() - begun)


async def measured(documents: list[tuple[str, str]], pages: int, console: Console) -> dict[str, Any]:
    librsvg, cairosvg = (SvgRenderer(settings, workers=pages) for settings in (LIBRSVG, CAIROSVG))
    try:
        for renderer in (librsvg, cairosvg):
            await asyncio.gather(*(renderer.render(Code("svg", documents[0][1])) for _ in range(pages)))
        cold(documents[0][1])
        with Progress(console=console, transient=True) as progress:
            tracked = progress.track(documents, description="cold and warm in turn")
            samples = [await compare(text, kind, librsvg, cairosvg) for kind, text in tracked]
        return {
            "engines": [librsvg.renderer_version, cairosvg.renderer_version],
            "samples": samples,
            "librsvg_per_s": await throughput(librsvg, documents),
            "cairosvg_per_s": await throughput(cairosvg, documents),
        }
    finally:
        await librsvg.close()
        await cairosvg.close()


def measure(console: Console, count: int, pages: int) -> dict[str, Any]:
    """The figures of `count` documents."""
    kinds = [list(KINDS)[step % len(KINDS)] for step in range(count)]
    documents = [(kind, document(kind, seed)) for seed, kind in enumerate(kinds)]
    figures = asyncio.run(measured(documents, pages, console))
    samples: list[Sample] = figures.pop("samples")
    return {
        **figures,
        "svgs": count,
        "median_librsvg_ratio": statistics.median(sample.cold_ms / sample.librsvg_ms for sample in samples),
        "median_cairosvg_ratio": statistics.median(sample.cold_ms / sample.cairosvg_ms for sample in samples),
        "median_cold_ms": statistics.median(sample.cold_ms for sample in samples),
        "median_librsvg_ms": statistics.median(sample.librsvg_ms for sample in samples),
        "median_cairosvg_ms": statistics.median(sample.cairosvg_ms for sample in samples),
        "identical": sum(sample.identical for sample in samples),
        "samples": [asdict(sample) for sample in samples],
    }


def show(console: Console, figures: dict[str, Any]) -> None:
    grid = Table("SVG", "cold ms", "librsvg ms", "ratio", "CairoSVG ms", "ratio", "pixels")
    for sample in figures["samples"]:
        grid.add_row(
            sample["kind"],
            f"{sample['cold_ms']:.0f}",
            f"{sample['librsvg_ms']:.1f}",
            f"{sample['cold_ms'] / sample['librsvg_ms']:.0f}",
            f"{sample['cairosvg_ms']:.1f}",
            f"{sample['cold_ms'] / sample['cairosvg_ms']:.0f}",
            "same" if sample["identical"] else "[red]differ[/red]",
        )
    console.print(grid)
    console.print(f"engines             {', '.join(figures['engines'])}")
    console.print(f"median ratio        {figures['median_librsvg_ratio']:.0f}x with librsvg, ", end="")
    console.print(
        f"{figures['median_cairosvg_ratio']:.0f}x with CairoSVG (from {figures['median_cold_ms']:.0f} ms ", end=""
    )
    console.print(f"to {figures['median_librsvg_ms']:.1f} and {figures['median_cairosvg_ms']:.1f} ms)")
    console.print(f"pixel-identical     {figures['identical']} of {figures['svgs']} with CairoSVG")
    console.print(f"documents           {figures['librsvg_per_s']:.0f}/s with librsvg, ", end="")
    console.print(f"{figures['cairosvg_per_s']:.0f}/s with CairoSVG, {IN_FLIGHT} in flight")
