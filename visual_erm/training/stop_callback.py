"""Stopping a run after the step under way, saved: a time limit or a person asks for it by a file in the run's folder.

    touch RUN_DIR/stop

veRL 0.9 saves every so many steps and at the end only; its notice of a machine's end of time is for its older trainer. Here
its callback for checkpoints makes the step under way one that is saved, and the last.

    trainer.checkpoint_callback_class=visual_erm.training.stop_callback.SaveAndStop
"""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

REQUEST = "stop"
POLL_S = 1.0
SAVED = "saved step "


def ask_to_stop(run_dir: Path) -> None:
    """Asks the run in that folder to save after the step under way, and to end."""
    run_dir.mkdir(parents=True, exist_ok=True)
    (run_dir / REQUEST).touch()


def forget(run_dir: Path, before: float) -> None:
    """Removes what an earlier start of the run was asked: before that time, in seconds since the epoch."""
    request = run_dir / REQUEST
    if request.is_file() and request.stat().st_mtime < before:
        request.unlink()


def stopped_after(run_dir: Path) -> int | None:
    """The step after which the run stopped because it was asked to; None when it did not."""
    request = run_dir / REQUEST
    said = request.read_text(encoding="utf-8") if request.is_file() else ""
    return int(said.removeprefix(SAVED)) if said.startswith(SAVED) else None


class SaveAndStop:
    """veRL's checkpoint callback, in the process of its trainer, whose configuration it shares."""

    def __init__(self, config: DictConfig) -> None:
        self._config = config
        self._request = Path(config.run_dir) / REQUEST
        threading.Thread(target=self._watch, daemon=True).start()

    def _watch(self) -> None:
        while not self._request.exists():
            time.sleep(POLL_S)
        # The trainer looks at it after every step.
        self._config.trainer.save_freq = 1

    def on_save(self, trainer: Any, global_step: int, **_: Any) -> None:
        """After a checkpoint: the step was the last one, if that was asked for."""
        if self._request.exists() and global_step < trainer.total_training_steps:
            trainer.total_training_steps = global_step
            self._request.write_text(f"{SAVED}{global_step}", encoding="utf-8")
