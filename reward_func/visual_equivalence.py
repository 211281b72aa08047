"""The visual-equivalence reward, as veRL calls it.

    reward.custom_reward_function.path=reward_func/visual_equivalence.py
    reward.custom_reward_function.reward_kwargs={task: table, judge: local}

veRL awaits `compute_score` for every rollout, in several Ray actors, each with its own event loop. Each actor gets one
pipeline (one browser, one judge), made with its first sample.
"""

from __future__ import annotations

import asyncio
import functools
import json
import os
import socket
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

from visual_erm.errors import ConfigError, OurFault
from visual_erm.judge import load_judge_settings
from visual_erm.pipeline import Reference, Result, RewardPipeline
from visual_erm.settings import plain
from visual_erm.task import load_task

FATAL = "fatal.txt"
"""File in the journal's folder that holds why a run must stop; the launcher watches it."""


async def compute_score(
    data_source: str,
    solution_str: str,
    ground_truth: Any,
    extra_info: Mapping[str, Any],
    *,
    task: str | Mapping[str, Any],
    judge: str | Mapping[str, Any] = "local",
    journal: str | None = None,
    data_root: str | None = None,
) -> dict[str, float]:
    """The reward of one rollout, with the numbers behind it; the same keys for every sample.

    Args:
        data_source: the row's `data_source`; recorded only.
        solution_str: the policy's reply.
        ground_truth: ignored: the reward sees pictures only.
        extra_info: the row's `extra_info`; `reference` holds {"bytes": …} or {"path": … relative to `data_root`}.
        task: a task by name, file or mapping.
        judge: judge settings by name, URL, file or mapping.
        journal: folder for one JSON line per call, in one file per worker.
        data_root: folder of the data set.

    Returns:
        `score` (range: see `visual_erm.score.reward`), `render_ok`, `severity`, one `<category>_count` per category,
        `judge_ok`, `truncated` (0 or 1), and `extract_ms`, `render_ms`, `judge_ms`.

    Raises:
        ConfigError: the row has no reference, or a setting is wrong.
        OurFault: the judge failed and the settings say stop; the reason is also in the journal's `fatal.txt`.
    """
    pipeline = _pipeline(_key(task), _key(judge))
    try:
        result = await pipeline.score(solution_str, _reference(extra_info, data_root))
    except OurFault as fault:
        if journal:
            _stop(Path(journal), f"{type(fault).__name__}: {fault}")
        raise
    numbers = result.numbers(pipeline.task)
    if journal:
        _record(journal, data_source, solution_str, extra_info, pipeline, result, numbers)
    return numbers


_pipelines: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[tuple[str, str], RewardPipeline]] = WeakKeyDictionary()


def _pipeline(task: str, judge: str) -> RewardPipeline:
    """The pipeline of the running event loop for these settings."""
    mine = _pipelines.setdefault(asyncio.get_running_loop(), {})
    if (task, judge) not in mine:
        mine[task, judge] = RewardPipeline(load_task(json.loads(task)), load_judge_settings(json.loads(judge)))
    return mine[task, judge]


def _key(settings: str | Mapping[str, Any]) -> str:
    return json.dumps(plain(settings), sort_keys=False)


def _reference(extra_info: Mapping[str, Any], data_root: str | None) -> Reference:
    reference = extra_info.get("reference") or {}
    if reference.get("bytes"):
        return bytes(reference["bytes"])
    if reference.get("path"):
        return Path(data_root or ".") / reference["path"]
    row = extra_info.get("index", "?")
    raise ConfigError(f"row {row}: `extra_info.reference` holds neither `bytes` nor `path`; make the data with data_prep/")


@functools.cache
def _journal_file(folder: str, pid: int) -> Path:
    Path(folder).mkdir(parents=True, exist_ok=True)
    return Path(folder) / f"{socket.gethostname()}-{pid}.jsonl"


def _record(
    journal: str,
    data_source: str,
    reply: str,
    extra_info: Mapping[str, Any],
    pipeline: RewardPipeline,
    result: Result,
    numbers: dict[str, float],
) -> None:
    row = {
        "time": time.time(),
        "index": extra_info.get("index"),
        "split": extra_info.get("split"),
        "data_source": data_source,
        **numbers,
        "reason": result.reason,
        "reply": reply,
        "report": result.report.wire(pipeline.task.report) if result.report else None,
    }
    with _journal_file(journal, os.getpid()).open("a", encoding="utf-8") as lines:
        lines.write(json.dumps(row, ensure_ascii=False) + "\n")


def _stop(journal: Path, reason: str) -> None:
    journal.mkdir(parents=True, exist_ok=True)
    (journal / FATAL).write_text(reason + "\n", encoding="utf-8")
