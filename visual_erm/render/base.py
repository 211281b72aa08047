"""Code -> image: one Renderer per kind of code, all behind the same protocol."""

from __future__ import annotations

from typing import Protocol

from PIL import Image

from visual_erm.extract import Code
from visual_erm.spec.task import RenderSettings


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
    """The renderer that a task asks for; nothing is started before the first render.

    `low_priority`: where processors are scarce this process goes first (precedence.py).
    """
    if settings.renderer == "table":
        from visual_erm.render.table import TableRenderer

        return TableRenderer(settings, pages, low_priority)
    if settings.renderer == "chart":
        from visual_erm.render.chart import ChartRenderer

        return ChartRenderer(settings, pages, low_priority)
    from visual_erm.render.svg import SvgRenderer

    return SvgRenderer(settings, pages, low_priority)
