"""What judges remember: a bounded cache that makes each value once, however many threads ask for it at the same time."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from typing import Generic, TypeVar

T = TypeVar("T")


class Cache(Generic[T]):
    """Least recently used values go first once their weights sum to more than `limit`. Thread-safe."""

    def __init__(self, limit: int, weigh: Callable[[T], int] = lambda _: 1) -> None:
        self._limit = limit
        self._weigh = weigh
        self._weight = 0
        self._kept: OrderedDict[Hashable, tuple[T, int]] = OrderedDict()
        self._making: dict[Hashable, Future[T]] = {}
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._kept)

    def find(self, key: Hashable) -> T | None:
        """The value, or None when it is not there."""
        with self._lock:
            if key not in self._kept:
                return None
            self._kept.move_to_end(key)
            return self._kept[key][0]

    def keep(self, key: Hashable, value: T) -> None:
        """Remembers a value; one that weighs more than the whole cache is not kept."""
        weight = self._weigh(value)
        with self._lock:
            _, before = self._kept.pop(key, (None, 0))
            self._kept[key] = value, weight
            self._weight += weight - before
            while self._weight > self._limit:
                _, (_, gone) = self._kept.popitem(last=False)
                self._weight -= gone

    def get(self, key: Hashable, make: Callable[[], T]) -> T:
        """The value, made by `make` when it is not there.

        Whoever asks while it is being made waits for it, and gets the same error when `make` raises; errors are not kept.
        """
        known = self.find(key)
        if known is not None:
            return known
        with self._lock:
            pending = self._making.get(key)
            if pending is None:
                mine: Future[T] = Future()
                self._making[key] = mine
        if pending is not None:
            return pending.result()
        try:
            value = make()
        except BaseException as error:
            mine.set_exception(error)
            raise
        else:
            self.keep(key, value)
            mine.set_result(value)
            return value
        finally:
            with self._lock:
                del self._making[key]

    def clear(self) -> None:
        """Forgets everything."""
        with self._lock:
            self._kept.clear()
            self._weight = 0
