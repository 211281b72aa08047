"""Comparisons in processes of their own: a hostile text can use up the time of its comparison, and nothing else.

    {"measure": "teds", "prediction": "<table>…", "truth": "<table>…"}  ->  [0.87, [], ""], or {"error": "…"}

One JSON line in, one out, over the process's standard input and output; it ends when its input does, whatever became of
the reward worker. A comparison over its CPU time ends its process, and the next one starts another.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import resource
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from visual_erm.baselines.similarity import Similarity
from visual_erm.errors import ComparisonFailed, ConfigError

MEMORY_BYTES = 4 * 2**30
"""Bytes of address space that a process may have."""
ROOT = Path(__file__).resolve().parents[2]
"""Folder in which a process finds this package."""
MAX_LINE_BYTES = 2**24
"""Largest number of bytes of an answer, far above any."""


class Workers:
    """Processes that compare, started when needed. Use it from one event loop.

    Args:
        count: The most processes.
        timeout_s: CPU seconds that one comparison may take.
    """

    def __init__(self, count: int, timeout_s: float) -> None:
        self._places = asyncio.Semaphore(count)
        self._timeout_s = timeout_s
        self._idle: list[asyncio.subprocess.Process] = []
        self._all: set[asyncio.subprocess.Process] = set()

    async def compare(self, **job: Any) -> Similarity:
        """Compares in a process.

        Args:
            job: `measure`, the name of the comparison, and its arguments.

        Returns:
            The similarity.

        Raises:
            ConfigError: The ground truth is wrong.
            ComparisonFailed: The comparison took too long, or lost its process.
        """
        async with self._places:
            process = self._idle.pop() if self._idle else await self._start()
            try:
                answer = await _ask(process, job)
            except BaseException:
                self._discard(process)
                raise
            if answer is None:
                over = await process.wait() == -signal.SIGPROF
                self._all.discard(process)
                why = f"took more than {self._timeout_s:g} s of CPU time" if over else "lost its process"
                raise ComparisonFailed(f"the comparison of a prediction with its ground truth {why}")
            self._idle.append(process)
        if isinstance(answer, dict):
            raise ConfigError(answer["error"])
        value, flags, reason = answer
        return Similarity(value, frozenset(flags), reason)

    async def close(self) -> None:
        """Ends every process. May be called twice."""
        for process in list(self._all):
            self._discard(process)
            await process.wait()
        self._idle.clear()

    async def _start(self) -> asyncio.subprocess.Process:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "visual_erm.baselines.worker_pool",
            str(self._timeout_s),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            limit=MAX_LINE_BYTES,
            cwd=ROOT,
        )
        self._all.add(process)
        return process

    def _discard(self, process: asyncio.subprocess.Process) -> None:
        self._all.discard(process)
        with contextlib.suppress(ProcessLookupError):
            process.kill()


async def _ask(process: asyncio.subprocess.Process, job: dict[str, Any]) -> Any:
    """The answer, or None when the process ended over the job."""
    assert process.stdin and process.stdout
    try:
        process.stdin.write(json.dumps(job).encode() + b"\n")
        await process.stdin.drain()
        line = await process.stdout.readline()
    except (BrokenPipeError, ConnectionResetError):
        return None
    return json.loads(line) if line.endswith(b"\n") else None


# In the process


def serve(timeout_s: float) -> None:
    """Answers jobs from standard input until there are no more. A job that takes too long ends the process by SIGPROF.

    Args:
        timeout_s: CPU seconds that one comparison may take.
    """
    from visual_erm.baselines.edit_distance import edit_similarity
    from visual_erm.baselines.teds import teds_reward

    measures: dict[str, Callable[..., Similarity]] = {
        "teds": teds_reward,
        "edit_distance": lambda **texts: Similarity(edit_similarity(**texts)),
    }
    # What a deep tree or a long text takes; over it, MemoryError ends the process.
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    for line in sys.stdin.buffer:
        job = json.loads(line)
        signal.setitimer(signal.ITIMER_PROF, timeout_s)
        try:
            found = measures[job.pop("measure")](**job)
            answer: Any = [found.value, sorted(found.flags), found.reason]
        except ValueError as error:
            answer = {"error": str(error)}
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0)
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    serve(float(sys.argv[1]))
