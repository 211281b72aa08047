"""The servers of a plan as processes: started, asked for their health, started again when they die, ended in the end.

    start --healthy--> listed in the endpoints file --dead, or silent for long--> ended, pause --> start

One coroutine runs each server; they share nothing but the endpoints file. Every server is a `GuardedProcess`, so that
nothing of it is left, whatever happens to it or to this process.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import httpx

from visual_erm.errors import ConfigError, JudgeUnavailable
from visual_erm.runtime.files import write_atomic
from visual_erm.runtime.guarded_process import GuardedProcess
from visual_erm.serve.plan import ServerPlan

log = logging.getLogger(__name__)

KEYS = ("VISUAL_ERM_API_KEY", "VLLM_API_KEY")
"""Environment variables that hold the key, the first one set; vLLM reads the last."""
TAIL_LINES = 20
"""Lines of a server's log in the message about one that was given up."""


@dataclass(frozen=True)
class Timeouts:
    """How long the supervisor waits, in seconds, and how often it tries."""

    startup: float = 1800.0
    """Seconds until a server is healthy. To load 8 billion parameters from a slow disk takes minutes."""
    unresponsive: float = 120.0
    """Seconds without an answer after which a server, once healthy, is ended."""
    delist_after: float = 20.0
    """Seconds without an answer after which a server leaves the endpoints file."""
    probe: float = 10.0
    """Seconds that a server has to answer one question about its health."""
    probe_interval: float = 1.0
    """Seconds between two questions."""
    reset_after: float = 60.0
    """Seconds of health after which the next death counts as the first one."""
    max_deaths: int = 5
    """Deaths in a row after which a server is given up."""
    first_pause: float = 1.0
    """Seconds before the first restart; twice as long before each further one."""
    max_pause: float = 60.0
    grace: float = 15.0
    """Seconds that a server has to end by itself, and its processes as long after it."""
    kill: float = 10.0
    """Seconds that killed processes have to be gone."""
    log_interval: float = 30.0
    """Seconds between two log lines about servers that are starting."""


@dataclass(eq=False)
class _ServerState:
    """A server and its state."""

    server: ServerPlan
    began: float = 0.0
    """Time at which its process was last started, by the monotonic clock."""
    healthy: bool = False
    settled: bool = False
    """Whether it has been healthy or has died. The first list of endpoints waits for that."""
    deaths: int = 0
    """Deaths in a row."""
    given_up: bool = False


