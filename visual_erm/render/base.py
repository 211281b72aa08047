"""Code -> image: one Renderer per kind of code, all behind the same protocol."""

from __future__ import annotations

from typing import Protocol

from PIL import Image

from visual_erm.extract import Code
from visual_erm.kinds import RenderSettings, resolve


class Renderer(Protocol):
    """Draws code. Safe to call concurrently from one event loop; bounds its own concurrency."""

    @property
    def engine(self) -> str:
        """Name and version of what draws, for example `chromium-headless-shell 156.0`: recorded beside every reference."""
        ...

    async def render(self, code: Code) -> Image.Image:
        """The image of `code`, RGB.

        Raises RenderFailed, RenderLimit, BlankImage or Tampering (the code's fault) or RendererUnavailable (ours).
        """
        ...

    async def close(self) -> None:
        """Ends every process and removes every file the renderer made. May be called twice."""
        ...


def make_renderer(settings: RenderSettings, pages: int = 2, low_priority: bool = False) -> Renderer:
    """The renderer that a task asks for. Nothing is started before the first render.

    Args:
        settings: `Task.render`; its class names the renderer, so a kind without one is an error.
        pages: How many renders run at once at most: pages of the browser, or workers of the sandbox.
        low_priority: Let this process go before the renderer's where processors are scarce (runtime/cpu_priority.py).

    Returns:
        The renderer.
    """
    renderer: Renderer = resolve(settings.renderer_class)(settings, pages, low_priority)
    return renderer
