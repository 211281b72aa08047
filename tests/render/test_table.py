from __future__ import annotations

import asyncio
import base64
import io
import socketserver
import threading
import time
import urllib.request
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest
from chromium import html, small_table
from PIL import Image, ImageChops
from playwright.async_api import async_playwright

from visual_erm.errors import BlankImage, RenderLimit
from visual_erm.extract import Code
from visual_erm.kinds.table import TableSettings
from visual_erm.render import browser_process, table
from visual_erm.render.base import make_renderer
from visual_erm.render.chromium import find_chromium
from visual_erm.render.table import CROP, TableRenderer

pytestmark = pytest.mark.asyncio(loop_scope="module")

TABLE = "<table><tr><th>year</th><th>net</th></tr><tr><td>2024</td><td>-1.5</td></tr></table>"


def markdown(text: str) -> Code:
    return Code("markdown", text)


def same(one: Image.Image, other: Image.Image) -> bool:
    return one.size == other.size and one.tobytes() == other.tobytes()


GREED = ["computes", "waits"]
"""What a page says that keeps its process busy. Functions of ours do it: no markup here is too much for Chromium."""


def greedy(place: str) -> str:
    """The renderer's own function for a page, which does what the page's text says."""
    does = """
      while (markup.includes('computes')) {}
      if (markup.includes('waits')) await new Promise(() => null);
      for (const held = []; markup.includes('holds memory');) held.push(new Array(1e6).fill(0.5));
    """
    begin = "async (markup, published) => {"
    assert begin in place
    return place.replace(begin, begin + does)


def holds(image: Image.Image, color: tuple[int, int, int]) -> bool:
    return any(found == color for _, found in image.getcolors(image.width * image.height) or [])


async def test_a_table_becomes_an_rgb_image_with_12_pixels_round_its_borders(renderer: TableRenderer) -> None:
    image = await renderer.render(html(TABLE))
    assert image.mode == "RGB"
    frame = ImageChops.difference(image, Image.new("RGB", image.size, "white")).getbbox()
    assert frame == (CROP, CROP, image.width - CROP, image.height - CROP)
    assert image.getpixel((CROP, CROP)) == (0x33, 0x33, 0x33)


async def test_header_cells_look_like_any_other(renderer: TableRenderer) -> None:
    for attributes in ("", ' align="right"', ' style="text-align:center"', ' colspan="1"'):
        wide = f"<table><tr><XX{attributes}>a</XX></tr><tr><td>a wider cell</td></tr></table>"
        header, cell = wide.replace("XX", "th"), wide.replace("XX", "td")
        assert same(await renderer.render(html(header)), await renderer.render(html(cell))), attributes


@pytest.mark.parametrize(("rows", "columns", "side"), [(3, 200, "width"), (100, 3, "height")])
async def test_the_published_style_sees_one_window_of_a_page(rows: int, columns: int, side: str) -> None:
    wide = "<td>a long word of a cell</td>" * columns
    code = html(f"<table style='white-space: nowrap'>{f'<tr>{wide}</tr>' * rows}</table>")
    published = TableRenderer(TableSettings(style="published"), pages=1)
    image = await published.render(code)
    await published.close()
    # All of the margin of 20 pixels but 12 is cropped on the one side, and the table goes on at the other.
    assert getattr(image, side) == {"width": 3600, "height": 2400}[side] - 8


async def test_the_published_style_leaves_header_cells_to_the_browser() -> None:
    published = TableRenderer(TableSettings(style="published"), pages=1)
    cells = html(TABLE.replace("th>", "td>"))
    header, plain = await published.render(html(TABLE)), await published.render(cells)
    assert not same(header, plain)
    await published.close()


async def test_a_width_of_100_percent_is_the_tables_own(renderer: TableRenderer) -> None:
    stretched = TABLE.replace("<table", '<table style="width:100%"')
    assert same(await renderer.render(html(stretched)), await renderer.render(html(TABLE)))


