"""What a worker gives up before it sees a line of code: limits, privileges, files, system calls.

Bubblewrap encloses the whole server and is started by the host. The rest is applied here, in every worker, after the fork
and before its first job. `probe` then says what is really prevented: guarantees are tested, not inferred.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import resource
import signal
import socket
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from visual_erm.runtime.prctl import PR_CAPBSET_DROP, PR_SET_NO_NEW_PRIVS, PR_SET_PDEATHSIG, prctl
from visual_erm.sandbox import landlock, seccomp

MB = 1 << 20
PROBE_MB = 4
"""Megabytes over its limit that a worker tries to have. The server may free one after its address space is measured."""
DESCRIPTORS = 64
"""Number of files that a worker may have open."""
STACK_BYTES = 8 * MB
"""Size of a worker's stack."""


@dataclass(frozen=True)
class IsolationPlan:
    """The isolation of one kind of worker, as plain data that the host sends to the server."""

    layers: tuple[str, ...]
    """Of landlock, seccomp, rlimits: those that are applied."""
    readable: tuple[str, ...]
    """Folders and files that may be read."""
    cpu_s: float
    """CPU time of one job; the host limits each job of a reusable worker."""
    memory_mb: int
    """Address space of a worker in megabytes, beyond what the server has."""
    disk_mb: int
    """Size of the largest file in megabytes."""


class Isolation:
    """Isolation that the server prepares once, and that each worker applies to itself.

    Args:
        plan: What is applied, and its limits.
        threads: Whether workers may start threads.
        reuse: Whether a worker does several jobs; then the host limits the CPU time of each.

    Raises:
        OSError: A path of the plan cannot be opened.
    """

    def __init__(self, plan: IsolationPlan, threads: bool, reuse: bool) -> None:
        self._plan = plan
        self._cpu_s = None if reuse else int(plan.cpu_s + 1)
        self._paths = landlock.Paths(plan.readable) if "landlock" in plan.layers else None
        self._filter = seccomp.compiled(threads) if "seccomp" in plan.layers else None
        self._address_space = allocated() + plan.memory_mb * MB

    def apply(self, folder: str) -> None:
        """Isolates this process for good: it can read what the plan allows, and write below one folder.

        Args:
            folder: The worker's own folder.

        Raises:
            OSError: A layer cannot be applied.
        """
        prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        prctl(PR_SET_NO_NEW_PRIVS, 1)
        drop_capabilities()
        if "rlimits" in self._plan.layers:
            self._limit()
        if self._paths:
            self._paths.restrict(folder)
        if self._filter:
            seccomp.apply(self._filter)

    def _limit(self) -> None:
        limits = {
            resource.RLIMIT_AS: self._address_space,
            resource.RLIMIT_FSIZE: self._plan.disk_mb * MB,
            resource.RLIMIT_NOFILE: DESCRIPTORS,
            resource.RLIMIT_STACK: STACK_BYTES,
            resource.RLIMIT_CORE: 0,
            resource.RLIMIT_MEMLOCK: 0,
        }
        for which, value in limits.items():
            _, most = resource.getrlimit(which)
            value = value if most == resource.RLIM_INFINITY else min(value, most)
            resource.setrlimit(which, (value, value))
        if self._cpu_s is not None:
            # The first signal can be caught, the second cannot.
            resource.setrlimit(resource.RLIMIT_CPU, (self._cpu_s, self._cpu_s + 1))


def drop_capabilities() -> None:
    """Makes root an ordinary user with root's files."""
    version_3 = 0x20080522
    ctypes.CDLL(None, use_errno=True).capset(struct.pack("<Ii", version_3, 0), struct.pack("<6I", *[0] * 6))
    for capability in range(64):
        prctl(PR_CAPBSET_DROP, capability)


def allocated() -> int:
    """Measures the address space of this process, without /proc: the limit at which it gets no more.

    Returns:
        Bytes, to the page.
    """
    before = resource.getrlimit(resource.RLIMIT_AS)
    low, high = 0, 1 << 47
    try:
        while high - low > mmap.PAGESIZE:
            middle = (low + high) // 2
            resource.setrlimit(resource.RLIMIT_AS, (middle, before[1]))
            try:
                mmap.mmap(-1, mmap.PAGESIZE).close()
                high = middle
            except (OSError, MemoryError):
                low = middle
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)
    return high


def probe(forbidden: Sequence[str], memory_mb: int) -> Iterator[str]:
    """Finds by trying what this process cannot do. Call it in isolation, in a process that ends afterwards.

    Args:
        forbidden: Files that must not be readable.
        memory_mb: Megabytes that may be allocated; PROBE_MB more are tried.

    Yields:
        Of `network`, `files`, `processes`, `memory`: the guarantees that hold.
    """
    if not _networked():
        yield "network"
    if not any(_readable(path) for path in forbidden):
        yield "files"
    if not _forks():
        yield "processes"
    try:
        mmap.mmap(-1, (memory_mb + PROBE_MB) * MB).close()
    except (OSError, MemoryError):
        yield "memory"


def _networked() -> bool:
    """Whether a socket can be had, and there is more than a loopback to use it on."""
    try:
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM).close()
        return len(socket.if_nameindex()) > 1
    except OSError:
        return False


def _readable(path: str) -> bool:
    try:
        os.close(os.open(path, os.O_RDONLY))
        return True
    except OSError:
        return False


def _forks() -> bool:
    try:
        pid = os.fork()
    except OSError:
        return False
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)
    return True
