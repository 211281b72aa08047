"""ChartRenderer: matplotlib scripts -> images, each run in a sandbox process of its own.

Stands behind `make_renderer` (base.py) and runs the backend `visual_erm.sandbox.backends.chart`.

    renderer = ChartRenderer(ChartSettings())
    image = await renderer.render(Code("python", "import matplotlib.pyplot as plt; plt.plot([1, 2])"))
    await renderer.close()
"""

from __future__ import annotations

from importlib.metadata import version

from PIL import Image

from visual_erm.extract import Code
from visual_erm.kinds.chart import ChartSettings
from visual_erm.sandbox.host import Limits, Sandbox


class ChartRenderer:
    """Runs Python scripts that plot with matplotlib, pandas or seaborn; a `Renderer`.

    Args:
        settings: Resolution, time limit, pixel limit and sandbox of the task.
        workers: How many scripts run at once at most.
        low_priority: Let this process go before the workers where processors are scarce (runtime/cpu_priority.py).
    """

    def __init__(self, settings: ChartSettings, workers: int = 2, low_priority: bool = False) -> None:
        options = {"dpi": settings.dpi, "max_pixels": settings.max_pixels}
        limits = Limits(settings.timeout_s, settings.max_pixels)
        self._sandbox = Sandbox("chart", options, settings.sandbox, limits, workers, low_priority)

    @property
    def renderer_version(self) -> str:
        """For example `matplotlib 3.11.2`."""
        return f"matplotlib {version('matplotlib')}"

    async def render(self, code: Code) -> Image.Image:
        """Runs one script.

        Args:
            code: The script.

        Returns:
            The last image that the script saves or shows, RGB, on white.

        Raises:
            RenderFailed: The script raised; the reason names the exception and the line.
            RenderLimit: It went over its limit of time, memory or pixels.
            BlankImage: It ran and showed nothing.
            Tampering: It opened a forbidden file, or forged a result.
            RendererUnavailable: The sandbox failed; the script is not at fault.
        """
        return await self._sandbox.render(code.text)

    async def close(self) -> None:
        """Ends the sandbox. May be called twice."""
        await self._sandbox.close()
