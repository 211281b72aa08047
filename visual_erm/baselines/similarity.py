"""`Similarity`: what a comparison of two pieces of code finds, as the processes of `worker_pool` send it.

Similarity(0.33, frozenset({"tag_stuffing"}), "tag_stuffing: …")
"""

from __future__ import annotations

from dataclasses import dataclass

TAG_STUFFING = "tag_stuffing"
"""Flag: tags that a table's cells hold in surplus would raise its similarity."""


@dataclass(frozen=True)
class Similarity:
    """How alike two pieces of code are."""

    value: float
    """0 (nothing in common) to 1 (the same)."""
    flags: frozenset[str] = frozenset()
    """Names of the guards that lowered it."""
    reason: str = ""
    """What they found."""
