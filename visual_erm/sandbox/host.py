"""Sandbox: the trusted side. It starts the server, hands out jobs, checks results, and keeps the time limits.

The chart and SVG renderers stand on it. A result is checked before it is believed (protocol.py), and nothing is decoded.
While a worker waits for a processor its time limit stands still. A job that lost its worker through no fault of its own is
rendered once more with the sandbox to itself.

    sandbox = Sandbox("chart", {"dpi": 100, "max_pixels": 4_000_000}, SandboxSettings(), Limits(20, 4_000_000))
    image = await sandbox.render("import matplotlib.pyplot as plt; plt.plot([1, 2])")
    await sandbox.close()
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import hmac
import json
import logging
import os
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

from PIL import Image

from visual_erm import errors
from visual_erm.errors import (
    ConfigError,
    PolicyFault,
    RendererUnavailable,
    RenderFailed,
    RenderLimit,
    Tampering,
    VisualERMError,
)
from visual_erm.runtime.cpu_priority import lower_priority
from visual_erm.runtime.semaphore import ExclusiveSemaphore
from visual_erm.sandbox import protocol
from visual_erm.sandbox.bubblewrap import INSIDE, command, environment, missing_layers, readable, workers_mount
from visual_erm.sandbox.isolation import IsolationPlan
from visual_erm.sandbox.probe import address_limit
from visual_erm.sandbox.protocol import FAULTS, HEAD, JOB, KEY_BYTES, SEAL_BYTES, Head
from visual_erm.sandbox.server_process import (
    MESSAGE_BYTES,
    STOP_LIMIT_S,
    SelfTest,
    ServerProcess,
    Worker,
    WorkerEnd,
    WorkerLostError,
    receive,
    waited_s,
    waiting_is_known,
)
from visual_erm.spec.sandbox import SandboxSettings

log = logging.getLogger(__name__)

START_LIMIT_S = 120.0
"""Wall time to import the libraries and render the first images, on the most loaded machine."""
KILL_LIMIT_S = 10.0
"""Wall time until a killed worker is reported gone; then its server is replaced."""
WAIT_FACTOR = 12
"""Wall time of a job whose worker waits for a processor, as a multiple of the job's limit."""
MIN_WAIT_S = 60.0
"""Wall time in seconds that such a job has at least, however short its limit is."""
BUSY_SHARE = 0.8
"""Share of its time limit that a job must have spent on the processor for a time-out to be its own for certain."""
WAITED_SHARE = 0.25
"""Share of its time limit that a job must have waited for a processor to be rendered again after a time-out."""
JOBS_PER_WORKER = 500
"""Jobs of a reusable worker: then a fresh one takes over, so that no library's leak adds up."""
START_ATTEMPTS = 3
"""How often a server is started that is killed from outside while it starts."""
LONGEST_BACKEND = 20_000
"""Characters of a backend of the user's own: it travels in one message of at most `MESSAGE_BYTES`."""
NO_SPACE = os.strerror(errno.ENOSPC)
FORBIDDEN = ("/etc/passwd", "/proc/self/environ")
"""Files that every machine has and no code may read; the self-test tries them."""


@dataclass(frozen=True)
class Limits:
    """What one job may cost."""

    time_s: float
    """CPU time in seconds; also wall time, less the time spent waiting for a processor."""
    max_pixels: int
    """Width times height of the image."""


class _Lost(WorkerLostError):
    """A job ended without an image, perhaps through no fault of its own; `fault` is raised if that happens again."""

    def __init__(self, reason: str, fault: type[VisualERMError] = RendererUnavailable) -> None:
        super().__init__(reason)
        self.fault = fault


class _KilledError(Exception):
    """The server was killed while it started."""


