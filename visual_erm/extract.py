"""Policy text -> code: the first arrow of the path."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Code:
    """What a policy wants drawn."""

    language: str
    """`html` or `markdown`."""
    text: str
