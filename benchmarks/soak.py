"""Thousands of charts and drawings with attacks among them: no result may be lost or crossed, and nothing may grow.

Every honest image carries the number of its job as a bar code, which is read back. Between two batches, with nothing in
flight, it is counted what is there: processes, descriptors, files, memory. The first fifth of the samples is then compared
with the last.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import platform
import random
import statistics
import tempfile
import time
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import psutil
import typer
from PIL import Image
from rich.console import Console
from rich.table import Table
from soak_attacks import DOCUMENTS, ENDLESS_SCRIPTS, SCRIPTS

from visual_erm.errors import PolicyFault, VisualERMError
from visual_erm.extract import Code
from visual_erm.kinds.chart import ChartSettings
from visual_erm.kinds.svg import SvgSettings
from visual_erm.render.base import Renderer, make_renderer

BITS = 16
"""Of a job's number; its complement follows, so that every image has bars."""
CHART = """
import matplotlib.pyplot as plt
bars = {bars}
axes = plt.figure(figsize=(1.6, 0.3)).add_axes((0, 0, 1, 1))
axes.axis("off")
axes.set(xlim=(0, len(bars)), ylim=(0, 1))
axes.bar([place + 0.5 for place, bar in enumerate(bars) if bar], 1, width=1, color="black", antialiased=False)
plt.savefig("chart.png")
"""
ENDLESS_SHARE = 0.03
"""Of the attacks: each takes the whole of its time limit, twice."""
TIMEOUT_S = 2.0
SAMPLES = 50
SETTLE_S = 0.3
"""For workers that have answered to be gone."""
SETTLE_LIMIT_S = 10.0
"""Seconds after which a sample is taken although processes still come and go."""
MOST_GROWTH = {"processes": 1, "descriptors": 2, "files": 1, "pipeline_mb": 10, "servers_mb": 15}
"""From the first fifth to the last."""


@dataclass(frozen=True)
class Sample:
    """What is there when nothing is in flight."""

    renders: int
    processes: int
    """Below this one: servers, bubblewrap, idle workers."""
    descriptors: int
    """Open in this process and in all below it."""
    files: int
    """In the folder for temporary files, and in the servers' own."""
    pipeline_mb: float
    """Resident memory of this process."""
    servers_mb: float
    """Memory of all below it, pages that they share counted once; files in memory, which others share too, left out."""


@dataclass(frozen=True)
class Job:
    """A image to be drawn; `attack` names what else it is."""

    number: int
    renderer: str
    code: Code
    attack: str = ""


def bars_of(number: int) -> list[int]:
    """A number and its complement, bit by bit.

    >>> bars_of(3)[:4], bars_of(3)[BITS : BITS + 4]
    ([1, 1, 0, 0], [0, 0, 1, 1])
    """
    bits = [number >> place & 1 for place in range(BITS)]
    return bits + [1 - bit for bit in bits]


def chart_of(number: int) -> str:
    return CHART.format(bars=bars_of(number))


def svg_of(number: int) -> str:
    bars = "".join(f"M{place} 0h1v9h-1z" for place, bar in enumerate(bars_of(number)) if bar)
    return f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {2 * BITS} 9"><path d="{bars}"/></svg>'


