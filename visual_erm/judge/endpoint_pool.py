"""The servers behind the judge: which are there, how each is doing, and which gets the next request.

Whoever has a request takes a `place` at the endpoint with the fewest under way, and gives it back with what came of it.
An endpoint that fails is set aside for growing pauses; after each it must answer `/health`, then one request, before it
gets its share again. One that falls silent while others answer is set aside too, and its requests go elsewhere. Nothing
here knows what is asked.
"""

from __future__ import annotations

import asyncio
import bisect
import logging
import random
import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import openai

from visual_erm.errors import ConfigError, JudgeUnavailable

log = logging.getLogger(__name__)

FIRST_COOLDOWN_S, LONGEST_COOLDOWN_S = 0.5, 30.0
"""An endpoint that fails rests for so long; three times as long each further time."""
TICK_S = 0.1
FILE_TICKS = 10
"""The endpoints file is looked at every so many ticks."""
HEALTH_S = 3.0
"""For the answers to `/health` and `/v1/models`."""
LATENCIES, ENOUGH = 512, 8
"""Recent answers whose time is remembered; so many must have come before any is called late."""
SILENCE_S, SILENCE = 3.0, 1.5
"""An endpoint is silent once nothing has come for so many seconds, and for so many times what 95% of the answers took."""
UNREADABLE = 3
"""An endpoint whose last so many answers held no report is set aside where another works."""
BURST = 8
"""Places handed out in one turn of the event loop: the requests of a lost endpoint come all at once, and each then opens a
connection elsewhere, which takes milliseconds."""
FEW, SILENCE_OF_FEW = 4, 4.0
"""With fewer requests under way, their own length explains more: the second number, as a multiple of the same."""


