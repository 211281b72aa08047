"""`RewardFunction`: one scorer per event loop and settings, the rollout log, and the reason why a run must stop.

REWARD = RewardFunction(make_scorer)

async def compute_score(data_source, solution_str, ground_truth, extra_info, *, task, rollout_log=None):
    rollout = Rollout(data_source, solution_str, ground_truth, extra_info)
    return await REWARD.score(rollout, rollout_log, task=task)

close = REWARD.close
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol
from weakref import WeakKeyDictionary

from PIL import Image

from visual_erm.data.row_contract import check_renderer_version
from visual_erm.errors import ConfigError, InfrastructureError, boundary
from visual_erm.reward.rollout_log import RolloutLog, row_of, write_abort_reason
from visual_erm.reward.turns import ASKED, ENDED, Turn, Turns
from visual_erm.runtime import gc_tuning
from visual_erm.spec.base import plain
from visual_erm.spec.task import Task

log = logging.getLogger(__name__)

STATUS_S = 30.0
"""Seconds between two lines about the judge in a worker's log."""


@dataclass(frozen=True)
class Rollout:
    """What veRL passes to a reward function."""

    data_source: str
    reply: str
    ground_truth: Any
    extra_info: Mapping[str, Any]

    @property
    def name(self) -> str:
        """Names the row in messages."""
        return f"row {self.extra_info.get('index', '?')}"

    @property
    def is_turn(self) -> bool:
        """Whether the policy may answer again, and asks what to revise."""
        return ASKED in self.extra_info


@dataclass(frozen=True)
class Scored:
    """What a scorer says of one rollout."""

    numbers: dict[str, float]
    """What `compute_score` returns."""
    details: dict[str, Any] = field(default_factory=dict)
    """Further entries of its line in the rollout log."""
    feedback: str = ""
    """What to tell the policy before it answers again; empty where nothing is known, or `Rollout.is_turn` is False."""
    image: Image.Image | None = field(default=None, repr=False)
    """What the code renders to, beside `feedback`."""


class Scorer(Protocol):
    """Scores the rollouts of a run under one set of settings. Used from one event loop."""

    async def score(self, rollout: Rollout) -> Scored:
        """Scores one rollout. Raises ConfigError for a row that does not fit, InfrastructureError to stop the run."""
        ...

    def status(self) -> dict[str, Any] | None:
        """Returns what the worker's judge has done so far, as plain JSON; None where there is no judge."""
        ...

    async def close(self) -> None:
        """Ends everything that the scorer started."""
        ...


class _Worker:
    """What one event loop scores with."""

    def __init__(self) -> None:
        self.scorers: dict[str, Scorer] = {}
        self.logs: dict[Path, RolloutLog] = {}
        self.status_at = 0.0

    def log_in(self, folder: Path) -> RolloutLog:
        if folder not in self.logs:
            self.logs[folder] = RolloutLog(folder)
        return self.logs[folder]


class RewardFunction:
    """A reward as veRL calls it.

    Args:
        make_scorer: Called once per event loop and settings, with the settings as keywords. May raise ConfigError.
    """

    def __init__(self, make_scorer: Callable[..., Scorer]) -> None:
        self._make_scorer = make_scorer
        self._workers: WeakKeyDictionary[asyncio.AbstractEventLoop, _Worker] = WeakKeyDictionary()

    async def score(self, rollout: Rollout, rollout_log: str | None, **settings: Any) -> dict[str, Any]:
        """Scores one rollout and writes its line. Of a rollout with several turns, see `visual_erm.reward.turns`.

        Args:
            rollout: What veRL passed.
            rollout_log: Folder of the rollout log; None: none is written.
            settings: Passed to `make_scorer`; mappings may be those of OmegaConf.

        Returns:
            The numbers, see `visual_erm.adapter`. The line is in the log by then. Of one turn, the `Turn` beside them, and
            no line.

        Raises:
            ConfigError: A setting is wrong, or the row does not fit.
            InfrastructureError: The run must stop. The reason of either is in the log's folder.
        """
        worker = self._workers.setdefault(asyncio.get_running_loop(), _Worker())
        try:
            with boundary("reward function"), gc_tuning.track_sample():
                scorer = self._scorer(worker, settings)
                turns: Turns | None = rollout.extra_info.get(ENDED)
                if turns is None:
                    scored = await scorer.score(rollout)
                else:
                    rollout = replace(rollout, reply=turns.rewarded.reply)
                    scored = Scored(turns.numbers(), turns.details())
            if rollout.is_turn:
                turn = Turn(rollout.reply, scored.numbers, scored.details, scored.feedback, scored.image)
                return {**scored.numbers, ASKED: turn}
            if rollout_log:
                with boundary("rollout log"):
                    await self._write(worker, scorer, rollout, scored, Path(rollout_log))
        except (ConfigError, InfrastructureError) as fault:
            if rollout_log:
                await _leave_reason(rollout_log, fault)
            raise
        return scored.numbers

    async def close(self) -> None:
        """Ends what the running event loop scored with, and closes its logs. The next rollout starts all of it again."""
        worker = self._workers.pop(asyncio.get_running_loop(), None)
        if worker is not None:
            await asyncio.gather(*(scorer.close() for scorer in worker.scorers.values()))
            await asyncio.gather(*(one.close() for one in worker.logs.values()))

    def _scorer(self, worker: _Worker, settings: Mapping[str, Any]) -> Scorer:
        key = json.dumps(plain(settings))
        if key not in worker.scorers:
            worker.scorers[key] = self._make_scorer(**settings)
        return worker.scorers[key]

    async def _write(self, worker: _Worker, scorer: Scorer, rollout: Rollout, scored: Scored, folder: Path) -> None:
        row = row_of(rollout.data_source, rollout.reply, rollout.extra_info, scored.numbers, **scored.details)
        await worker.log_in(folder).append(row)
        status = scorer.status()
        if status is not None and time.monotonic() - worker.status_at >= STATUS_S:
            worker.status_at = time.monotonic()
            await worker.log_in(folder / "judge").append({"time": time.time(), **status})


class RendererCheck:
    """Checks rows against the renderers that are used here, each combination once.

    Args:
        tasks: The run's tasks by name.
    """

    def __init__(self, tasks: Mapping[str, Task]) -> None:
        self._tasks = tasks
        self._passed: set[tuple[str, str]] = set()

    def check(self, rollout: Rollout, task: str, renderer_version: str) -> None:
        """Checks what rendered the reference of one row.

        Args:
            rollout: The row. Without `renderer_version` in its `extra_info` it passes.
            task: Name of its task.
            renderer_version: What renders here.

        Raises:
            ConfigError: Another renderer made the reference.
        """
        rendered_by = rollout.extra_info.get("renderer_version") or ""
        if rendered_by and (task, rendered_by) not in self._passed:
            check_renderer_version(rendered_by, renderer_version, self._tasks, task, rollout.name)
            self._passed.add((task, rendered_by))


async def _leave_reason(folder: str, fault: Exception) -> None:
    """Writes why the run must stop. Where even that fails, the log says so: the reason itself is raised all the same."""
    try:
        await asyncio.to_thread(write_abort_reason, folder, fault)
    except OSError as error:
        log.error("the reason why the run stops cannot be written to %s: %s", folder, error)
