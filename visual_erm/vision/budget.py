"""What reading one image may cost: CPU time, which the steps that may take long look at.

with budget(30.0):
    reading = read_table(gray, ocr)     # raises Illegible once 30 s are used up

Steps that cannot look are bounded by the size of the image.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator

from visual_erm.errors import Illegible


class _Own(threading.local):
    limit_s: float | None = None
    end: float = 0.0


_own = _Own()


@contextlib.contextmanager
def budget(limit_s: float) -> Iterator[None]:
    """Bounds what this thread reads in the block.

    Args:
        limit_s: CPU seconds of this thread.

    Yields:
        Nothing.
    """
    before = _own.limit_s, _own.end
    _own.limit_s, _own.end = limit_s, time.thread_time() + limit_s
    try:
        yield
    finally:
        _own.limit_s, _own.end = before


def check_budget() -> None:
    """Ends a reading that is over its budget. Does nothing outside of one.

    Raises:
        Illegible: The budget is used up.
    """
    if _own.limit_s is not None and time.thread_time() > _own.end:
        raise Illegible(f"reading the image takes more than {_own.limit_s:g} s of CPU time")
