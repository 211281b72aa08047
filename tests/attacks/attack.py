"""What an attack is: a function that is cut out of its file, sent into a runner as a script, and judged from outside.

A script that takes something draws it: its loot is in the pixels of its image. What it does elsewhere shows there, see
`world`. The functions know `world` and what `inside` defines, and nothing else.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

INSIDE = Path(__file__).with_name("inside.py")
HERE = Path(__file__).parent


@dataclass(frozen=True)
class Attack:
    """One script."""

    name: str
    kind: str
    function: str
    """Its source: a function of the world, which returns its loot, or True when it did what it should not."""
    ends: str = ""
    """The fault that it must end with in the sandbox; empty where a image without loot is as good."""
    endless: bool = False
    """It wins by not ending."""
    victim: bool = False
    """It needs a process to harm."""
    stays: bool = False
    """It wins when what is drawn after it is not what it was."""
    whole: bool = False
    """It sees to its image itself."""

    def script(self, world: dict[str, Any]) -> str:
        """What a runner is given."""
        last = f"{self.name}(world)" if self.whole else f"carry_out({self.name}, world)"
        facts = f"world = __import__('types').SimpleNamespace(**{world!r})"
        return "\n\n".join((INSIDE.read_text(), self.function, facts, last, ""))


class Attacks(list[Attack]):
    """Those of one kind; `@add()` takes a function among them."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind = kind

    def add(self, **how: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
        def taken(function: Callable[..., Any]) -> Callable[..., Any]:
            source = inspect.getsource(function)
            self.append(Attack(function.__name__, self.kind, source[source.index("def ") :], **how))
            return function

        return taken


def loot_of(image: Image.Image) -> bytes:
    """What `inside.draw` has drawn; nothing in any other image."""
    pixels = image.convert("RGB").tobytes()
    length = int.from_bytes(pixels[:4], "big")
    return pixels[4 : 4 + length] if length < len(pixels) - 4 else b""
