"""SvgRenderer with its sandbox."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from importlib.metadata import version
from pathlib import Path

import psutil
import pytest
import pytest_asyncio
from svg_documents import BLUE, SAMPLES, WHITE

from visual_erm.errors import BlankImage, RenderFailed, RenderLimit
from visual_erm.extract import Code
from visual_erm.kinds.svg import SvgSettings
from visual_erm.render.base import make_renderer
from visual_erm.render.svg import SvgRenderer
from visual_erm.sandbox.host import Limits, Sandbox
from visual_erm.spec.sandbox import SandboxSettings

pytestmark = pytest.mark.asyncio(loop_scope="module")

DOT = '<rect x="40" y="40" width="20" height="20" fill="blue"/>'
GREEDY = Path(__file__).parents[1] / "attacks" / "greedy.py"
"""A backend of ours, which does what it is told: no document here is too much for a library."""


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


@pytest.mark.parametrize("greed", ["computes", "computes in the library", "sleeps"])
async def test_a_document_that_never_ends_is_stopped_and_the_others_are_drawn(greed: str) -> None:
    sandbox = Sandbox(GREEDY, {}, SandboxSettings(), Limits(0.5, 20_000), workers=2)
    try:
        endless, *others = await asyncio.gather(*map(sandbox.render, [greed, *"1234"]), return_exceptions=True)
    finally:
        await sandbox.close()
    assert isinstance(endless, RenderLimit)
    assert [image.getpixel((50, 50)) for image in others] == [(level, 0, 0) for level in (1, 2, 3, 4)]


async def test_what_is_wrong_is_the_codes_fault_and_told(renderer: SvgRenderer) -> None:
    with pytest.raises(RenderFailed, match="line 2: mismatched tag"):
        await renderer.render(code(f"\n{DOT}</g>"))
    with pytest.raises(RenderLimit, match="levels deep"):
        await renderer.render(code("<g>" * 220))
    with pytest.raises(BlankImage):
        await renderer.render(code(""))


@pytest.mark.parametrize("greed", ["allocates at once", "allocates bit by bit"])
async def test_memory_beyond_the_limit_is_the_codes_fault(greed: str) -> None:
    sandbox = Sandbox(GREEDY, {}, SandboxSettings(memory_mb=400), Limits(10, 20_000), workers=1)
    try:
        with pytest.raises(RenderLimit, match="memory"):
            await sandbox.render(greed)
        assert (await sandbox.render("7")).getpixel((0, 0)) == (7, 0, 0)
    finally:
        await sandbox.close()


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
