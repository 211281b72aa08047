"""`Renderer`: the protocol of what turns code into an image, the second stage of the path, and its factory.

Each kind of code (visual_erm/kinds) names its own renderer. Nothing else in this package depends on the kind.

    renderer = make_renderer(task.render)
    image = await renderer.render(Code("svg", "<svg …"))
    await renderer.close()
"""

from __future__ import annotations

from typing import Protocol

from PIL import Image

from visual_erm.extract import Code
from visual_erm.kinds import RenderSettings, resolve


class Renderer(Protocol):
    """Renders code. Safe to call concurrently from one event loop; bounds its own concurrency."""

    @property
    def renderer_version(self) -> str:
        """Name and version of what renders, as `chromium-headless-shell 156.0`: recorded with every reference."""
        ...

    async def render(self, code: Code) -> Image.Image:
        """Renders one piece of code.

        Args:
            code: What is to be rendered.

        Returns:
            The image, RGB.

        Raises:
            RenderFailed: The code is malformed beyond what its language forgives, or it raised.
            RenderLimit: The code went over its own limit of time, memory or pixels.
            BlankImage: The code ran and showed nothing.
            Tampering: The code reached for the reference, the judge or the sandbox.
            RendererUnavailable: The infrastructure failed; the code is not at fault.
        """
        ...

    async def close(self) -> None:
        """Ends every process and removes every file the renderer made. May be called twice."""
        ...


def make_renderer(settings: RenderSettings, pages: int = 2, low_priority: bool = False) -> Renderer:
    """Makes the renderer that a task asks for. Nothing is started before the first render.

    Args:
        settings: `Task.render`; its class names the renderer, so a kind without one is an error.
        pages: How many renders run at once at most: pages of the browser, or workers of the sandbox.
        low_priority: Let this process go before the renderer's where processors are scarce (runtime/cpu_priority.py).

    Returns:
        The renderer.
    """
    renderer: Renderer = resolve(settings.renderer_class)(settings, pages, low_priority)
    return renderer
