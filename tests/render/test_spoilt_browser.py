"""A page that keeps its whole browser busy is at fault, and costs only its own sample.

No page here does that: the test stops the browser's own process, which looks the same to the renderer.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import psutil
import pytest
from chromium import browsers, small_table

from visual_erm.errors import RendererUnavailable, RenderLimit
from visual_erm.kinds.table import TableSettings
from visual_erm.render import browser as warm_browser
from visual_erm.render.browser_process import Tab, main_process
from visual_erm.render.table import TableRenderer

pytestmark = pytest.mark.long
LIMIT_S = 1.0
NEIGHBORS = 12


@pytest.fixture
async def renderer() -> AsyncIterator[TableRenderer]:
    made = TableRenderer(TableSettings(timeout_s=LIMIT_S), pages=2)
    yield made
    await made.close()
    assert browsers() == []


async def its_browser(tab: Tab) -> psutil.Process:
    browser = tab._context.browser
    assert browser is not None
    return await main_process(browser)


async def stops_its_browser(tab: Tab) -> None:
    (await its_browser(tab)).suspend()
    await asyncio.sleep(60)


async def never_ends(tab: Tab) -> None:
    await asyncio.sleep(60)


async def stops_its_first_browser(tab: Tab, stopped: list[psutil.Process]) -> str:
    if not stopped:
        stopped.append(await its_browser(tab))
        await stops_its_browser(tab)
    return "drawn"


async def drawn_late(renderer: TableRenderer, seed: int) -> bytes:
    await asyncio.sleep(0.15 * seed)
    return (await renderer.render(small_table(seed))).tobytes()


async def test_who_spoils_the_browser_is_at_fault_and_no_neighbor_is(renderer: TableRenderer) -> None:
    expected = [(await renderer.render(small_table(seed))).tobytes() for seed in range(NEIGHBORS)]
    fates = await asyncio.gather(
        renderer._browser.render(stops_its_browser, LIMIT_S),
        *(drawn_late(renderer, seed) for seed in range(NEIGHBORS)),
        return_exceptions=True,
    )
    assert isinstance(fates[0], RenderLimit), fates[0]
    assert fates[1:] == expected
    await renderer._browser.close()
    assert browsers() == [], "a stopped browser does not stay"


async def test_a_page_that_is_only_slow_leaves_the_browser_to_the_others(renderer: TableRenderer) -> None:
    await renderer.render(small_table(1))
    main = browsers()[0]
    fate, _ = await asyncio.gather(
        renderer._browser.render(never_ends, LIMIT_S), drawn_late(renderer, 2), return_exceptions=True
    )
    assert isinstance(fate, RenderLimit)
    assert main in browsers()


async def test_a_page_whose_browser_was_spoilt_by_another_is_drawn(renderer: TableRenderer) -> None:
    stopped: list[psutil.Process] = []
    assert await renderer._browser.render(lambda tab: stops_its_first_browser(tab, stopped), LIMIT_S) == "drawn"
    assert stopped[0] not in browsers()


async def test_where_plain_pages_fail_too_no_page_is_at_fault(
    renderer: TableRenderer, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fails(keeper: object, limit_s: float) -> bool:
        return False

    monkeypatch.setattr(warm_browser._Keeper, "renders_a_plain_page", fails)
    with pytest.raises(RendererUnavailable, match="and so did plain pages"):
        await renderer._browser.render(never_ends, 0.2)
