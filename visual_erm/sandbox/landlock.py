"""The files that a worker may see: Landlock, the kernel's sandbox for unprivileged processes.

Reading is allowed below a few folders (Python, its packages, shared libraries, fonts), writing below the worker's own
one; TCP is closed where the kernel can. Works for root as well, and needs no name space.
"""

from __future__ import annotations

import ctypes
import os
import stat
import struct
from collections.abc import Sequence
from pathlib import Path

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_PATH_BENEATH = 1

_WRITE_FILE, _READ_FILE, _READ_DIR, _REMOVE_DIR, _REMOVE_FILE = 1 << 1, 1 << 2, 1 << 3, 1 << 4, 1 << 5
_MAKE_DIR, _MAKE_REG, _REFER, _TRUNCATE = 1 << 7, 1 << 8, 1 << 13, 1 << 14
_READ = _READ_FILE | _READ_DIR
_WRITE = _READ | _WRITE_FILE | _REMOVE_DIR | _REMOVE_FILE | _MAKE_DIR | _MAKE_REG | _REFER | _TRUNCATE
_OF_FILES = _WRITE_FILE | _READ_FILE | _TRUNCATE
_FILE_RIGHTS_BY_ABI = {1: (1 << 13) - 1, 2: (1 << 14) - 1, 3: (1 << 15) - 1, 4: (1 << 15) - 1, 5: (1 << 16) - 1}
_TCP, _SCOPES = 0b11, 0b11


def abi() -> int:
    """Asks the kernel for its version of Landlock.

    Returns:
        The version; 0 where there is none (before Linux 5.13, or switched off).
    """
    if os.uname().sysname != "Linux":
        return 0
    return max(_call(_CREATE_RULESET, None, 0, 1), 0)


def missing() -> str:
    """Returns why Landlock cannot be used here; empty where it can."""
    return "" if abi() else "not in this kernel (Linux 5.13 or newer, with landlock among its security modules)"


class Paths:
    """Folders and files that may be read, opened once by the server for all its workers.

    Args:
        readable: Their paths; those that do not exist are left out.

    Raises:
        OSError: A path cannot be opened.
    """

    def __init__(self, readable: Sequence[str]) -> None:
        self._open = [os.open(path, os.O_PATH | os.O_CLOEXEC) for path in readable if Path(path).exists()]

    def restrict(self, writable: str) -> None:
        """Closes everything else to this process for good. Needs no_new_privs.

        Args:
            writable: Folder below which this process may write.

        Raises:
            OSError: The kernel refuses.
        """
        version = abi()
        handled = _FILE_RIGHTS_BY_ABI[min(version, max(_FILE_RIGHTS_BY_ABI))]
        attributes = struct.pack("<Q", handled)
        if version >= 4:
            attributes += struct.pack("<Q", _TCP)
        if version >= 6:
            attributes += struct.pack("<Q", _SCOPES)
        ruleset = _checked("create", _call(_CREATE_RULESET, attributes, len(attributes), 0))
        own = os.open(writable, os.O_PATH | os.O_CLOEXEC)
        try:
            for place in self._open:
                _allow(ruleset, place, _READ & handled)
            _allow(ruleset, own, _WRITE & handled)
            _checked("restrict", _call(_RESTRICT_SELF, ruleset, 0))
        finally:
            os.close(own)
            os.close(ruleset)


def _allow(ruleset: int, place: int, rights: int) -> None:
    mode = os.fstat(place).st_mode
    if not stat.S_ISDIR(mode):
        rights &= _OF_FILES
    if stat.S_ISCHR(mode):
        rights |= _WRITE_FILE
    _checked("rule", _call(_ADD_RULE, ruleset, _PATH_BENEATH, struct.pack("<Qi", rights, place), 0))


def _checked(step: str, answer: int) -> int:
    if answer < 0:
        raise OSError(ctypes.get_errno(), f"landlock, {step}: {os.strerror(ctypes.get_errno())}")
    return answer


def _call(number: int, *arguments: int | bytes | None) -> int:
    return int(ctypes.CDLL(None, use_errno=True).syscall(number, *arguments))
