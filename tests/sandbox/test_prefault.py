"""Memory copied ahead, on Linux: which pages a drawing changes, and that they cost a worker no stop later."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(
    tuple(map(int, platform.release().split("-")[0].split(".")[:2])) < (5, 14), reason="the kernel is older than 5.14"
)


def said_by(script: str) -> list[int]:
    """The numbers that a script prints in a Python of its own: what else this one holds, and counts references of, is not
    the question."""
    said = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True, text=True)
    return [int(word) for word in said.stdout.split()]


SOME_CELLS_CHANGE = """
import os, resource
from visual_erm.sandbox.backends.prefault import pages_changed_by, prefault

cells = [[number] for number in range(300_000)]

def change():
    for cell in cells[::10]:
        cell[0] = 0

def stops(before):
    # Page faults of the change in a fork that has done something before.
    if child := os.fork():
        return os.waitpid(child, 0)
    before()
    begun = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    change()
    print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - begun, flush=True)
    os._exit(0)

spans = pages_changed_by(change)
print(sum(length for _, length in spans), flush=True)
stops(lambda: prefault(spans))
stops(lambda: None)
"""


def test_pages_that_were_copied_ahead_cost_no_stop() -> None:
    copied, with_copies, without = said_by(SOME_CELLS_CHANGE)
    assert copied > 10 * (1 << 20)
    assert with_copies * 20 < without


NOTHING_CHANGES = """
from visual_erm.sandbox.backends.prefault import pages_changed_by
kept = [[number] for number in range(300_000)]
print(sum(length for _, length in pages_changed_by(lambda: None)))
"""


def test_memory_that_nothing_changes_is_not_copied() -> None:
    (copied,) = said_by(NOTHING_CHANGES)
    assert copied < 4 << 20
