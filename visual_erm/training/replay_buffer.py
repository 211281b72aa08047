"""StrictReplayBuffer: it hands the rollouts of a step to the update, and stops the run when some are lost.

veRL logs a rollout or a reward that raised, pads the batch with what is left and goes on. This buffer counts instead:
a step gets as many scored rollouts as it asked for, or the run stops and says why. A validation, which veRL averages over
what is left, may lose a share. The buffer is also the one place that sees all rewards of a step together. So it normalises
those of tasks with `scoring.mode: batch`, and hands their means to veRL's loggers.

    trainer.v1.sampler.custom_sampler={path: pkg://visual_erm.training.replay_buffer, name: StrictReplayBuffer}
    trainer.v1.sampler.sampler_kwargs={max_lost_rollouts: 0, max_lost_validation_share: 0.01, stall_timeout_s: 1800,
                                       poll_s: 0.1, rollouts: 64, validation_rollouts: 1,
                                       abort_file: …/rollout_log/abort_reason.txt}
"""

from __future__ import annotations

import logging
import time
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from visual_erm.data.row_contract import task_of
from visual_erm.errors import InfrastructureError
from visual_erm.judge.usage import PERCENTILES, percentile
from visual_erm.reward.scoring import ScoredSample, batch_rewards
from visual_erm.spec.base import plain
from visual_erm.spec.task import Task, load_tasks
from visual_erm.training.verl_internals import KVBatchMeta, ReplayBuffer, get_tensordict, kv_batch_get, kv_batch_put

log = logging.getLogger(__name__)

VALIDATION = "val"
"""veRL's name of the set of rollouts that validate."""
LOST_SHARE = "lost_share"
"""Name in veRL's validation metrics of the share of rollouts that a validation batch lost."""
SUMMED_PREFIXES = ("guard_", "judge_")
"""Beginnings of the names of numbers that are summed over a step."""
TIMED = ("judge_queue_ms", "judge_call_ms")


class RolloutsLost(InfrastructureError):
    """A step lost more rollouts than it may, or none has finished for too long."""


