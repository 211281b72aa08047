"""What commands of long jobs give out: tables that a pipe takes in whole lines, what became of the rows, and files.

tell("3 refined, 0 kept, 1 failed", problems, Console(stderr=True))
write_json(Path("summary.json"), {"reward": 1.9})
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from visual_erm.errors import ConfigError, printable
from visual_erm.runtime.files import write_atomic

SOME_FAILED = 1
"""Exit code when some items have no result; the others have. 2 means wrong input."""
FILE_WIDTH = 160
"""Columns of a table that is printed to a file or a pipe: a row of figures is one line."""
SHOWN = 5
"""Messages about items without a result that are printed; the file has all."""


def print_table(table: Table, out: Console) -> None:
    """Prints a table, wide enough for its lines where nobody's screen bounds them.

    Args:
        table: The table.
        out: Where it is printed.
    """
    (out if out.is_terminal else Console(width=max(out.width, FILE_WIDTH))).print(table)


def tell(summary: str, problems: Sequence[str], err: Console) -> None:
    """Prints what became of the rows, and the first problems.

    Args:
        summary: One line; empty: none is printed.
        problems: One message for each row that could not be used.
        err: Where it is printed.
    """
    if summary:
        err.print(printable(summary), markup=False, highlight=False, soft_wrap=True)
    for message in problems[:SHOWN]:
        err.print(printable(message), style="yellow", markup=False, highlight=False, soft_wrap=True)
    if len(problems) > SHOWN:
        err.print(f"and {len(problems) - SHOWN} more", style="yellow")


def write_text(path: Path, text: str) -> None:
    """Writes a file. Readers see the whole file or none.

    Args:
        path: The file.
        text: What it holds.

    Raises:
        ConfigError: It cannot be written.
    """
    try:
        write_atomic(path, text)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be written: {error.strerror}") from error


def write_json(path: Path | None, content: Any, indent: int = 2) -> None:
    """Writes a file of JSON.

    Args:
        path: The file; None: nothing is written.
        content: What JSON can hold.
        indent: Blanks of each level.

    Raises:
        ConfigError: It cannot be written.
    """
    if path is not None:
        write_text(path, json.dumps(content, indent=indent) + "\n")
