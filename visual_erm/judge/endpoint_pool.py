"""The servers of a model: which are there, how each is doing, and which gets the next request.

A request acquires a place at the endpoint with the fewest requests under way, and releases it when it is done. Every
endpoint has a circuit breaker. One that fails cools down for growing pauses; after each it must answer `/health`, then one
request (half open), before it gets its full share again. One that stalls while others answer cools down too, and its
requests go elsewhere. The pool does not know what the requests ask.

    pool = EndpointPool(urls, None, make, limit=64, unavailable_timeout_s=300, timeout_s=300)
    model = await pool.open("visual-erm")
    endpoint = await pool.acquire(time.monotonic())
    ...                                     # pool.answered(endpoint, …) or pool.failed(endpoint, …)
    pool.release(endpoint)
"""

from __future__ import annotations

import asyncio
import bisect
import contextlib
import logging
import random
import time
from collections import deque
from collections.abc import Callable, Iterable
from pathlib import Path

from visual_erm.errors import ConfigError, JudgeUnavailable
from visual_erm.judge.endpoint import Endpoint, hide_login, is_url
from visual_erm.runtime.files import read_regular, writable_by_others

log = logging.getLogger(__name__)

FIRST_COOLDOWN_S = 0.5
"""Seconds that an endpoint cools down after a failure; three times as long after each further one."""
LONGEST_COOLDOWN_S = 30.0
"""Longest cooldown, in seconds, unless the server asks for more."""
TICK_S = 0.1
"""Seconds between two looks at stalled endpoints and at requests that wait."""
FILE_TICKS = 10
"""Ticks between two looks at the endpoints file."""
MAX_FILE_BYTES = 1 << 20
"""Largest endpoints file."""
RECENT_ANSWERS = 512
"""Answers whose time is remembered."""
MIN_ANSWERS = 8
"""Answers that must have come before any request is called late."""
STALL_S = 3.0
"""Seconds without an answer before an endpoint may count as stalled."""
STALL_FACTOR = 1.5
"""An endpoint counts as stalled after this many times what 95% of the recent answers took, see also STALL_S."""
FEW_IN_FLIGHT = 4
"""With fewer requests under way than this, FEW_STALL_FACTOR holds: the length of one request explains a longer wait."""
FEW_STALL_FACTOR = 4.0
"""In place of STALL_FACTOR where few requests are under way."""
MAX_UNREADABLE = 3
"""Answers without a report, in a row, after which an endpoint cools down where another works."""
BURST = 8
"""Places handed out in one turn of the event loop. The requests of a lost endpoint come all at once, and each then opens a
connection elsewhere, which takes milliseconds."""


