"""Drawing tables, charts and SVG as this project does, against the cold way, one process per image, as published.

Each kind is measured by a module of its own, both ways in turn in the same run, so that what else the machine does falls on
both.
"""

from __future__ import annotations

import json
import os
import platform
from enum import Enum
from pathlib import Path
from typing import Annotated, Any

import render_charts
import render_svg
import render_tables
import typer
from rich.console import Console


class Kind(str, Enum):
    table = "table"
    chart = "chart"
    svg = "svg"


def main(
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the figures there.")] = None,
    kinds: Annotated[list[Kind] | None, typer.Option("--kind", help="Only this kind; may be given more than once.")] = None,
    tables: Annotated[
        int, typer.Option(help="How many tables, evenly from 3x3 to 60x12.", min=2, max=render_tables.MOST)
    ] = render_tables.MOST,
    charts: Annotated[int, typer.Option(help="How many charts.", min=1)] = render_charts.MANY,
    svgs: Annotated[int, typer.Option(help="How many SVG documents.", min=1)] = render_svg.MANY,
    pages: Annotated[int, typer.Option(help="Tabs of the warm browser, workers of a warm sandbox.", min=1)] = 2,
) -> None:
    """Compare drawing one image per process with drawing in processes that stay warm."""
    console = Console()
    figures: dict[str, Any] = {
        "python": platform.python_version(),
        "cores": os.cpu_count(),
        "load": os.getloadavg()[0],
        "pages": pages,
    }
    for kind, module, count in (
        (Kind.table, render_tables, tables),
        (Kind.chart, render_charts, charts),
        (Kind.svg, render_svg, svgs),
    ):
        if kinds is None or kind in kinds:
            figures[kind.value] = module.measure(console, count, pages)
            module.show(console, figures[kind.value])
    console.print(f"machine             {figures['cores']} cores, load {figures['load']:.1f} at the start, {pages} pages")
    if json_file is not None:
        json_file.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    typer.run(main)
