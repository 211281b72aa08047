"""Real vLLM servers on the CPU behind `visual-erm serve`, with a tiny random Qwen3-VL: what the judge talks to here."""

from __future__ import annotations

import importlib.util
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ports import free_ports

START_S = 600
IN_ONE_PROCESS = {"VLLM_ENABLE_V1_MULTIPROCESSING": "0"}
"""An engine that works by itself: one process less to start, and none that waits for another with a processor."""


def vllm() -> bool:
    """Whether this environment has vLLM."""
    return importlib.util.find_spec("vllm") is not None


@dataclass(frozen=True)
class Served:
    """The command as a process, and the folder it writes to."""

    process: subprocess.Popen[bytes]
    home: Path

    @property
    def endpoints(self) -> Path:
        return self.home / "endpoints.txt"

    @property
    def urls(self) -> list[str]:
        return self.endpoints.read_text().splitlines() if self.endpoints.exists() else []

    @property
    def output(self) -> str:
        return (self.home / "output").read_text(errors="replace")

    def end(self) -> int:
        """In order, as a user would."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(60)

    def wait_for(self, count: int, seconds: float = START_S) -> None:
        """Until `count` servers are listed."""
        deadline = time.monotonic() + seconds
        while len(self.urls) != count:
            if self.process.poll() is not None or time.monotonic() > deadline:
                logs = "\n".join(log.read_text(errors="replace")[-3000:] for log in (self.home / "logs").glob("*"))
                raise RuntimeError(f"not {count} servers within {seconds:g} s:\n{self.output}\n{logs}")
            time.sleep(0.2)


@contextmanager
def served(model: Path, count: int = 1, **environ: str) -> Iterator[Served]:
    """Serves `model` as `visual-erm`, `count` times, once all are healthy. Ends every process and removes every file."""
    home = Path(tempfile.mkdtemp(prefix="vllm-"))
    command = [
        *(sys.executable, "-m", "visual_erm.cli", "serve", model, "--replicas", count),
        *("--host", "127.0.0.1", "--port", free_ports(count), "--max-model-len", 4096, "--max-seqs", 32),
        *("--endpoints-file", home / "endpoints.txt", "--log-dir", home / "logs"),
    ]
    # What vLLM found out about a model's class stays where it always does: finding it out takes a process of its own.
    own = {"TMPDIR": str(home), "VLLM_CONFIG_ROOT": str(home / "config")}
    with (home / "output").open("wb") as out:
        process = subprocess.Popen(
            [*map(str, command)], env={**os.environ, **IN_ONE_PROCESS, **own, **environ}, stdout=out, stderr=out
        )
    running = Served(process, home)
    try:
        running.wait_for(count)
        yield running
    finally:
        if process.poll() is None:
            running.end()
        shutil.rmtree(home)
