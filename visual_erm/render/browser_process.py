"""A started Chromium: its processes, from start to end, and its tabs.

    running = await start(find_chromium(), low_priority=False)
    tab = await Tab.open(running.browser)
    await stop(running)

`browser` decides which page gets a tab, and whose fault a lost tab is.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import io
import logging
import os
import shutil
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
from PIL import Image
from playwright.async_api import Browser, BrowserContext, CDPSession, Playwright, ViewportSize, async_playwright

from visual_erm.errors import RendererUnavailable
from visual_erm.render.chromium import FIX
from visual_erm.render.leftovers import remove_leftovers
from visual_erm.runtime.cpu_priority import lower_priority

log = logging.getLogger(__name__)

VIEWPORT = ViewportSize(width=3600, height=2400)
"""Viewport size of every tab, in CSS pixels of one device pixel each. The published references have this page size."""
ARGUMENTS = (
    # The headless shell renders the pixels of full Chromium only with this.
    "--font-render-hinting=slight",
    # No name and no address resolves: a second layer beside the tabs' own offline mode.
    "--host-resolver-rules=MAP * ~NOTFOUND",
)
BAND_PIXELS = 1_500_000
"""Largest number of pixels in one answer of the browser. Noise of so many pixels is 6 MB, which hold the event loop for
some 20 ms."""
BASE64_PIECE = 1 << 20
"""Characters that are decoded at once, a multiple of 4."""
MEMORY_BYTES = 1 << 30
"""What one process of the browser may allocate; a tab that wants more dies, and only that tab."""
START_LIMIT_S = 30.0
"""Wall time to start a browser or to open a tab, on the most loaded machine."""
STOP_LIMIT_S = 5.0
"""Wall time for each step of ending a tab or a browser; then it is killed."""
ENDING_LIMIT_S = 1.0
"""Wall time for the browser to say how the process of a tab ended."""
ENDING_LOOKS = 50
"""How often that is looked at."""
START_ATTEMPTS = 3
"""How often the start of a browser is tried."""
PROFILE = "--user-data-dir="
"""Chromium's argument that names its profile folder."""


class BrokenError(Exception):
    """Playwright did not do what it was asked to."""


@contextlib.contextmanager
def playwright_errors() -> Iterator[None]:
    """Turns what Playwright raises into BrokenError. It raises a bare Exception where its driver died."""
    try:
        yield
    except Exception as error:
        raise BrokenError((str(error) or type(error).__name__).splitlines()[0]) from error


