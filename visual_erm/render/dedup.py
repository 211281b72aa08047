"""The renderer that draws equal code once: replies of a group that repeat each other share a image while one has it.

A image that nobody has any more is drawn again, so that nothing is kept here; images that are one object are also
known to be equal without a look at them.
"""

from __future__ import annotations

from weakref import WeakValueDictionary

from PIL import Image

from visual_erm.extract import Code
from visual_erm.render.base import Renderer
from visual_erm.runtime.singleflight import SingleFlight


class DeduplicatingRenderer:
    """Asks `renderer` no more than it must. Bound to one event loop; closes `renderer` with itself."""

    def __init__(self, renderer: Renderer) -> None:
        self._renderer = renderer
        self._under_way: SingleFlight[Image.Image] = SingleFlight()
        self._in_use: WeakValueDictionary[Code, Image.Image] = WeakValueDictionary()

    @property
    def engine(self) -> str:
        return self._renderer.engine

    async def render(self, code: Code) -> Image.Image:
        """The image of `code`, not to be drawn on. Raises what the renderer raises, to all who share a drawing."""
        image = self._in_use.get(code)
        if image is None:
            image = self._in_use[code] = await self._under_way.get(code, lambda: self._renderer.render(code))
        return image

    async def close(self) -> None:
        await self._renderer.close()
