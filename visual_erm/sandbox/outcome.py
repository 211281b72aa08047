"""What a backend hands back: pixels, or why there are none. Plain data; both sides of the sandbox know it."""

from __future__ import annotations

import errno
from dataclasses import dataclass
from typing import Literal

Fault = Literal["RenderFailed", "RenderLimit", "BlankImage", "Tampering"]
"""Names of the errors of `visual_erm.errors` that a job can end with; all are the code's fault."""


_OVER_LIMIT = (errno.ENOMEM, errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""What the kernel answers where a worker has used up its memory or its disk."""


def fault_of(error: BaseException) -> Fault:
    """Says which fault an exception of the code is.

    Args:
        error: What the code raised, or the library that rendered it.

    Returns:
        `RenderLimit` where it wanted more memory or disk than it may have, else `RenderFailed`.
    """
    over = isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno in _OVER_LIMIT)
    return "RenderLimit" if over else "RenderFailed"


@dataclass(frozen=True)
class Rendering:
    """An image as it leaves a worker."""

    width: int
    height: int
    rgb: bytes
    """width x height x 3 bytes, row by row, transparent parts on the background."""
    missing_glyphs: int = 0
    """Number of different characters that no font could show. They all look like the same box."""


class RenderingFailed(Exception):
    """There is no image, and the code is at fault.

    Args:
        fault: Name of the error that the host raises.
        reason: What the code did, for the log.
    """

    def __init__(self, fault: Fault, reason: str) -> None:
        super().__init__(reason)
        self.fault = fault
