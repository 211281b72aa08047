"""The rows of a data set that a policy is evaluated on, read when it is their turn.

data = DataRows([Path("test.parquet")], tasks=None, root=None)
row = data.load(data.keys[0])
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any, TypeVar

from visual_erm.data.row_contract import check_files, reference_of
from visual_erm.data.stored_rows import StoredRows, find_task, images_of, prompt_of
from visual_erm.errors import ConfigError
from visual_erm.jobs.rows import BadRow
from visual_erm.spec.task import Task, load_tasks

T = TypeVar("T")


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
        return self._found(prompt_of)

    def images(self) -> list[bytes | Path]:
        """Images of the prompt, encoded or as files, in their order. Raises BadRow."""
        return self._found(images_of)

    def _found(self, find: Callable[[Mapping[str, Any]], T]) -> T:
        try:
            return find(self.content)
        except BadRow as error:
            raise BadRow(f"{self.key.place}: {error}") from error


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
        self._files = [StoredRows(path) for path in files]
        self._roots = [str(root or path.parent) for path in files]
        self.tasks: dict[str, Task] = dict(tasks or {})
        self.keys: list[RowKey] = []
        for number in range(len(files)):
            self._find_keys(number, any_task=tasks is None)
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
        return self.keys[number] if 0 <= number < len(self._files[0]) else None

    def load(self, key: RowKey) -> DataRow:
        """Reads a row.

        Args:
            key: One of `keys`.

        Returns:
            The row.

        Raises:
            BadRow: It cannot be read.
        """
        try:
            content = self._files[key.file].read(key.number)
        except BadRow as error:
            raise BadRow(f"{key.place}: {error}") from error
        return DataRow(key, content, self._roots[key.file])

    def _find_keys(self, file: int, any_task: bool) -> None:
        rows = self._files[file]
        rows.check_columns(("data_source", "extra_info"))
        for number, content in enumerate(rows.parts(("data_source", "extra_info.index", "extra_info.split"))):
            self.keys.append(self._key(file, number, f"{rows.path}, row {number}", content, any_task))

    def _key(self, file: int, number: int, place: str, content: Mapping[str, Any], any_task: bool) -> RowKey:
        source, extra = content.get("data_source"), content.get("extra_info") or {}
        task = find_task(self.tasks, source, place, any_task)
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
