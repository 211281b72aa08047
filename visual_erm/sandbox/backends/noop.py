"""Draws nothing: for finding out, within a fraction of a second, what the walls hold back on this machine."""

from __future__ import annotations

from typing import Any

from visual_erm.sandbox.outcome import Rendering, RenderingFailed

REUSABLE = False
THREADS = False


def warm(options: dict[str, Any]) -> None:
    """Nothing to make ready."""


def enter(options: dict[str, Any]) -> None:
    """Nothing to begin."""


def render(code: str, options: dict[str, Any]) -> Rendering:
    """Never an image."""
    raise RenderingFailed("BlankImage", "nothing is drawn here")
