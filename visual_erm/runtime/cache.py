"""A bounded cache that makes each value once, however many threads ask for it at the same time.

The judges and guards keep readings and reports in it. cachetools decides what goes first.

    texts: Cache[str] = Cache(4096)
    texts.get(key, lambda: read(image))
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from typing import Generic, TypeVar

from cachetools import LRUCache

T = TypeVar("T")


class Cache(Generic[T]):
    """Keeps values until their weights sum to more than a limit; the least recently used go first. Thread-safe.

    Args:
        limit: The largest sum of weights.
        weigh: Gives the weight of a value. By default each value weighs 1.
    """

    def __init__(self, limit: int, weigh: Callable[[T], int] = lambda _: 1) -> None:
        self._values: LRUCache[Hashable, T] = LRUCache(limit, getsizeof=weigh)
        self._making: dict[Hashable, Future[T]] = {}
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._values)

    def find(self, key: Hashable) -> T | None:
        """Returns the value of a key, or None where there is none.

        Args:
            key: The key.
        """
        with self._lock:
            return self._values.get(key)

    def keep(self, key: Hashable, value: T) -> None:
        """Keeps a value. A value that weighs more than the whole cache is not kept, and no other goes for it.

        Args:
            key: The key.
            value: The value; it replaces an older one.
        """
        with self._lock:
            try:
                self._values[key] = value
            except ValueError:  # cachetools: the value is too large
                self._values.pop(key, None)

    def get(self, key: Hashable, make: Callable[[], T]) -> T:
        """Returns the value of a key, made by `make` where there is none.

        Whoever asks while it is being made waits for it, and gets the same error when `make` raises. Errors are not kept.

        Args:
            key: The key.
            make: Makes the value.

        Returns:
            The value.
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
        """Forgets all values."""
        with self._lock:
            self._values.clear()
