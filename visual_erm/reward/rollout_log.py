"""The rollout log: one JSON line per scored rollout, in one file per reward worker, and the reason why a run must stop.

The reward functions write it. It is an independent count of the rewards: training compares its lines with veRL's steps, and
stops when the reason is there. The folder may be on a shared file system, so files are written in a thread.

    log = RolloutLog("outputs/run/rollout_log")
    await log.append(row_of("table", reply, extra_info, numbers))
    await log.close()
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import threading
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from visual_erm.runtime.files import write_atomic

ABORT_REASON = "abort_reason.txt"
"""File in the log's folder that holds why a run must stop. Training watches it."""
VALIDATE = "validate"
"""Entry of `extra_info` that says whether veRL validates with the row, see `visual_erm.training.validation_marks`."""


class RolloutLog:
    """This process's file in the folder of a log. The file stays open; lines that wait are written together.

    A line is with the operating system when `append` returns. So a process may be killed at any moment: what was returned
    to veRL is in the file, and at most the last line is cut off, which readers skip.

    Args:
        folder: Folder of the log. It is created with the first line.
    """

    def __init__(self, folder: Path | str) -> None:
        self.file = Path(folder) / f"{socket.gethostname()}-{os.getpid()}.jsonl"
        self._waiting = bytearray()
        self._lock = threading.Lock()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="rollout-log")
        self._descriptor: int | None = None

    async def append(self, row: Mapping[str, Any]) -> None:
        """Adds one line. When the caller is cancelled, the line is written all the same.

        Args:
            row: What JSON can hold.

        Raises:
            OSError: The file cannot be written. The line is kept, and written with the next one.
            RuntimeError: The log is closed.
        """
        # In ASCII: a reply may hold what readers take for the end of a line (U+2028), or what no file can hold (U+D800).
        line = (json.dumps(row) + "\n").encode("ascii")
        with self._lock:
            self._waiting += line
        await asyncio.shield(asyncio.wrap_future(self._thread.submit(self._write)))

    async def close(self) -> None:
        """Writes what waits and closes the file. May be called twice."""
        await asyncio.to_thread(self._thread.shutdown)
        await asyncio.to_thread(self._write)
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)

    def _write(self) -> None:
        """Writes all lines that wait. What a full disk refuses goes on waiting."""
        with self._lock:
            lines, self._waiting = self._waiting, bytearray()
        try:
            if lines and self._descriptor is None:
                self.file.parent.mkdir(parents=True, exist_ok=True)
                self._descriptor = os.open(self.file, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o666)
            while lines:
                assert self._descriptor is not None
                del lines[: os.write(self._descriptor, lines)]
        finally:
            if lines:
                with self._lock:
                    self._waiting = lines + self._waiting


def row_of(
    data_source: str, reply: str, extra_info: Mapping[str, Any], numbers: Mapping[str, float], **more: Any
) -> dict[str, Any]:
    """Returns the line of a rollout.

    Args:
        data_source: The row's `data_source`.
        reply: The policy's reply.
        extra_info: The row's `extra_info`; its `index`, `split`, `validate` and `global_steps` are taken.
        numbers: What the reward function returns for the rollout.
        more: Further entries of the line, for example `reason` and `report`.

    Returns:
        The entries of the line.
    """
    return {
        "time": time.time(),
        "index": extra_info.get("index"),
        "split": extra_info.get("split"),
        VALIDATE: is_validation(extra_info),
        # Updates behind the policy that wrote the reply, as veRL's rollout server counts them; the run ledger reads it.
        "policy_updates": extra_info.get("global_steps"),
        "data_source": data_source,
        **numbers,
        "reply": reply,
        **more,
    }


def is_validation(row: Mapping[str, Any]) -> bool:
    """Tells whether veRL validates the policy with a rollout, and does not train on it.

    Args:
        row: The row's `extra_info`, or its line in the rollout log.

    Returns:
        What veRL said. Where nobody asked veRL (another recipe, a line of an older version): whether the row's own `split`
        is `test`.
    """
    validate = row.get(VALIDATE)
    return row.get("split") == "test" if validate is None else bool(validate)


def write_abort_reason(folder: Path | str, fault: Exception) -> None:
    """Writes down why the run must stop. Readers see the whole reason or none.

    Args:
        folder: Folder of the log.
        fault: The reason; its type and message are written.

    Raises:
        OSError: The file cannot be written.
    """
    write_atomic(Path(folder) / ABORT_REASON, f"{type(fault).__name__}: {fault}\n")
