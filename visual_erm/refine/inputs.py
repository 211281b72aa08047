"""What is refined: the rows of a parquet file of data_prep, or pictures with one prompt.

    inputs = ParquetInputs(Path("test.parquet"), root=None, tasks=None)
    sample = inputs.load(inputs.rows[0])

Rows are read when it is their turn: pictures of a large data set do not fit into memory.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, Protocol

from PIL import Image

from visual_erm.data.images import SUFFIXES
from visual_erm.data.prompts import default_prompt
from visual_erm.data.row_contract import reference_of
from visual_erm.data.sources import images
from visual_erm.data.stored_rows import StoredRows, find_task, images_of, prompt_of
from visual_erm.errors import ConfigError, ReferenceUnavailable
from visual_erm.jobs.rows import BadRow, JobRow
from visual_erm.policy.client import IMAGE
from visual_erm.spec.task import Task
from visual_erm.vision.images import load_image


@dataclass(frozen=True)
class Sample:
    """What one row asks for."""

    prompt: list[dict[str, str]]
    """Messages with `role` and `content`; `<image>` in a content is the place of an image."""
    images: list[Image.Image]
    """Images of the prompt in their order."""
    reference: Image.Image


class Inputs(Protocol):
    """Where rows come from."""

    name: str
    """Tells these inputs from others."""
    tasks: dict[str, Task]
    """Tasks by the name that rows have in `task`."""
    rows: list[JobRow]
    """Each with `id` and `task`."""
    problems: list[str]
    """One message for each row that cannot be used."""
    renderers: dict[tuple[str, str], str]
    """Task, and name and version of what rendered references -> the first such row, for messages."""

    def load(self, row: JobRow) -> Sample:
        """Reads a row. May be called from several threads.

        Args:
            row: One of `rows`.

        Returns:
            What it asks for.

        Raises:
            BadRow: The row cannot be used.
        """
        ...


def open_inputs(path: Path, task: Mapping[str, Task] | None, prompt: str | None, root: Path | None) -> Inputs:
    """Opens what is to be refined.

    Args:
        path: A parquet file, a folder of pictures, or one picture.
        task: The task, or the tasks of a mixture; None: those that a parquet file names.
        prompt: What the policy is asked about pictures; None: the prompt of their task.
        root: Folder that paths of references in a parquet file start from; None: its own.

    Returns:
        The inputs.

    Raises:
        ConfigError: There is nothing to refine, or what is given does not fit.
    """
    if path.is_dir() or path.suffix.lower() in SUFFIXES:
        if task is None or len(task) != 1:
            raise ConfigError(f"{path}: pictures do not say what they show; give --task table, chart, svg, or a YAML file")
        return PictureInputs(path, next(iter(task.values())), prompt)
    if prompt is not None:
        raise ConfigError("--prompt is for pictures; the rows of a parquet file have their own")
    return ParquetInputs(path, task, root)


class PictureInputs:
    """Pictures of one task, each asked about with one prompt.

    Args:
        path: A picture, or a folder: every picture in it and below counts.
        task: The task.
        prompt: What the policy is asked; None: the prompt of the task.

    Raises:
        ConfigError: There is no picture, or the prompt has not one place of an image.
    """

    def __init__(self, path: Path, task: Task, prompt: str | None) -> None:
        self._prompt = prompt if prompt is not None else default_prompt(task)
        if (count := self._prompt.count(IMAGE)) != 1:
            raise ConfigError(f"the prompt holds {IMAGE} {count} times; write it once, where the image belongs")
        try:
            digest = sha256(self._prompt.encode()).hexdigest()
        except UnicodeEncodeError:
            raise ConfigError("the prompt is no text in UTF-8") from None
        self._folder = path if path.is_dir() else path.parent
        found = [Path(item.where) for item in images(path)] if path.is_dir() else [path]
        self.name = f"{path.name} (prompt {digest[:8]})"
        self.tasks = {task.name: task}
        self.rows = [
            JobRow(str(file), {"id": file.relative_to(self._folder).as_posix(), "task": task.name}) for file in found
        ]
        self.problems: list[str] = []
        self.renderers: dict[tuple[str, str], str] = {}

    def load(self, row: JobRow) -> Sample:
        """Reads a picture; see `Inputs.load`."""
        image = _image(self._folder / row.id, "")
        return Sample([{"role": "user", "content": self._prompt}], [image], image)


class ParquetInputs:
    """The rows of a parquet file, as data_prep makes them.

    Args:
        path: The file.
        tasks: Tasks by `data_source`; a single one is that of all rows. None: the shipped tasks that the rows name.
        root: Folder that paths of references start from; None: that of the file.

    Raises:
        ConfigError: The file cannot be read, holds no row, or lacks a column.
    """

    def __init__(self, path: Path, tasks: Mapping[str, Task] | None, root: Path | None) -> None:
        self._rows = _open(path)
        self._root = str(root or path.parent)
        is_one_task = tasks is not None and len(tasks) == 1
        self._rows.check_columns(("prompt", "images", "extra_info", *(() if is_one_task else ("data_source",))))
        self.name = f"{path.name} ({len(self._rows)} rows, {path.stat().st_size} bytes)"
        self.tasks = dict(tasks or {})
        self.rows: list[JobRow] = []
        self.problems: list[str] = []
        self.renderers: dict[tuple[str, str], str] = {}
        self._find_rows(any_task=tasks is None)

    def load(self, row: JobRow) -> Sample:
        """Reads a row; see `Inputs.load`."""
        content = self._rows.read(int(row.id))
        extra_info = content.get("extra_info")
        try:
            reference = reference_of(extra_info if isinstance(extra_info, dict) else {}, self._root, "")
        except ConfigError as error:
            raise BadRow(str(error).removeprefix(": ")) from error
        return Sample(
            prompt_of(content),
            [_image(one, "`images`: ") for one in images_of(content)],
            _image(reference, "`extra_info.reference`: "),
        )

    def _find_rows(self, any_task: bool) -> None:
        for number, content in enumerate(self._rows.parts(("data_source", "extra_info.renderer_version"))):
            self._add(number, content, any_task)

    def _add(self, number: int, content: Mapping[str, Any], any_task: bool) -> None:
        place, source = f"{self._rows.path}, row {number}", content.get("data_source")
        try:
            task = find_task(self.tasks, source, place, any_task)
        except ConfigError as error:
            self.problems.append(str(error))
            return
        self.rows.append(JobRow(place, {"id": str(number), "task": task}))
        if rendered_by := (content.get("extra_info") or {}).get("renderer_version"):
            self.renderers.setdefault((task, str(rendered_by)), place)


def _open(path: Path) -> StoredRows:
    try:
        return StoredRows(path)
    except ConfigError as error:
        raise ConfigError(f"{error}; or give a folder of pictures") from error


def _image(source: bytes | Path, key: str) -> Image.Image:
    try:
        return load_image(source)
    except ReferenceUnavailable as error:
        # It calls any image that it loads the reference.
        raise BadRow(f"{key}{str(error).removeprefix('reference ')}") from error
