"""Single flight: work that several ask for at the same time is done once.

The replies of a group repeat each other, so renderers and judges are asked for the same thing at the same time.

    renders: SingleFlight[Image.Image] = SingleFlight()
    image = await renders.get(code, lambda: render(code))
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Hashable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

T = TypeVar("T")


@dataclass
class _Work(Generic[T]):
    """Work under way, and how many wait for it."""

    result: asyncio.Task[T]
    waiting: int = 0


class SingleFlight(Generic[T]):
    """Work under way, by key. For tasks of one event loop. Results are not kept."""

    def __init__(self) -> None:
        self._under_way: dict[Hashable, _Work[T]] = {}

    def __contains__(self, key: Hashable) -> bool:
        """Whether work with this key is under way."""
        return key in self._under_way

    async def get(self, key: Hashable, begin: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Waits for the result of the work with this key. The work is begun unless it is under way.

        A task that is cancelled takes nothing from the others. The work is cancelled with the last task that waits for it.
        What the work raises is raised in all tasks that wait.

        Args:
            key: What tells the work from other work.
            begin: Makes the coroutine that does the work.

        Returns:
            The result.
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
