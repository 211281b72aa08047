"""SvgRenderer with its sandbox."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from importlib.metadata import version

import psutil
import pytest
import pytest_asyncio
from svg_documents import BLUE, SAMPLES, WHITE

from visual_erm.errors import BlankImage, RenderFailed, RenderLimit
from visual_erm.extract import Code
from visual_erm.kinds.svg import SvgSettings
from visual_erm.render.base import make_renderer
from visual_erm.render.svg import SvgRenderer

pytestmark = pytest.mark.asyncio(loop_scope="module")

DOT = '<rect x="40" y="40" width="20" height="20" fill="blue"/>'
USES = "".join(f'<g id="g{level}">{f"""<use href="#g{level - 1}"/>""" * 10}</g>' for level in range(1, 12))
ENDLESS = f'<defs><rect id="g0" width="1" height="1"/>{USES}</defs><use href="#g11"/>'
"""A rectangle, a hundred thousand million times."""


def code(body: str, root: str = 'viewBox="0 0 100 100"') -> Code:
    return Code("svg", f'<svg xmlns="http://www.w3.org/2000/svg" {root}>{body}</svg>')


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=["librsvg", "cairosvg"])
async def renderer(request: pytest.FixtureRequest) -> AsyncIterator[SvgRenderer]:
    """Two workers for all tests of the module: each document must be drawn right whatever became of the others."""
    shared = SvgRenderer(SvgSettings(backend=request.param), workers=2)
    yield shared
    await shared.close()


async def test_documents_drawn_together_come_back_each_as_itself(renderer: SvgRenderer) -> None:
    images = await asyncio.gather(*(renderer.render(Code("svg", sample.svg)) for sample in SAMPLES.values()))
    for (name, sample), image in zip(SAMPLES.items(), images, strict=True):
        for point, color in sample.points.items():
            assert image.getpixel(point) == pytest.approx(color, abs=1), (name, point)


async def test_a_document_draws_the_same_pixels_twice(renderer: SvgRenderer) -> None:
    texts = [Code("svg", SAMPLES[name].svg) for name in ("text", "CJK text", "mask", "text")]
    first, _, _, second = [await renderer.render(text) for text in texts]
    assert first.tobytes() == second.tobytes()


async def test_a_document_that_never_ends_is_stopped_and_the_others_are_drawn() -> None:
    renderer = SvgRenderer(SvgSettings(timeout_s=1.5), workers=2)
    documents = [code(ENDLESS), *[code(DOT)] * 4]
    try:
        endless, *others = await asyncio.gather(*map(renderer.render, documents), return_exceptions=True)
    finally:
        await renderer.close()
    assert isinstance(endless, RenderLimit)
    assert [image.getpixel((168, 168)) for image in others] == [BLUE] * 4


async def test_what_is_wrong_is_the_codes_fault_and_told(renderer: SvgRenderer) -> None:
    with pytest.raises(RenderFailed, match="line 2: mismatched tag"):
        await renderer.render(code(f"\n{DOT}</g>"))
    with pytest.raises(RenderLimit, match="levels deep"):
        await renderer.render(code("<g>" * 100_000))
    with pytest.raises(BlankImage):
        await renderer.render(code(""))


async def test_memory_beyond_the_limit_is_the_codes_fault() -> None:
    mask = '<mask id="m" x="-1e6" y="-1e6" width="1e8" height="1e8"><rect width="1e8" height="1e8" fill="white"/></mask>'
    renderer = SvgRenderer(SvgSettings(backend="cairosvg"), workers=1)
    try:
        with pytest.raises(RenderLimit, match="memory"):
            await renderer.render(code(f'{mask}<rect width="50" height="50" mask="url(#m)"/>'))
    finally:
        await renderer.close()


async def test_size_and_background_come_from_the_task_and_nothing_is_left_at_the_end() -> None:
    before = set(psutil.Process().children(recursive=True))
    settings = SvgSettings(width=64, height=32, background="#0000ff")
    renderer = make_renderer(settings)
    try:
        image = await renderer.render(code('<rect width="50" height="100" fill="white"/>'))
        assert image.size == (64, 32)
        assert [image.getpixel(point) for point in ((4, 16), (20, 16), (60, 16))] == [BLUE, WHITE, BLUE]
        assert set(psutil.Process().children(recursive=True)) > before
    finally:
        await renderer.close()
    assert set(psutil.Process().children(recursive=True)) == before


async def test_the_engine_is_told_by_name_and_version() -> None:
    versions = [make_renderer(SvgSettings(backend=backend)).renderer_version for backend in ("librsvg", "cairosvg")]
    assert versions == [f"librsvg (pyvips-binary {version('pyvips-binary')})", f"cairosvg {version('cairosvg')}"]
