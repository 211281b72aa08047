# ruff: noqa: F401  what attacks may use
"""The part of an attack that all have in common: its source stands at the head of each script."""

import ctypes
import gc
import mmap
import os
import re
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from pathlib import Path

MB = 1 << 20
HELD_S = 3
"""How long what fills a disk lies there, for it to count."""
SECRET = re.compile(rb"sk-[0-9a-f]{32}")
CALLS = {
    # name: (x86_64, aarch64)
    "kill": (62, 129), "vfork": (58, -1), "fork": (57, -1), "ptrace": (101, 117), "chroot": (161, 51), "mount": (165, 40),
    "tkill": (200, 130), "rt_sigqueueinfo": (129, 138), "add_key": (248, 217), "unshare": (272, 97), "setns": (308, 268),
    "process_vm_readv": (310, 270), "memfd_create": (319, 279), "bpf": (321, 280), "prlimit64": (302, 261),
    "io_uring_setup": (425, 425), "pidfd_open": (434, 434), "pidfd_send_signal": (424, 424), "pidfd_getfd": (438, 438),
    "shmget": (29, 194), "shmat": (30, 196), "execveat": (322, 281), "process_vm_writev": (311, 271), "prctl": (157, 167),
    "setpriority": (141, 140), "userfaultfd": (323, 282), "perf_event_open": (298, 241), "mq_open": (240, 180),
    "open_by_handle_at": (304, 265), "clone": (56, 220), "capset": (126, 91), "setuid": (105, 146),
}  # fmt: skip


def syscall(name, *arguments):
    """What the kernel answers. Raises OSError."""
    number = CALLS[name][os.uname().machine != "x86_64"]
    libc = ctypes.CDLL(None, use_errno=True)
    libc.syscall.restype = ctypes.c_long
    wide = [ctypes.c_long(argument) if isinstance(argument, int) else argument for argument in arguments]
    answer = libc.syscall(ctypes.c_long(number), *wide)
    if answer < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return answer


def secrets_in(data):
    """The secrets in a heap of bytes."""
    return b" ".join(set(SECRET.findall(data)))


def draw(loot):
    """A image whose pixels are the loot."""
    import numpy
    from matplotlib import pyplot

    data = b"won" if loot is True else bytes(loot or b"")
    page = numpy.full(200 * 200 * 3, 128, numpy.uint8)
    framed = (len(data).to_bytes(4, "big") + data)[: page.size]
    page[: len(framed)] = numpy.frombuffer(framed, numpy.uint8)
    pyplot.figure(figsize=(2, 2), dpi=100).figimage(page.reshape(200, 200, 3))


def carry_out(attack, world):
    """Attacks, and draws what came of it; raises where nothing did."""
    loot = attack(world)
    if not loot:
        raise LookupError("nothing came of it")
    draw(loot)