@pytest.mark.parametrize(
    ("text", "equal"),
    [
        ("|year|net|\n|-|-|\n|2024|-1.5|\n", TABLE),
        (
            "| l | r | c |\n|:--|--:|:-:|\n| wide left | wide right | wide middle |\n",
            '<table><tr><th>l</th><th align="right">r</th><th align="center">c</th></tr>'
            '<tr><td>wide left</td><td align="right">wide right</td><td align="center">wide middle</td></tr></table>',
        ),
        (
            "|a|b|\n|-|-|\n|**bold** `code` ~~old~~|1\\|2|\n|x&amp;y<br>z|<sup>1</sup>|\n",
            "<table><tr><td>a</td><td>b</td></tr>"
            "<tr><td><strong>bold</strong> <code>code</code> <s>old</s></td><td>1|2</td></tr>"
            "<tr><td>x&amp;y<br>z</td><td><sup>1</sup></td></tr></table>",
        ),
        ("|a|b|c|\n|-|-|-|\n|1|\n", "<table><tr><td>a<td>b<td>c<tr><td>1<td><td></table>"),
    ],
    ids=["plain", "alignment", "inline marks", "missing cells"],
)
async def test_markdown_draws_the_pixels_of_the_same_table_in_html(renderer: TableRenderer, text: str, equal: str) -> None:
    assert same(await renderer.render(markdown(text)), await renderer.render(html(equal)))


async def test_a_table_that_is_cut_off_is_closed_as_a_browser_does(renderer: TableRenderer) -> None:
    open_, closed = "<table><tr><td>1<td>2<tr><td>3", "<table><tr><td>1</td><td>2</td></tr><tr><td>3</td></tr></table>"
    assert same(await renderer.render(html(open_)), await renderer.render(html(closed)))


async def test_a_whole_document_draws_like_the_table_in_it(renderer: TableRenderer) -> None:
    whole = f"<!DOCTYPE html><html><head><title>t</title><meta charset='utf-8'></head><body>{TABLE}</body></html>"
    assert same(await renderer.render(html(whole)), await renderer.render(html(TABLE)))


async def test_chinese_japanese_and_korean_have_glyphs(renderer: TableRenderer) -> None:
    cells = [await renderer.render(html(f"<table><td>{character}</table>")) for character in "量数売비"]
    boxes = await renderer.render(html("<table><td>\U000f0000</table>"))
    images = {image.tobytes() for image in [*cells, boxes]}
    assert len(images) == 5, "missing glyphs are all drawn as the same box"


async def test_what_lies_beyond_the_viewport_is_drawn(renderer: TableRenderer) -> None:
    cell = "<td nowrap>a cell that is not wrapped</td>"
    tall = await renderer.render(html(f"<table>{'<tr><td>1</td></tr>' * 100}</table>"))
    wide = await renderer.render(html(f"<table><tr>{cell * 30}</tr></table>"))
    assert tall.height > 2400
    assert wide.width > 3600
    for image in (tall, wide):
        assert image.getpixel((image.width - CROP - 1, image.height - CROP - 1)) == (0x33, 0x33, 0x33)


class TestDeterminism:
    async def test_the_same_markup_gives_the_same_pixels_on_any_tab_at_any_time(self, renderer: TableRenderer) -> None:
        expected = await renderer.render(html(TABLE))
        for round_ in range(5):
            images = await asyncio.gather(
                *(renderer.render(small_table(7 * round_ + seed)) for seed in range(6)), renderer.render(html(TABLE))
            )
            assert same(images[-1], expected)

    async def test_a_new_browser_draws_the_same_pixels(self, renderer: TableRenderer, settings: TableSettings) -> None:
        other = TableRenderer(settings, pages=1)
        assert same(await other.render(html(TABLE)), await renderer.render(html(TABLE)))
        await other.close()

    async def test_callers_of_the_same_code_each_get_a_image_of_their_own(self, renderer: TableRenderer) -> None:
        one, other = await asyncio.gather(renderer.render(html(TABLE)), renderer.render(html(TABLE)))
        one.paste("red", (0, 0, *one.size))
        assert not same(one, other)

    @pytest.mark.parametrize(
        "moving",
        [
            "<style>@keyframes k {from {background: red} to {background: blue}} td {animation: k .2s infinite}</style>",
            "<style>td {transition: background 3s} @starting-style {td {background: red}} td {background: blue}</style>",
            "<svg width='90'><rect width='9' height='9'><animate attributeName='x' to='80' dur='.3s' /></rect></svg>",
            "<marquee>moving</marquee>",
            "<input autofocus value='caret'>",
            "<progress></progress>",
        ],
    )
    async def test_what_moves_stands_still(self, renderer: TableRenderer, moving: str) -> None:
        first = await renderer.render(html(moving + TABLE))
        for wait in (0.1, 0.23):
            await asyncio.sleep(wait)
            assert same(await renderer.render(html(moving + TABLE)), first)


