"""The self-test of the isolation: what workers that try can and cannot do. Guarantees are tested, not inferred.

Three isolated workers take part, see `ForkServer.self_test`. The first leaves notes wherever it can, and ends. The second
has a note in its own folder, and lives. The third looks for both, and for what no worker may reach.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import resource
import socket
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

MB = 1 << 20
PROBE_MB = 4
"""Megabytes over its limit that a worker tries to have. The server may free one after its address space is measured."""
SHARED = ("/tmp", "/var/tmp", "/dev/shm", "/run/lock")  # noqa: S108
"""Folders where all users of a machine may write."""
CONNECT_S = 1.0
"""Seconds that a connection to this machine may take."""


@dataclass(frozen=True)
class Targets:
    """What no worker may reach."""

    unreadable: tuple[str, ...]
    """Files that must not be readable."""
    untouchable: tuple[str, ...]
    """Files that must neither be readable nor changeable, for example of another worker."""
    unchangeable: tuple[str, ...]
    """Files that may be read and must not be changed."""
    processes: tuple[int, ...]
    """Processes that must not get a signal."""
    port: int
    """A port of this machine where somebody listens, outside of the sandbox; 0 for none."""


def leave_notes(folders: Iterable[str], name: str) -> list[str]:
    """Writes a file into each folder where this process can.

    Args:
        folders: Their paths.
        name: Name of the files, which none has yet.

    Returns:
        The paths of the files.
    """
    left = []
    for folder in folders:
        path = os.path.join(folder, name)  # noqa: PTH118
        with contextlib.suppress(OSError), open(path, "x") as file:  # noqa: PTH123
            left.append(path)
            file.write("a note")
    return left


def guarantees(targets: Targets, memory_mb: int) -> Iterator[str]:
    """Finds by trying what this process cannot do. Call it in isolation, in a process that ends afterwards.

    Args:
        targets: What it tries to reach.
        memory_mb: Megabytes that may be allocated; PROBE_MB more are tried.

    Yields:
        Of `network`, `files`, `processes`, `memory`: the guarantees that hold.
    """
    if not _networked(targets.port):
        yield "network"
    unreadable, unchangeable = targets.unreadable + targets.untouchable, targets.unchangeable + targets.untouchable
    if not (any(map(_readable, unreadable)) or any(map(_changeable, unchangeable))):
        yield "files"
    if not (_forks() or any(map(_signals, targets.processes))):
        yield "processes"
    try:
        mmap.mmap(-1, (memory_mb + PROBE_MB) * MB).close()
    except (OSError, MemoryError):
        yield "memory"


def address_limit() -> str:
    """Says where a hard limit of this machine keeps processes from memory; empty where none does."""
    _, most = resource.getrlimit(resource.RLIMIT_AS)
    return "" if most == resource.RLIM_INFINITY else f"the address space is limited to {most // MB} MB here (ulimit -Hv)"


def _networked(port: int) -> bool:
    """Whether a socket can be had, and there is more than a loopback to use it on, or somebody outside who answers."""
    try:
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM).close()
        if len(socket.if_nameindex()) > 1:
            return True
        socket.create_connection(("127.0.0.1", port), CONNECT_S).close()
        return True
    except OSError:
        return False


def _readable(path: str) -> bool:
    return _succeeds(lambda: os.close(os.open(path, os.O_RDONLY)))


def _changeable(path: str) -> bool:
    """Whether a file can be changed, its times, rights, name and existence included."""
    file = Path(path)
    return any(
        (
            _succeeds(lambda: os.close(os.open(path, os.O_WRONLY))),
            _succeeds(lambda: os.close(os.open(path, os.O_RDONLY | os.O_TRUNC))),
            _succeeds(lambda: os.truncate(path, 0)),
            _succeeds(lambda: os.utime(path, (0, 0))),
            _succeeds(lambda: file.chmod(0o600)),
            _succeeds(lambda: file.rename(f"{path}-moved")),
            _succeeds(file.unlink),
        )
    )


def _signals(pid: int) -> bool:
    return _succeeds(lambda: os.kill(pid, 0))


def _succeeds(attempt: Callable[[], object]) -> bool:
    try:
        attempt()
    except OSError:
        return False
    return True


def _forks() -> bool:
    try:
        pid = os.fork()
    except OSError:
        return False
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)
    return True
