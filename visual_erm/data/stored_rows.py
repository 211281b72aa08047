"""StoredRows: the rows of one parquet file, read when it is their turn.

    rows = StoredRows(Path("test.parquet"))
    content = rows.read(7)
    prompt_of(content), images_of(content)

Images of a large data set do not fit into memory, so a file's row groups are read as they are asked for.
"""

from __future__ import annotations

import threading
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from cachetools import LRUCache

from visual_erm.data.row_contract import task_of
from visual_erm.errors import ConfigError
from visual_erm.jobs.rows import BadRow
from visual_erm.spec.base import shipped
from visual_erm.spec.task import Task, load_task

COLUMNS = ("data_source", "prompt", "images", "reward_model", "extra_info")
"""Columns of a row that are read."""
GROUPS_KEPT = 2
"""Row groups of a file that are kept in memory: rows are read in about their order."""
MAKE = "make the data with data_prep/"


class StoredRows:
    """The rows of a parquet file, as data_prep makes them. May be read from several threads.

    Args:
        path: The file.

    Raises:
        ConfigError: The file cannot be read, or holds no row.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._file = pq.ParquetFile(path)
        except (pa.ArrowInvalid, OSError) as error:
            raise ConfigError(f"{path}: cannot be read as parquet: {error}; {MAKE}") from error
        metadata = self._file.metadata
        if not metadata.num_rows:
            raise ConfigError(f"{path}: holds no rows")
        sizes = [metadata.row_group(number).num_rows for number in range(metadata.num_row_groups)]
        self._starts = [0, *accumulate(sizes)]
        self._groups: LRUCache[int, pa.Table] = LRUCache(GROUPS_KEPT)
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return self._starts[-1]

    def check_columns(self, needed: Sequence[str]) -> None:
        """Checks that columns are there, and hold what they must.

        Args:
            needed: Their names, of COLUMNS.

        Raises:
            ConfigError: One is missing, or holds something else.
        """
        schema = self._file.schema_arrow
        for name in needed:
            if name not in schema.names:
                raise ConfigError(f"{self.path}: has no column `{name}`; {MAKE}")
            kind = schema.field(name).type
            if name == "data_source" and not (pa.types.is_string(kind) or pa.types.is_large_string(kind)):
                raise ConfigError(f"{self.path}: the column `{name}` must hold text, found {kind}; {MAKE}")
            if name == "extra_info" and not pa.types.is_struct(kind):
                raise ConfigError(f"{self.path}: the column `{name}` must hold mappings, found {kind}; {MAKE}")

    def parts(self, columns: Sequence[str]) -> Iterator[Mapping[str, Any]]:
        """Reads small columns of all rows.

        Args:
            columns: Their names, for example `extra_info.index`. Those that are not there are left out.

        Yields:
            What each row holds of them, in the order of the rows.

        Raises:
            ConfigError: The file cannot be read.
        """
        try:
            for batch in self._file.iter_batches(columns=list(columns)):
                yield from batch.to_pylist()
        except (pa.ArrowInvalid, OSError) as error:
            raise ConfigError(f"{self.path}: cannot be read as parquet: {error}") from error

    def read(self, number: int) -> Mapping[str, Any]:
        """Reads a row.

        Args:
            number: From 0 to `len(self) - 1`.

        Returns:
            Its COLUMNS; those that are not there are left out.

        Raises:
            BadRow: It cannot be read.
        """
        group = bisect_right(self._starts, number) - 1
        with self._lock:
            table = self._groups.get(group)
            if table is None:
                names = [name for name in COLUMNS if name in self._file.schema_arrow.names]
                try:
                    table = self._groups[group] = self._file.read_row_group(group, columns=names)
                except (pa.ArrowInvalid, OSError) as error:
                    raise BadRow(f"cannot be read: {error}") from error
        (content,) = table.slice(number - self._starts[group], 1).to_pylist()
        return content  # type: ignore[no-any-return]


def prompt_of(content: Mapping[str, Any]) -> list[dict[str, str]]:
    """Finds the messages of a row's prompt.

    Args:
        content: The row.

    Returns:
        Messages with `role` and `content`; `<image>` in a content is the place of an image.

    Raises:
        BadRow: The row has none.
    """
    found = content.get("prompt")
    if not isinstance(found, list) or not found:
        raise BadRow("`prompt` must be a list of messages with `role` and `content`")
    if not all(isinstance(one, dict) and one.get("role") and isinstance(one.get("content"), str) for one in found):
        raise BadRow("each message of `prompt` needs a `role`, and a text as `content`")
    return [{"role": str(one["role"]), "content": one["content"]} for one in found]


def images_of(content: Mapping[str, Any]) -> list[bytes | Path]:
    """Finds the images of a row's prompt, where veRL takes them from: their bytes, or a path as it is.

    Args:
        content: The row.

    Returns:
        Encoded images or files, in their order.

    Raises:
        BadRow: `images` holds something else.
    """
    found = content.get("images") or []
    if not isinstance(found, list):
        raise BadRow("`images` must be a list")
    return [_image(one) for one in found]


def _image(one: object) -> bytes | Path:
    content = one if isinstance(one, Mapping) else {}
    if content.get("bytes"):
        return bytes(content["bytes"])
    path = content.get("image") or content.get("path")
    if isinstance(path, str) and path:
        return Path(path.removeprefix("file://"))
    raise BadRow("`images` must hold mappings with `bytes`, or with a path under `image`")


def find_task(tasks: dict[str, Task], source: object, place: str, any_task: bool) -> str:
    """Finds the task of a row.

    Args:
        tasks: Tasks by name. A shipped one that the row names is added.
        source: The row's `data_source`.
        place: Names the row in messages.
        any_task: Take the shipped task that the row names. Else it must be one of `tasks`; a single one is that of all
            rows.

    Returns:
        The name of the task.

    Raises:
        ConfigError: There is no such task.
    """
    if not any_task:
        return task_of(tasks, source, place)
    if source not in tasks:
        tasks[str(source)] = _shipped_task(source, place)
    return str(source)


def _shipped_task(name: object, place: str) -> Task:
    known = sorted(file.stem for file in (shipped("configs") / "task").glob("*.yaml"))
    if name not in known:
        raise ConfigError(f"{place}: `data_source` is {name!r}, no shipped task; give the task's file as --task")
    return load_task(str(name))
