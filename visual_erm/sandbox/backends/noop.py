"""Draws nothing: for finding out, within a fraction of a second, what the walls hold back on this machine."""

from __future__ import annotations

from typing import Any

from visual_erm.sandbox.outcome import Drawing, DrawingFailed

REUSE = False
THREADS = False


def warm(options: dict[str, Any]) -> None:
    """Nothing to make ready."""


def enter(options: dict[str, Any]) -> None:
    """Nothing to begin."""


def draw(code: str, options: dict[str, Any]) -> Drawing:
    """Never a image."""
    raise DrawingFailed("BlankImage", "nothing is drawn here")
