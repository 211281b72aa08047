"""How long an event loop was kept from going on, and by what: a task that is to wake every few milliseconds, and a thread
that looks at what the loop's thread is doing when the task is late.

A block during which the loop's thread had the processor is the fault of the code that is named; one during which it
had none is the fault of other threads that hold the interpreter, or of a machine with too few cores.
"""

from __future__ import annotations

import asyncio
import itertools
import sys
import threading
import time
import traceback
from dataclasses import asdict, dataclass
from pathlib import Path
from types import FrameType
from typing import Any

BEAT_S = 0.01
LIMIT_S = 0.05
"""From here on it is a block."""
FRAMES = 5
"""Of a stack that are told, the innermost ones."""
WORST = 10


@dataclass(frozen=True)
class Block:
    at_s: float
    """Since the first beat."""
    ms: float
    own_ms: float
    """Of which the loop's thread had the processor."""
    where: str
    """What it was doing, the innermost frame first."""


class Heartbeat:
    """Watches the running event loop. Use as an async context manager."""

    def __init__(self) -> None:
        self.blocks: list[Block] = []
        self.longest_s = 0.0

    async def __aenter__(self) -> Heartbeat:
        self._begun = self._beat = time.perf_counter()
        self._seen = ""
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, args=(threading.get_ident(),), name="heartbeat")
        self._thread.start()
        self._task = asyncio.create_task(self._run())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._task.cancel()
        self._over.set()
        await asyncio.gather(self._task, return_exceptions=True)
        self._thread.join()

    def figures(self) -> dict[str, Any]:
        worst = sorted(self.blocks, key=lambda block: -block.ms)[:WORST]
        return {
            "longest_ms": 1000 * self.longest_s,
            "longest_own_ms": max((block.own_ms for block in self.blocks), default=0.0),
            "blocks": len(self.blocks),
            "worst": [asdict(block) for block in worst],
        }

    async def _run(self) -> None:
        while True:
            self._beat, busy = time.perf_counter(), time.thread_time()
            await asyncio.sleep(BEAT_S)
            late = time.perf_counter() - self._beat - BEAT_S
            self.longest_s = max(self.longest_s, late)
            if late > LIMIT_S:
                at = self._beat - self._begun
                self.blocks.append(Block(at, 1000 * late, 1000 * (time.thread_time() - busy), self._seen))
            self._seen = ""

    def _watch(self, loop: int) -> None:
        while not self._over.wait(BEAT_S):
            if time.perf_counter() - self._beat > LIMIT_S / 2 and not self._seen:
                self._seen = _told(sys._current_frames().get(loop))


def _told(frame: FrameType | None) -> str:
    """Without a look at source files, which would itself keep the loop waiting."""
    stack = itertools.islice(traceback.walk_stack(frame), FRAMES)
    return " < ".join(f"{Path(one.f_code.co_filename).name}:{line} {one.f_code.co_name}" for one, line in stack)
