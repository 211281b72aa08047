"""Does a row of the data fit the run? Whose task it is, whether what drew its reference also draws here, and whether what
the reward looks at is in it.

A reference and a prediction that two engines drew differ where the code does not, and a policy would be trained on that
difference. Asked before training, of whole files, and again by the reward function, of each row.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from visual_erm.errors import ConfigError
from visual_erm.render.base import make_renderer
from visual_erm.spec.task import Task


def task_of(tasks: Mapping[str, Task], data_source: object, where: str) -> str:
    """The name of a row's task among `tasks`: its `data_source`, or the only one there is. Raises ConfigError."""
    if len(tasks) == 1:
        return next(iter(tasks))
    if data_source not in tasks:
        raise ConfigError(f"{where}: `data_source` is {data_source!r}, none of the run's tasks: {', '.join(tasks)}")
    return str(data_source)


def reference_of(extra_info: Mapping[str, Any], data_root: str | None, where: str) -> bytes | Path:
    """The encoded reference image of a row, or its file below `data_root`. Raises ConfigError for a row without one."""
    reference = extra_info.get("reference") or {}
    if reference.get("bytes"):
        return bytes(reference["bytes"])
    if reference.get("path"):
        return Path(data_root or ".") / reference["path"]
    raise ConfigError(f"{where}: `extra_info.reference` holds neither `bytes` nor `path`; make the data with data_prep/")


def truth_of(ground_truth: object, where: str) -> str:
    """The code that a row's reference was drawn from. Raises ConfigError for a row without it."""
    if isinstance(ground_truth, str) and ground_truth.strip():
        return ground_truth
    raise ConfigError(
        f"{where}: `reward_model.ground_truth` holds no code, and this reward compares with it; make the data from code "
        "(data_prep/tables.py markup or pubtabnet, charts.py scripts, svgs.py documents), or take a reward that looks at "
        "pictures: reward=visual_erm, dino_similarity or ssim"
    )


def check_renderer(drawn_by: str, renderer_version: str, tasks: Mapping[str, Task], name: str, where: str) -> None:
    """Raises ConfigError when `drawn_by`, which rendered a row's reference for `name`, is not `renderer_version`."""
    if drawn_by == renderer_version or tasks[name].render.allow_engine_mismatch:
        return
    key = f"task.tasks.{name}" if len(tasks) > 1 else "task"
    raise ConfigError(
        f"{where}: its reference was drawn by `{drawn_by}`, but `{renderer_version}` draws here, "
        "and their difference would be held "
        f"against the policy; draw the data again with data_prep/, or give {key}.render.allow_engine_mismatch=true"
    )


def check_files(files: Iterable[str], tasks: Mapping[str, Task], drawn: bool = True) -> None:
    """Raises ConfigError for the first row of parquet files that does not fit.

    `drawn`: replies are drawn, and so it matters what drew the references. Raises RendererUnavailable where rows say what
    drew them and there is nothing here to draw with. Starts nothing.
    """
    engines: dict[str, str] = {}
    for file in (file for file in files if file.endswith(".parquet")):
        for (data_source, drawn_by), row in _first_rows(file).items():
            where = f"{file}, row {row}"
            name = task_of(tasks, data_source, where)
            if drawn_by and drawn:
                engines[name] = engines.get(name) or make_renderer(tasks[name].render).renderer_version
                check_renderer(drawn_by, engines[name], tasks, name, where)


def check_truths(files: Iterable[str]) -> None:
    """Raises ConfigError for the first row of parquet files without the code that its reference was drawn from."""
    for file in (file for file in files if file.endswith(".parquet")):
        for number, row in enumerate(_columns(file, ["reward_model.ground_truth"])):
            truth_of((row.get("reward_model") or {}).get("ground_truth"), f"{file}, row {number}")


def _first_rows(file: str) -> dict[tuple[str | None, str], int]:
    """Each `data_source` and `extra_info.renderer_version` of a file, with the first row that has both, from 0."""
    found: dict[tuple[str | None, str], int] = {}
    for number, row in enumerate(_columns(file, ["data_source", "extra_info.renderer_version"])):
        drawn_by = (row.get("extra_info") or {}).get("renderer_version") or ""
        found.setdefault((row.get("data_source"), drawn_by), number)
    return found


def _columns(file: str, columns: list[str]) -> list[dict[str, Any]]:
    """These columns of all rows of a parquet file; those that it lacks are left out."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(file) as parquet:
            rows: list[dict[str, Any]] = parquet.read(columns=columns).to_pylist()
            return rows
    except (pa.ArrowInvalid, OSError) as error:
        raise ConfigError(f"{file}: cannot be read as parquet: {error}") from error
