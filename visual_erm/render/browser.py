"""`WarmBrowser`: lends the tabs of one warm Chromium, and decides whose fault a lost page is.

The HTML renderers use the tabs of this browser; nothing else in the project starts one. `browser_process` starts and ends
it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path
from typing import Any, TypeVar

from visual_erm.errors import PolicyFault, RendererUnavailable, RenderFailed, RenderLimit
from visual_erm.render.browser_process import (
    START_LIMIT_S,
    BrokenError,
    RunningBrowser,
    Tab,
    playwright_errors,
    start,
    stop,
)
from visual_erm.render.chromium import find_chromium

log = logging.getLogger(__name__)
T = TypeVar("T")

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
        loss, killed = None, False
        for attempt in range(1, ATTEMPTS):
            killed_for_memory = _killed_for_memory()
            try:
                return await own.attempt(job, limit_s * (BESIDE_FACTOR if self._under_way else 1))
            except _Lost as error:
                loss = error
                log.info("attempt %d: %s", attempt + 1, loss)
            works = not await own.end_if_spoilt(plain_s)
            if loss.killed and _killed_for_memory() == killed_for_memory:
                killed = True
                continue
            condemned = not loss.chance or (attempt == ATTEMPTS - 1 and not killed)
            if condemned and (works or await own.renders_a_plain_page(plain_s)):
                raise loss.fault(str(loss))
        others = "by a signal" if killed else "and so did plain pages"
        raise RendererUnavailable(f"{ATTEMPTS} attempts failed, {others}: {loss}")


class _Keeper:
    """One browser: started when it is needed, and replaced when it died or was ended."""

    def __init__(self, low_priority: bool) -> None:
        self._low_priority = low_priority
        self._running: RunningBrowser | None = None
        self._starting: asyncio.Task[RunningBrowser] | None = None
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
        except BrokenError as error:
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

    async def _acquire(self, running: RunningBrowser) -> Tab:
        while running.idle:
            tab = running.idle.pop()
            if not tab.lost.done():
                return tab
        try:
            with playwright_errors():
                return await asyncio.wait_for(Tab.open(running.browser), START_LIMIT_S)
        except BrokenError as error:
            await self._retire(running)
            raise _Lost(f"the browser opens no tab: {error}", chance=True, innocent=running.spoilt) from error

    async def _release(self, running: RunningBrowser, tab: Tab, rendered: bool) -> None:
        if rendered and running is self._running:
            try:
                if tab.used:
                    with playwright_errors():
                        await asyncio.wait_for(tab.renew(), START_LIMIT_S)
                running.idle.append(tab)
                return
            except BrokenError:
                log.debug("a tab does not leave its page", exc_info=True)
        # A browser that is kept busy does not close a tab either.
        self._in_background(tab.close())

    async def _current(self) -> RunningBrowser:
        if self._closed:
            raise RendererUnavailable("the renderer was closed")
        if self._running is not None and self._running.is_alive():
            return self._running
        if self._starting is None:
            self._starting = asyncio.create_task(self._restart())
        return await asyncio.shield(self._starting)

    async def _restart(self) -> RunningBrowser:
        try:
            if self._running is not None:
                log.warning("the browser died; starting another")
                await self._retire(self._running)
            self._running = await start(find_chromium(), self._low_priority)
            return self._running
        finally:
            self._starting = None

    async def _retire(self, running: RunningBrowser) -> None:
        if self._running is running:
            self._running = None
        await stop(running)

    def _end(self, running: RunningBrowser) -> None:
        """Kills a browser without asking it, and collects it in the background."""
        if running.spoilt:
            return
        running.spoilt = True
        if self._running is running:
            self._running = None
        self._in_background(stop(running, ask=False))

    def _in_background(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._ending.add(task)
        task.add_done_callback(self._ending.discard)


async def _loss(tab: Tab, running: RunningBrowser) -> _Lost | None:
    if tab.lost.done() and await running.was_killed(tab):
        return _Lost("the page was killed", killed=True)
    # A browser may die of a request to a page that is lost already, before it has said how the page ended.
    if not running.is_alive():
        return _Lost("the browser died", chance=True, innocent=running.spoilt)
    return _Lost("the page used up its memory or crashed") if tab.lost.done() else None


def _killed_for_memory() -> int:
    """How many processes the kernel has killed on this machine because memory was short; 0 where it does not say."""
    with contextlib.suppress(OSError, ValueError):
        for line in Path("/proc/vmstat").read_text().splitlines():
            if line.startswith("oom_kill "):
                return int(line.split()[1])
    return 0
