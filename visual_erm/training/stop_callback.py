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


def request_stop(run_dir: Path) -> None:
    """Asks a run to save after the step under way, and to end.

    Args:
        run_dir: The run's folder; it is made where it is missing.
    """
    run_dir.mkdir(parents=True, exist_ok=True)
    (run_dir / REQUEST).touch()


def clear_stop_request(run_dir: Path, before: float) -> None:
    """Removes a request that an earlier start of the run got.

    Args:
        run_dir: The run's folder.
        before: Seconds since the epoch. A later request stays.
    """
    request = run_dir / REQUEST
    if request.is_file() and request.stat().st_mtime < before:
        request.unlink()


def stopped_after(run_dir: Path) -> int | None:
    """Tells whether a run stopped because it was asked to.

    Args:
        run_dir: The run's folder.

    Returns:
        The step after which it stopped; None when it did not stop by request.
    """
    request = run_dir / REQUEST
    content = request.read_text(encoding="utf-8") if request.is_file() else ""
    return int(content.removeprefix(SAVED)) if content.startswith(SAVED) else None


class SaveAndStop:
    """veRL's checkpoint callback, in the process of its trainer.

    Args:
        config: The trainer's own configuration. The callback sets `trainer.save_freq` in it.
    """

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
        """Makes the saved step the last one, if a stop was requested. veRL calls it after each checkpoint.

        Args:
            trainer: veRL's trainer; its `total_training_steps` is changed.
            global_step: The step that was saved.
        """
        if self._request.exists() and global_step < trainer.total_training_steps:
            trainer.total_training_steps = global_step
            self._request.write_text(f"{SAVED}{global_step}", encoding="utf-8")
