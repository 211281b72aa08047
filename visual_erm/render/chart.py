"""ChartRenderer: matplotlib scripts -> images, each run in a sandbox of its own."""

from __future__ import annotations

from importlib.metadata import version

from PIL import Image

from visual_erm.extract import Code
from visual_erm.kinds.chart import ChartSettings
from visual_erm.sandbox.host import Limits, Sandbox


class ChartRenderer:
    """Runs Python that draws with matplotlib, pandas or seaborn; a Renderer. At most `workers` scripts at once."""

    def __init__(self, settings: ChartSettings, workers: int = 2, low_priority: bool = False) -> None:
        options = {"dpi": settings.dpi, "max_pixels": settings.max_pixels}
        limits = Limits(settings.timeout_s, settings.max_pixels)
        self._sandbox = Sandbox("chart", options, settings.sandbox, limits, workers, low_priority)

    @property
    def engine(self) -> str:
        """For example `matplotlib 3.11.2`."""
        return f"matplotlib {version('matplotlib')}"

    async def render(self, code: Code) -> Image.Image:
        """The last image that the script makes, RGB, as it saves or shows it.

        Raises RenderFailed with the script's exception and line, RenderLimit, BlankImage or Tampering (the code's fault),
        RendererUnavailable (ours).
        """
        return await self._sandbox.draw(code.text)

    async def close(self) -> None:
        """Ends the sandbox."""
        await self._sandbox.close()
