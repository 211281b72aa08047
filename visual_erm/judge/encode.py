"""Image -> data URL: what a remote judge is shown, scaled and encoded in worker threads.

The rollouts of a group share a reference. Its data URL is kept by content, so that it is made once for all of them.

    encoder = Encoder()
    url = await encoder.reference(image, task.judge.image)
    encoder.close()
"""

from __future__ import annotations

import asyncio
import base64
import io
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from PIL import Image

from visual_erm.errors import JudgeUnavailable
from visual_erm.runtime.cache import Cache
from visual_erm.runtime.singleflight import SingleFlight
from visual_erm.spec.task import ImageSettings
from visual_erm.vision.images import digest_of, on_white, scale_to_fit

T = TypeVar("T")

THREADS = 2
"""Number of threads that scale and encode images."""
REFERENCES_KEPT = 64
"""Number of encoded references that are kept, each some 10 to 500 kB: the groups that one reward worker has in flight."""
JPEG_QUALITY = {"default": 95, "published": 75}
"""Quality of JPEG images by `image.encoding`, 1 to 100."""
MIN_SIDE = 32
"""Shortest side of an image in pixels. Vision models refuse tiny and thin images; no reply may escape its judge by one."""


def data_url(image: Image.Image, form: ImageSettings) -> str:
    """Encodes an image as a data URL.

    Args:
        image: The image, in any mode. Transparent parts are laid on white.
        form: File format, and the longest side in pixels. Larger images are scaled down; none is scaled up.

    Returns:
        The data URL of an RGB image. A side shorter than MIN_SIDE is filled up with white, to the right or below.
    """
    shown = _scaled(on_white(image), form)
    if min(shown.size) < MIN_SIDE:
        page = Image.new("RGB", (max(shown.width, MIN_SIDE), max(shown.height, MIN_SIDE)), "white")
        page.paste(shown)
        shown = page
    buffer = io.BytesIO()
    if form.format == "png":
        shown.save(buffer, "PNG", compress_level=1)
    else:
        shown.save(buffer, "JPEG", quality=JPEG_QUALITY[form.encoding])
    return f"data:image/{form.format};base64,{base64.b64encode(buffer.getvalue()).decode('ascii')}"


def _scaled(image: Image.Image, form: ImageSettings) -> Image.Image:
    scale = scale_to_fit(image.size, form.longest_side)
    if scale == 1:
        return image
    if form.encoding == "published":
        smaller = image.copy()
        smaller.thumbnail((form.longest_side, form.longest_side))
        return smaller
    width, height = (max(1, round(side * scale)) for side in image.size)
    return image.resize((width, height), Image.Resampling.LANCZOS)


class Encoder:
    """Encodes images in threads, beside the event loop. Bound to one event loop.

    The threads start with the first image and end with `close`.
    """

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="judge-encode")
        self._closed = False
        self._references: Cache[str] = Cache(REFERENCES_KEPT)
        self._encoding: SingleFlight[str] = SingleFlight()

    async def prediction(self, image: Image.Image, form: ImageSettings) -> str:
        """Encodes an image that is judged once.

        Args:
            image: The image.
            form: File format and size.

        Returns:
            The data URL.

        Raises:
            JudgeUnavailable: The encoder was closed.
        """
        return await self._in_thread(lambda: data_url(image, form))

    async def reference(self, image: Image.Image, form: ImageSettings) -> str:
        """Encodes an image that is judged against several times. It is encoded once, also when several ask at once.

        Args:
            image: The image.
            form: File format and size.

        Returns:
            The data URL.

        Raises:
            JudgeUnavailable: The encoder was closed.
        """
        key = (await self._in_thread(lambda: digest_of(image)), form)
        if (known := self._references.find(key)) is not None:
            return known

        async def encode() -> str:
            url = await self._in_thread(lambda: data_url(image, form))
            self._references.keep(key, url)
            return url

        return await self._encoding.get(key, encode)

    def close(self) -> None:
        """Ends the threads after the encodings under way, and forgets the references. May be called twice."""
        self._closed = True
        self._pool.shutdown(wait=False)
        self._references.clear()

    async def _in_thread(self, work: Callable[[], T]) -> T:
        if self._closed:
            raise JudgeUnavailable("the judge was closed")
        return await asyncio.get_running_loop().run_in_executor(self._pool, work)
