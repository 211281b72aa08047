"""Real tables for trials: parts of the data sets inside statsmodels and scikit-learn, with rounded numbers."""

from __future__ import annotations

import html
import math
import random
from collections.abc import Iterator, Sequence
from typing import Any

from visual_erm.data.sources import Item
from visual_erm.demo.package_dataframes import decimals, package_dataframes
from visual_erm.extract import Code

CUTS_PER_TABLE = 200
"""Largest number of tables from one data set, so that long data sets do not dominate."""
_LONGEST_TEXT = 24
"""Longest text of a cell in characters; columns with longer texts are left out."""


def tables(max_rows: int, max_columns: int, seed: int) -> Iterator[Item]:
    """Cuts tables out of the data sets. Tables of one data set never share a row, and no table occurs twice.

    Args:
        max_rows: Largest number of rows below the header, at least 2.
        max_columns: Largest number of columns, at least 2.
        seed: Decides the cuts.

    Yields:
        One item for each table, with its HTML as ground truth.

    Raises:
        ConfigError: Neither package is installed.
    """
    seen: set[Code] = set()
    for name, columns in _columns():
        rng = random.Random(f"{seed} {name}")
        blocks = list(_blocks(len(next(iter(columns.values()))), max_rows, rng))
        for start, stop in sorted(rng.sample(blocks, min(len(blocks), CUTS_PER_TABLE))):
            width = rng.randint(min(2, len(columns)), min(max_columns, len(columns)))
            first = rng.randint(0, len(columns) - width)
            names = list(columns)[first : first + width]
            code = Code("html", _html_table(names, [[columns[n][row] for n in names] for row in range(start, stop)]))
            if code not in seen:
                seen.add(code)
                yield Item(f"{name} rows {start + 1}-{stop}", code=code, ground_truth=code.text)


def _columns() -> Iterator[tuple[str, dict[str, list[str]]]]:
    """Yields name and columns, all as text, of each data set with at least two rows and two short columns."""
    for name, frame in package_dataframes():
        columns = {str(title): _as_text(frame[title].tolist()) for title in frame.columns}
        columns = {title: cells for title, cells in columns.items() if max(map(len, [title, *cells])) <= _LONGEST_TEXT}
        if len(columns) >= 2 and len(frame) >= 2:
            yield name, columns


def _as_text(values: list[Any]) -> list[str]:
    shown = decimals(values)
    return [_cell(value, shown) for value in values]


def _cell(value: Any, shown: int) -> str:
    if isinstance(value, int | float):
        return f"{round(value, shown) + 0.0:.{shown}f}" if math.isfinite(value) else ""
    return "" if value is None else str(value).strip()


def _blocks(rows: int, max_rows: int, rng: random.Random) -> Iterator[tuple[int, int]]:
    """Yields first and last row of neighboring blocks of 2 to `max_rows` rows."""
    start = 0
    while rows - start >= 2:
        stop = min(start + rng.randint(2, max_rows), rows)
        yield start, stop
        start = stop


def _html_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [("th", header), *(("td", row) for row in rows)]
    drawn = ["".join(f"<{tag}>{html.escape(cell, quote=False)}</{tag}>" for cell in cells) for tag, cells in lines]
    return f"<table>{''.join(f'<tr>{line}</tr>' for line in drawn)}</table>"