def number_in(image: Image.Image) -> int | None:
    """What a bar code says; None for what is none."""
    step = image.width / (2 * BITS)
    line = np.asarray(image.convert("L"))[image.height // 2]
    read = [int(line[int(step * (place + 0.5))] < 128) for place in range(2 * BITS)]
    number = sum(bit << place for place, bit in enumerate(read[:BITS]))
    return number if read == bars_of(number) else None


def renderers(workers: int) -> dict[str, Renderer]:
    """One of each kind; SVG with both engines."""
    librsvg = SvgSettings(width=8 * BITS, height=36, timeout_s=TIMEOUT_S)
    return {
        "chart": make_renderer(ChartSettings(timeout_s=TIMEOUT_S), workers),
        "librsvg": make_renderer(librsvg, workers),
        "cairosvg": make_renderer(librsvg.model_copy(update={"backend": "cairosvg"}), workers),
    }


def jobs_of(renders: int, attacks: float, seed: int) -> list[Job]:
    """Half charts, half drawings, a share of either hostile."""
    draw = random.Random(seed)
    jobs = []
    for number in range(renders):
        renderer = ("chart", "librsvg", "chart", "cairosvg")[number % 4]
        language = "python" if renderer == "chart" else "svg"
        text, attack = (chart_of if renderer == "chart" else svg_of)(number), ""
        if draw.random() < attacks:
            endless = draw.random() < ENDLESS_SHARE
            scripts = ENDLESS_SCRIPTS if endless else SCRIPTS
            choice = scripts if language == "python" else DOCUMENTS
            attack = draw.choice(sorted(choice))
            text = choice[attack]
        jobs.append(Job(number, renderer, Code(language, text), attack))
    return jobs


async def fate(job: Job, renderer: Renderer) -> str:
    """`right`, or what went wrong; for an attack `stopped` or `drawn`."""
    try:
        image = await renderer.render(job.code)
    except PolicyFault as error:
        return "stopped" if job.attack else f"lost: {error}"
    except VisualERMError as error:
        return f"infrastructure: {error}"
    if job.attack:
        return "drawn"
    return "right" if number_in(image) == job.number else "crossed"


def sample(renders: int) -> Sample:
    here = psutil.Process()
    family = here.children(recursive=True)
    descriptors, memory, folders = here.num_fds(), 0, {tempfile.gettempdir()}
    for process in family:
        with contextlib.suppress(psutil.Error, OSError):
            descriptors += process.num_fds()
            memory += _anonymous(process.pid)
            if "visual_erm.sandbox.forkserver" in " ".join(process.cmdline()):
                folders.add(os.path.realpath(f"/proc/{process.pid}/cwd"))
    inside = [Path(folder) for folder in folders if Path(folder).is_dir()]
    files = sum(1 for folder in inside for _ in folder.iterdir())
    return Sample(renders, len(family), descriptors, files, here.memory_info().rss / 1e6, memory / 1e6)


def _anonymous(pid: int) -> int:
    """Bytes of a process's own memory (PSS of what is no file)."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return 1024 * sum(int(line.split()[1]) for line in lines if line.startswith("Pss_Anon:"))


async def settled() -> None:
    """Waits until no process has come or gone for SETTLE_S: on a busy machine a worker that ended is replaced late."""
    deadline, known, since = time.monotonic() + SETTLE_LIMIT_S, set[int](), time.monotonic()
    while time.monotonic() < min(since + SETTLE_S, deadline):
        await asyncio.sleep(SETTLE_S / 5)
        family = {process.pid for process in psutil.Process().children(recursive=True)}
        if family != known:
            known, since = family, time.monotonic()


async def soak(jobs: list[Job], workers: int, console: Console) -> tuple[Counter[str], list[Sample]]:
    """Everything drawn in batches, a sample after each."""
    drawing = renderers(workers)
    fates: Counter[str] = Counter()
    samples = []
    batch = max(len(jobs) // SAMPLES, 4 * workers)
    try:
        for start in range(0, len(jobs), batch):
            now = jobs[start : start + batch]
            results = await asyncio.gather(*(fate(job, drawing[job.renderer]) for job in now))
            fates.update(results)
            await settled()
            samples.append(await asyncio.to_thread(sample, start + len(now)))
            console.print(f"{samples[-1].renders} drawn: {dict(fates)}", style="dim")
        return fates, samples
    finally:
        for renderer in drawing.values():
            await renderer.close()


def growth(samples: list[Sample]) -> dict[str, tuple[float, float]]:
    """Means of the first and of the last fifth."""
    fifth = max(len(samples) // 5, 1)
    return {
        name: (
            statistics.mean(getattr(one, name) for one in samples[:fifth]),
            statistics.mean(getattr(one, name) for one in samples[-fifth:]),
        )
        for name in MOST_GROWTH
    }


def main(
    renders: Annotated[int, typer.Option(help="How many pictures.", min=8, max=1 << BITS)] = 5000,
    attacks: Annotated[float, typer.Option(help="Share of them that attack.", min=0, max=1)] = 0.1,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the figures there.")] = None,
    workers: Annotated[int, typer.Option(help="Of each sandbox; there are three.", min=1)] = 2,
    seed: Annotated[int, typer.Option(help="Of the choice of attacks.")] = 0,
) -> None:
    """Draw for a long time, attacked; fail when a result is lost or crossed, or when anything grows."""
    console = Console()
    jobs = jobs_of(renders, attacks, seed)
    begun = time.monotonic()
    fates, samples = asyncio.run(soak(jobs, workers, console))
    took = time.monotonic() - begun
    change = growth(samples)
    flat = {name: last - first <= MOST_GROWTH[name] for name, (first, last) in change.items()}
    hostile = Counter(job.attack for job in jobs if job.attack)
    wrong = {what: count for what, count in fates.items() if what not in ("right", "stopped", "drawn")}
    grid = Table("", "first fifth", "last fifth", "flat")
    for name, (first, last) in change.items():
        grid.add_row(name, f"{first:.1f}", f"{last:.1f}", "yes" if flat[name] else "[red]no[/red]")
    console.print(grid)
    console.print(f"{renders} renders, {hostile.total()} of them attacks, in {took:.0f} s ({renders / took:.1f}/s)")
    console.print(f"right {fates['right']}, lost or crossed {sum(wrong.values())}", wrong or "")
    figures: dict[str, Any] = {
        "renders": renders,
        "attacks": dict(hostile),
        "fates": dict(fates),
        "lost_or_crossed": sum(wrong.values()),
        "seconds": took,
        "python": platform.python_version(),
        "cores": os.cpu_count(),
        "load": os.getloadavg()[0],
        "growth": change,
        "flat": flat,
        "samples": [asdict(one) for one in samples],
    }
    if json_file is not None:
        json_file.write_text(json.dumps(figures, indent=2) + "\n")
    raise typer.Exit(0 if not wrong and all(flat.values()) else 1)


if __name__ == "__main__":
    typer.run(main)