LEAKS = [
    "<style>td, body, html { background: red !important; color: blue; zoom: 3 }</style>" + TABLE,
    "<style>@property --c { syntax: '<color>'; inherits: true; initial-value: red } td { color: var(--c) }</style>" + TABLE,
    "<style>:root { color-scheme: dark; direction: rtl; writing-mode: vertical-rl; font-size: 40px }</style>" + TABLE,
    "<meta name='color-scheme' content='dark'><meta name='viewport' content='width=100,initial-scale=5'>" + TABLE,
    "<html dir='rtl' lang='ar' style='zoom:4'><body style='margin:300px;font-size:99px' dir='rtl'>" + TABLE,
    "<base href='http://127.0.0.1/' target='_blank'><link rel='stylesheet' href='x.css'>" + TABLE,
    f"<table>{'<tr><td>tall</td></tr>' * 150}</table>",
    f"<table><tr>{'<td nowrap>wide wide wide wide wide</td>' * 40}</tr></table>",
    "<textarea autofocus>1" + TABLE,
    "<!-- " + TABLE,
    "<plaintext>" + TABLE,
    "</body></html></table>" + TABLE,
    "<dialog open>x</dialog><details open><summary>s</summary>x</details><a id='t' href='#t'>t</a>" + TABLE,
    "<div style='position:fixed;inset:0;background:red'>x</div>" + TABLE,
    "<template shadowrootmode='open'><style>* { color: red }</style></template>" + TABLE,
    "<svg width='9' height='9'><style>td { color: red }</style><foreignObject><body bgcolor='red'></foreignObject></svg>"
    + TABLE,
    "<style>@layer a { td { padding: 50px } } @import 'x.css'; @counter-style c { system: cyclic; symbols: x }</style>"
    + TABLE,
]


@pytest.mark.parametrize("markup", LEAKS)
async def test_nothing_of_a_page_is_left_for_the_next(markup: str, renderer: TableRenderer) -> None:
    expected = await renderer.render(html(TABLE))
    await asyncio.gather(*(renderer.render(html(markup + f"<p>{copy}")) for copy in range(2)), return_exceptions=True)
    for _ in range(2):
        after = await asyncio.gather(renderer.render(html(TABLE)), renderer.render(small_table(1)))
        assert same(after[0], expected)


@pytest.mark.parametrize(
    "code",
    [
        html(""),
        html("<p> </p>"),
        html("<!-- only a comment -->"),
        html("<p style='color:#fff'>white on white</p>"),
        html("<script>document.write('text')</script>"),
        html("<table style='display:none'><td>1</table>"),
        html("<body bgcolor=red><div style='position:absolute;left:-9999px'>outside</div>"),
        markdown("\n\n"),
    ],
)
async def test_a_page_that_shows_nothing_is_blank(renderer: TableRenderer, code: Code) -> None:
    with pytest.raises(BlankImage):
        await renderer.render(code)


@pytest.mark.parametrize(
    ("markup", "color"),
    [
        ("<style>body { background: red }</style><table><td style='border: none'></table>", (255, 0, 0)),
        ("<style>body { background: #fafafa }</style><table><td style='border: none'></table>", (250, 250, 250)),
        ("<style>* { background: black; border: none !important }</style><table><td>1</table>", (0, 0, 0)),
    ],
)
async def test_a_page_of_one_color_is_an_image(renderer: TableRenderer, markup: str, color: tuple[int, int, int]) -> None:
    image = await renderer.render(html(markup))
    assert image.getcolors() == [(image.width * image.height, color)]


def rows(count: int, style: str = "") -> str:
    cells = "".join(
        f"<tr><td>{row}<td>Ägypten {row * 7.5}<td style='background:linear-gradient(red,blue)'>x" for row in range(count)
    )
    return f"<table style='{style}'>{cells}</table>"


@pytest.mark.long
@pytest.mark.parametrize(
    "markup",
    [
        rows(40),
        rows(90, "width:700px;line-height:1.37;transform:rotate(0.5deg)"),
        rows(6, "width:5000px;height:40vh"),
        rows(150, "position:relative;left:3.5px;opacity:0.9;border:3px dashed teal"),
    ],
    ids=["in the viewport", "taller", "wider", "taller and faint"],
)
async def test_an_image_is_the_same_in_bands(markup: str, monkeypatch: pytest.MonkeyPatch) -> None:
    images = []
    for pixels in (100_000_000, 90_000):
        monkeypatch.setattr(browser_process, "BAND_PIXELS", pixels)
        own = make_renderer(TableSettings(), pages=1)
        images.append(await own.render(html(markup)))
        await own.close()
    assert same(*images)


