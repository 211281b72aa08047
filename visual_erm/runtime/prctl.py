"""Linux's prctl(2): the only module that calls it.

    prctl(PR_SET_NO_NEW_PRIVS, 1)

It imports nothing but the standard library, because the sandbox's workers use it too.
"""

from __future__ import annotations

import ctypes
from typing import Any

PR_SET_PDEATHSIG = 1
"""Signal that this process gets when its parent dies."""
PR_GET_SECCOMP = 21
PR_SET_SECCOMP = 22
PR_CAPBSET_DROP = 24
"""Drops a capability from the bounding set."""
PR_SET_CHILD_SUBREAPER = 36
"""Orphaned descendants become children of this process."""
PR_SET_NO_NEW_PRIVS = 38

_LIBC = ctypes.CDLL(None, use_errno=True)


def prctl(option: int, first: Any = 0, second: Any = 0) -> int:
    """Makes the system call for the calling thread or process.

    Args:
        option: One of the constants of this module.
        first: First argument of the option; an integer or a ctypes pointer.
        second: Second argument of the option, likewise.

    Returns:
        The answer of the kernel; negative on failure, with the reason in `ctypes.get_errno()`.
    """
    return int(_LIBC.prctl(option, first, second, 0, 0))
