"""A run's ledger: what the reward function wrote per rollout and veRL per step, kept consistent over restarts.

train.py opens it before a run and closes it after it. A run that goes on from a checkpoint does its later steps again;
what was written of those is set aside first, so that the rollout log and the metrics have every step exactly once.
"""

from __future__ import annotations

import json
import logging
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from visual_erm.errors import VisualERMError
from visual_erm.reward.rollout_log import is_validation
from visual_erm.runtime.files import write_atomic

log = logging.getLogger(__name__)

SUPERSEDED = "superseded"
"""Folder in the rollout log for lines of steps that are done again."""
TRACKER = "latest_checkpointed_iteration.txt"
"""veRL's file with the number of the last step whose checkpoint is complete."""

Row = dict[str, Any]


class RunIncomplete(VisualERMError):
    """The run ended without an error, but not every rollout was scored."""


@dataclass(frozen=True)
class RunLedger:
    """The rollout log of the reward function against the steps that veRL logged: an independent count of the rewards."""

    rollout_log: Path | None
    metrics: Path
    """veRL's file; each start of a run writes it anew."""
    per_step: int
    """Rollouts of one step."""
    resumed: int
    """Step whose checkpoint the run goes on from; 0 when it starts afresh."""

    @classmethod
    def open(cls, config: DictConfig) -> RunLedger:
        """Opens the ledger of a run that is about to start. Lines of steps that the run will do again are set aside.

        Args:
            config: The run's configuration, prepared.

        Returns:
            The ledger.
        """
        folder = config.reward.custom_reward_function.reward_kwargs.rollout_log
        per_step = config.data.train_batch_size * config.actor_rollout_ref.rollout.n
        metrics = Path(config.env.VERL_FILE_LOGGER_PATH)
        ledger = cls(Path(folder) if folder else None, metrics, per_step, checkpoint(config.trainer))
        metrics.parent.mkdir(parents=True, exist_ok=True)
        if ledger.rollout_log:
            (ledger.rollout_log / "abort_reason.txt").unlink(missing_ok=True)
            for file in sorted(ledger.rollout_log.glob("*.jsonl")):
                ledger._set_aside(file)
        kept = [row for row in _metrics(ledger._earlier, metrics) if row["step"] <= ledger.resumed]
        if kept:
            write_atomic(ledger._earlier, _text(map(json.dumps, kept)))
        return ledger

    def close(self) -> None:
        """Puts the metrics of all starts of the run into one file."""
        if self._earlier.is_file():
            write_atomic(self.metrics, _text(map(json.dumps, _metrics(self._earlier, self.metrics))))
            self._earlier.unlink()

    def check(self) -> None:
        """Checks that the rollout log has every rollout of every step once. Without a rollout log nothing is checked.

        Raises:
            RunIncomplete: Rollouts are missing, or there are too many.
        """
        if self.rollout_log is None:
            return
        last = max([self.resumed, *(int(row["data"].get("training/global_step", 0)) for row in _metrics(self.metrics))])
        found = scored(self.rollout_log)
        wrong = [step for step in range(1, last + 1) if found[step] != self.per_step]
        if wrong or sum(found.values()) != last * self.per_step or not last:
            raise RunIncomplete(
                f"{sum(found.values())} rollouts were scored, {last * self.per_step} expected ({last} steps of "
                f"{self.per_step}{f'; step {wrong[0]} has {found[wrong[0]]}' if wrong else ''}); see {self.rollout_log}"
            )
        log.info("%d steps, %d rollouts, every one scored", last, last * self.per_step)

    @property
    def _earlier(self) -> Path:
        """Metrics of earlier starts while a run goes on."""
        return self.metrics.with_suffix(f".earlier{self.metrics.suffix}")

    def _set_aside(self, file: Path) -> None:
        """Takes the lines of steps that will be done again out of a worker's file, and one that was cut off in writing."""
        lines = file.read_text(encoding="utf-8").splitlines()
        rows = [_row(line) for line in lines]
        again = [line for line, row in zip(lines, rows, strict=True) if row is None or not self._is_kept(row)]
        if not again:
            return
        aside = file.parent / SUPERSEDED / file.name
        aside.parent.mkdir(exist_ok=True)
        with aside.open("a", encoding="utf-8") as kept:
            kept.writelines(f"{line}\n" for line in again)
        stay = [line for line, row in zip(lines, rows, strict=True) if row is not None and self._is_kept(row)]
        write_atomic(file, _text(stay))

    def _is_kept(self, row: Row) -> bool:
        return bool(self.resumed) and step_of(row) <= self.resumed


def step_of(row: Row) -> int:
    """Reads the step that a line of the rollout log belongs to. A test belongs to the step whose policy it tests.

    Args:
        row: The line, parsed.

    Returns:
        The step, from 1; 0 for a test before the first one.
    """
    updates = row["policy_updates"] or 0
    return int(updates) + (not is_validation(row))


def scored(rollout_log: Path) -> Counter[int]:
    """Counts the training rollouts in a rollout log.

    Args:
        rollout_log: Folder of the rollout log.

    Returns:
        Number of rollouts by step.
    """
    rows = (_row(line) for file in rollout_log.glob("*.jsonl") for line in file.open(encoding="utf-8"))
    return Counter(step_of(row) for row in rows if row is not None and not is_validation(row))


def checkpoint(trainer: DictConfig) -> int:
    """Finds the step whose checkpoint veRL will go on from.

    Args:
        trainer: The configuration's part `trainer`.

    Returns:
        The step; 0 without a checkpoint.
    """
    if trainer.resume_mode == "resume_path":
        return int(str(trainer.resume_from_path).rstrip("/").rsplit("global_step_", 1)[-1])
    tracker = Path(trainer.default_local_dir) / TRACKER
    if trainer.resume_mode != "auto" or not tracker.is_file():
        return 0
    step = int(tracker.read_text())
    return step if (tracker.parent / f"global_step_{step}").is_dir() else 0


def _metrics(*files: Path) -> list[Row]:
    """Reads veRL's lines, one per step. Where a step is in several files, the later file counts."""
    rows = [_row(line) for file in files if file.is_file() for line in file.open(encoding="utf-8")]
    by_step = {row["step"]: row for row in rows if row is not None}
    return [by_step[step] for step in sorted(by_step)]


def _row(line: str) -> Row | None:
    """Parses a line; None for one that a killed process left half written."""
    try:
        return dict(json.loads(line))
    except ValueError:
        return None


def _text(lines: Iterable[str]) -> str:
    return "".join(f"{line}\n" for line in lines)
