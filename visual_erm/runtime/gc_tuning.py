"""Garbage collection in reward workers, which must not hold up hundreds of samples that are under way.

What is loaded once is left out of it. Young objects are collected in small parts, all others between the steps.

    with track_sample():
        result = await pipeline.score(reply, reference)
"""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Iterator

THRESHOLDS = (200, 3, 2000)
"""Young objects are collected a twelfth at a time, twelve times as often: with Python's own thresholds each takes 10 to
30 ms. The last threshold matters only in a worker that is never idle: a full collection takes some 60 ms there."""
MANY = 256
"""Samples after which a worker that is idle collects all garbage."""

_under_way = 0
_since = 0
"""Samples since garbage was collected last; 0 before the first."""
_settled = False


@contextlib.contextmanager
def track_sample() -> Iterator[None]:
    """Goes around each sample of a worker. What is loaded by the end of the first one is never collected."""
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
    """Takes what is loaded out of garbage collection, veRL and torch included: going through it takes some 0.2 s."""
    global _settled, _since
    gc.collect()
    gc.freeze()
    gc.set_threshold(*THRESHOLDS)
    _settled, _since = True, 0
