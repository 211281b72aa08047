"""Compares the speed of two checkouts: runs the benchmarks of both in turn, and prints the median ratio of each figure.

    python benchmarks/compare_builds.py ../other --runs 7

A ratio above 1 means that this checkout takes longer than the other one. Each checkout runs its own benchmarks with its own
package, in the Python environment of this process. The order of the two changes with every run, so that drifts of the
machine fall on both.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

HERE = Path(__file__).resolve().parents[1]
GOAL = 1.05
FIGURES = {
    "render.py": (
        ("table", "median_warm_ms"),
        ("chart", "median_sandbox_ms"),
        ("svg", "median_librsvg_ms"),
        ("svg", "median_cairosvg_ms"),
    ),
    "reward_step.py": (("step", "step_s"), ("step", "local_bound_s"), ("step", "cpu_local_s", "workers")),
}
"""What is compared, by benchmark: paths in its JSON, all of them times, so that less is better."""


def arguments(benchmark: str, small: bool, samples: int) -> list[str]:
    """Chooses the arguments of one benchmark.

    Args:
        benchmark: `render.py` or `reward_step.py`.
        small: Whether a few images of each kind are enough.
        samples: Number of samples of the step.

    Returns:
        The arguments for the command line.
    """
    if benchmark == "render.py":
        return ["--tables", "4", "--charts", "4", "--svgs", "4"] if small else []
    return ["--samples", str(samples), "--published", "0"]


def run(checkout: Path, benchmark: str, given: Sequence[str]) -> dict[str, Any]:
    """Runs one benchmark of one checkout.

    Args:
        checkout: Root of the checkout.
        benchmark: File name below its `benchmarks/`.
        given: Arguments for the command line.

    Returns:
        What the benchmark wrote as JSON.

    Raises:
        typer.BadParameter: The benchmark failed.
    """
    with tempfile.TemporaryDirectory(prefix="visual-erm-") as folder:
        figures = Path(folder) / "figures.json"
        command = [sys.executable, str(checkout / "benchmarks" / benchmark), "--json", str(figures), *given]
        environment = {**os.environ, "PYTHONPATH": str(checkout)}
        done = subprocess.run(command, cwd=checkout, env=environment, capture_output=True, text=True)
        # The benchmark writes its figures before it prints them.
        if not figures.exists():
            raise typer.BadParameter(
                f"{checkout / 'benchmarks' / benchmark} failed:\n{done.stdout[-2000:]}{done.stderr[-4000:]}"
            )
        return dict(json.loads(figures.read_text()))


def figure(figures: Mapping[str, Any], path: Sequence[str]) -> float:
    """Looks a figure up.

    Args:
        figures: What a benchmark wrote.
        path: Keys, from the outermost one.

    Returns:
        The figure.
    """
    found: Any = figures
    for key in path:
        found = found[key]
    return float(found)


def main(
    other: Annotated[Path, typer.Argument(help="Root of the other checkout.", exists=True, file_okay=False)],
    runs: Annotated[int, typer.Option(help="How often both run each benchmark.", min=1)] = 7,
    benchmarks: Annotated[
        list[str] | None, typer.Option("--benchmark", help="Only this one: render.py or reward_step.py.")
    ] = None,
    small: Annotated[bool, typer.Option("--small", help="Only a few images of each kind.")] = False,
    samples: Annotated[int, typer.Option(help="Samples of the step.", min=8)] = 512,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write all figures there.")] = None,
) -> None:
    """Run the benchmarks of this checkout and of another one in turn, and compare the medians."""
    console = Console()
    pairs: dict[str, list[tuple[float, float]]] = {}
    for turn in range(runs):
        for benchmark in benchmarks or FIGURES:
            checkouts = [HERE, other.resolve()]
            found = {}
            for checkout in checkouts if turn % 2 == 0 else checkouts[::-1]:
                found[checkout] = run(checkout, benchmark, arguments(benchmark, small, samples))
            for path in FIGURES[benchmark]:
                times = (figure(found[HERE], path), figure(found[other.resolve()], path))
                pairs.setdefault(f"{benchmark} {'.'.join(path)}", []).append(times)
        console.print(f"run {turn + 1} of {runs}", style="dim")
    grid = Table("figure", "this", "other", "median ratio", "from", "to")
    for name, both in pairs.items():
        ratios = [one / another for one, another in both]
        middle = statistics.median(ratios)
        this_s, other_s = (statistics.median(column) for column in zip(*both, strict=True))
        marked = f"{middle:.3f}" if middle <= GOAL else f"[red]{middle:.3f}[/red]"
        grid.add_row(name, f"{this_s:.1f}", f"{other_s:.1f}", marked, f"{min(ratios):.3f}", f"{max(ratios):.3f}")
    console.print(grid)
    if json_file is not None:
        json_file.write_text(json.dumps(pairs, indent=2) + "\n")


if __name__ == "__main__":
    typer.run(main)
