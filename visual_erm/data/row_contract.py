"""Checks that a row of the data fits the run: its task, its reference, its ground truth, and what rendered its reference.

Two versions of a renderer may render the same code differently, and a policy would be trained on that difference. Preflight
checks whole files; the reward functions check each row.

    name = task_of(tasks, row["data_source"], "row 7")
    image = reference_of(row["extra_info"], data_root, "row 7")
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from visual_erm.errors import ConfigError
from visual_erm.render.base import make_renderer
from visual_erm.spec.task import Task


def task_of(tasks: Mapping[str, Task], data_source: object, where: str) -> str:
    """Finds the task of a row.

    Args:
        tasks: The run's tasks by name.
        data_source: The row's `data_source`.
        where: Names the row in messages, for example `row 7`.

    Returns:
        The name of the task: `data_source`, or that of the only task there is.

    Raises:
        ConfigError: No task has that name.
    """
    if len(tasks) == 1:
        return next(iter(tasks))
    if data_source not in tasks:
        raise ConfigError(f"{where}: `data_source` is {data_source!r}, none of the run's tasks: {', '.join(tasks)}")
    return str(data_source)


def reference_of(
    extra_info: Mapping[str, Any], data_root: str | None, where: str, allow_outside: bool = False
) -> bytes | Path:
    """Finds the reference image of a row.

    Args:
        extra_info: The row's `extra_info`; `reference` holds `bytes` or `path`.
        data_root: Folder that `path` starts from; None: the working directory.
        where: Names the row in messages.
        allow_outside: Take files outside of `data_root` too, also those that a link in it leads to. By default they are an
            error: data of others must not name the files of this machine.

    Returns:
        The encoded image, or its file.

    Raises:
        ConfigError: The row has no reference, or its file is outside.
    """
    reference = extra_info.get("reference") or {}
    if not isinstance(reference, Mapping):
        raise ConfigError(
            f"{where}: `extra_info.reference` must be a mapping with `bytes` or `path`, found {type(reference).__name__}; "
            'write {"path": "images/1.png"}, or make the data with data_prep/'
        )
    content, path = reference.get("bytes"), reference.get("path")
    if isinstance(content, bytes | bytearray | memoryview) and content:
        return bytes(content)
    if isinstance(path, str) and path:
        root = Path(data_root or ".")
        if not allow_outside and not _is_inside(root / path, root):
            raise ConfigError(
                f"{where}: `extra_info.reference.path` is {path!r}, outside of the folder {root.absolute()}; give a folder "
                "that holds all references as data_root, or set allow_outside_data_root=true, both in reward_kwargs"
            )
        return root / path
    for name, value, wanted in (("bytes", content, "bytes of an image"), ("path", path, "text")):
        if value:
            raise ConfigError(f"{where}: `extra_info.reference.{name}` must be {wanted}, found {type(value).__name__}")
    raise ConfigError(f"{where}: `extra_info.reference` holds neither `bytes` nor `path`; make the data with data_prep/")


def truth_of(ground_truth: object, where: str) -> str:
    """Finds the code that the reference of a row was rendered from.

    Args:
        ground_truth: The row's `reward_model.ground_truth`.
        where: Names the row in messages.

    Returns:
        The code.

    Raises:
        ConfigError: The row has no code.
    """
    if isinstance(ground_truth, str) and ground_truth.strip():
        return ground_truth
    raise ConfigError(
        f"{where}: `reward_model.ground_truth` holds no code, and this reward compares with it; make the data from code "
        "(data_prep/tables.py markup or pubtabnet, charts.py scripts, svgs.py documents), or take a reward that looks at "
        "images: reward=visual_erm, dino_similarity or ssim"
    )


def check_renderer_version(
    rendered_by: str, renderer_version: str, tasks: Mapping[str, Task], name: str, where: str
) -> None:
    """Checks that what rendered a reference also renders the replies.

    Args:
        rendered_by: Name and version of what rendered the row's reference.
        renderer_version: Name and version of what renders here.
        tasks: The run's tasks by name.
        name: The row's task. Its `render.allow_renderer_mismatch` allows any difference.
        where: Names the row in messages.

    Raises:
        ConfigError: They differ.
    """
    if rendered_by == renderer_version or tasks[name].render.allow_renderer_mismatch:
        return
    key = f"task.tasks.{name}" if len(tasks) > 1 else "task"
    raise ConfigError(
        f"{where}: its reference was rendered by `{rendered_by}`, but `{renderer_version}` renders here. "
        "Their difference would be held against the policy. Make the data again with data_prep/, or give "
        f"{key}.render.allow_renderer_mismatch=true"
    )


def check_files(files: Iterable[str], tasks: Mapping[str, Task], renders: bool = True) -> None:
    """Checks the rows of data files. Starts no renderer.

    Args:
        files: Paths. Files that do not end in `.parquet` are passed over.
        tasks: The run's tasks by name.
        renders: Replies are rendered, so that it matters what rendered the references.

    Raises:
        ConfigError: A row does not fit; the first one is named.
        RendererUnavailable: Rows say what rendered them, and there is nothing here to render with.
    """
    versions: dict[str, str] = {}
    for file in (file for file in files if file.endswith(".parquet")):
        for (data_source, rendered_by), row in _first_rows(file).items():
            where = f"{file}, row {row}"
            name = task_of(tasks, data_source, where)
            if rendered_by and renders:
                versions[name] = versions.get(name) or make_renderer(tasks[name].render).renderer_version
                check_renderer_version(rendered_by, versions[name], tasks, name, where)


def check_truths(files: Iterable[str]) -> None:
    """Checks that every row of data files holds the code that its reference was rendered from.

    Args:
        files: Paths. Files that do not end in `.parquet` are passed over.

    Raises:
        ConfigError: A row does not; the first one is named.
    """
    for file in (file for file in files if file.endswith(".parquet")):
        for number, row in enumerate(_columns(file, ["reward_model.ground_truth"])):
            truth_of((row.get("reward_model") or {}).get("ground_truth"), f"{file}, row {number}")


def truths_in(files: Iterable[str]) -> Iterator[tuple[str | None, str]]:
    """Reads the code of the references from data files, a batch of rows at a time.

    Args:
        files: Paths of parquet files.

    Yields:
        `data_source` and `reward_model.ground_truth` of each row that has code.

    Raises:
        ConfigError: A file cannot be read as parquet.
    """
    for file in files:
        for row in _columns(file, ["data_source", "reward_model.ground_truth"]):
            if code := (row.get("reward_model") or {}).get("ground_truth"):
                yield row.get("data_source"), code


def _is_inside(path: Path, folder: Path) -> bool:
    """Whether a path leads into a folder, with all links followed. A path that no file can have does not."""
    try:
        return path.resolve().is_relative_to(folder.resolve())
    except (OSError, RuntimeError, ValueError):
        return False


def _first_rows(file: str) -> dict[tuple[str | None, str], int]:
    """Each `data_source` and `extra_info.renderer_version` of a file, with the first row that has both, from 0."""
    found: dict[tuple[str | None, str], int] = {}
    for number, row in enumerate(_columns(file, ["data_source", "extra_info.renderer_version"])):
        rendered_by = (row.get("extra_info") or {}).get("renderer_version") or ""
        found.setdefault((row.get("data_source"), rendered_by), number)
    return found


def _columns(file: str, columns: list[str]) -> Iterator[dict[str, Any]]:
    """These columns of all rows of a parquet file, read a batch at a time; those that it lacks are left out."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(file) as parquet:
            for batch in parquet.iter_batches(columns=columns):
                yield from batch.to_pylist()
    except (pa.ArrowInvalid, OSError) as error:
        raise ConfigError(f"{file}: cannot be read as parquet: {error}") from error