class StrictReplayBuffer(ReplayBuffer):
    """veRL's synchronous replay buffer, which counts.

    Its settings are `sampler_kwargs`:

    max_lost_rollouts: rollouts that a step may lose; they are padded, and counted in `reward/lost`.
    max_lost_validation_share: share of the rollouts of a validation batch (`data.val_batch_size`, by default all) that may
        be lost, 0 to 1; it is logged, and in veRL's metrics as `val-aux/<data_source>/lost_share/mean@<n>`.
    stall_timeout_s: seconds without a finished prompt after which the run stops.
    poll_s: seconds between two looks; veRL's own 2 s are most of a step on a small machine.
    rollouts: rollouts per prompt in training.
    validation_rollouts: rollouts per prompt in validation.
    abort_file: file that the reward function writes when the run must stop.
    batch_task: the run's task or mixture, where its `scoring.mode` is `batch`; null otherwise.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        settings = self.sampler_kwargs
        self.max_lost_rollouts = int(settings["max_lost_rollouts"])
        self.stall_timeout_s = float(settings["stall_timeout_s"])
        self.poll_interval = float(settings["poll_s"])
        self.rollouts = int(settings["rollouts"])
        self.max_lost_validation_share = float(settings["max_lost_validation_share"])
        self.validation_rollouts = int(settings["validation_rollouts"])
        self.abort_file = Path(settings["abort_file"])
        self.tasks = load_tasks(plain(settings["batch_task"])) if settings.get("batch_task") else {}
        self._finished: tuple[int, float] = (0, time.monotonic())

    def sample(self, global_steps: int, partition_id: str, batch_size: int) -> tuple[KVBatchMeta, dict[str, Any]]:
        """Waits for the rollouts of a step, or of a validation batch.

        Args:
            global_steps: Number of the step.
            partition_id: veRL's name of the set: `train` or `val`.
            batch_size: Prompts of the step.

        Returns:
            The rollouts, and veRL's numbers with the means of the rewards' numbers and what each guard counted. Of a
            validation veRL takes no numbers from here: the lost share is with the numbers of its rollouts.

        Raises:
            RolloutsLost: Rollouts are missing or stalled, or the reward function asked for a stop.
        """
        self._finished = (0, time.monotonic())
        batch, metrics = super().sample(global_steps, partition_id, batch_size)
        rewarded = _rewarded(batch)
        lost = self._asked(partition_id, batch_size) - len(rewarded)
        self._check_lost(lost, partition_id, batch_size)
        if lost > 0:
            log.warning("step %d lost %d rollouts of partition `%s`; see further up why", global_steps, lost, partition_id)
        if partition_id == VALIDATION:
            _add_number(batch, rewarded, LOST_SHARE, lost / self._asked(partition_id, batch_size))
            return batch, metrics
        numbers = list(rewarded.values())
        if self.tasks:
            for sample, reward in zip(numbers, normalise(batch, self.tasks), strict=True):
                sample["score"] = reward
        return batch, {**metrics, "reward/lost": lost, **means(numbers), **counts(numbers), **percentiles(numbers)}

    def _select_prompt_uids(self, partition_id: str, sampleable_keys: set[str], batch_size: int) -> Any:
        """Counts the rollouts of the prompts that veRL takes for the step, before veRL makes do with what is there."""
        self._check_abort()
        selected, rollouts, steps = super()._select_prompt_uids(partition_id, sampleable_keys, batch_size)
        chosen = set(selected)
        found = sum(key.split("_")[0] in chosen for key in rollouts)
        self._check_lost(self._asked(partition_id, batch_size) - found, partition_id, batch_size)
        return selected, rollouts, steps

    def _asked(self, partition_id: str, batch_size: int) -> int:
        """Returns the number of rollouts that so many prompts ask for."""
        return batch_size * (self.validation_rollouts if partition_id == VALIDATION else self.rollouts)

    def _check_lost(self, lost: int, partition_id: str, batch_size: int) -> None:
        asked = self._asked(partition_id, batch_size)
        most: float = self.max_lost_rollouts
        which, limit = "step's", f"max_lost_rollouts={self.max_lost_rollouts}"
        if partition_id == VALIDATION:
            most = self.max_lost_validation_share * asked
            which, limit = "validation's", f"max_lost_validation_share={self.max_lost_validation_share:g}"
        if lost > most or lost == asked:
            raise RolloutsLost(
                f"{lost} of the {which} {asked} rollouts failed or were not scored, more than {limit}; "
                "the traceback of each is further up in the log"
            )

    def _wait_for_next_poll(self, partition_id: str, last_debug_time: float) -> float:
        self._check_abort()
        count = len(self.finished_keys[partition_id]) + len(self.failure_keys[partition_id])
        now = time.monotonic()
        if count != self._finished[0]:
            self._finished = (count, now)
        if now - self._finished[1] > self.stall_timeout_s:
            running = len(self.running_keys[partition_id]) + len(self.pending_keys[partition_id])
            raise RolloutsLost(
                f"no prompt has finished for {self.stall_timeout_s:g} s, {running} are under way; see the log"
            )
        return super()._wait_for_next_poll(partition_id, last_debug_time)

    def _check_abort(self) -> None:
        if self.abort_file.is_file():
            raise RolloutsLost(self.abort_file.read_text(encoding="utf-8").strip())


def _rewarded(batch: KVBatchMeta) -> dict[str, dict[str, float]]:
    """Reads what the reward function returned, by key of the rollout; rollouts without a reward are left out."""
    found = kv_batch_get(keys=batch.keys, partition_id=batch.partition_id, select_fields=["extra_fields"])
    fields = [getattr(value, "data", value) for value in found["extra_fields"]]
    numbers = {key: field.get("reward_extra_info") for key, field in zip(batch.keys, fields, strict=True)}
    return {key: dict(found) for key, found in numbers.items() if found}


def _add_number(batch: KVBatchMeta, rewarded: Mapping[str, dict[str, float]], name: str, value: float) -> None:
    """Adds a number to those that the reward function returned for each rollout, from which veRL makes its metrics."""
    place = {"keys": list(rewarded), "partition_id": batch.partition_id}
    found = kv_batch_get(**place, select_fields=["extra_fields"])
    fields = [getattr(field, "data", field) for field in found["extra_fields"]]
    changed = [
        {**field, "reward_extra_info": {**numbers, name: value}}
        for field, numbers in zip(fields, rewarded.values(), strict=True)
    ]
    kv_batch_put(**place, fields=get_tensordict({"extra_fields": changed}))


def normalise(batch: KVBatchMeta, tasks: Mapping[str, Task]) -> list[float]:
    """Puts the rewards of the whole batch in place of those that each rollout got by itself.

    Args:
        batch: The rollouts of a step, in TransferQueue.
        tasks: The run's tasks by name.

    Returns:
        The new rewards, see `visual_erm.reward.scoring.batch_rewards`. Rollouts without a reward are left out.
    """
    numbers = _rewarded(batch)
    place = {"keys": list(numbers), "partition_id": batch.partition_id}
    found = kv_batch_get(**place, select_fields=["rm_scores", "data_source"])
    sources = [getattr(value, "data", value) for value in found["data_source"]]
    names = [task_of(tasks, source, f"rollout {key}") for key, source in zip(numbers, sources, strict=True)]
    rewards = batch_rewards(
        [
            ScoredSample.from_numbers(sample, name, tasks[name].scoring)
            for sample, name in zip(numbers.values(), names, strict=True)
        ]
    )
    scores = [torch.zeros_like(row) for row in found["rm_scores"].unbind()]
    for row, reward in zip(scores, rewards, strict=True):
        # veRL's own place for it: the last token of the response.
        row[-1] = reward
    nested = torch.nested.as_nested_tensor(scores, layout=torch.jagged)
    kv_batch_put(**place, fields=get_tensordict({"rm_scores": nested}))
    return rewards


def means(numbers: list[dict[str, float]]) -> dict[str, float]:
    """Averages each number over the rollouts.

    >>> means([{"score": 1.0, "render_ok": 1.0}, {"score": 0.0, "render_ok": 0.0}])
    {'reward/score/mean': 0.5, 'reward/render_ok/mean': 0.5}

    Args:
        numbers: The numbers of each rollout by name.

    Returns:
        The means, as `reward/<name>/mean`. A rollout without a number does not count for it.
    """
    values = defaultdict(list)
    for sample in numbers:
        for name, value in sample.items():
            values[name].append(float(value))
    return {f"reward/{name}/mean": sum(found) / len(found) for name, found in values.items()}


def counts(numbers: list[dict[str, float]]) -> dict[str, float]:
    """Adds up how many rollouts each guard flagged, and how many calls the judge made, saved and lost.

    >>> counts([{"score": 0.0, "guard_blank": 1.0}, {"score": 1.0, "guard_blank": 0.0}])
    {'reward/guard_blank/count': 1.0}

    Args:
        numbers: The numbers of each rollout by name.

    Returns:
        The sums of the numbers that begin like `SUMMED_PREFIXES`, as `reward/<name>/count`.
    """
    found: dict[str, float] = defaultdict(float)
    for sample in numbers:
        for name, value in sample.items():
            if name.startswith(SUMMED_PREFIXES) and not name.endswith(("_ms", "_ok")):
                found[f"reward/{name}/count"] += float(value)
    return dict(found)


def percentiles(numbers: list[dict[str, float]]) -> dict[str, float]:
    """Computes percentiles of the times in `TIMED`, in milliseconds.

    >>> percentiles([{"judge_call_ms": 3.0, "score": 1.0}, {"judge_call_ms": 1.0, "score": 0.0}])
    {'reward/judge_call_ms/p50': 3.0, 'reward/judge_call_ms/p95': 3.0}

    Args:
        numbers: The numbers of each rollout by name.

    Returns:
        Median and 95th percentile, as `reward/<name>/p50` and `reward/<name>/p95`; empty without rollouts.
    """
    found = {name: [float(sample[name]) for sample in numbers] for name in numbers[0] if name in TIMED} if numbers else {}
    return {
        f"reward/{name}/{label}": percentile(values, share)
        for name, values in found.items()
        for label, share in PERCENTILES.items()
    }
