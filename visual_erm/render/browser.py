"""One warm Chromium: started, watched, restarted and ended here.

The HTML renderers use the tabs of this browser; nothing else in the project starts one.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import shutil
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any, TypeVar

import psutil
from playwright.async_api import Browser, BrowserContext, CDPSession, Playwright, ViewportSize, async_playwright

from visual_erm.errors import PolicyFault, RendererUnavailable, RenderFailed, RenderLimit
from visual_erm.render.chromium import FIX, find_chromium
from visual_erm.render.leftovers import remove_leftovers
from visual_erm.runtime.cpu_priority import lower_priority

log = logging.getLogger(__name__)
T = TypeVar("T")

VIEWPORT = ViewportSize(width=3600, height=2400)
"""Viewport size of every tab, in CSS pixels of one device pixel each. The published references have this page size."""
ARGUMENTS = (
    # The headless shell renders the pixels of full Chromium only with this.
    "--font-render-hinting=slight",
    # No name and no address resolves: a second layer beside the tabs' own offline mode.
    "--host-resolver-rules=MAP * ~NOTFOUND",
)
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
ATTEMPTS = 4
"""How often an image is tried: once in the browser that all pages share, then in one of its own."""
SHARED_ATTEMPTS = 5
"""How often an image is begun in the shared browser when other pages spoil it. Then it gets one of its own."""
MAX_APART = 2
"""How many pages at once get a browser of their own."""
BESIDE_FACTOR = 2
"""Multiple of its limit that a page gets in a browser of its own while the shared one renders beside it: both want the
processors."""
PLAIN_SHARE, MIN_PLAIN_S = 0.2, 1.0
"""A working browser renders a plain page within this share of a page's limit, or within so many seconds."""
START_ATTEMPTS = 3
"""How often the start of a browser is tried."""
PROFILE = "--user-data-dir="
"""Chromium's argument that names its profile folder."""
PLAIN_PAGE = "<!DOCTYPE html><p>plain"
"""A page that every working browser renders at once."""


class _Lost(Exception):
    """A tab was lost before its image was there.

    Args:
        reason: What happened.
        fault: The fault if the code caused it.
        chance: Whether it happens to any page now and then. Then the code is at fault only after every attempt.
        innocent: Whether the browser was ended because of another page.
        killed: Whether a signal ended the page's process. Then the code is not at fault, unless the kernel sent it because
            memory was short.
    """

    def __init__(
        self,
        reason: str,
        fault: type[PolicyFault] = RenderLimit,
        *,
        chance: bool = False,
        innocent: bool = False,
        killed: bool = False,
    ) -> None:
        super().__init__(reason)
        self.fault = fault
        self.chance = chance
        self.innocent = innocent
        self.killed = killed


class _Broken(Exception):
    """Playwright did not do what it was asked to."""


