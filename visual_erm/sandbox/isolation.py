"""What a worker gives up before it sees a line of code: limits, privileges, files, system calls.

Bubblewrap encloses the whole server and is started by the host. The rest is applied here, in every worker, after the fork
and before its first job. probe.py then says what is really prevented: guarantees are tested, not inferred.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import resource
import signal
import struct
from dataclasses import dataclass

from visual_erm.runtime.prctl import PR_CAPBSET_DROP, PR_SET_NO_NEW_PRIVS, PR_SET_PDEATHSIG, prctl
from visual_erm.sandbox import landlock, mounts, seccomp

MB = 1 << 20
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
    """Size of the largest file in megabytes, and of the worker's file system where it has one of its own."""
    mounts: bool
    """Whether the worker's folder is a file system of its own (mounts.py)."""


class Isolation:
    """Isolation that the server prepares once, and that each worker applies to itself.

    Args:
        plan: What is applied, and its limits.
        threads: Whether workers may start threads.
        reuse: Whether a worker does several jobs; then the host limits the CPU time of each.

    Raises:
        OSError: A path of the plan cannot be opened, or this machine's limit of address space is lower than what workers
            need.
    """

    def __init__(self, plan: IsolationPlan, threads: bool, reuse: bool) -> None:
        self._plan = plan
        self._cpu_s = None if reuse else int(plan.cpu_s + 1)
        self._paths = landlock.Paths(plan.readable) if "landlock" in plan.layers else None
        self._filter = seccomp.compiled(threads) if "seccomp" in plan.layers else None
        self._address_space = allocated() + plan.memory_mb * MB
        _, most = resource.getrlimit(resource.RLIMIT_AS)
        if most != resource.RLIM_INFINITY and most < self._address_space:
            raise OSError(
                f"this machine limits the address space of a process to {most // MB} MB (ulimit -Hv), and a worker with "
                f"{plan.memory_mb} MB needs {self._address_space // MB} MB: raise the limit, or lower "
                "render.sandbox.memory_mb"
            )

    def apply(self, folder: str) -> None:
        """Isolates this process for good: it can read what the plan allows, and write below one folder.

        Args:
            folder: The worker's own folder, which becomes its working directory.

        Raises:
            OSError: A layer cannot be applied.
        """
        prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        prctl(PR_SET_NO_NEW_PRIVS, 1)
        if self._plan.mounts:
            mounts.enter(folder, self._plan.disk_mb)
        else:
            os.chdir(folder)
        drop_capabilities()
        if "rlimits" in self._plan.layers:
            self._limit()
        if self._paths:
            self._paths.restrict(folder)
        if self._filter:
            seccomp.apply(self._filter)

    def _limit(self) -> None:
        limits = {
            resource.RLIMIT_AS: (self._address_space,) * 2,
            resource.RLIMIT_FSIZE: (self._plan.disk_mb * MB,) * 2,
            resource.RLIMIT_NOFILE: (DESCRIPTORS,) * 2,
            resource.RLIMIT_STACK: (STACK_BYTES,) * 2,
            resource.RLIMIT_CORE: (0, 0),
            resource.RLIMIT_MEMLOCK: (0, 0),
        }
        if self._cpu_s is not None:
            # The first signal can be caught, the second cannot.
            limits[resource.RLIMIT_CPU] = (self._cpu_s, self._cpu_s + 1)
        for which, values in limits.items():
            _, most = resource.getrlimit(which)
            soft, hard = (value if most == resource.RLIM_INFINITY else min(value, most) for value in values)
            resource.setrlimit(which, (soft, hard))


def drop_capabilities() -> None:
    """Makes root an ordinary user with root's files.

    Raises:
        OSError: The kernel refuses.
    """
    # Only a process that may set capabilities can lower this bound. To all others it never mattered.
    for capability in range(64):
        prctl(PR_CAPBSET_DROP, capability)
    version_3 = 0x20080522
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.capset(struct.pack("<Ii", version_3, 0), struct.pack("<6I", *[0] * 6)):
        raise OSError(ctypes.get_errno(), f"capabilities: {os.strerror(ctypes.get_errno())}")


def allocated() -> int:
    """Measures the address space of this process, without /proc: the limit at which it gets no more.

    Returns:
        Bytes, to the page.
    """
    before = resource.getrlimit(resource.RLIMIT_AS)
    low, high = 0, 1 << 47 if before[1] == resource.RLIM_INFINITY else min(1 << 47, before[1])
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
