"""Charts -> veRL data: train.parquet and test.parquet, each row with an image for the policy and the reward's reference.

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
from visual_erm.demo import package_charts
from visual_erm.testing import write_tiny_policy

script = Script("chart", __doc__, write_tiny_policy)


@script.command
def images(
    report: Report,
    folder: Annotated[Path, typer.Argument(help="Images of charts, in this folder and below.")],
    renderer_version: RendererVersion = "",
) -> Iterable[Item]:
    """Images alone: each is its own reference, no script is needed."""
    return sources.images(folder, renderer_version)


@script.command
def scripts(
    report: Report,
    inputs: Annotated[list[Path], typer.Argument(help="Python files, folders of them, or JSONL.")],
) -> Iterable[Item]:
    """Plotting scripts, run in this project's sandbox: one per file, or per JSONL line ("python" or "code")."""
    return sources.code_items(inputs, sources.SCRIPTS, report)


@script.command
def packages(
    report: Report,
    seed: Annotated[int, typer.Option(help="Decides the charts, the split, what --limit keeps, and the order.")] = 0,
) -> Iterable[Item]:
    """Charts of real data from inside statsmodels and scikit-learn, rendered here: for trials without a download."""
    return package_charts.charts(seed)


if __name__ == "__main__":
    script.main()