class Sandbox:
    """Renders with one backend. Nothing is started before the first job.

    After `close`, or the death of the owning process, no process, file or socket is left. Use it from one event loop.

    Args:
        backend: Name of a module in `visual_erm.sandbox.backends`, or the path of a Python file of your own that has what
            such a module has. It runs inside; libraries that it imports must be installed for this Python.
        options: Plain settings that the backend reads.
        settings: Layers of isolation, required guarantees, and limits of memory and disk.
        limits: Limits of one job.
        workers: How many jobs run at once at most.
        low_priority: Let this process go before the workers where processors are scarce (runtime/cpu_priority.py).

    Raises:
        ConfigError: The file of a backend of your own cannot be read, or is too long.
    """

    def __init__(
        self,
        backend: str | Path,
        options: Mapping[str, Any],
        settings: SandboxSettings,
        limits: Limits,
        workers: int = 2,
        low_priority: bool = False,
    ) -> None:
        self._backend = backend
        self._source = _read_backend(backend) if isinstance(backend, Path) else ""
        self._options = dict(options)
        self._settings = settings
        self._limits = limits
        self._slots = ExclusiveSemaphore(workers)
        self._low_priority = low_priority
        self._server: ServerProcess | None = None
        self._starting: asyncio.Task[ServerProcess] | None = None
        self._closed = False
        self._jobs = 0
        self._under_way = 0

    async def render(self, code: str) -> Image.Image:
        """Renders `code` in an isolated process.

        Args:
            code: What the backend reads.

        Returns:
            The image, RGB. Its `info["missing_glyphs"]` is the number of characters that no font could show.

        Raises:
            RenderFailed: The code is at fault: it raised, crashed, or cannot be read.
            RenderLimit: It went over its limit of time, memory, disk or pixels.
            BlankImage: It showed nothing.
            Tampering: It reached for what it may not, or forged a result.
            RendererUnavailable: The sandbox failed, twice; the code is not at fault.
        """
        try:
            async with self._slots.acquire():
                return await self._attempt(code)
        except WorkerLostError as loss:
            log.info("rendering again, with the sandbox to itself: %s", loss)
        try:
            async with self._slots.acquire(exclusive=True):
                return await self._attempt(code)
        except WorkerLostError as loss:
            fault = loss.fault if isinstance(loss, _Lost) else RendererUnavailable
            raise fault(str(loss)) from None

    async def close(self) -> None:
        """Ends every process and waits until they are gone. May be called twice."""
        self._closed = True
        if self._starting is not None:
            await asyncio.wait({self._starting})
        if self._server is not None:
            await self._retire(self._server)

    # One job

    async def _attempt(self, code: str) -> Image.Image:
        server = await self._current()
        worker = await self._acquire(server)
        self._jobs += 1
        self._under_way += 1
        complete = False
        waited_before_s = worker.waited_s
        job = asyncio.ensure_future(self._converse(worker, self._jobs, code, server.reusable))
        try:
            if not await self._in_time(job, server, worker):
                await _cancelled(job)
                server.discard(worker)
                end = await self._end_of(server, worker)
                raise self._late(end, worker, worker.waited_s - waited_before_s)
            head, body = job.result()
            complete = True
        except (OSError, EOFError):
            raise self._explained(await self._end_of(server, worker), worker) from None
        finally:
            self._under_way -= 1
            await _cancelled(job)
            if complete:
                self._release(server, worker)
            else:
                server.discard(worker)
        if head.fault:
            raise self._fault(head.fault, body, server)
        image = Image.frombytes("RGB", (head.width, head.height), bytes(body))
        image.info["missing_glyphs"] = head.missing_glyphs
        return image

    def _fault(self, number: int, body: bytearray, server: ServerProcess) -> Exception:
        """What a worker says that the code did. It may say that the disk is full, where others fill the same disk."""
        fault: type[PolicyFault] = getattr(errors, FAULTS[number])
        reason = " ".join(body.decode("utf-8", "replace").split())
        if server.mounts or NO_SPACE not in reason:
            return fault(reason)
        full = server.folder is not None and shutil.disk_usage(server.folder).free < self._settings.disk_mb << 20
        return _Lost(f"{reason}; {server.folder} is on a full disk") if full else _Lost(reason, fault)

    async def _in_time(self, job: asyncio.Future[Any], server: ServerProcess, worker: Worker) -> bool:
        """Whether a job ends within its limit, to which is added what its worker waited for a processor meanwhile.

        Of a reusable worker, all that it waited since it was asked last counts. Raises _Lost when it waits and waits.
        """
        limit_s, begun = self._limits.time_s, time.monotonic()
        longest_s, left_s = max(WAIT_FACTOR * limit_s, MIN_WAIT_S), limit_s
        while left_s > 0:
            await asyncio.wait({job}, timeout=left_s)
            if job.done():
                return True
            before = worker.waited_s
            worker.waited_s = await asyncio.to_thread(waited_s, server.process.pid, worker.pid)
            passed_s = time.monotonic() - begun
            if passed_s > longest_s:
                raise _Lost(f"not drawn within {passed_s:.0f} s, for want of a processor")
            limit_s += min(max(worker.waited_s - before, 0.0), passed_s)
            left_s = min(limit_s, longest_s) - passed_s
        return job.done()

    async def _converse(self, worker: Worker, job: int, code: str, again: bool) -> tuple[Head, bytearray]:
        loop = asyncio.get_running_loop()
        text = code.encode("utf-8", "replace")
        await loop.sock_sendall(worker.line, JOB.pack(job, len(text)) + text)
        head = Head.read(bytes(await receive(worker.line, HEAD.size)))
        if head is None:
            raise Tampering("something else than an image was written to the channel for images")
        if head.width * head.height > self._limits.max_pixels:
            raise RenderLimit(f"{head.width}x{head.height} pixels; at most {self._limits.max_pixels}")
        key = secrets.token_bytes(KEY_BYTES)
        await loop.sock_sendall(worker.line, key)
        seal = protocol.sealing(key, job, head)
        body = await receive(worker.line, head.length, seal.update)
        if not hmac.compare_digest(seal.digest(), await receive(worker.line, SEAL_BYTES)):
            raise Tampering("a result without the seal of its job was written to the channel for images")
        if not again and await loop.sock_recv(worker.line, 1):
            raise Tampering("more than one result was written to the channel for images")
        worker.cpu_s = head.cpu_s
        return head, body

    async def _end_of(self, server: ServerProcess, worker: Worker) -> WorkerEnd | None:
        """How a worker ended; None when its server died, or does not report its end and is therefore replaced."""
        await asyncio.wait({worker.ended}, timeout=KILL_LIMIT_S)
        if not worker.ended.done():
            log.warning("the sandbox's server does not end a worker within %g s; replacing it", KILL_LIMIT_S)
            await self._retire(server)
        return worker.ended.result() if worker.ended.done() else None

    def _late(self, end: WorkerEnd | None, worker: Worker, waited_s: float) -> Exception:
        """What it means that a job did not end in time: the code's fault, unless the machine may have caused it."""
        if end is None:
            return _Lost("the sandbox's server died")
        used, limit = end.cpu_s - worker.cpu_s, self._limits.time_s
        reason = f"not drawn within {limit:g} s, {min(used, limit):.1f} s of them on the processor"
        if waiting_is_known():
            delayed = waited_s >= WAITED_SHARE * limit
        else:
            delayed = self._under_way > 1 or os.getloadavg()[0] > (os.cpu_count() or 1) / 2
        if used >= BUSY_SHARE * limit or end.over_disk or not delayed:
            return RenderLimit(reason)
        return _Lost(reason, RenderLimit)

    def _explained(self, end: WorkerEnd | None, worker: Worker) -> Exception:
        """What it means that a worker ended by itself."""
        if end is None:
            return _Lost("the sandbox's server died")
        if end.over_disk:
            return RenderLimit(f"wrote more than {self._settings.disk_mb} MB")
        if not os.WIFSIGNALED(end.status):
            return RenderFailed("its process ended before its image was there")
        number = os.WTERMSIG(end.status)
        if number == signal.SIGXCPU or end.cpu_s - worker.cpu_s > self._limits.time_s:
            return RenderLimit(f"used more than {self._limits.time_s:g} s of the processor")
        if number == signal.SIGKILL:
            # Workers cannot send signals: the system did, perhaps for want of memory.
            return _Lost("killed from outside", RenderLimit)
        return RenderFailed(f"its process crashed ({signal.Signals(number).name})")

    # Workers

    async def _acquire(self, server: ServerProcess) -> Worker:
        """A worker that is ready."""
        worker = None
        while server.idle and worker is None:
            worker = server.idle.pop()
            if worker.ended.done():
                worker.line.close()
                worker = None
        if not server.idle:
            self._refill(server)
        return worker or await server.fork()

    def _refill(self, server: ServerProcess) -> None:
        """Prepares one more worker where none is reusable.

        After a job, not beside it, unless no other worker is ready: a fork slows down the jobs under way.
        """
        spare = len(server.idle) + len(server.preparing)
        if not server.reusable and server is self._server and spare < self._slots.count:
            task = asyncio.create_task(self._prepare(server))
            server.preparing.add(task)
            task.add_done_callback(server.preparing.discard)

    async def _prepare(self, server: ServerProcess) -> None:
        try:
            server.idle.append(await server.fork())
        except WorkerLostError as loss:
            log.debug("no worker to spare: %s", loss)

    def _release(self, server: ServerProcess, worker: Worker) -> None:
        worker.rendered += 1
        if server.reusable and worker.rendered < JOBS_PER_WORKER and server is self._server:
            server.idle.append(worker)
        else:
            worker.line.close()
            self._refill(server)

    # The server

    async def _current(self) -> ServerProcess:
        if self._closed:
            raise RendererUnavailable("the renderer was closed")
        if self._server is not None and self._server.is_alive():
            return self._server
        if self._starting is None:
            self._starting = asyncio.create_task(self._restart())
        return await asyncio.shield(self._starting)

    async def _restart(self) -> ServerProcess:
        try:
            if self._server is not None:
                log.warning("the sandbox's server died; starting another")
                await self._retire(self._server)
            self._server = await self._start()
            return self._server
        finally:
            self._starting = None

    async def _start(self) -> ServerProcess:
        """A server; started again where it was killed, because whatever kills processes may kill one that starts."""
        for _ in range(START_ATTEMPTS):
            try:
                return await self._start_once()
            except _KilledError as killed:
                log.warning("%s; starting another", killed)
        raise RendererUnavailable(f"the sandbox's server was killed {START_ATTEMPTS} times while it started")

    async def _start_once(self) -> ServerProcess:
        reasons = await asyncio.to_thread(missing_layers)
        layers = {name: why if name in self._settings.layers else "switched off" for name, why in reasons.items()}
        bubblewrap = not layers["bubblewrap"]
        folder = None if bubblewrap else Path(tempfile.mkdtemp(prefix="visual-erm-sandbox-"))
        work = INSIDE if folder is None else str(folder)
        if folder is not None:
            (folder / "shared").mkdir()
        host_end, server_end = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        host_end.setblocking(False)
        mounts = bubblewrap and await asyncio.to_thread(workers_mount)
        with server_end, _outside() as outside, os.fdopen(os.memfd_create("log"), "w+b") as log_file:
            process = subprocess.Popen(  # noqa: S603, ASYNC220
                command(bubblewrap, mounts, server_end.fileno()),
                env=environment(work),
                cwd=folder or "/",
                pass_fds=[server_end.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=log_file,
                start_new_session=True,
            )
            server_end.close()
            server = ServerProcess(process, host_end, folder, mounts, SelfTest((), layers))
            plan = IsolationPlan(
                layers=tuple(name for name, why in layers.items() if not why and name != "bubblewrap"),
                readable=readable(f"{work}/shared"),
                cpu_s=self._limits.time_s,
                memory_mb=self._settings.memory_mb,
                disk_mb=self._settings.disk_mb,
                mounts=mounts,
            )
            setup = {
                "backend": str(self._backend),
                "source": self._source,
                "options": self._options,
                "isolation": asdict(plan),
                "folder": work,
            }
            started = False
            try:
                server.tell({**setup, "outside": outside})
                greeting = await self._greeting(server, log_file)
                if self._low_priority:
                    # Not before: a process that is being forked just then would be passed over.
                    await lower_priority(process.pid)
                server.reusable = greeting["reusable"]
                # The host's own clock kills what is late, whatever the layers.
                server.self_test = SelfTest((*greeting["ready"], "time"), layers)
                if missing := server.self_test.missing(self._settings):
                    raise RendererUnavailable(missing)
                server.listening = asyncio.create_task(server.listen())
                started = True
                return server
            finally:
                if not started:
                    await self._retire(server)

    async def _greeting(self, server: ServerProcess, log_file: IO[bytes]) -> dict[str, Any]:
        """The server's first message: what holds, and whether workers are reusable.

        Raises RendererUnavailable, or _KilledError.
        """
        try:
            receiving = asyncio.get_running_loop().sock_recv(server.control, MESSAGE_BYTES)
            data = await asyncio.wait_for(receiving, START_LIMIT_S)
            message = json.loads(data) if data else await _ended(server)
        except ConnectionResetError:
            # It had not read all that it was told.
            message = await _ended(server)
        except (OSError, asyncio.TimeoutError) as error:
            message = {"failed": str(error) or f"not ready within {START_LIMIT_S:g} s"}
        if "ready" in message:
            return message
        log_file.seek(0)
        printed = log_file.read().decode("utf-8", "replace").strip()
        log.debug("the sandbox's server printed: %s", errors.printable(printed))
        if message.get("killed"):
            raise _KilledError("the sandbox's server was killed while it started")
        why = (message["failed"], printed.rpartition("\n")[2], address_limit())
        raise RendererUnavailable(f"the sandbox's server does not start: {'; '.join(filter(None, why))}")

    async def _retire(self, server: ServerProcess) -> None:
        if self._server is server:
            self._server = None
        await server.stop()


async def examine(settings: SandboxSettings) -> SelfTest:
    """Finds out what a sandbox holds back on this machine; takes about a second.

    Args:
        settings: The layers to put to use. What it requires is not enforced: `SelfTest.missing` compares.

    Returns:
        The guarantees that hold, and the layers that are not in use.

    Raises:
        RendererUnavailable: The sandbox does not start.
    """
    sandbox = Sandbox("noop", {}, settings.model_copy(update={"require": ()}), Limits(1, 1), workers=1)
    try:
        return (await sandbox._current()).self_test
    finally:
        await sandbox.close()


@contextlib.contextmanager
def _outside() -> Iterator[dict[str, Any]]:
    """What no worker may reach: files of the machine, a file of this user, and a port where this process listens."""
    with tempfile.NamedTemporaryFile(prefix="visual-erm-outside-") as file, socket.socket() as listener:
        with contextlib.suppress(OSError):
            listener.bind(("127.0.0.1", 0))
            listener.listen()
        yield {"unreadable": FORBIDDEN, "untouchable": [file.name], "port": listener.getsockname()[1]}


async def _ended(server: ServerProcess) -> dict[str, Any]:
    """What a server's end says that said nothing itself. Bubblewrap ends with 128 and the number of the signal."""
    try:
        status = await asyncio.to_thread(server.process.wait, STOP_LIMIT_S)
    except subprocess.TimeoutExpired:
        status = 0
    return {"failed": "it ended at once", "killed": status in (-signal.SIGKILL, 128 + signal.SIGKILL)}


def _read_backend(path: Path) -> str:
    try:
        source = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"the sandbox's backend {path} cannot be read: {error}") from error
    if len(source) > LONGEST_BACKEND:
        raise ConfigError(f"the sandbox's backend {path} has {len(source)} characters; at most {LONGEST_BACKEND} are taken")
    return source


async def _cancelled(job: asyncio.Future[Any]) -> None:
    """Cancels what is still under way and waits for it. Its socket must not be closed before."""
    job.cancel()
    await asyncio.gather(job, return_exceptions=True)
