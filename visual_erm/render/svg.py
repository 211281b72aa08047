"""SvgRenderer: SVG documents -> images of the task's size, rendered in the sandbox.

Stands behind `make_renderer` (base.py) and runs the backend `visual_erm.sandbox.backends.svg`.

    renderer = SvgRenderer(SvgSettings(backend="librsvg"))
    image = await renderer.render(Code("svg", "<svg …"))
    await renderer.close()
"""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

from PIL import Image

from visual_erm.errors import RendererUnavailable
from visual_erm.extract import Code
from visual_erm.kinds.svg import SvgSettings
from visual_erm.sandbox.host import Limits, Sandbox

_PACKAGES = {"librsvg": "pyvips-binary", "cairosvg": "cairosvg"}


class SvgRenderer:
    """Renders SVG with librsvg or CairoSVG; a `Renderer`.

    The two libraries give different pixels: reference and prediction must be rendered by the same one.

    Args:
        settings: Library, size in pixels, background, time limit and sandbox of the task.
        workers: How many documents are rendered at once at most.
        low_priority: Let this process go before the workers where processors are scarce (runtime/cpu_priority.py).
    """

    def __init__(self, settings: SvgSettings, workers: int = 2, low_priority: bool = False) -> None:
        self._backend = settings.backend
        options = settings.model_dump(include={"backend", "width", "height", "background"})
        limits = Limits(settings.timeout_s, settings.width * settings.height)
        self._sandbox = Sandbox("svg", options, settings.sandbox, limits, workers, low_priority)

    @property
    def renderer_version(self) -> str:
        """For example `librsvg (pyvips-binary 8.18.7)`. Raises RendererUnavailable where the library is not installed."""
        return library_version(self._backend)

    async def render(self, code: Code) -> Image.Image:
        """Renders one document. One that was cut off is closed first, if it cannot be read as it is.

        Args:
            code: The document.

        Returns:
            The image, RGB, `width` x `height` pixels of the settings, on their `background`.

        Raises:
            RenderFailed: The document cannot be read or rendered.
            RenderLimit: It went over its limit of time, memory or pixels.
            BlankImage: It shows nothing.
            Tampering: Something else than its image came back.
            RendererUnavailable: The sandbox failed; the document is not at fault.
        """
        return await self._sandbox.render(code.text)

    async def close(self) -> None:
        """Ends the sandbox. May be called twice."""
        await self._sandbox.close()


def library_version(backend: str) -> str:
    """Name and version of a library that renders SVG.

    Args:
        backend: `librsvg` or `cairosvg`.

    Returns:
        For example `librsvg (pyvips-binary 8.18.7)`.

    Raises:
        RendererUnavailable: The library is not installed.

    >>> library_version("cairosvg").split()[0]
    'cairosvg'
    """
    package = _PACKAGES[backend]
    try:
        found = version(package)
    except PackageNotFoundError as error:
        raise RendererUnavailable(f"{backend} is not installed: pip install {package}") from error
    return f"{backend} {found}" if package == backend else f"{backend} ({package} {found})"
