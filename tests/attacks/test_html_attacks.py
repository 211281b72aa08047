"""Markup that attacks: a page opened as any other falls for it, a table's does not. Ways that its own tests leave out."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import io
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from PIL import Image
from playwright.async_api import Browser, async_playwright
from playwright.async_api import Error as PlaywrightError

from visual_erm.extract import Code
from visual_erm.kinds.table import TableSettings
from visual_erm.render.chromium import find_chromium
from visual_erm.render.table import TableRenderer

pytestmark = pytest.mark.asyncio(loop_scope="module")

TABLE = "<table><tr><td>2024</td><td>-1.5</td></tr></table>"
COLOR = (1, 200, 3)
LIMIT_S = 2.0


def drawn(body: str) -> str:
    """An SVG in a `data:` address."""
    text = f"<svg xmlns='http://www.w3.org/2000/svg' width='60' height='60'>{body}</svg>"
    return f"data:image/svg+xml;base64,{base64.b64encode(text.encode()).decode()}"


CALLS_HOME = {
    "in an image set": "<div style=\"width:9px;height:9px;background:image-set('{url}/x' 1x)\"></div>",
    "from a page in a page in a page": '<iframe srcdoc="<iframe srcdoc=&quot;<img src={url}/x>&quot;></iframe>"></iframe>',
    "from a foreign object": "<svg><foreignObject width='90' height='90'><img src='{url}/x'/></foreignObject></svg>",
    "by a beacon": "<script>navigator.sendBeacon('{url}/x')</script>",
    "by a socket": "<script>new WebSocket('{url}/x'.replace('http', 'ws'))</script>",
    "by events": "<script>new EventSource('{url}/x')</script>",
    "by a form that sends itself": "<form action='{url}/x' id=f></form><script>f.submit()</script>",
    "by a frame that goes elsewhere": "<iframe srcdoc=\"<meta http-equiv='refresh' content='0;url={url}/x'>\"></iframe>",
    "by a list's mark": "<ul style=\"list-style-image:url('{url}/x')\"><li>x</ul>",
    "by a border": "<div style=\"border:9px solid;border-image:url('{url}/x') 9\">x</div>",
}
SHOWS_A_FILE = {
    "in an image set": "<div style=\"width:60px;height:60px;background:image-set('{file}' 1x)\"></div>",
    "from a page in a page": "<iframe srcdoc=\"<body style='margin:0'><img src='{file}'>\"></iframe>",
    "from a foreign object": "<svg><foreignObject width='90' height='90'><img src='{file}'/></foreignObject></svg>",
    "as a list's mark": "<ul style=\"margin:40px;list-style-image:url('{file}')\"><li>x</ul>",
    "as a border": "<div style=\"width:90px;height:90px;border:30px solid;border-image:url('{file}') 9\">x</div>",
    "as contents": "<p style=\"content:url('{file}')\">x</p>",
}


class Home:
    """Listens, and knows whether anything came."""

    def __init__(self) -> None:
        self.visits = 0
        self.url = ""

    async def open(self) -> asyncio.Server:
        server = await asyncio.start_server(self._visited, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        return server

    async def _visited(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.visits += 1
        writer.close()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def home() -> AsyncIterator[Home]:
    listening = Home()
    server = await listening.open()
    yield listening
    server.close()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def unprotected() -> AsyncIterator[Browser]:
    """A browser as anyone starts it, which opens pages as files."""
    async with async_playwright() as driver:
        browser = await driver.chromium.launch(executable_path=find_chromium())
        yield browser
        with contextlib.suppress(PlaywrightError):
            await browser.close()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def renderer() -> AsyncIterator[TableRenderer]:
    shared = TableRenderer(TableSettings(timeout_s=LIMIT_S))
    yield shared
    await shared.close()


async def opened(browser: Browser, markup: str, folder: Path) -> Image.Image:
    """The image of a page without isolation. Raises asyncio.TimeoutError."""
    (folder / "page.html").write_text(f"<!DOCTYPE html>{markup}")
    page = await browser.new_page()
    try:

        async def draw() -> bytes:
            await page.goto((folder / "page.html").as_uri())
            await page.wait_for_timeout(200)
            return await page.screenshot()

        return Image.open(io.BytesIO(await asyncio.wait_for(draw(), LIMIT_S))).convert("RGB")
    finally:
        await page.close()


def shows(image: Image.Image) -> bool:
    return any(color == COLOR for _, color in image.getcolors(image.width * image.height) or [])


@pytest.mark.parametrize("way", CALLS_HOME)
async def test_it_calls_home(way, home, unprotected, renderer, tmp_path):
    markup = CALLS_HOME[way].format(url=home.url) + TABLE
    before = home.visits
    with contextlib.suppress(asyncio.TimeoutError, PlaywrightError):
        await opened(unprotected, markup, tmp_path)
    assert home.visits > before, "without isolation it comes through"
    before = home.visits
    await renderer.render(Code("html", markup))
    await asyncio.sleep(0.2)
    assert home.visits == before


@pytest.mark.parametrize("way", SHOWS_A_FILE)
async def test_it_shows_a_file(way, unprotected, renderer, tmp_path):
    Image.new("RGB", (60, 60), COLOR).save(tmp_path / "reference.png")
    markup = SHOWS_A_FILE[way].format(file=(tmp_path / "reference.png").as_uri()) + TABLE
    assert shows(await opened(unprotected, markup, tmp_path)), "without isolation it is there"
    assert not shows(await renderer.render(Code("html", markup)))