class TestLimits:
    async def test_pixels_are_counted_before_they_are_drawn(self, renderer: TableRenderer) -> None:
        with pytest.raises(RenderLimit, match="at most 16000000"):
            await renderer.render(html("<div style='width:90000px;height:90000px;background:red'>x</div>"))

    async def test_a_side_beyond_chromiums_surfaces_is_over_the_limit(self, renderer: TableRenderer) -> None:
        with pytest.raises(RenderLimit, match="on a side"):
            await renderer.render(html("<div style='width:90px;height:17000px;background:red'>x</div>"))

    async def test_the_task_sets_the_pixels(self) -> None:
        small = make_renderer(TableSettings(max_pixels=20_000), pages=1)
        assert (await small.render(html(TABLE))).width > 50
        with pytest.raises(RenderLimit, match="at most 20000"):
            await small.render(html(TABLE * 5))
        await small.close()

    @pytest.mark.parametrize("language", ["html", "markdown"])
    async def test_markup_beyond_the_limit_is_not_even_read(
        self, renderer: TableRenderer, language: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        assert table.MAX_CHARACTERS == {"html": 1_000_000, "markdown": 100_000}
        monkeypatch.setattr(table, "MAX_CHARACTERS", dict.fromkeys(table.MAX_CHARACTERS, 100))
        await renderer.render(Code(language, "x" * 100))
        with pytest.raises(RenderLimit, match="101 characters"):
            await renderer.render(Code(language, "x" * 101))

    @pytest.mark.long
    @pytest.mark.parametrize("greed", GREED)
    async def test_a_page_that_never_finishes_costs_only_its_own_sample(
        self, greed: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(table, "PLACE", greedy(table.PLACE))
        renderer = TableRenderer(TableSettings(timeout_s=2), pages=2)
        expected = [await renderer.render(small_table(seed)) for seed in range(20)]

        async def late(seed: int) -> Image.Image:
            await asyncio.sleep(0.1 * seed)
            return await renderer.render(small_table(seed))

        fate, *images = await asyncio.gather(
            renderer.render(html(f"<table><td>{greed}</table>")),
            *(late(seed) for seed in range(20)),
            return_exceptions=True,
        )
        assert isinstance(fate, RenderLimit)
        for image, right in zip(images, expected, strict=True):
            assert isinstance(image, Image.Image)
            assert same(image, right)
        await renderer.close()

    async def test_memory_is_capped(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("visual_erm.render.browser_process.MEMORY_BYTES", 400 << 20)
        monkeypatch.setattr(table, "PLACE", greedy(table.PLACE))
        renderer = TableRenderer(TableSettings(timeout_s=60), pages=2)
        page = html("<table><td>holds memory</table>")
        fate, image = await asyncio.gather(renderer.render(page), renderer.render(small_table(1)), return_exceptions=True)
        assert isinstance(fate, RenderLimit)
        assert "memory" in str(fate)
        assert isinstance(image, Image.Image)
        await renderer.close()


class Server(socketserver.ThreadingTCPServer):
    """Counts what reaches it."""

    hits: list[str]
    daemon_threads = True


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    class Handler(BaseHTTPRequestHandler):
        def setup(self) -> None:
            counted.hits.append("connection")
            super().setup()

        def do_GET(self) -> None:
            counted.hits.append(self.path)
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    counted = Server(("127.0.0.1", 0), Handler)
    counted.hits = []
    thread = threading.Thread(target=counted.serve_forever)
    thread.start()
    yield counted
    counted.shutdown()
    thread.join()
    counted.server_close()


def calls_home(url: str) -> list[str]:
    return [
        f"<img src='{url}/img'>",
        f"<img srcset='{url}/srcset 1x'><picture><source srcset='{url}/source'><img></picture>",
        f"<link rel='stylesheet' href='{url}/css'>",
        f"<link rel='prefetch' href='{url}/prefetch'><link rel='preload' as='image' href='{url}/preload'>",
        f"<link rel='icon' href='{url}/icon'><link rel='preconnect' href='{url}'><link rel='modulepreload' href='{url}/m'>",
        f"<style>@import url('{url}/import');</style>",
        f"<style>@font-face {{ font-family: f; src: url('{url}/font') }} td {{ font-family: f }}</style>",
        f"<table style=\"background-image:url('{url}/bg')\" background='{url}/attribute'><td>x</table>",
        f"<iframe src='{url}/iframe'></iframe><object data='{url}/object'></object><embed src='{url}/embed'>",
        f"<iframe srcdoc=\"<img src='{url}/srcdoc'>\"></iframe>",
        f"<meta http-equiv='refresh' content='0;url={url}/refresh'>",
        f"<script src='{url}/script'></script><script>fetch('{url}/fetch')</script>",
        f"<img src='x:' onerror=\"fetch('{url}/onerror')\"><svg onload=\"fetch('{url}/onload')\" />",
        f"<video src='{url}/video' poster='{url}/poster' autoplay></video><audio src='{url}/audio' autoplay></audio>",
        f"<svg width='9' height='9'><image href='{url}/image' /><use href='{url}/use#a' /></svg>",
        f"<form action='{url}/form'><input type='image' src='{url}/input'></form>",
        f'<script type=\'speculationrules\'>{{"prefetch": [{{"urls": ["{url}/rules"]}}]}}</script>',
        f"<a href='{url}/a' ping='{url}/ping'>a</a><base href='{url}/base/'><img src='relative'>",
        f"<svg width='9' height='9'><filter id='f'><feImage href='{url}/fe' /></filter><rect filter='url(#f)' /></svg>",
        f"<style>td {{ cursor: url('{url}/cursor'), auto; content: url('{url}/text'); mask: url('{url}/mask') }}</style>",
    ]


class TestWalls:
    async def test_nothing_reaches_the_network(self, renderer: TableRenderer, server: Server) -> None:
        url = f"http://127.0.0.1:{server.server_address[1]}"
        attempts = calls_home(url)
        with urllib.request.urlopen(f"{url}/self", timeout=10):
            assert "/self" in server.hits, "the server counts"
        async with async_playwright() as driver:
            browser = await driver.chromium.launch(executable_path=find_chromium())
            page = await browser.new_page()
            await page.set_content("".join(attempt for attempt in attempts if "refresh" not in attempt))
            await page.wait_for_timeout(500)
            await browser.close()
        assert len(set(server.hits)) > 15, "the attempts are real: a browser without isolation makes them"
        server.hits.clear()
        for attempt in attempts:
            await renderer.render(html(attempt + TABLE))
        await asyncio.sleep(0.5)
        assert server.hits == []

    async def test_no_local_file_is_shown(self, renderer: TableRenderer, tmp_path: Path) -> None:
        red = (255, 0, 0)
        secret = tmp_path / "reference.png"
        Image.new("RGB", (50, 50), red).save(secret)
        (tmp_path / "secret.svg").write_text(
            "<svg xmlns='http://www.w3.org/2000/svg'><rect width='9' height='9' fill='red'/></svg>"
        )
        for address in (secret.as_uri(), str(secret), f"view-source:{secret.as_uri()}"):
            markup = (
                f"<img src='{address}'><iframe src='{address}'></iframe><object data='{address}'></object>"
                f"<embed src='{address}'>"
                f"<svg width='60' height='60'><image href='{address}' width='60' height='60'/></svg>"
                f"<div style=\"background:url('{address}');width:60px;height:60px\"></div>"
                f"<img src='{(tmp_path / 'secret.svg').as_uri()}'>"
            )
            assert not holds(await renderer.render(html(markup + TABLE)), red)

    async def test_a_image_inside_the_markup_is_shown(self, renderer: TableRenderer) -> None:
        data = io.BytesIO()
        Image.new("RGB", (50, 50), (255, 0, 0)).save(data, "PNG")
        inline = f"<img src='data:image/png;base64,{base64.b64encode(data.getvalue()).decode()}'>"
        assert holds(await renderer.render(html(inline + TABLE)), (255, 0, 0))

    @pytest.mark.parametrize(
        "script",
        [
            "<script>document.body.innerHTML = 'changed'</script>",
            "<img src='data:,' style='display:none' onerror=\"document.body.innerHTML = 'changed'\">",
            "<svg style='display:none' onload=\"document.body.innerHTML = 'changed'\"></svg>",
            "<script>while (true) {}</script>",
            "<meta http-equiv='refresh' content='0;url=data:text/html,changed'>",
            "<meta http-equiv='refresh' content='0;url=about:blank'>",
        ],
    )
    async def test_no_script_runs_and_no_page_is_left(self, renderer: TableRenderer, script: str) -> None:
        assert same(await renderer.render(html(TABLE + script)), await renderer.render(html(TABLE)))


async def test_the_engine_is_named_without_a_browser(settings: TableSettings) -> None:
    begun = time.monotonic()
    renderer = TableRenderer(settings)
    assert renderer.renderer_version.startswith(find_chromium().name + " ")
    assert renderer.renderer_version == TableRenderer(settings).renderer_version
    assert time.monotonic() > begun
    await renderer.close()