class Tab:
    """One page in a context and a process of its own: JavaScript of the page off, offline, controlled by DevTools.

    Args:
        context: Its context, which holds nothing else.
        session: Its DevTools session.
        frame: Identifier of its main frame.
    """

    def __init__(self, context: BrowserContext, session: CDPSession, frame: str) -> None:
        self._context = context
        self._session = session
        self.frame = frame
        self._world = 0
        self.lost: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Done when the page's process has ended: it used up its memory, crashed, or was killed."""
        self.used = False
        """Set by the renderer when the page may hold more than its document. It is then left before the next image."""

    @classmethod
    async def open(cls, browser: Browser) -> Tab:
        """Opens a tab, with animations stopped.

        Args:
            browser: The browser.

        Returns:
            The tab.
        """
        context = await browser.new_context(
            java_script_enabled=False, offline=True, viewport=VIEWPORT, device_scale_factor=1
        )
        page = await context.new_page()
        session = await context.new_cdp_session(page)
        tree = await session.send("Page.getFrameTree")
        tab = cls(context, session, tree["frameTree"]["frame"]["id"])
        page.on("crash", lambda _: _settle(tab.lost))
        await tab._send("Animation.enable")
        await tab._send("Animation.setPlaybackRate", playbackRate=0)
        await tab._enter()
        return tab

    async def show(self, html: str) -> None:
        """Replaces the document.

        Args:
            html: The new document.
        """
        await self._send("Page.setDocumentContent", frameId=self.frame, html=html)

    async def call(self, function: str, *arguments: Any) -> Any:
        """Calls a JavaScript function of this project in an isolated world, which the page cannot reach.

        Args:
            function: Source of the function; it may be asynchronous.
            arguments: Its arguments, plain JSON values.

        Returns:
            What the function returns, a plain JSON value.
        """
        answer = await self._send(
            "Runtime.callFunctionOn",
            executionContextId=self._world,
            functionDeclaration=function,
            arguments=[{"value": argument} for argument in arguments],
            awaitPromise=True,
            returnByValue=True,
        )
        if "exceptionDetails" in answer:
            raise BrokenError(answer["exceptionDetails"].get("exception", {}).get("description", "script failed"))
        return answer["result"].get("value")

    async def screenshot(self, width: int, height: int) -> list[str]:
        """Takes an image of the page from its top left corner.

        Args:
            width: Width in CSS pixels.
            height: Height in CSS pixels.

        Returns:
            Bands of the image from top to bottom, each as PNG in base64. They have the image's width, and at most
            BAND_PIXELS pixels: the event loop takes in one band at a time. Most tables are one band.
        """
        rows = max(1, BAND_PIXELS // width)
        return [await self._band(width, top, min(rows, height - top), height) for top in range(0, height, rows)]

    async def _band(self, width: int, top: int, rows: int, height: int) -> str:
        answer = await self._send(
            "Page.captureScreenshot",
            format="png",
            optimizeForSpeed=True,
            clip={"x": 0, "y": top, "width": width, "height": rows, "scale": 1},
            captureBeyondViewport=width > VIEWPORT["width"] or height > VIEWPORT["height"],
        )
        return answer["data"]

    async def renew(self) -> None:
        """Leaves the page, with everything that the last document may have set."""
        await self._send("Page.navigate", url="about:blank")
        await self._enter()
        self.used = False

    async def close(self) -> None:
        """Ends the tab's process, busy or not."""
        with contextlib.suppress(BrokenError), playwright_errors():
            await asyncio.wait_for(self._context.close(), STOP_LIMIT_S)

    async def _enter(self) -> None:
        world = await self._send("Page.createIsolatedWorld", frameId=self.frame)
        self._world = world["executionContextId"]

    async def _send(self, method: str, **parameters: Any) -> Any:
        with playwright_errors():
            return await self._session.send(method, parameters)


def join(bands: list[str]) -> Image.Image:
    """Decodes what `Tab.screenshot` returns.

    Args:
        bands: Bands of one image from top to bottom, each as PNG in base64.

    Returns:
        The image, RGB.
    """
    parts = [_decode(band) for band in bands]
    if len(parts) == 1:
        return parts[0]
    image = Image.new("RGB", (parts[0].width, sum(part.height for part in parts)))
    top = 0
    for part in parts:
        image.paste(part, (0, top))
        top += part.height
    return image


def _decode(band: str) -> Image.Image:
    # Other threads, the event loop's among them, stand still while one call decodes base64.
    pieces = (base64.b64decode(band[at : at + BASE64_PIECE]) for at in range(0, len(band), BASE64_PIECE))
    return Image.open(io.BytesIO(b"".join(pieces))).convert("RGB")


class RunningBrowser:
    """One started browser with its driver, all their processes (the driver's first), and the idle tabs."""

    def __init__(self, driver: Playwright, browser: Browser, root: psutil.Process, watch: CDPSession) -> None:
        self.driver = driver
        self.browser = browser
        self.profile = next(word for word in root.cmdline() if word.startswith(PROFILE)).removeprefix(PROFILE)
        top = next(parent for parent in (root, *root.parents()) if parent.ppid() == os.getpid())
        self.processes = [top, *top.children(recursive=True)]
        self.idle: list[Tab] = []
        self.spoilt = False
        """A page keeps it from rendering others; it is being ended."""
        self.died: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        browser.on("disconnected", lambda _: _settle(self.died))
        self._endings: dict[str, str] = {}
        watch.on("Target.targetCrashed", lambda event: self._endings.update({event["targetId"]: event["status"]}))

    async def was_killed(self, tab: Tab) -> bool:
        """Whether a signal ended the process of a lost tab. What ends by itself, or by Chromium's own limits, crashes."""
        # The browser says how it ended a moment after the tab is lost. A page has one identifier as frame and as target.
        for _ in range(ENDING_LOOKS):
            if tab.frame in self._endings:
                break
            await asyncio.sleep(ENDING_LIMIT_S / ENDING_LOOKS)
        return self._endings.pop(tab.frame, "") == "killed"

    def is_alive(self) -> bool:
        """Both ends live; a driver that died says nothing about it."""
        return not self.died.done() and _is_alive(self.processes[0])


def _settle(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


async def start(chromium: Path, low_priority: bool) -> RunningBrowser:
    """Starts a browser with a driver of its own; again, because whatever kills browsers may kill one that starts.

    Args:
        chromium: The program.
        low_priority: Let this process go before the browser where processors are scarce (runtime/cpu_priority.py).

    Returns:
        The browser, without any tab.

    Raises:
        RendererUnavailable: No attempt succeeds.
    """
    reason = None
    for _ in range(START_ATTEMPTS):
        try:
            with playwright_errors():
                driver = await async_playwright().start()
        except BrokenError as error:
            reason = error
            continue
        try:
            with playwright_errors():
                browser = await _launch(driver, chromium)
                root = await main_process(browser)
                _cap_memory(root)
                if low_priority:
                    await lower_priority(root.pid)
                watch = await browser.new_browser_cdp_session()
                running = RunningBrowser(driver, browser, root, watch)
                await watch.send("Target.setDiscoverTargets", {"discover": True})
                await asyncio.to_thread(remove_leftovers, Path(running.profile).parent)
                return running
        except BrokenError as error:
            reason = error
            await _ask_to_end(driver.stop)
    raise RendererUnavailable(f"{chromium} does not start: {reason}; {FIX}")


async def _launch(driver: Playwright, chromium: Path) -> Browser:
    options: dict[str, Any] = {"executable_path": chromium, "args": list(ARGUMENTS), "timeout": START_LIMIT_S * 1000}
    if os.geteuid() != 0:
        try:
            with playwright_errors():
                return await driver.chromium.launch(chromium_sandbox=True, **options)
        except BrokenError as error:
            log.warning("Chromium does not start in its own sandbox and goes without: %s", error)
    return await driver.chromium.launch(chromium_sandbox=False, **options)


async def main_process(browser: Browser) -> psutil.Process:
    """Finds the process that all others of a browser come from.

    Args:
        browser: The browser.

    Returns:
        The process.
    """
    session = await browser.new_browser_cdp_session()
    information = await session.send("SystemInfo.getProcessInfo")
    await session.detach()
    return psutil.Process(next(process["id"] for process in information["processInfo"] if process["type"] == "browser"))


def _cap_memory(root: psutil.Process) -> None:
    """Limits what each process of a fresh browser may allocate, those of tabs to come included."""
    cap = (MEMORY_BYTES, MEMORY_BYTES)
    try:
        root.rlimit(psutil.RLIMIT_DATA, cap)
        for process in root.children(recursive=True):
            with contextlib.suppress(psutil.NoSuchProcess):
                process.rlimit(psutil.RLIMIT_DATA, cap)
    except (psutil.Error, OSError, AttributeError) as error:
        log.warning("the browser's memory cannot be capped here: %s", error)


async def stop(running: RunningBrowser, ask: bool = True) -> None:
    """Ends a browser in whatever state it is; waits until its processes and profile folder are gone.

    Args:
        running: The browser.
        ask: Ask it first, and kill what does not end by itself.
    """
    driver, *family = running.processes
    with contextlib.suppress(psutil.NoSuchProcess):
        family += driver.children(recursive=True)
    if ask:
        await _ask_to_end(running.browser.close)
    await _kill(family)
    await _ask_to_end(running.driver.stop)
    await _ask_to_end(lambda: _ended([driver]))
    await _kill([driver])
    await asyncio.to_thread(shutil.rmtree, running.profile, ignore_errors=True)


async def _ask_to_end(ending: Callable[[], Awaitable[None]]) -> None:
    with contextlib.suppress(BrokenError), playwright_errors():
        await asyncio.wait_for(ending(), STOP_LIMIT_S)


async def _kill(processes: list[psutil.Process]) -> None:
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    await _ask_to_end(lambda: _ended(processes))


async def _ended(processes: list[psutil.Process]) -> None:
    """Returns when all have ended; what init has yet to collect has."""
    while any(map(_is_alive, processes)):  # noqa: ASYNC110
        await asyncio.sleep(0.02)


def _is_alive(process: psutil.Process) -> bool:
    with contextlib.suppress(psutil.NoSuchProcess):
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    return False
