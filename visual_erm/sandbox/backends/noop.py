"""Renders nothing: finds out within a fraction of a second what the isolation prevents on this machine."""

from __future__ import annotations

from typing import Any

from visual_erm.sandbox.outcome import Rendering, RenderingFailed

REUSABLE = False
THREADS = False


def warm(options: dict[str, Any]) -> None:
    """Prepares nothing.

    Args:
        options: Not used.
    """


def enter(options: dict[str, Any]) -> None:
    """Begins nothing.

    Args:
        options: Not used.
    """


def render(code: str, options: dict[str, Any]) -> Rendering:
    """Renders nothing.

    Args:
        code: Not used.
        options: Not used.

    Returns:
        Nothing; it always raises.

    Raises:
        RenderingFailed: Always.
    """
    raise RenderingFailed("BlankImage", "nothing is drawn here")
