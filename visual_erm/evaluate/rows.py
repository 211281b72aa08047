"""The rows of a data set that a policy is evaluated on, read when it is their turn.

    data = DataRows([Path("test.parquet")], tasks=None, root=None)
    row = data.load(data.keys[0])

Images of a large data set do not fit into memory, so a file's row groups are read as they are asked for.
"""

from __future__ import annotations

import threading
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cachetools import LRUCache

from visual_erm.data.row_contract import check_files, reference_of, task_of
from visual_erm.errors import ConfigError
from visual_erm.jobs.rows import BadRow
from visual_erm.spec.base import shipped
from visual_erm.spec.task import Task, load_task, load_tasks

if TYPE_CHECKING:
    import pyarrow.parquet as pq

COLUMNS = ("data_source", "prompt", "images", "reward_model", "extra_info")
"""Columns of a row that are read."""
GROUPS_KEPT = 2
"""Row groups of a file that are kept in memory: rows are read in about their order."""


@dataclass(frozen=True)
class RowKey:
    """Where a row is, and what names it."""

    file: int
    """Number of its file, from 0."""
    number: int
    """Number of the row in its file, from 0."""
    index: int | str
    """`extra_info.index`; the number of the row where there is none."""
    split: str | None
    source: str
    """`data_source`."""
    task: str
    """Name of the row's task."""
    place: str
    """Names the row in messages."""


@dataclass(frozen=True)
class DataRow:
    """What a row holds."""

    key: RowKey
    content: Mapping[str, Any]
    root: str

    @property
    def extra_info(self) -> Mapping[str, Any]:
        """The row's `extra_info`; empty where there is none."""
        found = self.content.get("extra_info")
        return found if isinstance(found, Mapping) else {}

    @property
    def truth(self) -> str:
        """Code that the reference was rendered from; empty where the row has none."""
        found = self.content.get("reward_model")
        code = found.get("ground_truth") if isinstance(found, Mapping) else None
        return code if isinstance(code, str) and code.strip() else ""

    def reference(self) -> bytes | Path:
        """Finds the reference image. Raises BadRow where there is none."""
        try:
            return reference_of(self.extra_info, self.root, self.key.place)
        except ConfigError as error:
            raise BadRow(str(error).replace("as data_root, or set", "as --root, or set")) from error

    def prompt(self) -> list[dict[str, str]]:
        """Messages of the prompt. Raises BadRow."""
        found = self.content.get("prompt")
        if not isinstance(found, list) or not found:
            raise BadRow(f"{self.key.place}: `prompt` must be a list of messages with `role` and `content`")
        if not all(isinstance(one, dict) and one.get("role") and isinstance(one.get("content"), str) for one in found):
            raise BadRow(f"{self.key.place}: each message of `prompt` needs a `role`, and a text as `content`")
        return found

    def images(self) -> list[bytes | Path]:
        """Images of the prompt, encoded or as files, in their order. Raises BadRow."""
        found = self.content.get("images") or []
        if not isinstance(found, list):
            raise BadRow(f"{self.key.place}: `images` must be a list")
        return [self._image(one) for one in found]

    def _image(self, one: object) -> bytes | Path:
        """An image from where veRL takes it: its bytes, or a path as it is."""
        content = one if isinstance(one, Mapping) else {}
        if content.get("bytes"):
            return bytes(content["bytes"])
        path = content.get("image") or content.get("path")
        if isinstance(path, str) and path:
            return Path(path.removeprefix("file://"))
        raise BadRow(f"{self.key.place}: `images` must hold mappings with `bytes`, or with a path under `image`")


