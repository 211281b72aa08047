"""Garbage collection in reward workers: what is loaded once stays out of it."""

from __future__ import annotations

import functools
import gc


@functools.cache
def settle() -> None:
    """After a worker's first sample: takes what is loaded by then, veRL and torch included, out of garbage collection.

    A collection would walk through all of it, and hold up every sample of the worker for some 0.2 s.
    """
    gc.collect()
    gc.freeze()
