"""Tasks of your own -> veRL data: train.parquet and test.parquet. For any kind of code; docs/new_task.md explains it.

Exit code 0: everything is in. 1: some items were left out, each reported by file and line. 2: nothing was written.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import typer

from visual_erm.data import sources
from visual_erm.data.command import RendererVersion, Script
from visual_erm.data.sources import CodeFormat, Item, Report
from visual_erm.spec.task import load_task
from visual_erm.testing import write_tiny_policy

script = Script(None, __doc__, write_tiny_policy)


@script.command
def images(
    report: Report,
    folder: Annotated[Path, typer.Argument(help="Images, in this folder and below.")],
    renderer_version: RendererVersion = "",
) -> Iterable[Item]:
    """Images alone: each is its own reference, no code is needed."""
    return sources.images(folder, renderer_version)


@script.command
def code(
    report: Report,
    inputs: Annotated[list[Path], typer.Argument(help="Files of code, folders of them, or JSONL.")],
    task: Annotated[str, typer.Option(help="Task of the rows, which says how code is rendered: a name, or a YAML file.")],
) -> Iterable[Item]:
    """Code in the task's languages, rendered here: one item per file, or per JSONL line under the language's name."""
    return sources.code_items(inputs, CodeFormat.of(load_task(task).code_languages), report)


if __name__ == "__main__":
    script.main()
