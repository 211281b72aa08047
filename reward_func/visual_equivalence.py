"""The visual-equivalence reward, as veRL calls it.

    reward.custom_reward_function.path=reward_func/visual_equivalence.py
    reward.custom_reward_function.reward_kwargs={task: table, judge: local}

veRL awaits `compute_score` for every rollout, in several Ray actors, each with its own event loop. Each actor gets one
judge and, for each task of the run, one pipeline (one browser or sandbox), started with its first sample.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

from visual_erm.data.row_contract import check_renderer, reference_of, task_of
from visual_erm.errors import ConfigError, InfrastructureError
from visual_erm.judge.usage import JudgeStats, publish
from visual_erm.pipeline import RewardPipeline, pipelines_of
from visual_erm.reward import rollout_log as journals
from visual_erm.runtime import gc_tuning
from visual_erm.spec.base import plain
from visual_erm.spec.judge import JudgeSettings, load_judge_settings
from visual_erm.spec.task import Task, load_tasks

NOTE_S = 30.0
"""Between two lines about the judge in a worker's log."""


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
    reward_router_address: str | None = None,
    reward_model_tokenizer: Any = None,
) -> dict[str, float]:
    """The reward of one rollout, with the numbers behind it; the same keys for every sample.

    Args:
        data_source: the row's `data_source`; picks the task when there are several.
        solution_str: the policy's reply.
        ground_truth: ignored: the reward sees images only.
        extra_info: the row's `extra_info`; `reference` holds {"bytes": …} or {"path": … relative to `data_root`}, and
            `renderer_version` what rendered it, if that is known.
        task: a task or a mixture by name, file or mapping.
        judge: judge settings by name, URL, file or mapping.
        journal: folder for one JSON line per call, in one file per worker.
        data_root: folder of the data set.
        reward_router_address: host and port of the reward model that veRL runs itself, for `judge: colocated`.
        reward_model_tokenizer: ignored.

    Returns:
        `score` (range: see `visual_erm.reward.scoring.reward`), `render_ok`, `severity`, one `<category>_count` per category of any
        task of the run, `scored_ok`, `void` (worth the minimum, whatever the severity), `truncated` (0 or 1), one
        `guard_<name>` per guard, what the judgement cost as `judge_calls`, `judge_cached`, … (see
        `visual_erm.judge.usage.JudgeUsage`), and `extract_ms`, `render_ms`, `judge_ms`, `guard_ms`.

    Raises:
        ConfigError: a setting is wrong, or the row has no reference or no task, or was rendered by another version.
        InfrastructureError: the judge failed and the settings say stop.
        The reason of either is also in the journal's `fatal.txt`.
    """
    try:
        run = _run(_key(task), _key(judge), reward_router_address)
        where = f"row {extra_info.get('index', '?')}"
        pipeline = run.pipeline(data_source, extra_info, where)
        with gc_tuning.sample():
            result = await pipeline.score(solution_str, reference_of(extra_info, data_root, where))
    except (ConfigError, InfrastructureError) as fault:
        if journal:
            journals.stop(journal, fault)
        raise
    numbers = result.numbers(run.categories)
    run.totals.add(result.account)
    if journal:
        report = result.report.wire(pipeline.task.report) if result.report else None
        journals.record(journal, data_source, solution_str, extra_info, numbers, reason=result.reason, report=report)
        run.note(Path(journal))
    return numbers


class _Run:
    """What an event loop scores with: the tasks of the run, a pipeline for each, and one judge for all."""

    def __init__(self, tasks: dict[str, Task], settings: JudgeSettings) -> None:
        self.tasks = tasks
        self.totals = JudgeStats()
        if settings.metrics_port:
            publish(self.totals, settings.metrics_port)
        self._noted = 0.0
        self.pipelines = pipelines_of(tasks, settings)
        # Of all tasks: veRL takes the first result's keys for all.
        self.categories = list(dict.fromkeys(name for task in tasks.values() for name in task.report.categories))
        self._fit: set[tuple[str, str]] = set()

    def pipeline(self, data_source: str, extra_info: Mapping[str, Any], where: str) -> RewardPipeline:
        """The pipeline of a row's task. Raises ConfigError when the row, which is at `where`, does not fit it."""
        name = task_of(self.tasks, data_source, where)
        pipeline = self.pipelines[name]
        drawn_by = extra_info.get("renderer_version") or ""
        if drawn_by and (name, drawn_by) not in self._fit:
            check_renderer(drawn_by, pipeline.renderer_version, self.tasks, name, where)
            self._fit.add((name, drawn_by))
        return pipeline

    def note(self, journal: Path) -> None:
        """Adds what the judge has done so far to the worker's own log, one JSON line now and then."""
        if time.monotonic() - self._noted < NOTE_S:
            return
        self._noted = time.monotonic()
        with journals.worker_file(journal / "judge").open("a", encoding="utf-8") as lines:
            lines.write(json.dumps({"time": time.time(), **self.totals.summary()}) + "\n")


_runs: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[tuple[str, str, str | None], _Run]] = WeakKeyDictionary()


def _run(task: str, judge: str, router: str | None) -> _Run:
    """What the running event loop scores with under these settings."""
    mine = _runs.setdefault(asyncio.get_running_loop(), {})
    if (task, judge, router) not in mine:
        settings = load_judge_settings(json.loads(judge))
        if settings.kind == "colocated":
            if not router:
                raise ConfigError("judge=colocated, but veRL runs no reward model: set reward.reward_model.enable=true")
            settings = settings.model_copy(update={"endpoints": (f"http://{router}/v1",)})
        mine[task, judge, router] = _Run(load_tasks(json.loads(task)), settings)
    return mine[task, judge, router]


def _key(settings: str | Mapping[str, Any]) -> str:
    return json.dumps(plain(settings), sort_keys=False)
