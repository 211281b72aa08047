"""Work that several ask for at the same time, done once: the replies of a group repeat each other."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Hashable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

T = TypeVar("T")


@dataclass
class _Work(Generic[T]):
    """What is under way, and how many wait for it."""

    result: asyncio.Task[T]
    waiting: int = 0


class SingleFlight(Generic[T]):
    """Work under way, each with a key. Use it from one event loop."""

    def __init__(self) -> None:
        self._under_way: dict[Hashable, _Work[T]] = {}

    def __contains__(self, key: Hashable) -> bool:
        """Whether it is under way."""
        return key in self._under_way

    async def get(self, key: Hashable, begin: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """The result of the work with this key, begun unless it is under way; raises what it raises, to all who wait.

        Who is cancelled takes nothing from the others; the work ends with the last of them.
        """
        work = self._under_way.get(key)
        if work is None:
            work = self._under_way[key] = _Work(asyncio.create_task(begin()))
            work.result.add_done_callback(lambda _: self._forget(key, work))
        work.waiting += 1
        try:
            return await asyncio.shield(work.result)
        finally:
            work.waiting -= 1
            if not work.waiting and not work.result.done():
                self._forget(key, work)
                work.result.cancel()
                await asyncio.gather(work.result, return_exceptions=True)

    def _forget(self, key: Hashable, work: _Work[T]) -> None:
        if self._under_way.get(key) is work:
            del self._under_way[key]
