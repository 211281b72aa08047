"""`EndableProcess`: a Python process that calls functions for this one, and is ended when a call costs too much.

Work on what a policy made has no other sure bound: a thread cannot be ended, and its memory is this process's. The reader
of images (visual_erm/vision/image_reader.py) stands on it.

    process = EndableProcess(memory_bytes=2 << 30)
    process.call(math.factorial, 9, cpu_s=1.0, wall_s=5.0)      # 362880
    process.end()

One pickle in, one out, over the process's standard input and output. It ends when its input does, whatever became of this
process. Functions and arguments are this project's; the process keeps a picture from costing more than its share, and is no
sandbox for code.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import resource
import select
import signal
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

LENGTH = struct.Struct("<Q")
"""Stands before each pickle: its number of bytes."""
MEGABYTE = 1 << 20
ROOT = Path(__file__).resolve().parents[2]
"""Folder in which the process finds this package."""


class CallLimit(Exception):
    """A call went over its CPU time or its memory. Its process was ended."""


class CallLost(Exception):
    """A call has no result, and its limits do not say why: its process died, or answered nothing for too long."""


class EndableProcess:
    """One process, started with the first call and again after it was ended. For one thread at a time; `end` for any.

    Args:
        memory_bytes: What it may allocate, its libraries included.
        resting_bytes: Memory with which it may wait for the next call. A process that holds more is replaced.
    """

    def __init__(self, memory_bytes: int, resting_bytes: int) -> None:
        self._memory_bytes = memory_bytes
        self._resting_bytes = resting_bytes
        self._process: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()
        self._ended = False

    def call(self, function: Callable[..., Any], *arguments: Any, cpu_s: float, wall_s: float) -> Any:
        """Calls a function in the process.

        Args:
            function: A function that can be imported by its name.
            arguments: What it takes; anything that can be pickled.
            cpu_s: CPU seconds of the call.
            wall_s: Seconds of wall time, starting the process included, and waiting for a processor not.

        Returns:
            What the function returns.

        Raises:
            CallLimit: It took more CPU time or memory than it may.
            CallLost: The process died, or did not answer in time, or was ended.
            Exception: What the function raised.
        """
        job = pickle.dumps((function, arguments, cpu_s), protocol=5)
        process = self._current()
        try:
            answer = _ask(process, job, _Deadline(process.pid, wall_s))
        except BaseException:
            self._discard(process)
            raise
        if answer is None:
            self._discard(process)
            if process.returncode == -signal.SIGPROF:
                raise CallLimit(f"more than {cpu_s:g} s of CPU time")
            raise CallLost(f"the process ended with status {process.returncode}")
        kind, value, resident = answer
        if kind == "memory" or resident > self._resting_bytes:
            self._discard(process)
        if kind == "memory":
            raise CallLimit(f"more than {self._memory_bytes // MEGABYTE} MB of memory")
        if kind == "raised":
            raise value
        return value

    def is_running(self) -> bool:
        """Tells whether the next call finds the process started."""
        process = self._process
        return process is not None and process.poll() is None

    def end(self, for_good: bool = True) -> None:
        """Ends the process, also in the middle of a call.

        Args:
            for_good: Start no other. Otherwise the next call gets a fresh one.
        """
        with self._lock:
            self._ended = self._ended or for_good
            process = self._process
        if process is not None:
            self._discard(process)

    def _current(self) -> subprocess.Popen[bytes]:
        with self._lock:
            if self._ended:
                raise CallLost("the process was ended")
            if self._process is None:
                command = [sys.executable, "-m", "visual_erm.runtime.endable_process", str(self._memory_bytes)]
                paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
                self._process = subprocess.Popen(  # noqa: S603
                    command,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
                )
            return self._process

    def _discard(self, process: subprocess.Popen[bytes]) -> None:
        with self._lock:
            if self._process is process:
                self._process = None
        with contextlib.suppress(ProcessLookupError):
            process.kill() if process.poll() is None else None
        process.wait()
        for stream in (process.stdin, process.stdout):
            assert stream is not None
            with contextlib.suppress(OSError, ValueError):
                stream.close()


class _Deadline:
    """A limit of wall time that stands still while a process waits for a processor, where Linux tells."""

    def __init__(self, pid: int, wall_s: float) -> None:
        self._pid = pid
        self._end = time.monotonic() + wall_s - self._waited_s()

    def left_s(self) -> float:
        return self._end + self._waited_s() - time.monotonic()

    def _waited_s(self) -> float:
        with contextlib.suppress(OSError, LookupError, ValueError):
            return int(Path(f"/proc/{self._pid}/schedstat").read_text().split()[1]) / 1e9
        return 0.0


def _ask(process: subprocess.Popen[bytes], job: bytes, deadline: _Deadline) -> tuple[str, Any, int] | None:
    """The answer; None when the process died. Raises CallLost at the deadline."""
    assert process.stdin is not None and process.stdout is not None
    try:
        # The process reads a job at once: only a dead or a stopped one keeps the pipe full.
        pending = memoryview(LENGTH.pack(len(job)) + job)
        os.set_blocking(process.stdin.fileno(), False)
        while pending:
            _wait(deadline, write=process.stdin.fileno())
            with contextlib.suppress(BlockingIOError):
                pending = pending[os.write(process.stdin.fileno(), pending[:MEGABYTE]) :]
        head = _receive(process.stdout.fileno(), LENGTH.size, deadline)
        body = head and _receive(process.stdout.fileno(), LENGTH.unpack(head)[0], deadline)
    except (BrokenPipeError, ConnectionResetError):
        body = None
    except (OSError, ValueError) as error:
        raise CallLost(f"the process was ended: {error}") from None
    if body is None:
        process.wait()
        return None
    answer: tuple[str, Any, int] = pickle.loads(body)  # noqa: S301 (written by `serve` below)
    return answer


def _receive(descriptor: int, length: int, deadline: _Deadline) -> bytes | None:
    data = bytearray()
    while len(data) < length:
        _wait(deadline, read=descriptor)
        piece = os.read(descriptor, min(length - len(data), MEGABYTE))
        if not piece:
            return None
        data += piece
    return bytes(data)


def _wait(deadline: _Deadline, read: int | None = None, write: int | None = None) -> None:
    poll = select.poll()
    if read is not None:
        poll.register(read, select.POLLIN)
    if write is not None:
        poll.register(write, select.POLLOUT)
    while not poll.poll(max(deadline.left_s(), 0) * 1000):
        if deadline.left_s() <= 0:
            raise CallLost("no answer in time")


# In the process


def serve(source: BinaryIO, sink: BinaryIO) -> None:
    """Answers calls until there are no more. A call over its CPU time ends the process by SIGPROF.

    Args:
        source: Gives pickles of (function, arguments, CPU seconds).
        sink: Takes pickles of ("returned", "raised" or "memory", what, resident bytes).
    """
    while len(head := source.read(LENGTH.size)) == LENGTH.size:
        job = source.read(LENGTH.unpack(head)[0])
        answer: tuple[str, Any]
        try:
            function, arguments, cpu_s = pickle.loads(job)  # noqa: S301 (written by `call` above)
            del job
            signal.setitimer(signal.ITIMER_PROF, cpu_s)
            answer = "returned", function(*arguments)
        except MemoryError:
            answer = "memory", None
        except Exception as error:  # noqa: BLE001  it is raised in the process that called
            answer = "raised", error
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0)
        function = arguments = None
        body = _pickled(answer)
        del answer
        sink.write(LENGTH.pack(len(body)))
        sink.write(body)
        sink.flush()


def _pickled(answer: tuple[str, Any]) -> bytes:
    try:
        return pickle.dumps((*answer, _resident()), protocol=5)
    except Exception as error:  # noqa: BLE001  it is raised in the process that called
        failed = RuntimeError(f"{type(error).__name__}: {error}; of {answer[1]!r:.200}")
        return pickle.dumps(("raised", failed, _resident()), protocol=5)


def _resident() -> int:
    """Bytes of memory that the process holds now."""
    with contextlib.suppress(OSError):
        return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()
    return 0


def main() -> None:
    """Limits memory and answers calls; what libraries print goes to standard error."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    memory_bytes = int(sys.argv[1])
    resource.setrlimit(resource.RLIMIT_DATA, (memory_bytes, memory_bytes))
    sink = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    serve(sys.stdin.buffer, sink)


if __name__ == "__main__":
    main()
