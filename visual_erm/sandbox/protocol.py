"""What host and worker say to each other, over a socket that no other worker has.

    worker  READY                                     it is isolated
    host    job: number, length, code
    worker  head: fault, width, height, length …      nothing before it
    host    key: 32 random bytes, made for this job, sent only now
    worker  body: pixels, or the reason why there are none; then the seal: keyed digest of job, head and body

The body is raw pixels of a size that the head gave and the host approved: there is nothing to decode. The seal ties it to
the job: a body without the key, that of another job, or anything before or after it is a forgery. Who runs in the worker
can speak this too; all that it wins is an image of its own choosing, which any code may make.
"""

from __future__ import annotations

import struct
from hashlib import blake2b
from typing import NamedTuple

JOB = struct.Struct("<QQ")
"""Number of the job, bytes of code that follow."""
HEAD = struct.Struct("<8sBIIQdI")
"""MAGIC, then the fields of Head."""
READY = b"R"
"""What an isolated worker says first."""
MAGIC = b"\x89drawing"
"""Start of every head."""
KEY_BYTES = 32
"""Bytes of the key of a job."""
SEAL_BYTES = 32
"""Bytes of the digest after a body."""
FAULTS = ("", "RenderFailed", "RenderLimit", "BlankImage", "Tampering")
"""Names of the errors by their number on the socket; the first stands for an image."""
MAX_REASON_BYTES = 4096
"""Largest number of bytes of a reason."""


class Head(NamedTuple):
    """What the worker announces before the body."""

    fault: int
    """Index in FAULTS."""
    width: int
    height: int
    length: int
    """Bytes of the body."""
    cpu_s: float
    """CPU time of the worker so far in seconds, for reusable backends."""
    missing_glyphs: int = 0
    """As in `Rendering`."""

    def packed(self) -> bytes:
        """The head as it is sent."""
        return HEAD.pack(MAGIC, *self)

    @classmethod
    def read(cls, data: bytes) -> Head | None:
        """Reads a head.

        Args:
            data: HEAD.size bytes.

        Returns:
            The head; None for a wrong magic, an unknown fault, or a length that does not fit the rest.
        """
        magic, *fields = HEAD.unpack(data)
        head = cls(*fields)
        if magic != MAGIC or head.fault >= len(FAULTS):
            return None
        fits = head.length <= MAX_REASON_BYTES if head.fault else head.length == 3 * head.width * head.height > 0
        return head if fits else None


def sealing(key: bytes, job: int, head: Head) -> blake2b:
    """Begins the keyed digest that ties a body to its job.

    Args:
        key: KEY_BYTES random bytes, made for this job.
        job: Number of the job.
        head: The head that the worker sent.

    Returns:
        The digest; the body is still to be given to it, in pieces.
    """
    return blake2b(JOB.pack(job, head.length) + head.packed(), key=key, digest_size=SEAL_BYTES)
