"""What the baselines' reward functions share: a pipeline for each task, kept for each event loop, and the journal.

A reward function says what it compares, as a `Baseline`; this module is how veRL's call becomes a number.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

from visual_erm.baselines.pipeline import BaselineResult, ImageMeasure, ImagePipeline, TextMeasure, TextPipeline
from visual_erm.data.row_contract import check_renderer, reference_of, task_of, truth_of
from visual_erm.errors import ConfigError, InfrastructureError
from visual_erm.reward import rollout_log as journals
from visual_erm.runtime import gc_tuning
from visual_erm.spec.base import plain, validate
from visual_erm.spec.judge import FailurePolicy
from visual_erm.spec.task import Task, load_tasks


@dataclass(frozen=True)
class Row:
    """What veRL hands to a reward function."""

    data_source: str
    reply: str
    ground_truth: Any
    extra_info: Mapping[str, Any]

    @property
    def name(self) -> str:
        """For messages."""
        return f"row {self.extra_info.get('index', '?')}"


class Baseline:
    """What an event loop scores with under one set of settings: the tasks of the run, a pipeline for each, one measure."""

    def __init__(self, task: Any, failure: Any) -> None:
        self.tasks: dict[str, Task] = load_tasks(task)
        self.failure = validate(FailurePolicy, failure or {}, "failure")

    async def score(self, row: Row) -> BaselineResult:
        """The reward of a row's reply. Raises ConfigError for a row that does not fit, InfrastructureError when the run must stop."""
        raise NotImplementedError

    async def close(self) -> None:
        """Ends everything that the baseline started."""
        raise NotImplementedError


class TextBaseline(Baseline):
    """Compares code with the row's ground truth."""

    def __init__(self, task: Any, failure: Any, measure: TextMeasure) -> None:
        super().__init__(task, failure)
        self._measure = measure
        self._pipelines = {name: TextPipeline(task, measure, self.failure) for name, task in self.tasks.items()}

    async def score(self, row: Row) -> BaselineResult:
        pipeline = self._pipelines[task_of(self.tasks, row.data_source, row.name)]
        truth = truth_of(row.ground_truth, row.name)
        try:
            return await pipeline.score(row.reply, truth)
        except ConfigError as error:
            raise ConfigError(f"{row.name}: {error}; mend its code, or take the row out") from error

    async def close(self) -> None:
        await self._measure.close()


class ImageBaseline(Baseline):
    """Compares the image that a reply's code draws with the row's reference."""

    def __init__(self, task: Any, failure: Any, measure: ImageMeasure, data_root: str | None) -> None:
        super().__init__(task, failure)
        self._measure = measure
        self._data_root = data_root
        self._pipelines = {name: ImagePipeline(task, measure, self.failure) for name, task in self.tasks.items()}

    async def score(self, row: Row) -> BaselineResult:
        name = task_of(self.tasks, row.data_source, row.name)
        pipeline = self._pipelines[name]
        drawn_by = row.extra_info.get("renderer_version") or ""
        if drawn_by:
            check_renderer(drawn_by, pipeline.renderer_version, self.tasks, name, row.name)
        return await pipeline.score(row.reply, reference_of(row.extra_info, self._data_root, row.name))

    async def close(self) -> None:
        await asyncio.gather(self._measure.close(), *(pipeline.close() for pipeline in self._pipelines.values()))


_baselines: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[str, Baseline]] = WeakKeyDictionary()


async def score(
    row: Row, journal: str | None, make: Callable[..., Baseline], settings: Mapping[str, Any]
) -> dict[str, float]:
    """The numbers of a row, with its line in the journal, by what `make(**settings)` returns.

    That is made once per event loop and settings. Raises ConfigError and InfrastructureError; their reason is then in the journal too.
    """
    try:
        mine = _baselines.setdefault(asyncio.get_running_loop(), {})
        key = json.dumps([make.__module__, make.__name__, plain(settings)])
        if key not in mine:
            mine[key] = make(**settings)
        with gc_tuning.sample():
            scored = await mine[key].score(row)
    except (ConfigError, InfrastructureError) as fault:
        if journal:
            journals.stop(journal, fault)
        raise
    numbers = scored.numbers()
    if journal:
        journals.record(journal, row.data_source, row.reply, row.extra_info, numbers, reason=scored.reason)
    return numbers


async def close() -> None:
    """Ends what the running event loop scored with."""
    for baseline in _baselines.pop(asyncio.get_running_loop(), {}).values():
        await baseline.close()
