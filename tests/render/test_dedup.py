"""Equal code is drawn once, for as long as somebody has the image."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator

import pytest
from PIL import Image

from visual_erm.errors import RenderFailed
from visual_erm.extract import Code
from visual_erm.render.base import make_renderer
from visual_erm.render.dedup import DeduplicatingRenderer
from visual_erm.render.svg import SvgRenderer
from visual_erm.spec.task import load_task


def square(color: str) -> Code:
    shape = f'<rect width="5" height="5" fill="{color}"/>'
    return Code("svg", f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 9 9">{shape}</svg>')


class Counting:
    """The renderer of drawings, and what it was asked for."""

    def __init__(self) -> None:
        self._renderer = make_renderer(load_task("svg").render, pages=2)
        assert isinstance(self._renderer, SvgRenderer)
        self.renderer_version = self._renderer.renderer_version
        self.drawn: list[Code] = []

    async def render(self, code: Code) -> Image.Image:
        self.drawn.append(code)
        return await self._renderer.render(code)

    async def close(self) -> None:
        await self._renderer.close()


@pytest.fixture
async def counting() -> AsyncIterator[Counting]:
    one = Counting()
    yield one
    await one.close()


async def test_equal_code_at_the_same_time_is_one_drawing(counting: Counting) -> None:
    sparing = DeduplicatingRenderer(counting)
    red, again, blue = await asyncio.gather(*map(sparing.render, (square("red"), square("red"), square("blue"))))
    assert red is again
    assert red.getpixel((4, 4)) != blue.getpixel((4, 4))
    assert sorted(counting.drawn, key=str) == [square("blue"), square("red")]


async def test_a_image_is_shared_while_somebody_has_it_and_drawn_again_when_nobody_has(counting: Counting) -> None:
    sparing = DeduplicatingRenderer(counting)
    first = await sparing.render(square("red"))
    assert await sparing.render(square("red")) is first
    assert len(counting.drawn) == 1
    pixels = first.tobytes()
    del first
    # Until the event loop goes on it has the future that brought the image.
    await asyncio.sleep(0)
    gc.collect()
    assert (await sparing.render(square("red"))).tobytes() == pixels
    assert len(counting.drawn) == 2


async def test_a_failure_is_that_of_all_who_share_and_is_not_kept(counting: Counting) -> None:
    sparing, broken = DeduplicatingRenderer(counting), Code("svg", "<svg><rect</svg>")
    outcomes = await asyncio.gather(*(sparing.render(broken) for _ in range(3)), return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [RenderFailed] * 3
    assert len(counting.drawn) == 1
    with pytest.raises(RenderFailed):
        await sparing.render(broken)
    assert len(counting.drawn) == 2


async def test_who_gives_up_takes_nothing_from_the_others(counting: Counting) -> None:
    sparing = DeduplicatingRenderer(counting)
    gives_up, stays = (asyncio.create_task(sparing.render(square("red"))) for _ in range(2))
    await asyncio.sleep(0)
    gives_up.cancel()
    assert (await stays).getpixel((4, 4)) == (255, 0, 0)
    assert gives_up.cancelled()
    assert len(counting.drawn) == 1
