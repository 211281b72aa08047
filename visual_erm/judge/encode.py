"""Image -> data URL: what a remote judge is shown, scaled and encoded in worker threads.

The rollouts of a group share a reference: its encoding is kept, by content, so that it is made once for all of them.
"""

from __future__ import annotations

import asyncio
import base64
import io
from collections import OrderedDict
from concurrent.futures import Future, ThreadPoolExecutor

from PIL import Image

from visual_erm.spec.task import ImageSettings
from visual_erm.vision.images import digest_of, on_white

THREADS = 2
KEPT = 64
"""Encoded references kept, each some 10 to 500 kB: the groups that one reward worker has in flight."""
JPEG_QUALITY = 95
SMALLEST_SIDE = 32
"""Pixels. Vision models refuse tiny and very thin images: no reply may escape its judge by drawing one."""


def data_url(image: Image.Image, form: ImageSettings) -> str:
    """`image` as an RGB data URL, its longest side scaled down (never up) to `form.longest_side`.

    A side shorter than `SMALLEST_SIDE` is filled up with white, to the right or below.
    """
    scale = form.longest_side / max(image.size)
    picture = on_white(image)
    if scale < 1:
        width, height = (max(1, round(side * scale)) for side in image.size)
        picture = picture.resize((width, height), Image.Resampling.LANCZOS)
    if min(picture.size) < SMALLEST_SIDE:
        page = Image.new("RGB", (max(picture.width, SMALLEST_SIDE), max(picture.height, SMALLEST_SIDE)), "white")
        page.paste(picture)
        picture = page
    buffer = io.BytesIO()
    if form.format == "png":
        picture.save(buffer, "PNG", compress_level=1)
    else:
        picture.save(buffer, "JPEG", quality=JPEG_QUALITY)
    return f"data:image/{form.format};base64,{base64.b64encode(buffer.getvalue()).decode('ascii')}"


class Encoder:
    """Encodes without holding up the event loop. Threads start with the first image and end with `close`."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="judge-encode")
        self._references: OrderedDict[tuple[bytes, ImageSettings], Future[str]] = OrderedDict()

    async def prediction(self, image: Image.Image, form: ImageSettings) -> str:
        """The data URL of a image that is judged once."""
        return await asyncio.get_running_loop().run_in_executor(self._pool, data_url, image, form)

    async def reference(self, image: Image.Image, form: ImageSettings) -> str:
        """The data URL of a image that is judged against several times: made once, also when asked for at once."""
        digest = await asyncio.get_running_loop().run_in_executor(self._pool, digest_of, image)
        encoding = self._references.get((digest, form))
        if encoding is None:
            encoding = self._references[digest, form] = self._pool.submit(data_url, image, form)
            if len(self._references) > KEPT:
                self._references.popitem(last=False)
        self._references.move_to_end((digest, form))
        # Shielded: one cancelled judgement must not cancel the encoding that its group waits for.
        return await asyncio.shield(asyncio.wrap_future(encoding))

    def close(self) -> None:
        """Ends the threads. May be called twice."""
        self._pool.shutdown(wait=False, cancel_futures=True)
        self._references.clear()
