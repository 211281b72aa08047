"""The life of one worker: a fork of the server that isolates itself, renders what it is given, and ends.

Code that a model wrote runs in this process. What is called after it is kept in local variables from before.
"""

from __future__ import annotations

import os
import signal
import sys
import tempfile
import time
from typing import Any, NoReturn

from visual_erm.sandbox import protocol
from visual_erm.sandbox.isolation import Isolation
from visual_erm.sandbox.outcome import Fault, RenderingFailed, fault_of
from visual_erm.sandbox.protocol import FAULTS, JOB, KEY_BYTES, MAX_REASON_BYTES, Head

LINE = 3
"""Descriptor of the socket to the host; the only one that a worker has beyond the three standard ones."""

PIECE_BYTES = 1 << 16
"""Bytes of a body that are sent at once."""
MAX_DESCRIPTORS = 1024
"""Upper bound of the server's open descriptors, far more than it ever has."""


def run(line: int, folder: str, backend: Any, options: dict[str, Any], isolation: Isolation) -> NoReturn:
    """Isolates this process, renders jobs until the host closes the socket, and ends the process. Never returns.

    Args:
        line: Descriptor of the socket to the host.
        folder: The worker's own folder.
        backend: A module of `visual_erm.sandbox.backends`.
        options: The render settings that the backend reads.
        isolation: What is applied before the first job.
    """
    code = 1
    try:
        settle(line, folder)
        isolation.apply(folder)
        close_others()
        backend.enter(options)
        write_all(LINE, protocol.READY)
        render_jobs(backend, options)
        code = 0
    finally:
        os._exit(code)


def settle(line: int, folder: str) -> None:
    """Makes a fork a process of its own: its group, its descriptors, its home, its signals.

    Args:
        line: Descriptor of the socket to the host; it becomes LINE.
        folder: The worker's own folder, which becomes its home.

    Raises:
        OSError: A call failed.
    """
    # A session of its own would be as urgent as the whole trainer to Linux (see runtime/cpu_priority.py).
    os.setpgid(0, 0)
    signal.set_wakeup_fd(-1)
    for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_DFL)
    # The server's own output goes to a file: what one rendering left there, another could read.
    os.dup2(sys.stdout.fileno(), sys.stderr.fileno())
    os.dup2(line, LINE)
    os.environ.update({"HOME": folder, "TMPDIR": folder})
    tempfile.tempdir = None


def close_others() -> None:
    """Closes what the server has open, after the isolation is applied with some of it."""
    os.closerange(LINE + 1, MAX_DESCRIPTORS)


def render_jobs(backend: Any, options: dict[str, Any]) -> None:
    """Renders one job, or, with a reusable backend, jobs until the host closes the socket.

    Args:
        backend: A module of `visual_erm.sandbox.backends`.
        options: The render settings that the backend reads.

    Raises:
        OSError: The socket broke.
    """
    read, write, sealing, clock, close = read_all, write_all, protocol.sealing, time.process_time, os.close
    reuse = backend.REUSABLE
    while start := read(LINE, JOB.size):
        job, length = JOB.unpack(start)
        fault, width, height, body, missing_glyphs = outcome(
            backend, read(LINE, length).decode("utf-8", "replace"), options
        )
        head = Head(fault, width, height, len(body), clock(), missing_glyphs)
        write(LINE, head.packed())
        key = read(LINE, KEY_BYTES)
        if not key:
            return
        seal, rest = sealing(key, job, head), memoryview(body)
        while rest:
            # The host takes one piece in while the next is made ready.
            seal.update(rest[:PIECE_BYTES])
            write(LINE, rest[:PIECE_BYTES])
            rest = rest[PIECE_BYTES:]
        write(LINE, seal.digest())
        if not reuse:
            # The host sees the end now, not after the memory of this process is torn down.
            close(LINE)
            return


def outcome(backend: Any, code: str, options: dict[str, Any]) -> tuple[int, int, int, bytes, int]:
    """Renders one job, whatever its code does.

    Args:
        backend: A module of `visual_erm.sandbox.backends`.
        code: The code of the job.
        options: The render settings that the backend reads.

    Returns:
        Number of the fault in FAULTS (0 for none), width and height in pixels, and the body: RGB pixels, or the reason why
        there are none in UTF-8, at most MAX_REASON_BYTES bytes; the number of characters that no font could show.
    """
    fault: Fault
    try:
        rendering = backend.render(code, options)
        return 0, rendering.width, rendering.height, rendering.rgb, rendering.missing_glyphs
    except RenderingFailed as failure:
        fault, reason = failure.fault, str(failure)
    except MemoryError:
        fault, reason = "RenderLimit", "used more memory than it may"
    except BaseException as error:  # noqa: BLE001  whatever else the code made its backend trip over
        fault = fault_of(error)
        reason = f"{type(error).__name__}: {error}" if fault == "RenderLimit" else type(error).__name__
    return FAULTS.index(fault), 0, 0, reason.encode("utf-8", "replace")[:MAX_REASON_BYTES], 0


def read_all(line: int, length: int) -> bytes:
    """Reads from a descriptor.

    Args:
        line: The descriptor.
        length: Number of bytes to read.

    Returns:
        Exactly `length` bytes; none when the other end closes first.

    Raises:
        OSError: Reading failed.
    """
    data = bytearray()
    while len(data) < length:
        piece = os.read(line, length - len(data))
        if not piece:
            return b""
        data += piece
    return bytes(data)


def write_all(line: int, data: bytes | memoryview) -> None:
    """Writes to a descriptor.

    Args:
        line: The descriptor.
        data: All of it is written.

    Raises:
        OSError: Writing failed, for example because the other end is closed.
    """
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(line, rest) :]
