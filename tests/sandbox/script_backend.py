"""A backend for tests: runs Python as it is, and its image is what the script leaves in `answer`."""

from __future__ import annotations

import pickle
from typing import Any

from visual_erm.sandbox.outcome import Rendering, RenderingFailed

REUSABLE = False
THREADS = False


def warm(options: dict[str, Any]) -> None:
    """Does what the option `warm` says, as Python."""
    exec(options.get("warm", ""), {})


def enter(options: dict[str, Any]) -> None:
    """Begins nothing."""


def render(code: str, options: dict[str, Any]) -> Rendering:
    """Returns `answer`, pickled, as pixels."""
    names: dict[str, Any] = {"RenderingFailed": RenderingFailed}
    exec(code, names)
    data = pickle.dumps(names.get("answer"))
    return Rendering(-(-len(data) // 3), 1, data + bytes(-len(data) % 3))