@contextlib.contextmanager
def _playwright() -> Iterator[None]:
    """Turns what Playwright raises into _Broken. It raises a bare Exception where its driver died."""
    try:
        yield
    except Exception as error:
        raise _Broken((str(error) or type(error).__name__).splitlines()[0]) from error


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
            raise _Broken(answer["exceptionDetails"].get("exception", {}).get("description", "script failed"))
        return answer["result"].get("value")

    async def screenshot(self, width: int, height: int) -> str:
        """Takes an image of the page from its top left corner.

        Args:
            width: Width in CSS pixels.
            height: Height in CSS pixels.

        Returns:
            The image as PNG in base64.
        """
        answer = await self._send(
            "Page.captureScreenshot",
            format="png",
            optimizeForSpeed=True,
            clip={"x": 0, "y": 0, "width": width, "height": height, "scale": 1},
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
        with contextlib.suppress(_Broken), _playwright():
            await asyncio.wait_for(self._context.close(), STOP_LIMIT_S)

    async def _enter(self) -> None:
        world = await self._send("Page.createIsolatedWorld", frameId=self.frame)
        self._world = world["executionContextId"]

    async def _send(self, method: str, **parameters: Any) -> Any:
        with _playwright():
            return await self._session.send(method, parameters)


class _Running:
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


class WarmBrowser:
    """Lends the tabs of one Chromium. No image is lost when the browser dies.

    Nothing is started before the first image, and a browser that died is replaced. The browser, its profile folder and
    its pipe are gone after `close`; also when the owning process dies, by SIGKILL too, because Playwright's driver notices.

    Chromium's own sandbox is on, except for root, whom Chromium refuses it, and where the system forbids the user
    namespaces that it needs: then a page is isolated by JavaScript off, offline mode and the limit on memory.

    Use it from one event loop.

    Args:
        tabs: How many tabs are lent at once at most, 1 or more.
        low_priority: Let this process go before the browser where processors are scarce (runtime/cpu_priority.py).
    """

    def __init__(self, tabs: int = 2, low_priority: bool = False) -> None:
        self._slots = asyncio.Semaphore(tabs)
        self._under_way = 0
        self._shared = _Keeper(low_priority)
        self._low_priority = low_priority
        self._places_apart = asyncio.Semaphore(MAX_APART)
        self._apart: set[_Keeper] = set()
        self._closed = False

    async def render(self, job: Callable[[Tab], Awaitable[T]], limit_s: float) -> T:
        """Runs a job on a tab.

        A job that lost its tab (out of time, out of memory, the browser died) is done again in a fresh browser of its own.
        When it loses that too, and a plain page is rendered quickly right after, the code is at fault. A page may keep a
        whole browser busy. A browser that renders no plain page any more is ended at once, and a fresh one decides. So
        other pages wait for one restart at most, and are not blamed. A browser that died, or that refused an image, counts
        against the code only when that happens at every attempt. A page whose process somebody kills never counts against
        it.

        Args:
            job: Renders on the tab. What it raises goes to the caller.
            limit_s: Wall time of the job in seconds.

        Returns:
            What the job returns.

        Raises:
            RenderLimit: The code used up its time or memory.
            RenderFailed: Chromium refused the code at every attempt.
            RendererUnavailable: Plain pages fail as well, the page was killed at every attempt, no browser starts, or this
                one is closed.
        """
        plain_s = max(PLAIN_SHARE * limit_s, MIN_PLAIN_S)
        for _ in range(SHARED_ATTEMPTS):
            async with self._slots:
                self._under_way += 1
                try:
                    return await self._shared.attempt(job, limit_s)
                except _Lost as error:
                    log.info("a page lost its tab: %s", error)
                    innocent = error.innocent
                    if not innocent:
                        await self._shared.end_if_spoilt(plain_s)
                finally:
                    self._under_way -= 1
            if not innocent:
                break
        async with self._places_apart:
            if self._closed:
                raise RendererUnavailable("the renderer was closed")
            own = _Keeper(self._low_priority)
            self._apart.add(own)
            try:
                return await self._try_apart(own, job, limit_s, plain_s)
            finally:
                await own.close(ask=False)
                self._apart.discard(own)

    async def close(self) -> None:
        """Ends the browsers and their drivers and waits until they are gone. May be called twice."""
        self._closed = True
        await asyncio.gather(*(keeper.close() for keeper in (self._shared, *self._apart)))

    async def _try_apart(self, own: _Keeper, job: Callable[[Tab], Awaitable[T]], limit_s: float, plain_s: float) -> T:
        loss = None
        for attempt in range(1, ATTEMPTS):
            killed_for_memory = _killed_for_memory()
            try:
                return await own.attempt(job, limit_s * (BESIDE_FACTOR if self._under_way else 1))
            except _Lost as error:
                loss = error
                log.info("attempt %d: %s", attempt + 1, loss)
            works = not await own.end_if_spoilt(plain_s)
            if loss.killed and _killed_for_memory() == killed_for_memory:
                continue
            condemned = not loss.chance or attempt == ATTEMPTS - 1
            if condemned and (works or await own.renders_a_plain_page(plain_s)):
                raise loss.fault(str(loss))
        others = "by a signal" if loss and loss.killed else "and so did plain pages"
        raise RendererUnavailable(f"{ATTEMPTS} attempts failed, {others}: {loss}")


class _Keeper:
    """One browser: started when it is needed, and replaced when it died or was ended."""

    def __init__(self, low_priority: bool) -> None:
        self._low_priority = low_priority
        self._running: _Running | None = None
        self._starting: asyncio.Task[_Running] | None = None
        self._ending: set[asyncio.Task[None]] = set()
        self._closed = False

    async def attempt(self, job: Callable[[Tab], Awaitable[T]], limit_s: float) -> T:
        """Runs a job on a tab. Raises _Lost, RendererUnavailable, or what the job raises."""
        running = await self._current()
        tab = await self._acquire(running)
        work = asyncio.ensure_future(job(tab))
        rendered = False
        try:
            ends: set[asyncio.Future[Any]] = {work, tab.lost, running.died}
            await asyncio.wait(ends, timeout=limit_s, return_when=asyncio.FIRST_COMPLETED)
            if not work.done():
                raise await _loss(tab, running) or _Lost(f"not drawn within {limit_s:g} s")
            result = work.result()
            rendered = True
            return result
        except _Broken as error:
            # The answer that fails may come before the event that says why.
            await asyncio.wait({tab.lost, running.died}, timeout=1, return_when=asyncio.FIRST_COMPLETED)
            refused = _Lost(f"Chromium cannot draw it: {error}", RenderFailed, chance=True)
            raise await _loss(tab, running) or refused from error
        finally:
            work.cancel()
            await self._release(running, tab, rendered)

    async def renders_a_plain_page(self, limit_s: float) -> bool:
        """Tells whether the browser renders a page that every working browser renders."""

        async def plain(tab: Tab) -> None:
            await tab.show(PLAIN_PAGE)
            await tab.screenshot(100, 100)

        try:
            await self.attempt(plain, limit_s)
            return True
        except _Lost:
            return False

    async def end_if_spoilt(self, limit_s: float) -> bool:
        """Ends the browser, if it lives and renders no plain page within a limit. Returns whether it was ended."""
        running = self._running
        if running is None or not running.is_alive():
            return False
        works = asyncio.ensure_future(self.renders_a_plain_page(limit_s))
        # Not even a tab may open.
        await asyncio.wait({works}, timeout=limit_s)
        if works.done() and works.result():
            return False
        log.warning("a page keeps the browser from rendering others; starting another")
        self._end(running)
        works.cancel()
        await asyncio.gather(works, return_exceptions=True)
        return True

    async def close(self, ask: bool = True) -> None:
        """Ends the browser, by asking it or at once, and waits until it is gone. No other is started."""
        self._closed = True
        if self._starting is not None:
            await asyncio.wait({self._starting})
        if self._running is not None:
            if ask:
                await self._retire(self._running)
            else:
                self._end(self._running)
        while self._ending:
            await asyncio.wait(self._ending)

    async def _acquire(self, running: _Running) -> Tab:
        while running.idle:
            tab = running.idle.pop()
            if not tab.lost.done():
                return tab
        try:
            with _playwright():
                return await asyncio.wait_for(Tab.open(running.browser), START_LIMIT_S)
        except _Broken as error:
            await self._retire(running)
            raise _Lost(f"the browser opens no tab: {error}", chance=True, innocent=running.spoilt) from error

    async def _release(self, running: _Running, tab: Tab, rendered: bool) -> None:
        if rendered and running is self._running:
            try:
                if tab.used:
                    with _playwright():
                        await asyncio.wait_for(tab.renew(), START_LIMIT_S)
                running.idle.append(tab)
                return
            except _Broken:
                log.debug("a tab does not leave its page", exc_info=True)
        # A browser that is kept busy does not close a tab either.
        self._in_background(tab.close())

    async def _current(self) -> _Running:
        if self._closed:
            raise RendererUnavailable("the renderer was closed")
        if self._running is not None and self._running.is_alive():
            return self._running
        if self._starting is None:
            self._starting = asyncio.create_task(self._restart())
        return await asyncio.shield(self._starting)

    async def _restart(self) -> _Running:
        try:
            if self._running is not None:
                log.warning("the browser died; starting another")
                await self._retire(self._running)
            self._running = await _start(find_chromium(), self._low_priority)
            return self._running
        finally:
            self._starting = None

    async def _retire(self, running: _Running) -> None:
        if self._running is running:
            self._running = None
        await _stop(running)

    def _end(self, running: _Running) -> None:
        """Kills a browser without asking it, and collects it in the background."""
        if running.spoilt:
            return
        running.spoilt = True
        if self._running is running:
            self._running = None
        self._in_background(_stop(running, ask=False))

    def _in_background(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._ending.add(task)
        task.add_done_callback(self._ending.discard)


async def _loss(tab: Tab, running: _Running) -> _Lost | None:
    if not running.is_alive():
        return _Lost("the browser died", chance=True, innocent=running.spoilt)
    if not tab.lost.done():
        return None
    if await running.was_killed(tab):
        return _Lost("the page was killed", killed=True)
    return _Lost("the page used up its memory or crashed")


def _killed_for_memory() -> int:
    """How many processes the kernel has killed on this machine because memory was short; 0 where it does not say."""
    with contextlib.suppress(OSError, ValueError):
        for line in Path("/proc/vmstat").read_text().splitlines():
            if line.startswith("oom_kill "):
                return int(line.split()[1])
    return 0


async def _start(chromium: Path, low_priority: bool) -> _Running:
    """A browser with a driver of its own; tried again, because whatever kills browsers may kill one that starts."""
    reason = None
    for _ in range(START_ATTEMPTS):
        try:
            with _playwright():
                driver = await async_playwright().start()
        except _Broken as error:
            reason = error
            continue
        try:
            with _playwright():
                browser = await _launch(driver, chromium)
                root = await _main_process(browser)
                _cap_memory(root)
                if low_priority:
                    await lower_priority(root.pid)
                watch = await browser.new_browser_cdp_session()
                running = _Running(driver, browser, root, watch)
                await watch.send("Target.setDiscoverTargets", {"discover": True})
                await asyncio.to_thread(remove_leftovers, Path(running.profile).parent)
                return running
        except _Broken as error:
            reason = error
            await _ask_to_end(driver.stop)
    raise RendererUnavailable(f"{chromium} does not start: {reason}; {FIX}")


async def _launch(driver: Playwright, chromium: Path) -> Browser:
    options: dict[str, Any] = {"executable_path": chromium, "args": list(ARGUMENTS), "timeout": START_LIMIT_S * 1000}
    if os.geteuid() != 0:
        try:
            with _playwright():
                return await driver.chromium.launch(chromium_sandbox=True, **options)
        except _Broken as error:
            log.warning("Chromium does not start in its own sandbox and goes without: %s", error)
    return await driver.chromium.launch(chromium_sandbox=False, **options)


async def _main_process(browser: Browser) -> psutil.Process:
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


async def _stop(running: _Running, ask: bool = True) -> None:
    """Ends a browser in whatever state it is; waits until its processes and profile folder are gone.

    `ask`: ask it first, and kill what does not end by itself.
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
    with contextlib.suppress(_Broken), _playwright():
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
