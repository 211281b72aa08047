"""A bounded number of places to work in, which one task may ask to have all to itself."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator


class ExclusiveSemaphore:
    """`count` places. Use it from one event loop."""

    def __init__(self, count: int) -> None:
        self.count = count
        self._free = asyncio.Semaphore(count)
        self._alone = asyncio.Lock()

    @contextlib.asynccontextmanager
    async def take(self, alone: bool = False) -> AsyncIterator[None]:
        """One place, or all of them; waits until they are free."""
        waiting = []
        try:
            async with self._alone if alone else contextlib.nullcontext():
                waiting = [asyncio.ensure_future(self._free.acquire()) for _ in range(self.count if alone else 1)]
                await asyncio.gather(*waiting)
            yield
        finally:
            for place in waiting:
                if place.done() and not place.cancelled():
                    self._free.release()
                place.cancel()