class EndpointPool:
    """Owns the connections to the endpoints. Bound to the event loop of `open`.

    Args:
        endpoints: Base URLs.
        file: File with one base URL a line, or folder of such files, in place of `endpoints`. It is read again whenever it
            changes.
        make: Makes the endpoint of a URL.
        limit: Largest number of requests under way at one endpoint.
        unavailable_timeout_s: Seconds that a request waits while no endpoint works.
        timeout_s: Longest time of one request, in seconds.
        role: What the model is for; its name in messages, and the group of its keys.
    """

    def __init__(
        self,
        endpoints: Iterable[str],
        file: Path | None,
        make: Callable[[str], Endpoint],
        *,
        limit: int,
        unavailable_timeout_s: float,
        timeout_s: float,
        role: str = "judge",
    ) -> None:
        self._given = tuple(endpoints)
        self._file = file
        self._file_seen: list[tuple[int, ...]] | None = None
        self._make = make
        self._model: str | None = None
        self._limit = limit
        self._unavailable_timeout_s = unavailable_timeout_s
        self._timeout_s = timeout_s
        self._role = role
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
        self._warned_of_roots = False
        self._last_failure = "no endpoint is known yet"
        self._last_surprise = ""
        """The last unexpected error of the background task, which is logged once."""
        self._closed = False

    async def open(self, model: str | None) -> str:
        """Finds the endpoints and checks that they serve the model.

        Args:
            model: Name of the model. None: the first one that an endpoint serves.

        Returns:
            The name of the model.

        Raises:
            ConfigError: The endpoints file cannot be read, one of its lines is no URL, or an endpoint serves other models.
            JudgeUnavailable: No name was given, and no endpoint named a model for `unavailable_timeout_s`. The pool may be
                opened once more then.
        """
        if self._file:
            # Before it is read: a change meanwhile is another stamp, and it is read again.
            self._file_seen = await asyncio.to_thread(_stamp, self._file)
        urls = await asyncio.to_thread(read_endpoints, self._file, self._role) if self._file else self._given
        self._worked = time.monotonic()
        known = {endpoint.given for endpoint in self.endpoints}
        self.endpoints += [self._make(url) for url in urls if url not in known]
        await self._ask_models(self.endpoints)
        while model is None and not any(endpoint.roots for endpoint in self.endpoints):
            if time.monotonic() - self._worked > self._unavailable_timeout_s:
                raise JudgeUnavailable(
                    f"nothing is served at {', '.join(map(hide_login, urls))}, or no list of models; for servers without "
                    f"such a list set `{self._role}.model`"
                )
            await asyncio.sleep(FIRST_COOLDOWN_S)
            await self._ask_models(self.endpoints)
        for endpoint in self.endpoints:
            if endpoint.roots and model is None:
                model = next(iter(endpoint.roots))
            if endpoint.roots and model not in endpoint.roots:
                raise ConfigError(
                    f"{endpoint.url} serves {', '.join(endpoint.roots)}, not `{model}`; set {self._role}.model to one of "
                    f"them, or start the server with --served-model-name {model}"
                )
        self._model = str(model)
        self._compare_roots()
        self._ticking = asyncio.create_task(self._tick())
        return self._model

    async def close(self) -> None:
        """Ends every request and connection; requests that wait get JudgeUnavailable. May be called twice."""
        self._closed = True
        tasks = [*self._cooling_down, *([self._ticking] if self._ticking else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        while self._waiting:
            waiter, _, _ = self._waiting.popleft()
            if not waiter.done():
                waiter.set_exception(JudgeUnavailable(f"the {self._role} was closed"))
        for endpoint in (*self.endpoints, *self._leaving):
            endpoint.stalled.set()
        await asyncio.gather(*(endpoint.client.close() for endpoint in (*self.endpoints, *self._leaving)))

    # Places

    async def acquire(self, since: float, avoid: Endpoint | None = None) -> Endpoint:
        """Waits for a place at the least busy endpoint.

        Args:
            since: Monotonic time, in seconds, at which the sample began to wait.
            avoid: An endpoint that failed for this sample: another one is taken where that is possible.

        Returns:
            The endpoint. The caller releases it.

        Raises:
            JudgeUnavailable: No endpoint has worked for `unavailable_timeout_s` since `since`, or the pool was closed.
        """
        if self._closed:
            raise JudgeUnavailable(f"the {self._role} was closed")
        waiter: asyncio.Future[Endpoint] = asyncio.get_running_loop().create_future()
        # A sample whose request failed has waited already.
        (self._waiting.appendleft if avoid else self._waiting.append)((waiter, avoid, since))
        self._hand_out()
        try:
            return await waiter
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled() and not waiter.exception():
                waiter.result().half_open = False
                self.release(waiter.result())
            raise

    def acquire_other(self, first: Endpoint) -> Endpoint | None:
        """Takes a place at a second endpoint, if one that works has room at once.

        Args:
            first: The endpoint that was asked first.

        Returns:
            The endpoint, which the caller releases; None where there is none, or where other requests wait.
        """
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
        """Takes a place at the endpoint with the fewest requests; one that is half open goes before all others."""
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
        """Gives free places to the requests that wait: first come, first served, and BURST of them in one turn."""
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
        """Finds how long a request may take.

        Args:
            endpoint: The endpoint that is asked. One that is half open has less than the time-out where others work.

        Returns:
            The time in seconds, at most the time-out.
        """
        late = self.late_s()
        if endpoint.failures and late and self.others_work(endpoint):
            return min(self._timeout_s, max(STALL_S, STALL_FACTOR * late))
        return self._timeout_s

    def late_s(self) -> float:
        """Returns what 95% of the recent answers took at most, in seconds; 0 while there are too few."""
        count = len(self._ordered)
        return self._ordered[int(0.95 * count)] if count >= MIN_ANSWERS else 0.0

    def answered(self, endpoint: Endpoint, seconds: float, readable: bool) -> None:
        """Records an answer. The endpoint works again, unless it answers without reports.

        Args:
            endpoint: The endpoint that answered.
            seconds: Time of the request.
            readable: Whether the answer held a report.
        """
        endpoint.last_response_at = self._worked = time.monotonic()
        endpoint.unreadable = 0 if readable else endpoint.unreadable + 1
        if not readable and (endpoint.failures or (endpoint.unreadable >= MAX_UNREADABLE and self.others_work(endpoint))):
            self.failed(endpoint, f"{endpoint.url} answers without a report")
            return
        if endpoint.failures:
            log.warning("%s: %s works again", self._role, endpoint.url)
        endpoint.failures, endpoint.half_open, endpoint.ready = 0, False, True
        self._latencies.append(seconds)
        bisect.insort(self._ordered, seconds)
        if len(self._latencies) > RECENT_ANSWERS:
            del self._ordered[bisect.bisect_left(self._ordered, self._latencies.popleft())]

    def failed(self, endpoint: Endpoint, why: str, asked_s: float = 0.0) -> bool:
        """Records a failure: the endpoint cools down.

        Args:
            endpoint: The endpoint that failed.
            why: What happened, for messages.
            asked_s: Shortest cooldown, in seconds, that the server asked for.

        Returns:
            True when the endpoint had its full share until now.
        """
        self._last_failure = why
        was_closed, was_half_open = not endpoint.failures, endpoint.half_open
        endpoint.half_open = False
        if (was_closed or was_half_open) and not self._closed:
            endpoint.failures += 1
            self._start_cooldown(endpoint, asked_s)
        return was_closed

    def others_work(self, endpoint: Endpoint) -> bool:
        """Tells whether an endpoint beside this one works.

        Args:
            endpoint: The endpoint that does not count.

        Returns:
            Whether there is one.
        """
        return any(other is not endpoint for other in self._working())

    def _start_cooldown(self, endpoint: Endpoint, asked_s: float = 0.0) -> None:
        endpoint.ready = False
        # The exponent has a bound: after hours of failures the power would be no float any more.
        pause = FIRST_COOLDOWN_S * 3.0 ** min(endpoint.failures - 1, 20)
        pause = min(LONGEST_COOLDOWN_S, pause) * random.uniform(0.8, 1.2)
        log.warning("%s: %s; set aside for %.1f s", self._role, self._last_failure, max(pause, asked_s))
        task = asyncio.create_task(self._recover(endpoint, max(pause, asked_s)))
        self._cooling_down.add(task)
        task.add_done_callback(self._cooling_down.discard)

    async def _recover(self, endpoint: Endpoint, pause_s: float) -> None:
        """After its cooldown, lets one request through to an endpoint that says it is healthy."""
        await asyncio.sleep(pause_s)
        if endpoint.leaving or not endpoint.failures:
            return
        if problem := await _probe(endpoint):
            self._last_failure = problem
            endpoint.failures += 1
            self._start_cooldown(endpoint)
            return
        self._compare_roots()
        endpoint.ready = True
        self._hand_out()

    async def _ask_models(self, endpoints: Iterable[Endpoint]) -> None:
        """Asks endpoints for their models; one that cannot be reached cools down."""
        asked = list(endpoints)
        for endpoint, problem in zip(asked, await asyncio.gather(*map(_models_problem, asked)), strict=True):
            if problem:
                self.failed(endpoint, problem)

    # Checkpoints

    def root(self) -> str | None:
        """Returns what tells the checkpoint behind the model's name from others.

        Returns:
            The `root` in vLLM's list of models, and the empty string where the endpoints do not say it. Where endpoints
            differ, all of them with `|` between them. None while no endpoint has answered.
        """
        roots = self._roots()
        return "|".join(roots) if roots else None

    def _roots(self) -> list[str]:
        answered = [endpoint.roots for endpoint in self.endpoints if endpoint.roots is not None]
        return sorted({roots.get(self._model or "", "") for roots in answered})

    def _compare_roots(self) -> None:
        """Warns once where endpoints serve different checkpoints under one name."""
        named = [root for root in self._roots() if root]
        if len(named) > 1 and not self._warned_of_roots:
            self._warned_of_roots = True
            log.warning("%s: endpoints serve different checkpoints as %s: %s", self._role, self._model, ", ".join(named))

    # In the background

    async def _tick(self) -> None:
        ticks = 0
        while True:
            await asyncio.sleep(TICK_S)
            ticks += 1
            try:
                self._find_stalled()
                self._fail_waiting()
                if self._file and ticks % FILE_TICKS == 0:
                    await self._read_again(self._file)
                for endpoint in [gone for gone in self._leaving if not gone.in_flight]:
                    self._leaving.remove(endpoint)
                    await endpoint.client.close()
            except Exception as error:  # if this task ended, no request would ever be given up, and no server could join
                if repr(error) != self._last_surprise:
                    self._last_surprise = repr(error)
                    log.exception("%s: an unexpected error while endpoints were looked at; going on", self._role)

    def _find_stalled(self) -> None:
        now, late = time.monotonic(), self.late_s()
        if not late:
            return
        for endpoint in self._working():
            factor = STALL_FACTOR if endpoint.in_flight >= FEW_IN_FLIGHT else FEW_STALL_FACTOR
            bound = max(STALL_S, factor * late)
            others = any(other is not endpoint and now - other.last_response_at < bound for other in self._working())
            if endpoint.in_flight and others and now - endpoint.last_response_at > bound:
                self.failed(endpoint, f"{endpoint.url} has sent nothing for {now - endpoint.last_response_at:.1f} s")
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
                        f"no {self._role} has answered for {self._unavailable_timeout_s:g} s; "
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
            urls = await asyncio.to_thread(read_endpoints, file, self._role)
        except ConfigError as error:
            log.warning("%s: %s; going on with the endpoints that are known", self._role, error)
            return
        known = {endpoint.given for endpoint in self.endpoints}
        joining = [self._make(url) for url in urls if url not in known]
        # Before any of them gets a request, so that it is known which checkpoint a report comes from.
        await self._ask_models(joining)
        for endpoint in joining:
            self.endpoints.append(endpoint)
            log.info("%s: %s joins", self._role, endpoint.url)
        self._compare_roots()
        for endpoint in [gone for gone in self.endpoints if gone.given not in urls]:
            log.info("%s: %s leaves", self._role, endpoint.url)
            endpoint.leaving = True
            self.endpoints.remove(endpoint)
            self._leaving.append(endpoint)
        self._hand_out()


def read_endpoints(file: Path, role: str = "judge") -> tuple[str, ...]:
    """Reads the base URLs of an endpoints file: one a line; `#` starts a comment.

    Args:
        file: The file, or a folder, in which each machine that serves keeps a file of its own: all its `*.txt` are read.
        role: What the model is for; the group of its keys in messages.

    Returns:
        The URLs in order, each once. A file that is not there yet holds none.

    Raises:
        ConfigError: The file cannot be read, others can change it, or a line is no URL.
    """
    try:
        _check_owner(file, role)
        return tuple(dict.fromkeys(url for part in _parts(file) for url in _urls_of(part, role)))
    except OSError as error:
        raise ConfigError(f"{role}.endpoints_file: {file} cannot be read: {error.strerror}") from error


def _check_owner(file: Path, role: str) -> None:
    """Refuses a file or folder that others can write: they would get the key and every image, and decide the rewards.

    Who can write the folder of a file can replace the file. A file that is not there yet is checked when it is.
    """
    if not file.exists():
        return
    for part in (file, *(_parts(file) if file.is_dir() else (file.resolve().parent,))):
        # A file of the folder may be removed at any time.
        with contextlib.suppress(FileNotFoundError):
            if writable_by_others(part):
                raise ConfigError(
                    f"{role}.endpoints_file: others than its owner can write {part}, or another user owns it; run "
                    f"`chmod go-w {part}`, or give a file in a folder of your own"
                )


def _urls_of(file: Path, role: str) -> list[str]:
    """The URLs of one file. It may be removed at any time: then there are none. Raises OSError and ConfigError."""
    try:
        lines = read_regular(file, MAX_FILE_BYTES).decode("utf-8-sig").splitlines()
    except FileNotFoundError:
        return []
    except UnicodeDecodeError as error:
        raise ConfigError(f"{role}.endpoints_file: {file} cannot be read: {error}") from error
    urls = [(number, line.partition("#")[0].strip()) for number, line in enumerate(lines, 1)]
    for number, url in urls:
        if url and not is_url(url):
            raise ConfigError(
                f"{file}, line {number}: `{hide_login(url)}` is no URL; it looks like http://10.0.0.1:8000/v1"
            )
    return [url for _, url in urls if url]


async def _probe(endpoint: Endpoint) -> str:
    """Returns why an endpoint that failed does not work; empty where it does."""
    try:
        problem = await endpoint.health_problem()
    except Exception as error:  # noqa: BLE001  if the task that tries an endpoint again ended, it would never be asked again
        return _surprise(endpoint, error)
    # A server that was started again may serve another checkpoint.
    return problem or await _models_problem(endpoint)


async def _models_problem(endpoint: Endpoint) -> str:
    """Asks an endpoint for its models. Returns why it cannot be reached; empty where it can."""
    try:
        return await endpoint.ask_models()
    except Exception as error:  # noqa: BLE001  likewise, and one endpoint must not keep the others out
        return _surprise(endpoint, error)


def _surprise(endpoint: Endpoint, error: Exception) -> str:
    return endpoint.redact(f"{endpoint.url} cannot be asked ({type(error).__name__}: {error})")


def _parts(file: Path) -> list[Path]:
    return sorted(part for part in file.glob("*.txt") if not part.is_dir()) if file.is_dir() else [file]


def _stamp(file: Path) -> list[tuple[int, ...]] | None:
    """Tells one state of the files from another, also where permissions change, or twice within one tick of the clock."""
    try:
        found = [part.stat() for part in _parts(file)]
        # What its permissions forbade may be allowed now.
        folder = (file if file.is_dir() else file.parent).stat()
    except OSError:
        return None
    stamps = [(part.st_mtime_ns, part.st_ctime_ns, part.st_ino, part.st_size) for part in found]
    return [(folder.st_mode, folder.st_uid), *stamps]
