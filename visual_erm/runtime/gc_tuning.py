"""Garbage collection in reward workers, which must not keep hundreds of samples under way waiting.

What is loaded once stays out of it; what is young is looked at in small parts; all the rest between the steps.
"""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Iterator

THRESHOLDS = (200, 3, 2000)
"""Young objects a twelfth at a time, twelve times as often: with Python's own thresholds they take 10 to 30 ms at once.
All of them by themselves only in a worker that is never idle: with a step's samples under way that takes some 60 ms."""
MANY = 256
"""Samples after which a worker that is idle collects all garbage."""

_under_way = 0
_since = 0
"""Samples since garbage was collected last; 0 before the first."""
_settled = False


@contextlib.contextmanager
def track_sample() -> Iterator[None]:
    """Around each sample of a worker. What is loaded by the end of the first one stays for good."""
    global _under_way, _since
    _under_way += 1
    try:
        yield
    finally:
        _under_way -= 1
        _since += 1
        if not _settled:
            _settle()
        elif not _under_way and _since >= MANY:
            gc.collect()
            _since = 0


def _settle() -> None:
    """Takes what is loaded out of garbage collection, veRL and torch included: walking through it takes some 0.2 s."""
    global _settled, _since
    gc.collect()
    gc.freeze()
    gc.set_threshold(*THRESHOLDS)
    _settled, _since = True, 0
