"""TableRenderer: HTML and Markdown tables -> images, rendered by one warm Chromium.

The page belongs to this project, and only its content to the policy. The policy's markup is parsed as an inert document,
loses its active elements, and is placed into a page with one style for all. What counts is the image, so markup may style
itself.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

from markdown_it import MarkdownIt
from PIL import Image, ImageChops

from visual_erm.errors import BlankImage, RenderLimit
from visual_erm.extract import Code
from visual_erm.kinds.table import TableSettings
from visual_erm.render.browser import WarmBrowser
from visual_erm.render.browser_process import VIEWPORT, Tab, join
from visual_erm.render.chromium import find_chromium, renderer_version_of
from visual_erm.runtime.singleflight import SingleFlight
from visual_erm.vision.foreground import MIN_CONTRAST

MARGIN = 20
"""Distance between the page's edge and its content, in pixels."""
CROP = 12
"""Margin that is left round the content in the image, in pixels."""
FAINT_SHARE = 0.001
"""Share of the page round what can be seen that faint content must cover, or it is cut off: a dot far away, a hair line.
Faint borders and backgrounds of cells cover more. The share of the guard `blank`."""
MAX_SIDE = 16_000
"""Largest width and height of an image, in pixels: Chromium renders no surface beyond 16,384."""
MAX_CHARACTERS = {"html": 1_000_000, "markdown": 100_000}
"""Largest number of characters by language, above any real table. The time to read hostile Markdown grows faster than its
length."""

STYLE = f"""
body {{ margin: {MARGIN}px; background: #fff; color: #000; font: 14px Arial, sans-serif; }}
table {{ border-collapse: collapse; }}
th, td {{ border: 1px solid #333; padding: 6px 10px; }}
"""
OVERRIDES = f"""
body {{ width: max-content; max-width: calc(100% - {2 * MARGIN}px); }}
th {{ font-weight: inherit; }}
th:not([align]) {{ text-align: inherit; }}
"""
"""A width of 100 % means the table's own, not the page's, and a header cell looks like any other."""
PUBLISHED_STYLE = f"""
body {{ background: white; margin: {MARGIN}px; }}
table {{ border-collapse: collapse; font-family: Arial, sans-serif; font-size: 14px; }}
td, th {{ border: 1px solid #333; padding: 6px 10px; }}
"""
"""The rules of the published data tool. Text outside of tables has the browser's font."""
STYLES = {"default": STYLE + OVERRIDES, "published": PUBLISHED_STYLE}
DOCTYPES = {"default": "<!DOCTYPE html>", "published": ""}
"""A page without a doctype is laid out in quirks mode."""

POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"

# Elements of plain tables: a page that held nothing else is clean for the next one.
PLAIN = (
    "html, head, body, table, caption, colgroup, col, thead, tbody, tfoot, tr, td, th, p, br, div, span, b, strong, i, em, "
    "u, s, del, sub, sup, small, code, ul, ol, li, h1, h2, h3, h4, h5, h6"
)
# Elements that load, run, navigate or move; the rest shows and stays.
ACTIVE = (
    "script, meta, base, link, iframe, frame, frameset, object, embed, video, audio, progress, marquee, template, "
    "animate, animateMotion, animateTransform, set"
)
PLACE = f"""async (markup, published) => {{
  // As published, markup stands in the page's body: its doctype is ignored, its attributes of `html` and `body` count.
  const parsed = new DOMParser().parseFromString(published ? '<body>' + markup : markup, 'text/html');
  for (const element of parsed.querySelectorAll('{ACTIVE}')) element.remove();
  for (const element of parsed.querySelectorAll('[autofocus]')) element.removeAttribute('autofocus');
  let plain = parsed.querySelector(':not({PLAIN})') === null;
  if (published) for (const name of ['documentElement', 'body'])
    for (const attribute of Array.from(parsed[name].attributes)) {{
      document[name].setAttributeNode(attribute.cloneNode());
      plain = false;
    }}
  document.body.append(...parsed.head.childNodes, ...parsed.body.childNodes);
  await Promise.all(Array.from(document.images, image => image.decode().catch(() => null)));
  const range = document.createRange();
  range.selectNodeContents(document.body);
  let {{right, bottom}} = range.getBoundingClientRect();
  for (const element of document.body.querySelectorAll('*')) {{
    const box = element.getBoundingClientRect();
    right = Math.max(right, box.right, box.left + element.scrollWidth);
    bottom = Math.max(bottom, box.bottom, box.top + element.scrollHeight);
  }}
  return [Math.ceil(right), Math.ceil(bottom), plain];
}}"""


def to_html(code: Code) -> str:
    """Converts a table into the markup that a browser shows.

    Args:
        code: A table in `html` or `markdown`. Markdown is GitHub's, raw HTML in it included.

    Returns:
        The markup in HTML.

    Raises:
        RenderLimit: The code has more characters than MAX_CHARACTERS.
    """
    longest = MAX_CHARACTERS[code.language]
    if len(code.text) > longest:
        raise RenderLimit(f"{len(code.text)} characters of {code.language}; at most {longest} are drawn")
    if code.language == "markdown":
        return MarkdownIt("gfm-like", {"linkify": False}).disable("linkify").render(code.text.removeprefix("\ufeff"))
    return code.text


