"""Tables -> veRL data: train.parquet and test.parquet, each row with an image for the policy and the reward's reference.

Exit code 0: everything is in. 1: some items were left out, each reported by file and line. 2: nothing was written.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import typer

from visual_erm.data import sources
from visual_erm.data.command import RendererVersion, Script
from visual_erm.data.pubtabnet import published_tables
from visual_erm.data.sources import Item, Report
from visual_erm.demo import package_tables
from visual_erm.testing import write_tiny_policy

script = Script("table", __doc__, write_tiny_policy)


@script.command
def images(
    report: Report,
    folder: Annotated[Path, typer.Argument(help="Images of tables, in this folder and below.")],
    renderer_version: RendererVersion = "",
) -> Iterable[Item]:
    """Images alone: each is its own reference, no markup is needed."""
    return sources.images(folder, renderer_version)


@script.command
def pubtabnet(
    report: Report,
    rows: Annotated[Path, typer.Argument(help="PubTabNet's JSONL.")],
    images: Annotated[Path, typer.Option(help="The folder with its images, or with its folders train, val, test.")],
    split: Annotated[str | None, typer.Option(help="Only this split of PubTabNet: train, val or test.")] = None,
) -> Iterable[Item]:
    """PubTabNet: its images are the references, its markup is kept as ground truth."""
    return published_tables(rows, images, split, report)


@script.command
def markup(
    report: Report,
    inputs: Annotated[list[Path], typer.Argument(help="HTML or Markdown files, folders of them, or JSONL.")],
) -> Iterable[Item]:
    """HTML or Markdown tables, rendered by this project: one per file, or per JSONL line ("html" or "markdown")."""
    return sources.code_items(inputs, sources.TABLES, report)


@script.command
def packages(
    report: Report,
    max_rows: Annotated[int, typer.Option(min=2, help="Rows of a table, header aside.")] = 10,
    max_columns: Annotated[int, typer.Option(min=2, help="Columns of a table.")] = 6,
    seed: Annotated[int, typer.Option(help="Decides the cuts, the split, what --limit keeps, and the order.")] = 0,
) -> Iterable[Item]:
    """Real tables from inside statsmodels and scikit-learn, cut to size and rendered: for trials without a download."""
    return package_tables.tables(max_rows, max_columns, seed)


if __name__ == "__main__":
    script.main()
