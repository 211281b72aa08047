"""DeduplicatingRenderer: renders equal code once while its image is in use.

Replies of a group often repeat each other. They share one image, held weakly: an image that nobody uses any more is
rendered again. Images that are one object are known to be equal without a comparison.
"""

from __future__ import annotations

from weakref import WeakValueDictionary

from PIL import Image

from visual_erm.extract import Code
from visual_erm.render.base import Renderer
from visual_erm.runtime.singleflight import SingleFlight


class DeduplicatingRenderer:
    """A Renderer that asks another one only for code whose image nobody has. Bound to one event loop.

    Args:
        renderer: The renderer that is asked; closed with this one.
    """

    def __init__(self, renderer: Renderer) -> None:
        self._renderer = renderer
        self._under_way: SingleFlight[Image.Image] = SingleFlight()
        self._in_use: WeakValueDictionary[Code, Image.Image] = WeakValueDictionary()

    @property
    def renderer_version(self) -> str:
        """`renderer_version` of the renderer behind it."""
        return self._renderer.renderer_version

    async def render(self, code: Code) -> Image.Image:
        """Renders `code`, or waits for and returns the image of equal code.

        Args:
            code: What is to be rendered.

        Returns:
            The image, RGB. It is shared: do not change it.

        Raises:
            VisualERMError: Whatever the renderer raises, to all who wait for the same code.
        """
        image = self._in_use.get(code)
        if image is None:
            image = self._in_use[code] = await self._under_way.get(code, lambda: self._renderer.render(code))
        return image

    async def close(self) -> None:
        """Closes the renderer behind it. May be called twice."""
        await self._renderer.close()
