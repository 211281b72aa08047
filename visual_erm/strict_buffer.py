"""StrictReplayBuffer: what stands between rollouts and updates, and lets no loss pass in silence.

veRL logs a rollout or a reward that raised, pads the batch with what is left and goes on. This buffer counts instead:
a step gets as many scored rollouts as it asked for, or the run stops and says why. It is also the one place that sees
all rewards of a step together, so it hands their means to veRL's loggers.

    trainer.v1.sampler.custom_sampler={path: pkg://visual_erm.strict_buffer, name: StrictReplayBuffer}
    trainer.v1.sampler.sampler_kwargs={max_lost: 0, stall_s: 1800, poll_s: 0.1, rollouts: 64, fatal: …/journal/fatal.txt}
"""

from __future__ import annotations

import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import transfer_queue
from transfer_queue import KVBatchMeta
from verl.trainer.ppo.v1.replay_buffer import ReplayBuffer

from visual_erm.errors import OurFault


class RolloutsLost(OurFault):
    """A step lost more rollouts than it may, or none has finished for too long."""


class StrictReplayBuffer(ReplayBuffer):
    """veRL's synchronous replay buffer, with the sampler's settings:

    max_lost: rollouts that a step may lose; they are padded, and counted in `reward/lost`.
    stall_s: seconds without a finished prompt after which the run stops.
    poll_s: seconds between two looks; veRL's own 2 s are most of a step on a small machine.
    rollouts: rollouts per prompt.
    fatal: file that the reward function writes when the run must stop.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        settings = self.sampler_kwargs
        self.max_lost = int(settings["max_lost"])
        self.stall_s = float(settings["stall_s"])
        self.poll_interval = float(settings["poll_s"])
        self.rollouts = int(settings["rollouts"])
        self.fatal = Path(settings["fatal"])
        self._finished: tuple[int, float] = (0, time.monotonic())

    def sample(self, global_steps: int, partition_id: str, batch_size: int) -> tuple[KVBatchMeta, dict[str, Any]]:
        """The rollouts of `batch_size` prompts, and the means of their rewards' numbers.

        Raises RolloutsLost when rollouts are missing or stalled, or the reward function asked for a stop.
        """
        self._finished = (0, time.monotonic())
        batch, metrics = super().sample(global_steps, partition_id, batch_size)
        if partition_id == "val":
            return batch, metrics
        numbers = reward_numbers(batch)
        lost = batch_size * self.rollouts - len(numbers)
        self._check_lost(lost, batch_size)
        return batch, {**metrics, "reward/lost": lost, **means(numbers)}

    def _select_prompt_uids(self, partition_id: str, sampleable_keys: set[str], batch_size: int) -> Any:
        """Counts the rollouts of the prompts that veRL takes for the step, before veRL makes do with what is there."""
        self._check_fatal()
        selected, rollouts, steps = super()._select_prompt_uids(partition_id, sampleable_keys, batch_size)
        if partition_id != "val":
            chosen = set(selected)
            found = sum(key.split("_")[0] in chosen for key in rollouts)
            self._check_lost(batch_size * self.rollouts - found, batch_size)
        return selected, rollouts, steps

    def _check_lost(self, lost: int, batch_size: int) -> None:
        if lost > self.max_lost:
            raise RolloutsLost(
                f"{lost} of the step's {batch_size * self.rollouts} rollouts failed or were not scored, more than "
                f"max_lost={self.max_lost}; the traceback of each is further up in the log"
            )

    def _wait_for_next_poll(self, partition_id: str, last_debug_time: float) -> float:
        self._check_fatal()
        count = len(self.finished_keys[partition_id]) + len(self.failure_keys[partition_id])
        now = time.monotonic()
        if count != self._finished[0]:
            self._finished = (count, now)
        if now - self._finished[1] > self.stall_s:
            running = len(self.running_keys[partition_id]) + len(self.pending_keys[partition_id])
            raise RolloutsLost(f"no prompt has finished for {self.stall_s:g} s, {running} are under way; see the log")
        return super()._wait_for_next_poll(partition_id, last_debug_time)

    def _check_fatal(self) -> None:
        if self.fatal.is_file():
            raise RolloutsLost(self.fatal.read_text(encoding="utf-8").strip())


def reward_numbers(batch: KVBatchMeta) -> list[dict[str, float]]:
    """What the reward function returned for each rollout of a batch; rollouts without a reward are left out."""
    found = transfer_queue.kv_batch_get(keys=batch.keys, partition_id=batch.partition_id, select_fields=["extra_fields"])
    fields = [getattr(value, "data", value) for value in found["extra_fields"]]
    return [field["reward_extra_info"] for field in fields if field.get("reward_extra_info")]


def means(numbers: list[dict[str, float]]) -> dict[str, float]:
    """The mean of each number over the rollouts, as `reward/<name>/mean`.

    >>> means([{"score": 1.0, "render_ok": 1.0}, {"score": 0.0, "render_ok": 0.0}])
    {'reward/score/mean': 0.5, 'reward/render_ok/mean': 0.5}
    """
    values = defaultdict(list)
    for sample in numbers:
        for name, value in sample.items():
            values[name].append(float(value))
    return {f"reward/{name}/mean": sum(found) / len(found) for name, found in values.items()}
