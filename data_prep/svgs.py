"""SVG -> veRL data: train.parquet and test.parquet, each row with an image for the policy and the reward's reference.

Exit code 0: everything is in. 1: some items were left out, each reported by file and line. 2: nothing was written.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import typer

from visual_erm.data import sources
from visual_erm.data.command import RendererVersion, Script
from visual_erm.data.sources import Item, Report
from visual_erm.demo import package_icons, synthetic_drawings
from visual_erm.testing import write_tiny_policy

script = Script("svg", __doc__, write_tiny_policy)


@script.command
def images(
    report: Report,
    folder: Annotated[Path, typer.Argument(help="Images, in this folder and below.")],
    renderer_version: RendererVersion = "",
) -> Iterable[Item]:
    """Images alone: each is its own reference, no SVG is needed."""
    return sources.images(folder, renderer_version)


@script.command
def documents(
    report: Report,
    inputs: Annotated[list[Path], typer.Argument(help="SVG files, folders of them, or JSONL.")],
) -> Iterable[Item]:
    """SVG documents, rendered by this project: one per file, or per JSONL line ("svg" or "code")."""
    return sources.code_items(inputs, sources.DOCUMENTS, report)


@script.command
def packages(
    report: Report,
    seed: Annotated[int, typer.Option(help="Decides the colors, the split, what --limit keeps, and the order.")] = 0,
) -> Iterable[Item]:
    """Real icons from inside matplotlib: those of its toolbar, and the symbols of its font, in colors."""
    return package_icons.icons(seed)


@script.command
def drawings(
    report: Report,
    count: Annotated[int, typer.Option(min=2, help="How many.")] = 1000,
    seed: Annotated[int, typer.Option(help="Decides the drawings, the split, what --limit keeps, and the order.")] = 0,
) -> Iterable[Item]:
    """Made-up drawings: suns, houses, clocks and the like, in all sorts of arrangements."""
    return synthetic_drawings.drawings(count, seed)


if __name__ == "__main__":
    script.main()
