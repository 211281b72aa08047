"""Signals that wait while a process is started.

A signal that is handled between the start of a process and the assignment of its object leaves a process that nobody ends.
"""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator


@contextlib.contextmanager
def deferred_signals() -> Iterator[None]:
    """Handles SIGINT and SIGTERM that arrive inside at the end, in the way that held before.

    Only the main thread handles signals. In another thread this does nothing.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    arrived: list[int] = []
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    for number, handler in before.items():
        # What is ignored stays so: the process that is started inherits it.
        if handler != signal.SIG_IGN:
            signal.signal(number, lambda number, _: arrived.append(number))
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        for came in arrived:
            signal.raise_signal(came)
