"""Rows of parquet files without reading all of them: a few, spread over each file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from visual_erm.errors import ConfigError


@dataclass(frozen=True)
class Row:
    """A row with where it stands, from 0."""

    file: str
    number: int
    content: dict[str, Any]

    @property
    def where(self) -> str:
        """The row's place, for messages."""
        return f"{self.file}, row {self.number}"

    @property
    def extra_info(self) -> dict[str, Any]:
        """The row's `extra_info`; empty where it has none."""
        return self.content.get("extra_info") or {}


def count(file: str) -> int:
    """Rows of a parquet file. Raises ConfigError for a file that is none."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return int(pq.read_metadata(file).num_rows)
    except (pa.ArrowInvalid, OSError) as error:
        raise ConfigError(f"{file}: cannot be read as parquet: {error}") from error


def sample(files: Sequence[str], most: int) -> list[Row]:
    """At most `most` rows, the same number of each file and evenly spread in it, the first and the last among them.

    Raises ConfigError for a file that is no parquet.
    """
    return [row for file in files for row in _spread(file, max(1, most // len(files)))]


def _spread(file: str, most: int) -> list[Row]:
    import pyarrow.dataset as ds

    rows = count(file)
    numbers = sorted({round(i * (rows - 1) / max(1, most - 1)) for i in range(min(rows, most))})
    if rows <= most:
        numbers = list(range(rows))
    table = ds.dataset(Path(file), format="parquet").take(numbers) if numbers else None
    return [Row(file, number, content) for number, content in zip(numbers, table.to_pylist() if table else [], strict=True)]
