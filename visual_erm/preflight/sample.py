"""Rows of parquet files without reading all of them: a few, spread over each file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from visual_erm.errors import ConfigError

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True)
class SampledRow:
    """A row of a file, with its number from 0."""

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
    """Counts the rows of a parquet file.

    Args:
        file: Path of the file.

    Returns:
        The number of rows.

    Raises:
        ConfigError: The file cannot be read as parquet.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return int(pq.read_metadata(file).num_rows)
    except (pa.ArrowInvalid, OSError) as error:
        raise ConfigError(f"{file}: cannot be read as parquet: {error}") from error


@dataclass(frozen=True)
class SampledFile:
    """Rows of a file."""

    file: str
    numbers: list[int]
    """Number of each row, from 0."""
    table: pa.Table
    """The rows, with the schema and the metadata of the file."""

    def rows(self) -> list[SampledRow]:
        """Returns the rows as Python objects."""
        contents = self.table.to_pylist()
        return [SampledRow(self.file, number, content) for number, content in zip(self.numbers, contents, strict=True)]


def sample(files: Sequence[str], most: int) -> list[SampledFile]:
    """Takes rows of files: the same number of each, evenly spread in it, with its first and last row.

    Args:
        files: Paths of parquet files that hold rows.
        most: Rows to take, at most; but at least one of each file.

    Returns:
        The rows of each file.

    Raises:
        ConfigError: A file cannot be read as parquet.
    """
    return [_spread(file, max(1, most // len(files))) for file in files]


def _spread(file: str, most: int) -> SampledFile:
    import pyarrow.dataset as ds

    rows = count(file)
    numbers = sorted({round(i * (rows - 1) / max(1, most - 1)) for i in range(min(rows, most))})
    if rows <= most:
        numbers = list(range(rows))
    return SampledFile(file, numbers, ds.dataset(Path(file), format="parquet").take(numbers))