def page_of(settings: TableSettings) -> str:
    """Makes the empty page that markup is placed into.

    Args:
        settings: The render settings of the task; their `style` chooses doctype and CSS.

    Returns:
        The page in HTML.
    """
    return (
        f'{DOCTYPES[settings.style]}<html><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
        f"<style>{STYLES[settings.style]}</style></head><body></body></html>"
    )


def crop(image: Image.Image, background: str | tuple[int, ...] = "white") -> Image.Image:
    """Cuts an image to what is not background and CROP pixels round it.

    Faint content counts, unless it covers next to nothing of a page that is more than twice as large for it.

    Args:
        image: The image.
        background: The color of the background.

    Returns:
        The part, RGB.

    Raises:
        BlankImage: All of the image has the color of the background.
    """
    image = image.convert("RGB")
    difference = ImageChops.difference(image, Image.new("RGB", image.size, background))
    box = difference.getbbox()
    if box is None:
        raise BlankImage("the picture holds nothing but its background")
    left, top, right, bottom = _visible(difference, box)
    return image.crop(
        (max(0, left - CROP), max(0, top - CROP), min(image.width, right + CROP), min(image.height, bottom + CROP))
    )


def _visible(difference: Image.Image, box: tuple[int, int, int, int]) -> tuple[int, int, int, int]:
    """The box of what can be seen. `box` is that of all that differs from the background."""
    red, green, blue = difference.split()
    levels = ImageChops.lighter(ImageChops.lighter(red, green), blue)
    seen = levels.point([0] * MIN_CONTRAST + [255] * (256 - MIN_CONTRAST)).getbbox()
    if seen is None or _area(box) <= 2 * _area(seen):
        return box
    faint = levels.point([0] + [1] * 255)
    outside = sum(faint.crop(box).histogram()[1:]) - sum(faint.crop(seen).histogram()[1:])
    return seen if outside < FAINT_SHARE * (_area(box) - _area(seen)) else box


def _area(box: tuple[int, int, int, int]) -> int:
    left, top, right, bottom = box
    return (right - left) * (bottom - top)


class TableRenderer:
    """Renders tables written in HTML or Markdown; a `Renderer`.

    The same code gives the same pixels, whatever was rendered before. Requests for the same code that are in flight
    together (the answers of one GRPO group often agree) share one rendering.

    Args:
        settings: Style, and limits of time and pixels.
        pages: How many tables are rendered at once at most, 1 or more.
        low_priority: Let this process go before the browser where processors are scarce (runtime/cpu_priority.py).
    """

    def __init__(self, settings: TableSettings, pages: int = 2, low_priority: bool = False) -> None:
        self._settings = settings
        self._page = page_of(settings)
        self._is_published = settings.style == "published"
        self._browser = WarmBrowser(pages, low_priority)
        self._chromium: Path | None = None
        self._under_way: SingleFlight[Image.Image] = SingleFlight()

    @property
    def renderer_version(self) -> str:
        """For example `chromium-headless-shell 156.0.8078.79`. Raises RendererUnavailable where there is no Chromium."""
        self._chromium = self._chromium or find_chromium()
        return renderer_version_of(self._chromium)

    async def render(self, code: Code) -> Image.Image:
        """Renders one table.

        Args:
            code: A table in `html` or `markdown`.

        Returns:
            The image, RGB, cropped to its content with CROP pixels left round it.

        Raises:
            RenderLimit: The table is over its limit of time, memory, characters or pixels.
            RenderFailed: Chromium cannot render it.
            BlankImage: It shows nothing.
            RendererUnavailable: The browser failed; the code is not at fault.
        """
        return (await self._under_way.get(code, lambda: self._render(code))).copy()

    async def close(self) -> None:
        """Ends the browser; renders in flight fail."""
        await self._browser.close()

    async def _render(self, code: Code) -> Image.Image:
        markup = await asyncio.to_thread(to_html, code)
        data = await self._browser.render(lambda tab: self._screenshot(tab, markup), self._settings.timeout_s)
        return await asyncio.to_thread(_read, data, self._is_published)

    async def _screenshot(self, tab: Tab, markup: str) -> list[str]:
        await tab.show(self._page)
        tab.used = True
        right, bottom, plain = await tab.call(PLACE, markup, self._is_published)
        tab.used = not plain
        if self._is_published:
            # The published code takes one picture of the window: what is beyond it is not seen.
            right, bottom = min(right, VIEWPORT["width"] - MARGIN), min(bottom, VIEWPORT["height"] - MARGIN)
        width, height = right + CROP, bottom + CROP
        if width * height > self._settings.max_pixels or max(width, height) > MAX_SIDE:
            raise RenderLimit(f"{width}x{height} pixels; at most {self._settings.max_pixels}, and {MAX_SIDE} on a side")
        if right <= 0 or bottom <= 0:
            raise BlankImage("the markup shows nothing")
        return await tab.screenshot(right + MARGIN, bottom + MARGIN)


def _read(bands: list[str], is_published: bool) -> Image.Image:
    image = join(bands)
    # The published code takes the color of the first pixel for the background's.
    return crop(image, image.getpixel((0, 0)) if is_published else "white")  # type: ignore[arg-type]