@dataclass(eq=False)
class Endpoint:
    """One server, and how it is doing."""

    url: str
    client: openai.AsyncOpenAI
    in_flight: int = 0
    failures: int = 0
    """In a row, each after the pause of the one before; 0: it gets its full share."""
    ready: bool = True
    """False while it rests or has not said that it is healthy."""
    unreadable: int = 0
    """Answers in a row that held no report."""
    half_open: bool = False
    """The one request that may show that it works again is under way."""
    leaving: bool = False
    last_response_at: float = 0.0
    """When it last answered, or got its first request after having none."""
    stalled: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when its requests should go elsewhere; another takes its place then."""


class EndpointPool:
    """Owns the connections to the endpoints. Bound to the event loop of `open`.

    Args:
        endpoints: base URLs.
        file: with one base URL a line, or a folder of such, in place of `endpoints`; read again whenever it changes.
        connect: makes the client of a URL.
        limit: requests under way at one endpoint.
        unavailable_timeout_s: how long a request waits while no endpoint works.
        timeout_s: longest that one request may take.
    """

    def __init__(
        self,
        endpoints: Iterable[str],
        file: Path | None,
        connect: Callable[[str], openai.AsyncOpenAI],
        *,
        limit: int,
        unavailable_timeout_s: float,
        timeout_s: float,
    ) -> None:
        self._given = tuple(endpoints)
        self._file = file
        self._file_seen: list[tuple[int, int]] | None = None
        self._connect = connect
        self._limit = limit
        self._unavailable_timeout_s = unavailable_timeout_s
        self._timeout_s = timeout_s
        self.endpoints: list[Endpoint] = []
        self._leaving: list[Endpoint] = []
        self._waiting: deque[tuple[asyncio.Future[Endpoint], Endpoint | None, float]] = deque()
        self._given_this_turn = 0
        self._latencies: deque[float] = deque()
        self._ordered: list[float] = []
        """The same, the shortest first."""
        self._cooling_down: set[asyncio.Task[None]] = set()
        self._ticking: asyncio.Task[None] | None = None
        self._worked = 0.0
        """When some endpoint last worked."""
        self._roots: dict[str, dict[str, str]] = {}
        """Endpoint -> the models that it lists, each with the checkpoint behind its name; empty where it lists none."""
        self._told_of_roots = False
        self._last_failure = "no endpoint is known yet"
        self._closed = False

    async def open(self, model: str | None) -> str:
        """Finds the endpoints, checks that they serve `model`, and returns it; None takes the only one that is served.

        Raises ConfigError for an endpoints file that cannot be read, a URL that is none, or another model; JudgeUnavailable
        when there is no name to take for `unavailable_timeout_s`: it may be opened once more then.
        """
        urls = await asyncio.to_thread(read_endpoints, self._file) if self._file else self._given
        if self._file:
            self._file_seen = await asyncio.to_thread(_stamp, self._file)
        self._worked = time.monotonic()
        known = {endpoint.url for endpoint in self.endpoints}
        for url in urls:
            if url not in known:
                self._join(url)
        while not any(served := await self._all_served()) and model is None:
            if time.monotonic() - self._worked > self._unavailable_timeout_s:
                raise JudgeUnavailable(f"nothing is served at {', '.join(urls)}; the last failure: {self._last_failure}")
            await asyncio.sleep(FIRST_COOLDOWN_S)
        for endpoint, names in zip(tuple(self.endpoints), served, strict=True):
            if names and model is None:
                model = names[0]
            if names and model not in names:
                raise ConfigError(
                    f"{endpoint.url} serves {', '.join(names)}, not `{model}`; set judge.model to one of them, or start "
                    f"the server with --served-model-name {model}"
                )
        self._ticking = asyncio.create_task(self._tick())
        return str(model)

    async def close(self) -> None:
        """Ends every request and connection; who waits for one gets JudgeUnavailable. May be called twice."""
        self._closed = True
        tasks = [*self._cooling_down, *([self._ticking] if self._ticking else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        while self._waiting:
            waiter, _, _ = self._waiting.popleft()
            if not waiter.done():
                waiter.set_exception(JudgeUnavailable("the judge was closed"))
        for endpoint in (*self.endpoints, *self._leaving):
            endpoint.stalled.set()
        await asyncio.gather(*(endpoint.client.close() for endpoint in (*self.endpoints, *self._leaving)))

    # Places

    async def acquire(self, since: float, avoid: Endpoint | None = None) -> Endpoint:
        """A place at the least busy endpoint, another than `avoid` where that is possible; to be given back.

        Raises JudgeUnavailable once none has worked for `unavailable_timeout_s` since the monotonic time `since`.
        """
        if self._closed:
            raise JudgeUnavailable("the judge was closed")
        waiter: asyncio.Future[Endpoint] = asyncio.get_running_loop().create_future()
        # Who has been at one that failed has waited already.
        (self._waiting.appendleft if avoid else self._waiting.append)((waiter, avoid, since))
        self._hand_out()
        try:
            return await waiter
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled() and not waiter.exception():
                self.release(waiter.result())
            raise

    def acquire_other(self, first: Endpoint) -> Endpoint | None:
        """A place at an endpoint that works, if there is one without waiting."""
        if self._waiting:
            return None
        return self._least_busy(other for other in self._working() if other is not first and self._has_room(other))

    def release(self, endpoint: Endpoint) -> None:
        """Gives back a place at an endpoint; the next request in line gets it.

        Args:
            endpoint: The endpoint that `acquire` or `acquire_other` returned.
        """
        endpoint.in_flight -= 1
        self._hand_out()

    def _free(self, avoid: Endpoint | None) -> Endpoint | None:
        free = [endpoint for endpoint in self.endpoints if self._has_room(endpoint)]
        if avoid in free and (len(free) > 1 or self.others_work(avoid)):
            # Another has room, or will have.
            free.remove(avoid)
        return self._least_busy(free)

    def _least_busy(self, free: Iterable[Endpoint]) -> Endpoint | None:
        """The one of `free` with the fewest requests, taken; before all others one that is to show that it works again."""
        endpoint = min(free, key=lambda found: (not found.failures, found.in_flight, random.random()), default=None)
        if endpoint is not None:
            endpoint.half_open = endpoint.failures > 0
            if not endpoint.in_flight:
                endpoint.last_response_at = time.monotonic()
            endpoint.in_flight += 1
        return endpoint

    def _has_room(self, endpoint: Endpoint) -> bool:
        if endpoint.failures:
            return endpoint.ready and not endpoint.half_open
        return endpoint.in_flight < self._limit

    def _working(self) -> list[Endpoint]:
        return [endpoint for endpoint in self.endpoints if not endpoint.failures]

    def _hand_out(self) -> None:
        """Gives the places that are free to those that wait, first come first served, and to many of them by and by."""
        skipped: list[tuple[asyncio.Future[Endpoint], Endpoint | None, float]] = []
        while self._waiting and self._given_this_turn < BURST:
            waiter, avoid, since = self._waiting.popleft()
            if waiter.done():
                continue
            endpoint = self._free(avoid)
            if endpoint is None:
                skipped.append((waiter, avoid, since))
                if avoid is None:
                    break
                continue
            if not self._given_this_turn:
                asyncio.get_running_loop().call_soon(self._next_turn)
            self._given_this_turn += 1
            waiter.set_result(endpoint)
        self._waiting.extendleft(reversed(skipped))

    def _next_turn(self) -> None:
        self._given_this_turn = 0
        self._hand_out()

    # What came of requests

    def limit_s(self, endpoint: Endpoint) -> float:
        """How long a request may take: the time-out, or less for one that only shows whether an endpoint works again."""
        late = self.late_s()
        if endpoint.failures and late and self.others_work(endpoint):
            return min(self._timeout_s, max(SILENCE_S, SILENCE * late))
        return self._timeout_s

    def late_s(self) -> float:
        """What 95% of the recent answers took at most; 0 while there are too few."""
        count = len(self._ordered)
        return self._ordered[int(0.95 * count)] if count >= ENOUGH else 0.0

    def answered(self, endpoint: Endpoint, seconds: float, readable: bool) -> None:
        """An endpoint has answered a request; whether the answer could be read counts over a few of them."""
        endpoint.last_response_at = self._worked = time.monotonic()
        endpoint.unreadable = 0 if readable else endpoint.unreadable + 1
        if not readable and (endpoint.failures or (endpoint.unreadable >= UNREADABLE and self.others_work(endpoint))):
            self.failed(endpoint, f"{endpoint.url} answers without a report")
            return
        if endpoint.failures:
            log.warning("judge: %s works again", endpoint.url)
        endpoint.failures, endpoint.half_open, endpoint.ready = 0, False, True
        self._latencies.append(seconds)
        bisect.insort(self._ordered, seconds)
        if len(self._latencies) > LATENCIES:
            del self._ordered[bisect.bisect_left(self._ordered, self._latencies.popleft())]

    def failed(self, endpoint: Endpoint, why: str, asked_s: float = 0.0) -> bool:
        """Sets an endpoint aside, at least for the pause it asked for. True when it had its full share until now."""
        self._last_failure = why
        had_its_share, was_half_open = not endpoint.failures, endpoint.half_open
        endpoint.half_open = False
        if (had_its_share or was_half_open) and not self._closed:
            endpoint.failures += 1
            self._start_cooldown(endpoint, asked_s)
        return had_its_share

    def others_work(self, endpoint: Endpoint) -> bool:
        """Tells whether an endpoint beside this one works.

        Args:
            endpoint: The endpoint that does not count.
        """
        return any(other is not endpoint for other in self._working())

    def _start_cooldown(self, endpoint: Endpoint, asked_s: float = 0.0) -> None:
        endpoint.ready = False
        pause = min(LONGEST_COOLDOWN_S, FIRST_COOLDOWN_S * 3 ** (endpoint.failures - 1)) * random.uniform(0.8, 1.2)
        log.warning("judge: %s; set aside for %.1f s", self._last_failure, max(pause, asked_s))
        task = asyncio.create_task(self._recover(endpoint, max(pause, asked_s)))
        self._cooling_down.add(task)
        task.add_done_callback(self._cooling_down.discard)

    async def _recover(self, endpoint: Endpoint, pause_s: float) -> None:
        """After its pause, lets one request through to an endpoint that says it is healthy."""
        await asyncio.sleep(pause_s)
        if endpoint.leaving or not endpoint.failures:
            return
        if sick := await self._health_problem(endpoint):
            self._last_failure = sick
            endpoint.failures += 1
            self._start_cooldown(endpoint)
            return
        endpoint.ready = True
        self._hand_out()

    async def _health_problem(self, endpoint: Endpoint) -> str:
        """Why an endpoint is not healthy by its own `/health`; empty where it is, or has no such page."""
        page = f"{endpoint.url.rstrip('/').removesuffix('/v1')}/health"
        try:
            await asyncio.wait_for(endpoint.client.get(page, cast_to=str), HEALTH_S)
        except openai.APIStatusError as error:
            return f"{page} answers {error.status_code}" if error.status_code >= 500 else ""
        except (openai.APIConnectionError, asyncio.TimeoutError) as error:
            return f"{endpoint.url} cannot be reached ({type(error.__cause__ or error).__name__})"
        return ""

    async def _all_served(self) -> list[list[str]]:
        return await asyncio.gather(*(self._served(endpoint) for endpoint in self.endpoints))

    async def _served(self, endpoint: Endpoint) -> list[str]:
        """Names of the models at an endpoint; none when it does not say. One that is not there is set aside."""
        try:
            self._roots[endpoint.url] = await roots_of(endpoint.client)
            return list(self._roots[endpoint.url])
        except (openai.APIConnectionError, asyncio.TimeoutError) as error:
            self.failed(endpoint, f"{endpoint.url} cannot be reached ({type(error.__cause__ or error).__name__})")
        except (openai.APIError, AttributeError, TypeError, ValueError):
            log.debug("judge: %s does not list its models", endpoint.url)
            self._roots[endpoint.url] = {}
        return []

    def root(self, model: str) -> str | None:
        """Returns what tells the checkpoint behind a served name from others.

        Args:
            model: The name under which the endpoints serve it.

        Returns:
            The `root` of vLLM's list of models, the empty string where no endpoint says it, several with `|` between them
            where endpoints serve different ones under one name, and None while no endpoint has answered.
        """
        answered = [self._roots[endpoint.url] for endpoint in self.endpoints if endpoint.url in self._roots]
        if not answered:
            return None
        roots = sorted({models.get(model, "") for models in answered} - {""})
        if len(roots) > 1 and not self._told_of_roots:
            self._told_of_roots = True
            log.warning("judge: endpoints serve different checkpoints as %s: %s", model, ", ".join(roots))
        return "|".join(roots)

    # In the background

    async def _tick(self) -> None:
        ticks = 0
        while True:
            await asyncio.sleep(TICK_S)
            ticks += 1
            self._find_stalled()
            self._fail_waiting()
            if self._file and ticks % FILE_TICKS == 0:
                await self._read_again(self._file)
            for endpoint in [gone for gone in self._leaving if not gone.in_flight]:
                self._leaving.remove(endpoint)
                await endpoint.client.close()

    def _find_stalled(self) -> None:
        now, late = time.monotonic(), self.late_s()
        if not late:
            return
        for endpoint in self._working():
            times = SILENCE if endpoint.in_flight >= FEW else SILENCE_OF_FEW
            bound = max(SILENCE_S, times * late)
            others = any(other is not endpoint and now - other.last_response_at < bound for other in self._working())
            if endpoint.in_flight and others and now - endpoint.last_response_at > bound:
                self.failed(endpoint, f"{endpoint.url} has been silent for {now - endpoint.last_response_at:.1f} s")
                endpoint.stalled.set()
                endpoint.stalled = asyncio.Event()

    def _fail_waiting(self) -> None:
        now = time.monotonic()
        if self._working():
            self._worked = now
            return
        for waiter, _, since in self._waiting:
            if now - max(self._worked, since) > self._unavailable_timeout_s and not waiter.done():
                waiter.set_exception(
                    JudgeUnavailable(
                        f"no judge has answered for {self._unavailable_timeout_s:g} s; "
                        f"the last failure: {self._last_failure}"
                    )
                )

    # Who is there

    async def _read_again(self, file: Path) -> None:
        """Takes in a changed endpoints file; one that cannot be read changes nothing."""
        stamp = await asyncio.to_thread(_stamp, file)
        if stamp == self._file_seen:
            return
        self._file_seen = stamp
        try:
            urls = await asyncio.to_thread(read_endpoints, file)
            known = {endpoint.url for endpoint in self.endpoints}
            for url in urls:
                if url not in known:
                    self._join(url)
                    await self._served(self.endpoints[-1])
                    log.info("judge: %s joins", url)
        except ConfigError as error:
            log.warning("judge: %s; going on with the endpoints that are known", error)
            return
        for endpoint in [gone for gone in self.endpoints if gone.url not in urls]:
            log.info("judge: %s leaves", endpoint.url)
            endpoint.leaving = True
            self.endpoints.remove(endpoint)
            self._leaving.append(endpoint)
        self._hand_out()

    def _join(self, url: str) -> None:
        self.endpoints.append(Endpoint(url, self._connect(url)))


async def roots_of(client: openai.AsyncOpenAI) -> dict[str, str]:
    """Asks an endpoint for its models.

    Args:
        client: The client of the endpoint.

    Returns:
        Served name -> what vLLM calls its `root`: the folder or the hub's name of the checkpoint. Empty for other servers.

    Raises:
        openai.APIError: The endpoint does not answer, or answers with an error.
        asyncio.TimeoutError: It does not answer within HEALTH_S.
        AttributeError, TypeError, ValueError: The answer is no list of models.
    """
    models = await asyncio.wait_for(client.models.list(), HEALTH_S)
    return {model.id: str(getattr(model, "root", None) or "") for model in models.data}


async def served_by(client: openai.AsyncOpenAI) -> list[str]:
    """Returns the names of the models at an endpoint.

    Args:
        client: The client of the endpoint.

    Raises:
        openai.APIError, asyncio.TimeoutError, AttributeError, TypeError, ValueError: See `roots_of`.
    """
    return list(await roots_of(client))


def read_endpoints(file: Path) -> tuple[str, ...]:
    """The base URLs in an endpoints file: one a line; `#` starts a comment. A file that is not there yet holds none.

    In a folder, where each machine that serves keeps its own, those of all its `*.txt`. Raises ConfigError for a line that
    is no URL, and for a file that cannot be read.
    """
    if file.is_dir():
        return tuple(dict.fromkeys(url for part in _parts(file) for url in read_endpoints(part)))
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return ()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"judge.endpoints_file: {file} cannot be read: {error}") from error
    urls = [(number, line.partition("#")[0].strip()) for number, line in enumerate(lines, 1)]
    for number, url in urls:
        if url and not is_url(url):
            raise ConfigError(f"{file}, line {number}: `{url}` is no URL; it looks like http://10.0.0.1:8000/v1")
    return tuple(dict.fromkeys(url for _, url in urls if url))


def is_url(text: str) -> bool:
    """Whether `text` can be the base URL of a server."""
    try:
        url = urlsplit(text)
        return url.scheme in ("http", "https") and bool(url.hostname) and url.port != 0
    except ValueError:
        return False


def _parts(file: Path) -> list[Path]:
    return sorted(file.glob("*.txt")) if file.is_dir() else [file]


def _stamp(file: Path) -> list[tuple[int, int]] | None:
    try:
        found = [part.stat() for part in _parts(file)]
    except OSError:
        return None
    return [(part.st_mtime_ns, part.st_ino) for part in found]
