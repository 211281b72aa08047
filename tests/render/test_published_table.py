"""`style: published`: the pixels of a page that is written down here as the published data tool writes it."""

from __future__ import annotations

import io
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
import pytest_asyncio
from chromium import html
from PIL import Image, ImageChops
from playwright.async_api import async_playwright

from visual_erm.extract import Code
from visual_erm.kinds.table import TableSettings
from visual_erm.render.browser_process import ARGUMENTS, VIEWPORT
from visual_erm.render.chromium import find_chromium
from visual_erm.render.table import CROP, TableRenderer, to_html

pytestmark = pytest.mark.asyncio(loop_scope="module")
Draw = Callable[[str], Awaitable[Image.Image]]

PAGE = """
<html>
<head>
<meta charset="utf-8">
<style>
body {{ background: white; margin: 20px; }}
table {{ border-collapse: collapse; font-family: Arial, sans-serif; font-size: 14px; }}
td, th {{ border: 1px solid #333; padding: 6px 10px; }}
</style>
</head>
<body>
{}
</body>
</html>
"""
"""No doctype: quirks mode. A font for tables only. The markup stands in the body as it is."""

TABLE = "<table><tr><th>year</th><th>net</th></tr><tr><td>2024</td><td>-1.5</td></tr></table>"
MARKUP = {
    "plain": TABLE,
    "spans": "<table><tr><th colspan=2>a</th><th rowspan=2>b</th></tr><tr><td>c</td><td></td></tr></table>",
    "caption": "<table><caption>Table 1. Net</caption><tr><td>1</td></tr></table>",
    "text around": f"<p>Table 1: net of the year</p>{TABLE}<p>note: a</p>",
    "heading": f"<h2>Sales</h2>{TABLE}",
    "two": f"{TABLE}<br>{TABLE}",
    "font around": f"<div style='font-size:30px; font-weight:bold; color:red; text-align:center'>{TABLE}</div>",
    "table in a paragraph": f"<p>before{TABLE}after",
    "list in a cell": "<table><tr><td><ul><li>a<li>b</ul></td><td><h3>c</h3><p>d</p></td></tr></table>",
    "height": TABLE.replace("<table", "<table height='10%' width='20%' border=1 cellpadding=3"),
    "lengths without unit": "<table style='width:400'><tr><td style='padding:20; color:ff0000'>x</td></tr></table>",
    "class in another case": "<style>.AB { color: red }</style><table><tr><td class=ab>x</td></tr></table>",
    "document": f"<!DOCTYPE html><html><head><style>p {{ color: red }}</style></head><body><p>a{TABLE}</body></html>",
    "attributes of the body": f"<html lang=ja><body bgcolor='#ffeecc' style='font-size:20px'><p>量</p>{TABLE}</body>",
    "background": f"<style>body {{ background: #eef; font-size: 30px }}</style><p>a</p>{TABLE}",
    "cut off": "<table><tr><td>1<td>2<tr><td>3",
    "text": "no table at all",
    "markdown": to_html(Code("markdown", "# Sales\n\n|a|b|\n|-|:-:|\n|1|`2`|\n\nnote\n")),
}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def published() -> AsyncIterator[TableRenderer]:
    renderer = TableRenderer(TableSettings(style="published"), pages=1)
    yield renderer
    await renderer.close()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def draw_as_published() -> AsyncIterator[Draw]:
    async with async_playwright() as driver:
        browser = await driver.chromium.launch(executable_path=str(find_chromium()), args=list(ARGUMENTS))
        page = await browser.new_page(viewport=VIEWPORT)

        async def draw(markup: str) -> Image.Image:
            await page.goto("about:blank")
            await page.set_content(PAGE.format(markup))
            image = Image.open(io.BytesIO(await page.screenshot())).convert("RGB")
            background = Image.new("RGB", image.size, image.getpixel((0, 0)))
            left, top, right, bottom = ImageChops.difference(image, background).getbbox()
            return image.crop((left - CROP, top - CROP, right + CROP, bottom + CROP))

        yield draw
        await browser.close()


@pytest.mark.parametrize("markup", MARKUP.values(), ids=MARKUP)
async def test_the_published_style_draws_the_published_pixels(
    published: TableRenderer, draw_as_published: Draw, markup: str
) -> None:
    found, expected = await published.render(html(markup)), await draw_as_published(markup)
    assert found.size == expected.size
    assert found.tobytes() == expected.tobytes()


async def test_attributes_of_a_body_do_not_stay_for_the_next_table(published: TableRenderer) -> None:
    before = await published.render(html(TABLE))
    for attributes in ("bgcolor=red", "style='zoom:2'", "class=a dir=rtl"):
        await published.render(html(f"<html style='font-size:40px'><body {attributes}>{TABLE}{attributes}"))
        after = await published.render(html(TABLE))
        assert after.tobytes() == before.tobytes()
