"""The system calls that a worker may make: an allow-list, compiled to the kernel's filter language.

Everything that is not listed fails with EPERM: sockets of every kind, new processes and programs, signals to others,
tracing, other name spaces, shared memory, keys, raising limits, and what changes a file by its path where Landlock does not
look (its times; on older kernels its length). Numbers are the kernel's, for the two architectures that
veRL runs on.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import struct
from dataclasses import dataclass

from visual_erm.runtime.prctl import PR_GET_SECCOMP, PR_SET_SECCOMP, prctl

ARCHITECTURES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
"""Machine -> AUDIT_ARCH of linux/audit.h."""

_PLAIN: dict[str, tuple[int | None, int | None]] = {
    # name: (x86_64, aarch64)
    "read": (0, 63), "write": (1, 64), "close": (3, 57), "stat": (4, None), "fstat": (5, 80),
    "lstat": (6, None), "poll": (7, None), "lseek": (8, 62), "mmap": (9, 222), "mprotect": (10, 226), "munmap": (11, 215),
    "brk": (12, 214), "rt_sigaction": (13, 134), "rt_sigprocmask": (14, 135), "rt_sigreturn": (15, 139),
    "pread64": (17, 67), "pwrite64": (18, 68), "readv": (19, 65), "writev": (20, 66), "access": (21, None),
    "pipe": (22, None), "select": (23, None), "sched_yield": (24, 124), "mremap": (25, 216), "mincore": (27, 232),
    "madvise": (28, 233), "dup": (32, 23), "dup2": (33, None), "pause": (34, None), "nanosleep": (35, 101),
    "getitimer": (36, 102), "alarm": (37, None), "setitimer": (38, 103), "getpid": (39, 172), "sendfile": (40, 71),
    "exit": (60, 93), "uname": (63, 160), "flock": (73, 32), "fsync": (74, 82), "fdatasync": (75, 83),
    "ftruncate": (77, 46), "getdents": (78, None), "getcwd": (79, 17), "chdir": (80, 49),
    "fchdir": (81, 50), "rename": (82, None), "mkdir": (83, None), "rmdir": (84, None), "creat": (85, None),
    "unlink": (87, None), "readlink": (89, None), "umask": (95, 166), "gettimeofday": (96, 169), "getrlimit": (97, None),
    "getrusage": (98, 165), "sysinfo": (99, 179), "times": (100, 153), "getuid": (102, 174), "getgid": (104, 176),
    "geteuid": (107, 175), "getegid": (108, 177), "getppid": (110, 173), "getpgrp": (111, None), "getgroups": (115, 158),
    "getresuid": (118, 148), "getresgid": (120, 150), "getpgid": (121, 155), "getsid": (124, 156),
    "sigaltstack": (131, 132), "statfs": (137, 43), "fstatfs": (138, 44), "arch_prctl": (158, None), "gettid": (186, 178),
    "time": (201, None), "futex": (202, 98), "sched_getaffinity": (204, 123), "getdents64": (217, 61),
    "restart_syscall": (219, 128), "fadvise64": (221, 223), "clock_gettime": (228, 113), "clock_getres": (229, 114),
    "clock_nanosleep": (230, 115), "exit_group": (231, 94), "mkdirat": (258, 34),
    "newfstatat": (262, 79), "unlinkat": (263, 35), "renameat": (264, 38), "readlinkat": (267, 78),
    "faccessat": (269, 48), "pselect6": (270, 72), "ppoll": (271, 73), "set_robust_list": (273, 99),
    "fallocate": (285, 47), "dup3": (292, 24), "pipe2": (293, 59), "getcpu": (309, 168),
    "renameat2": (316, 276), "getrandom": (318, 278), "membarrier": (324, 283), "copy_file_range": (326, 285),
    "statx": (332, 291), "rseq": (334, 293), "close_range": (436, 436), "faccessat2": (439, 439),
}  # fmt: skip
_THREADED: dict[str, tuple[int | None, int | None]] = {
    "eventfd2": (290, 19), "sched_getattr": (315, 275), "set_tid_address": (218, 96), "sched_getparam": (143, 121),
    "sched_getscheduler": (145, 120), "sched_get_priority_max": (146, 125), "sched_get_priority_min": (147, 126),
}  # fmt: skip


@dataclass(frozen=True)
class _Checked:
    """A call that is allowed when one of its arguments, masked, is one of `values`."""

    numbers: tuple[int | None, int | None]
    argument: int
    values: tuple[int, ...]
    mask: int = 0xFFFFFFFF
    wide: bool = False
    """The argument is a pointer: its upper half must be zero as well."""


_CLONE_THREAD = 0x10000
_OPENED = (os.O_RDONLY, os.O_WRONLY, os.O_RDWR, os.O_WRONLY | os.O_TRUNC, os.O_RDWR | os.O_TRUNC)
"""Ways to open a file: how it is accessed, and whether it is emptied."""
_CHECKED = (
    # ioctl: TCGETS, TIOCGWINSZ, FIONREAD, FIONCLEX, FIOCLEX; nothing that acts on a device.
    _Checked((16, 29), 1, (0x5401, 0x5413, 0x541B, 0x5450, 0x5451)),
    # fcntl: duplicates, flags and locks; not the owner of a descriptor, by which signals could be sent.
    _Checked((72, 25), 1, (0, 1, 2, 3, 4, 5, 6, 7, 36, 37, 38, 1030, 1032)),
    # prlimit64: asking for a limit, not setting one.
    _Checked((302, 261), 2, (0,), wide=True),
    # open, openat: emptying a file only together with the right to write. Before Linux 6.2, Landlock does not see the rest.
    _Checked((2, None), 1, _OPENED, mask=os.O_ACCMODE | os.O_TRUNC),
    _Checked((257, 56), 2, _OPENED, mask=os.O_ACCMODE | os.O_TRUNC),
    # tgkill: abort().
    _Checked((234, 131), 2, (6,)),
)
_CHECKED_THREADED = (
    _Checked((56, 220), 0, (_CLONE_THREAD,), mask=_CLONE_THREAD),
    # prctl: PR_SET_NAME.
    _Checked((157, 167), 0, (15,)),
)
_CLONE3 = 435

_LOAD, _AND, _EQUAL, _AT_LEAST, _RETURN = 0x20, 0x54, 0x15, 0x35, 0x06
_ALLOW, _KILL, _ERRNO = 0x7FFF0000, 0x80000000, 0x00050000
_NUMBER, _ARCHITECTURE, _ARGUMENTS = 0, 4, 16
_X32 = 0x40000000


def missing() -> str:
    """Returns why the filter cannot be used here; empty where it can."""
    if platform.machine() not in ARCHITECTURES:
        return f"not written for {platform.machine()}"
    if prctl(PR_GET_SECCOMP) < 0:
        return "not in this kernel"
    return ""


def compiled(threads: bool) -> bytes:
    """Compiles the filter for this machine.

    Args:
        threads: Whether workers may start threads.

    Returns:
        The filter as an array of `sock_filter`.
    """
    machine = platform.machine()
    place = list(ARCHITECTURES).index(machine)
    lines = [
        (_LOAD, 0, 0, _ARCHITECTURE),
        (_EQUAL, 1, 0, ARCHITECTURES[machine]),
        (_RETURN, 0, 0, _KILL),
        (_LOAD, 0, 0, _NUMBER),
    ]
    if machine == "x86_64":
        lines += [(_AT_LEAST, 0, 1, _X32), (_RETURN, 0, 0, _ERRNO | errno.EPERM)]
    for numbers in [*_PLAIN.values(), *(_THREADED.values() if threads else ())]:
        if numbers[place] is not None:
            lines += [(_EQUAL, 0, 1, numbers[place]), (_RETURN, 0, 0, _ALLOW)]
    for call in (*_CHECKED, *(_CHECKED_THREADED if threads else ())):
        if (number := call.numbers[place]) is not None:
            check = _check(call)
            lines += [(_EQUAL, 0, len(check), number), *check]
    # The C library falls back to clone() only where this one is unknown.
    lines += [(_EQUAL, 0, 1, _CLONE3), (_RETURN, 0, 0, _ERRNO | errno.ENOSYS)]
    lines += [(_RETURN, 0, 0, _ERRNO | errno.EPERM)]
    return b"".join(struct.pack("<HBBI", *line) for line in lines)


def _check(call: _Checked) -> list[tuple[int, int, int, int]]:
    low = _ARGUMENTS + 8 * call.argument
    lines = [(_LOAD, 0, 0, low + 4), (_EQUAL, 1, 0, 0), (_RETURN, 0, 0, _ERRNO | errno.EPERM)] if call.wide else []
    lines += [(_LOAD, 0, 0, low), (_AND, 0, 0, call.mask)]
    for value in call.values:
        lines += [(_EQUAL, 0, 1, value), (_RETURN, 0, 0, _ALLOW)]
    return [*lines, (_RETURN, 0, 0, _ERRNO | errno.EPERM)]


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_void_p))


def apply(program: bytes) -> None:
    """Filters the system calls of this thread and its children for good. Needs no_new_privs.

    Args:
        program: The filter, from `compiled`.

    Raises:
        OSError: The kernel refuses.
    """
    buffer = ctypes.create_string_buffer(program, len(program))
    what = _Program(len(program) // 8, ctypes.addressof(buffer))
    mode_filter = 2
    if prctl(PR_SET_SECCOMP, mode_filter, ctypes.byref(what)) != 0:
        raise OSError(ctypes.get_errno(), f"seccomp: {os.strerror(ctypes.get_errno())}")
