"""Memory that a rendering changes, copied before there is something to render.

A fork shares its memory with the server until it writes to it, and every page (4 KB) then costs a stop. A rendering
changes thousands of pages, much the same ones each time. Which ones is found out once, in a fork that renders. A worker
that waits for its script has them copied meanwhile. This only saves time: where Linux is too old, nothing is copied.
"""

from __future__ import annotations

import ctypes
import gc
import mmap
import os
import resource
import struct
from collections.abc import Callable, Iterator

POPULATE_WRITE = 23
"""madvise: copy these pages for this process, as writing to them would (Linux 5.14)."""
POPULATE_READ = 22
"""madvise: map these pages, as reading from them would; fails where there is no memory."""
BLOCK = 1 << 20
"""Python takes memory from the system in pieces of this size, in bytes."""

Span = tuple[int, int]
"""First address and length of neighbouring pages."""

_madvise = ctypes.CDLL(None).madvise
_madvise.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
_sbrk = ctypes.CDLL(None).sbrk
_sbrk.argtypes, _sbrk.restype = (ctypes.c_ssize_t,), ctypes.c_void_p


def pages_changed_by(render: Callable[[], None]) -> list[Span]:
    """Finds the pages of objects, their types and the heap that a function changes, with a fork that calls it.

    Args:
        render: The function.

    Returns:
        The pages, neighbours joined.
    """
    things = gc.get_objects()
    blocks = {id(thing) // BLOCK * BLOCK for thing in (*things, *map(type, things))}
    blocks.update(_heap())
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            render()
            with open(write, "wb") as answer:  # noqa: PTH123
                for span in _joined(page for block in sorted(blocks) for page in _copied(block)):
                    answer.write(struct.pack("QQ", *span))
        finally:
            os._exit(0)
    os.close(write)
    with open(read, "rb") as answer:  # noqa: PTH123
        spans = list(struct.iter_unpack("QQ", answer.read()))
    os.waitpid(child, 0)
    return spans


def prefault(spans: list[Span]) -> None:
    """Has the kernel copy pages for this process.

    Args:
        spans: The pages, from `pages_changed_by`.
    """
    for start, length in spans:
        _madvise(start, length, POPULATE_WRITE)


def _heap() -> Iterator[int]:
    """The blocks of what C code has allocated in small pieces, from the end of the heap down to its start."""
    block = (_sbrk(0) - 1) // BLOCK * BLOCK
    # Any page that is mapped will do: the end of the heap, and its start, lie within a block.
    while any(_is_mapped(page) for page in range(block, block + BLOCK, mmap.PAGESIZE)):
        yield block
        block -= BLOCK


def _is_mapped(page: int) -> bool:
    return not _madvise(page, mmap.PAGESIZE, POPULATE_READ)


def _copied(block: int) -> Iterator[int]:
    """The pages of a block that this process has to itself: making them its own is nothing to the kernel."""
    faults = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for page in range(block, block + BLOCK, mmap.PAGESIZE):
        refused = _madvise(page, mmap.PAGESIZE, POPULATE_WRITE)
        before, faults = faults, resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        if faults == before and not refused:
            yield page


def _joined(pages: Iterator[int]) -> Iterator[Span]:
    start = end = 0
    for page in pages:
        if page != end:
            if end:
                yield start, end - start
            start = page
        end = page + mmap.PAGESIZE
    if end:
        yield start, end - start
