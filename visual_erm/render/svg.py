"""SvgRenderer: SVG documents -> images of the task's size, in workers that can be killed."""

from __future__ import annotations

from PIL import Image

from visual_erm.extract import Code
from visual_erm.kinds.svg import SvgSettings
from visual_erm.render.svg_engine import engine
from visual_erm.sandbox.host import Limits, Sandbox


class SvgRenderer:
    """Draws SVG with librsvg or CairoSVG; a Renderer. At most `workers` documents at once.

    A image depends on the engine: reference and prediction must be drawn by the same one.
    """

    def __init__(self, settings: SvgSettings, workers: int = 2, low_priority: bool = False) -> None:
        self._backend = settings.backend
        options = settings.model_dump(include={"backend", "width", "height", "background"})
        limits = Limits(settings.timeout_s, settings.width * settings.height)
        self._sandbox = Sandbox("svg", options, settings.sandbox, limits, workers, low_priority)

    @property
    def engine(self) -> str:
        """For example `librsvg (pyvips-binary 8.18.7)` or `cairosvg 2.9.1`."""
        return engine(self._backend)

    async def render(self, code: Code) -> Image.Image:
        """The image of the document, RGB, `width` x `height` on `background`.

        A document that was cut off is closed once, if it cannot be read as it is. Raises RenderFailed, RenderLimit or
        BlankImage (the code's fault), RendererUnavailable (ours).
        """
        return await self._sandbox.draw(code.text)

    async def close(self) -> None:
        """Ends the sandbox."""
        await self._sandbox.close()
