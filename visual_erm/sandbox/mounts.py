"""A view of the file system that one worker has to itself: an empty folder in memory, and nothing else to write to.

Bubblewrap encloses the server, and its workers share what it mounted. Each worker then leaves for a mount name space of its
own. There its folder is a file system of limited size that ends with it, and the files of other workers are not there.
"""

from __future__ import annotations

import ctypes
import os

BLOCK = 4096
"""Bytes that the smallest file takes of a disk."""

_CLONE_NEWNS = 0x20000
_MS_RDONLY, _MS_NOSUID, _MS_NODEV, _MS_REMOUNT, _MS_BIND = 1, 2, 4, 32, 4096
_LIBC = ctypes.CDLL(None, use_errno=True)


def enter(folder: str, size_mb: int) -> None:
    """Gives this process a folder of its own, and makes what surrounds it read-only, for good. Changes into the folder.

    It needs CAP_SYS_ADMIN in its name space of users, and must give it up afterwards.

    Args:
        folder: Where its files are from now on: a folder in a file system that is mounted at its parent.
        size_mb: Megabytes that it may hold, and 256 files for each of them.

    Raises:
        OSError: It may not mount here.
    """
    _checked("mount name space", _LIBC.unshare(_CLONE_NEWNS))
    flags = _MS_NOSUID | _MS_NODEV
    around = os.fsencode(os.path.dirname(folder))  # noqa: PTH120
    _checked("read-only", _LIBC.mount(None, around, None, flags | _MS_REMOUNT | _MS_BIND | _MS_RDONLY, None))
    options = f"size={size_mb}m,nr_inodes={(size_mb << 20) // BLOCK},mode=700".encode()
    _checked("file system in memory", _LIBC.mount(b"tmpfs", os.fsencode(folder), b"tmpfs", flags, options))
    os.chdir(folder)


def _checked(step: str, answer: int) -> None:
    if answer:
        raise OSError(ctypes.get_errno(), f"{step}: {os.strerror(ctypes.get_errno())}")
