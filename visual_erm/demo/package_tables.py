"""Real tables for trials: stretches of the data sets inside of statsmodels and scikit-learn, numbers rounded."""

from __future__ import annotations

import html
import math
import random
from collections.abc import Iterator, Sequence
from typing import Any

from visual_erm.data.sources import Item
from visual_erm.demo.package_dataframes import decimals, frames
from visual_erm.extract import Code

CUTS_PER_TABLE = 200
"""Tables cut out of one data set, so that the long ones do not crowd out the others."""
_LONGEST_TEXT = 24
"""Characters; columns with longer texts are left out."""


def tables(max_rows: int, max_columns: int, seed: int) -> Iterator[Item]:
    """Tables of at most so many rows and columns. Cuts of one data set never share a row, and no table comes twice.

    Raises ConfigError when neither package is installed.
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
    """Name and columns, all as text, of each data set that has at least two rows and columns worth showing."""
    for name, frame in frames():
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
    """Neighbouring stretches of 2 to `max_rows` rows."""
    start = 0
    while rows - start >= 2:
        stop = min(start + rng.randint(2, max_rows), rows)
        yield start, stop
        start = stop


def _html_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [("th", header), *(("td", row) for row in rows)]
    drawn = ["".join(f"<{tag}>{html.escape(cell, quote=False)}</{tag}>" for cell in cells) for tag, cells in lines]
    return f"<table>{''.join(f'<tr>{line}</tr>' for line in drawn)}</table>"