class DataRows:
    """The rows of parquet files, as data_prep makes them. May be read from several threads.

    Args:
        files: The files.
        tasks: Tasks by `data_source`; a single one is that of all rows. None: the shipped tasks that the rows name.
        root: Folder that paths of references start from; None: that of each file.

    Raises:
        ConfigError: A file cannot be read or holds no row, a row names an unknown task, or two rows have one index.
        RendererUnavailable: Rows say what rendered them, and there is nothing here to render with.
    """

    def __init__(self, files: Sequence[Path], tasks: Mapping[str, Task] | None, root: Path | None) -> None:
        self._files = [_open(path) for path in files]
        self._roots = [str(root or path.parent) for path in files]
        self._starts = [_starts(file) for file in self._files]
        self._groups: LRUCache[tuple[int, int], Any] = LRUCache(GROUPS_KEPT)
        self._lock = threading.Lock()
        self.tasks: dict[str, Task] = dict(tasks or {})
        self.keys: list[RowKey] = []
        for number, path in enumerate(files):
            self._find_keys(number, path, any_task=tasks is None)
        self._by_name: dict[tuple[int | str, str | None, str], RowKey] = {}
        for key in self.keys:
            other = self._by_name.setdefault((key.index, key.split, key.source), key)
            if other is not key:
                raise ConfigError(
                    f"{key.place}: its `extra_info.index` is {key.index}, as that of {other.place}; give each row its own"
                )
        check_files([str(path) for path in files], self.tasks)

    def find(self, index: object, split: object, source: object) -> RowKey | None:
        """Finds a row by its name.

        Args:
            index: Its `extra_info.index`.
            split: Its `extra_info.split`.
            source: Its `data_source`.

        Returns:
            Its key; None where there is no such row.
        """
        if not isinstance(index, int | str) or isinstance(index, bool):
            return None
        return self._by_name.get((index, None if split is None else str(split), str(source)))

    def at(self, number: int) -> RowKey | None:
        """Finds a row by its place.

        Args:
            number: From 0, in the first file.

        Returns:
            Its key; None where there is no such row.
        """
        in_range = 0 <= number < self._starts[0][-1]
        return self.keys[number] if in_range else None

    def load(self, key: RowKey) -> DataRow:
        """Reads a row.

        Args:
            key: One of `keys`.

        Returns:
            The row.

        Raises:
            BadRow: It cannot be read.
        """
        import pyarrow as pa

        starts, file = self._starts[key.file], self._files[key.file]
        group = bisect_right(starts, key.number) - 1
        with self._lock:
            table = self._groups.get((key.file, group))
            if table is None:
                names = [name for name in COLUMNS if name in file.schema_arrow.names]
                try:
                    table = self._groups[key.file, group] = file.read_row_group(group, columns=names)
                except (pa.ArrowInvalid, OSError) as error:
                    raise BadRow(f"{key.place}: cannot be read: {error}") from error
        (content,) = table.slice(key.number - starts[group], 1).to_pylist()
        return DataRow(key, content, self._roots[key.file])

    def _find_keys(self, file: int, path: Path, any_task: bool) -> None:
        import pyarrow as pa

        columns = ["data_source", "extra_info.index", "extra_info.split"]
        number = 0
        try:
            for batch in self._files[file].iter_batches(columns=columns):
                for content in batch.to_pylist():
                    self.keys.append(self._key(file, number, f"{path}, row {number}", content, any_task))
                    number += 1
        except (pa.ArrowInvalid, OSError) as error:
            raise ConfigError(f"{path}: cannot be read as parquet: {error}") from error
        if not number:
            raise ConfigError(f"{path}: holds no rows")

    def _key(self, file: int, number: int, place: str, content: Mapping[str, Any], any_task: bool) -> RowKey:
        source, extra = content.get("data_source"), content.get("extra_info") or {}
        if any_task and source not in self.tasks:
            self.tasks[str(source)] = _shipped_task(source, place)
        task = str(source) if any_task else task_of(self.tasks, source, place)
        index = extra.get("index")
        return RowKey(
            file, number, index if isinstance(index, int | str) else number, extra.get("split"), str(source), task, place
        )


def tasks_of(given: Sequence[str]) -> dict[str, Task] | None:
    """Reads the tasks that a command was given.

    Args:
        given: Names or YAML files of tasks and mixtures.

    Returns:
        Tasks by name; None where none is given.

    Raises:
        ConfigError: One is wrong, or two have one name.
    """
    tasks: dict[str, Task] = {}
    for one in given:
        for name, task in load_tasks(one).items():
            if name in tasks:
                raise ConfigError(f"--task {one}: there is another task `{name}`; give each its own name")
            tasks[name] = task
    return tasks or None


def digest_of(reference: bytes | Path) -> str:
    """Says which rows share a reference image.

    Args:
        reference: The encoded image, or its file.

    Returns:
        16 hexadecimal digits; the same for the same content.

    Raises:
        OSError: The file cannot be read.
    """
    content = reference.read_bytes() if isinstance(reference, Path) else reference
    return blake2b(content, digest_size=8).hexdigest()


def _open(path: Path) -> pq.ParquetFile:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        file = pq.ParquetFile(path)
    except (pa.ArrowInvalid, OSError) as error:
        raise ConfigError(f"{path}: cannot be read as parquet: {error}; make the data with data_prep/") from error
    missing = [name for name in ("data_source", "extra_info") if name not in file.schema_arrow.names]
    if missing:
        raise ConfigError(f"{path}: has no column `{missing[0]}`; make the data with data_prep/")
    source, extra = (file.schema_arrow.field(name).type for name in ("data_source", "extra_info"))
    if not (pa.types.is_string(source) or pa.types.is_large_string(source)):
        raise ConfigError(f"{path}: the column `data_source` must hold text, found {source}; make the data with data_prep/")
    if not pa.types.is_struct(extra):
        raise ConfigError(
            f"{path}: the column `extra_info` must hold mappings, found {extra}; make the data with data_prep/"
        )
    return file


def _starts(file: pq.ParquetFile) -> list[int]:
    """Numbers of the first rows of a file's row groups."""
    sizes = [file.metadata.row_group(number).num_rows for number in range(file.metadata.num_row_groups)]
    return [0, *accumulate(sizes)]


def _shipped_task(name: object, place: str) -> Task:
    known = sorted(file.stem for file in (shipped("configs") / "task").glob("*.yaml"))
    if name not in known:
        raise ConfigError(f"{place}: `data_source` is {name!r}, no shipped task; give the task's file as --task")
    return load_task(str(name))
