"""Pictures of tables for the judges' tests, from the real renderer."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator

import pytest
from PIL import Image

from visual_erm.extract import Code
from visual_erm.render import make_renderer
from visual_erm.task import load_task

Draw = Callable[[str], Image.Image]


@pytest.fixture(scope="module")
def draw() -> Iterator[Draw]:
    """Markup -> picture, by one warm browser for the tests of a module."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    renderer = make_renderer(load_task("table").render)

    def draw_one(markup: str) -> Image.Image:
        return asyncio.run_coroutine_threadsafe(renderer.render(Code("html", markup)), loop).result()

    yield draw_one
    asyncio.run_coroutine_threadsafe(renderer.close(), loop).result()
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()