class Supervisor:
    """Runs servers until a signal stops it, or until none is left.

    The endpoints file holds the URLs of the healthy servers. It is first filled when each server has been healthy or has
    died once. It is empty before that and in the end.

    Args:
        servers: The plan.
        name: Model name that each server must list.
        logs: Folder for one log per server, named by its port.
        endpoints: The endpoints file. None: no file is written.
        environ: Environment of the servers. One of `KEYS` in it is the key that the servers ask for.
        timeouts: Time limits, in seconds.

    Raises:
        ConfigError: The folder or the endpoints file cannot be written.
    """

    def __init__(
        self,
        servers: Sequence[ServerPlan],
        name: str,
        logs: Path,
        endpoints: Path | None,
        environ: Mapping[str, str],
        timeouts: Timeouts = Timeouts(),
    ) -> None:
        self._servers = [_ServerState(server) for server in servers]
        self._name, self._logs, self._endpoints, self._timeouts = name, logs, endpoints, timeouts
        self._key = next((environ[key] for key in KEYS if environ.get(key)), "")
        self._environ = {**environ, **({KEYS[-1]: self._key} if self._key else {})}
        self._stopped = asyncio.Event()
        self._listed: list[str] | None = None
        """What the endpoints file holds, as far as is known."""
        try:
            logs.mkdir(parents=True, exist_ok=True)
            self._write_endpoints([])
        except OSError as error:
            raise ConfigError(f"{error.filename}: cannot be written: {error.strerror}") from error

    async def run(self) -> None:
        """Runs the servers. Returns after SIGTERM, SIGINT or SIGHUP.

        Raises:
            JudgeUnavailable: Every server has been given up.
        """
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            if signal.getsignal(number) != signal.SIG_IGN:
                loop.add_signal_handler(number, self._stop)
        pending = tasks = {asyncio.create_task(self._supervise(state)) for state in self._servers}
        try:
            while pending:
                done, pending = await asyncio.wait(
                    pending, timeout=self._timeouts.log_interval, return_when=asyncio.FIRST_EXCEPTION
                )
                for task in done:
                    task.result()
                if not self._stopped.is_set():
                    self._log_starting()
        finally:
            self._stop()
            await asyncio.gather(*tasks, return_exceptions=True)
        if all(state.given_up for state in self._servers):
            raise JudgeUnavailable(f"no server is left; see {self._logs}")

    def _stop(self) -> None:
        self._stopped.set()
        self._update_endpoints()

    async def _supervise(self, state: _ServerState) -> None:
        """Runs one server: one process after the other."""
        server, timeouts = state.server, self._timeouts
        file = self._logs / f"{server.port}.log"
        while not self._stopped.is_set():
            process, began = self._start(server, file)
            try:
                healthy_for = await self._watch(state, process)
            finally:
                state.healthy = False
                self._update_endpoints()
                await asyncio.to_thread(process.end)
            if self._stopped.is_set():
                return
            state.deaths = 1 if healthy_for >= timeouts.reset_after else state.deaths + 1
            if state.deaths >= timeouts.max_deaths:
                state.given_up = True
                log.error(
                    "server %d died %d times in a row and is given up; %s ends with\n%s",
                    *(server.port, state.deaths, file, _tail(file, began)),
                )
                return
            pause = min(timeouts.max_pause, timeouts.first_pause * 2 ** (state.deaths - 1))
            log.warning(
                "server %d died (exit code %s) after %.0f s of health; it starts again in %g s; its log is %s",
                *(server.port, process.poll(), healthy_for, pause, file),
            )
            await self._pause(pause)

    async def _pause(self, seconds: float) -> None:
        """Waits. Returns early when the supervisor is stopped."""
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self._stopped.wait(), seconds)

    def _start(self, server: ServerPlan, file: Path) -> tuple[GuardedProcess, int]:
        """Starts the server; returns its process, and the byte at which its part of the log begins."""
        environ = self._environ | dict(server.environment)
        with file.open("ab") as output:
            began = output.tell()
            process = GuardedProcess(
                server.command, environ, self._timeouts.grace, output=output, kill_timeout=self._timeouts.kill
            )
        return process, began

    async def _watch(self, state: _ServerState, process: GuardedProcess) -> float:
        """Waits until the server dies or stops answering; returns how many seconds it was healthy."""
        server, timeouts = state.server, self._timeouts
        state.began = answered = time.monotonic()
        first = None
        # Not through a proxy of the environment, and each time by a connection of its own.
        limits = httpx.Limits(max_keepalive_connections=0)
        async with httpx.AsyncClient(trust_env=False, timeout=timeouts.probe, limits=limits) as client:
            while process.poll() is None and not self._stopped.is_set():
                healthy = await self._is_healthy(client, server, first is None)
                now = time.monotonic()
                if healthy:
                    answered = now
                    if first is None:
                        first = now
                        state.settled = True
                        log.info("server %d is healthy after %.0f s", server.port, now - state.began)
                elif now - answered > (timeouts.startup if first is None else timeouts.unresponsive):
                    log.warning("server %d has not answered for %.0f s", server.port, now - answered)
                    break
                state.healthy = first is not None and now - answered <= timeouts.delist_after
                self._update_endpoints()
                await self._pause(timeouts.probe_interval)
        state.settled = True
        return answered - first if first is not None else 0.0

    async def _is_healthy(self, client: httpx.AsyncClient, server: ServerPlan, starting: bool) -> bool:
        """Asks a server whether it is healthy; a starting one also whether it serves the model by its name."""
        try:
            await self._get(client, f"{server.local}/health")
            if not starting:
                return True
            models = (await self._get(client, f"{server.local}/v1/models")).json()["data"]
            return any(model["id"] == self._name for model in models)
        except (httpx.HTTPError, httpx.InvalidURL, ValueError, LookupError, TypeError):
            return False

    async def _get(self, client: httpx.AsyncClient, url: str) -> httpx.Response:
        headers = {"Authorization": f"Bearer {self._key}"} if self._key else {}
        return (await client.get(url, headers=headers)).raise_for_status()

    def _update_endpoints(self) -> None:
        """Lists the healthy servers, once each has been healthy or has died. Lists none when the supervisor is stopped."""
        urls = []
        if all(state.settled for state in self._servers) and not self._stopped.is_set():
            urls = [state.server.url for state in self._servers if state.healthy]
        if urls == self._listed:
            return
        try:
            self._write_endpoints(urls)
        except OSError as error:
            if self._listed is not None:
                log.warning("%s is out of date: %s", self._endpoints, error)
            self._listed = None
        else:
            log.info("%d of %d servers: %s", len(urls), len(self._servers), ", ".join(urls) or "none")

    def _write_endpoints(self, urls: list[str]) -> None:
        """Writes the endpoints file in one step: who reads it sees the old list or the new one."""
        if self._endpoints:
            # Whatever the umask: judges refuse a file or folder that others can write.
            self._endpoints.parent.mkdir(0o755, parents=True, exist_ok=True)
            write_atomic(self._endpoints, "".join(f"{url}\n" for url in urls), mode=0o644)
        self._listed = urls

    def _log_starting(self) -> None:
        now = time.monotonic()
        waiting = [state for state in self._servers if not (state.healthy or state.given_up)]
        if waiting:
            each = ", ".join(f"{state.server.port} ({now - state.began:.0f} s)" for state in waiting)
            log.info(
                "%d of %d servers are healthy; not yet: %s", len(self._servers) - len(waiting), len(self._servers), each
            )


def _tail(file: Path, began: int) -> str:
    """Returns the last lines of a log, of those written since byte `began`."""
    with file.open("rb") as lines:
        lines.seek(max(began, file.stat().st_size - 20_000))
        return "\n".join(lines.read().decode(errors="replace").splitlines()[-TAIL_LINES:])
