"""ExclusiveSemaphore: a bounded number of slots, of which one task may ask for all.

The sandbox bounds its concurrency with it, and repeats a failed render with all slots to itself.

    slots = ExclusiveSemaphore(2)
    async with slots.acquire():
        ...
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator


class ExclusiveSemaphore:
    """Slots for tasks of one event loop.

    Args:
        count: How many slots there are, at least 1.
    """

    def __init__(self, count: int) -> None:
        self.count = count
        self._free = asyncio.Semaphore(count)
        self._exclusive = asyncio.Lock()

    @contextlib.asynccontextmanager
    async def acquire(self, exclusive: bool = False) -> AsyncIterator[None]:
        """Holds slots while the block runs; waits until they are free.

        Args:
            exclusive: Hold all slots, so that nothing else runs beside the block; by default one.

        Yields:
            Nothing.
        """
        pending: list[asyncio.Future[bool]] = []
        try:
            async with self._exclusive if exclusive else contextlib.nullcontext():
                pending = [asyncio.ensure_future(self._free.acquire()) for _ in range(self.count if exclusive else 1)]
                await asyncio.gather(*pending)
            yield
        finally:
            for slot in pending:
                if slot.done() and not slot.cancelled():
                    self._free.release()
                slot.cancel()
