"""The journal: one JSON line per scored rollout, in one file per reward worker, and the reason why a run must stop.

It is an independent book of the rewards: training counts its lines against veRL's steps, and watches for the reason.
"""

from __future__ import annotations

import functools
import json
import os
import socket
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

FATAL = "fatal.txt"
"""File in the journal's folder that holds why a run must stop; the launcher watches it."""


def worker_file(folder: Path | str) -> Path:
    """This process's own file in a folder, which is made if need be."""
    return _worker_file(str(folder), os.getpid())


@functools.cache
def _worker_file(folder: str, pid: int) -> Path:
    Path(folder).mkdir(parents=True, exist_ok=True)
    return Path(folder) / f"{socket.gethostname()}-{pid}.jsonl"


def record(
    folder: str, data_source: str, reply: str, extra_info: Mapping[str, Any], numbers: Mapping[str, float], **more: Any
) -> None:
    """Adds the line of a rollout: which row it answers, its numbers, its reply, and whatever `more` there is."""
    row = {
        "time": time.time(),
        "index": extra_info.get("index"),
        "split": extra_info.get("split"),
        # Updates behind the policy that wrote the reply, as veRL's rollout server counts them; books.py goes by it.
        "policy_updates": extra_info.get("global_steps"),
        "data_source": data_source,
        **numbers,
        "reply": reply,
        **more,
    }
    # In ASCII: a reply may hold what some readers take for the end of a line (U+2028), or what no file can hold (U+D800).
    with worker_file(folder).open("a", encoding="utf-8") as lines:
        lines.write(json.dumps(row) + "\n")


def stop(folder: str, fault: Exception) -> None:
    """Leaves the reason why the run must stop."""
    Path(folder).mkdir(parents=True, exist_ok=True)
    (Path(folder) / FATAL).write_text(f"{type(fault).__name__}: {fault}\n", encoding="utf-8")
