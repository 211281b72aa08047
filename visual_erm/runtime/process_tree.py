"""The processes that a run starts, to the last of them: veRL's and Ray's start others, and die before them."""

from __future__ import annotations

import contextlib
import logging

import psutil

from visual_erm.runtime.prctl import PR_SET_CHILD_SUBREAPER, prctl

log = logging.getLogger(__name__)

SHUTDOWN_S = 20.0
"""Seconds that descendants have to end by themselves."""


def adopt_orphans() -> None:
    """Makes descendants whose parent dies children of this process, so that it can find them all."""
    prctl(PR_SET_CHILD_SUBREAPER, 1)


def end_descendants() -> None:
    """Waits for all descendants of this process, then ends those that stayed."""
    this = psutil.Process()
    _, alive = psutil.wait_procs(this.children(recursive=True), timeout=SHUTDOWN_S)
    while alive:
        for process in alive:
            with contextlib.suppress(psutil.NoSuchProcess):
                log.warning("still running after the run, killed: %s (%d)", process.name(), process.pid)
                process.kill()
        psutil.wait_procs(alive, timeout=SHUTDOWN_S)
        alive = this.children(recursive=True)
