"""Sandbox: the trainer's side of the walls. It starts the server, hands out jobs, takes back pixels, and keeps the clock.

What comes back is checked before it is believed (protocol.py), and is never decoded. While a worker is kept waiting for a
processor its clock stands still. A job that lost its worker by no fault of its own, or ran out of time on a loaded machine
without using the processor, is drawn once more with the sandbox to itself.
"""

from __future__ import annotations

import asyncio
import contextlib
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
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, Any

import psutil
from PIL import Image

from visual_erm import errors
from visual_erm.errors import PolicyFault, RendererUnavailable, RenderFailed, RenderLimit, Tampering, VisualERMError
from visual_erm.runtime.cpu_priority import lower_priority
from visual_erm.runtime.semaphore import ExclusiveSemaphore
from visual_erm.sandbox import protocol
from visual_erm.sandbox.bubblewrap import INSIDE, command, environment, missing_layers, readable
from visual_erm.sandbox.isolation import Plan
from visual_erm.sandbox.protocol import FAULTS, HEAD, JOB, KEY_BYTES, READY, SEAL_BYTES, Head
from visual_erm.spec.sandbox import SandboxSettings

log = logging.getLogger(__name__)

START_LIMIT_S = 120.0
"""Wall time to import the libraries and draw the first images, on the most loaded machine."""
WORKER_LIMIT_S = 30.0
"""Wall time for a fork and its walls, likewise."""
STOP_LIMIT_S = 5.0
PATIENCE, PATIENCE_S = 12, 60.0
"""Wall time for a job whose worker is kept waiting for a processor: so many times its limit, or the second number."""
BUSY = 0.8
"""Share of its wall time that a job must have spent on the processor for a time-out to be its own for certain."""
DRAWINGS_PER_WORKER = 500
"""Of a toolkit that draws again: then a fresh worker, so that no library's leak adds up."""
MESSAGE_BYTES = 1 << 16
SPARE_MB = 64
"""Of the server's file system in memory, for its own caches."""
FORBIDDEN = ("/etc/passwd", "/proc/self/environ")
"""Files that every machine has and no drawing may read; workers try, to prove the walls."""


@dataclass(frozen=True)
class Limits:
    """What one drawing may cost."""

    time_s: float
    """CPU time; and wall time, without that in which all processors were busy with something else."""
    max_pixels: int


@dataclass(frozen=True)
class Proof:
    """What the walls hold back here, as a worker behind them found by trying."""

    guarantees: tuple[str, ...]
    layers: dict[str, str]
    """Layer -> why it is not up; empty where it is."""

    def lacking(self, settings: SandboxSettings) -> str:
        """What is required and does not hold, with what would mend it; empty when all holds."""
        lost = [guarantee for guarantee in settings.require if guarantee not in self.guarantees]
        if not lost:
            return ""
        why = [f"{layer}: {reason}" for layer, reason in self.layers.items() if reason]
        return f"the sandbox does not guarantee {', '.join(lost)}; {'; '.join(why) or 'although every layer is up'}"


class _Lost(Exception):
    """A job ended without a image, perhaps by no fault of its own; `fault` is what it is if that happens again."""

    def __init__(self, reason: str, fault: type[VisualERMError] = RendererUnavailable) -> None:
        super().__init__(reason)
        self.fault = fault


@dataclass(frozen=True)
class _End:
    """How a worker ended, as the server saw it."""

    status: int
    cpu_s: float
    over_disk: bool


@dataclass(eq=False)
class _Worker:
    """One process behind the walls, and the socket that only it has."""

    number: int
    line: socket.socket
    ended: asyncio.Future[_End | None]
    """None when its server died."""
    pid: int | None = None
    """As the server sees it: bubblewrap's name space has numbers of its own."""
    drawn: int = 0
    cpu_s: float = 0.0
    """Used before the job under way."""
    waited_s: float = 0.0
    """For a processor, as far as is known."""


@dataclass(eq=False)
class _Server:
    """One started server: its process, the socket to it, its folder on disk (none in bubblewrap), and its workers.

    `idle` are ready to draw; `preparing` will be.
    """

    process: subprocess.Popen[bytes]
    control: socket.socket
    folder: Path | None
    proof: Proof
    reusable: bool = False
    """Whether its workers may draw more than once."""
    idle: list[_Worker] = field(default_factory=list)
    living: dict[int, _Worker] = field(default_factory=dict)
    """By number."""
    preparing: set[asyncio.Task[None]] = field(default_factory=set)
    listening: asyncio.Task[None] | None = None
    number: int = 0

    def is_alive(self) -> bool:
        return self.listening is not None and not self.listening.done()

    def tell(self, message: dict[str, Any], *descriptors: int) -> None:
        """Sends a message; to a server that is dead, nothing."""
        with contextlib.suppress(OSError):
            socket.send_fds(self.control, [json.dumps(message).encode()], descriptors)

    def discard(self, worker: _Worker) -> None:
        """Kills a worker, if it still lives, without waiting. May be called twice."""
        if not worker.ended.done():
            self.tell({"kill": worker.number})
        worker.line.close()

    async def listen(self) -> None:
        """Hears of workers that were forked and that ended, until the server dies."""
        loop = asyncio.get_running_loop()
        try:
            while data := await loop.sock_recv(self.control, MESSAGE_BYTES):
                said = json.loads(data)
                if "forked" in said:
                    self.living[said["forked"]].pid = said["pid"]
                    continue
                ended = self.living.pop(said.pop("ended")).ended
                if not ended.done():
                    ended.set_result(_End(**said))
        except OSError:
            log.debug("the socket to the sandbox's server broke", exc_info=True)
        finally:
            for worker in self.living.values():
                if not worker.ended.done():
                    worker.ended.set_result(None)
            self.living.clear()


class Sandbox:
    """Draws with one toolkit, in at most `workers` processes at once. Nothing is started before the first drawing.

    After `close`, or the death of the owning process, no process, file or socket is left. Use it from one event loop.
    """

    def __init__(
        self,
        toolkit: str,
        options: Mapping[str, Any],
        settings: SandboxSettings,
        limits: Limits,
        workers: int = 2,
        low_priority: bool = False,
    ) -> None:
        self._toolkit = toolkit
        self._options = dict(options)
        self._settings = settings
        self._limits = limits
        self._slots = ExclusiveSemaphore(workers)
        self._steps_back = low_priority
        self._server: _Server | None = None
        self._starting: asyncio.Task[_Server] | None = None
        self._closed = False
        self._jobs = 0
        self._under_way = 0

    async def draw(self, code: str) -> Image.Image:
        """The image of `code`, RGB.

        Raises RenderFailed, RenderLimit, BlankImage or Tampering (the code's fault), RendererUnavailable (ours).
        """
        try:
            async with self._slots.take():
                return await self._attempt(code)
        except _Lost as loss:
            log.info("drawing again, alone: %s", loss)
        try:
            async with self._slots.take(alone=True):
                return await self._attempt(code)
        except _Lost as loss:
            raise loss.fault(str(loss)) from None

    async def close(self) -> None:
        """Ends every process and waits until they are gone. May be called twice."""
        self._closed = True
        if self._starting is not None:
            await asyncio.wait({self._starting})
        if self._server is not None:
            await self._retire(self._server)

    # One drawing

    async def _attempt(self, code: str) -> Image.Image:
        server = await self._current()
        worker = await self._take(server)
        self._jobs += 1
        self._under_way += 1
        whole = False
        drawing = asyncio.ensure_future(self._converse(worker, self._jobs, code, server.reusable))
        try:
            if not await self._in_time(drawing, server, worker):
                await _end_of(drawing)
                server.discard(worker)
                raise self._late(await worker.ended, worker)
            head, body = drawing.result()
            whole = True
        except (OSError, EOFError):
            raise self._explained(await worker.ended, worker) from None
        finally:
            self._under_way -= 1
            await _end_of(drawing)
            self._give_back(server, worker) if whole else server.discard(worker)
        if head.fault:
            fault: type[PolicyFault] = getattr(errors, FAULTS[head.fault])
            raise fault(body.decode("utf-8", "replace"))
        return Image.frombytes("RGB", (head.width, head.height), bytes(body))

    async def _in_time(self, drawing: asyncio.Future[Any], server: _Server, worker: _Worker) -> bool:
        """Whether a drawing ends within its limit, to which is added what its worker waited for a processor meanwhile.

        Of a worker that draws again, all that it waited since it was asked last counts. Raises _Lost when it waits and
        waits.
        """
        limit_s, begun = self._limits.time_s, time.monotonic()
        longest_s, left_s = max(PATIENCE * limit_s, PATIENCE_S), limit_s
        while left_s > 0:
            await asyncio.wait({drawing}, timeout=left_s)
            if drawing.done():
                return True
            before = worker.waited_s
            worker.waited_s = await asyncio.to_thread(waited_s, server.process.pid, worker.pid)
            passed_s = time.monotonic() - begun
            if passed_s > longest_s:
                raise _Lost(f"not drawn within {passed_s:.0f} s, for want of a processor")
            limit_s += min(max(worker.waited_s - before, 0.0), passed_s)
            left_s = min(limit_s, longest_s) - passed_s
        return drawing.done()

    async def _converse(self, worker: _Worker, job: int, code: str, again: bool) -> tuple[Head, bytearray]:
        loop = asyncio.get_running_loop()
        text = code.encode("utf-8", "replace")
        await loop.sock_sendall(worker.line, JOB.pack(job, len(text)) + text)
        head = Head.read(bytes(await _receive(worker.line, HEAD.size)))
        if head is None:
            raise Tampering("something else than a picture was written to the channel for pictures")
        if head.width * head.height > self._limits.max_pixels:
            raise RenderLimit(f"{head.width}x{head.height} pixels; at most {self._limits.max_pixels}")
        key = secrets.token_bytes(KEY_BYTES)
        await loop.sock_sendall(worker.line, key)
        seal = protocol.sealing(key, job, head)
        body = await _receive(worker.line, head.length, seal.update)
        if not hmac.compare_digest(seal.digest(), await _receive(worker.line, SEAL_BYTES)):
            raise Tampering("a result without the seal of its job was written to the channel for pictures")
        if not again and await loop.sock_recv(worker.line, 1):
            raise Tampering("more than one result was written to the channel for pictures")
        worker.cpu_s = head.cpu_s
        return head, body

    def _late(self, end: _End | None, worker: _Worker) -> Exception:
        if end is None:
            return _Lost("the sandbox's server died")
        used, limit = end.cpu_s - worker.cpu_s, self._limits.time_s
        reason = f"not drawn within {limit:g} s, {min(used, limit):.1f} s of them on the processor"
        loaded = self._under_way > 1 or os.getloadavg()[0] > (os.cpu_count() or 1) / 2
        if used >= BUSY * limit or end.over_disk or not loaded:
            return RenderLimit(reason)
        return _Lost(reason, RenderLimit)

    def _explained(self, end: _End | None, worker: _Worker) -> Exception:
        """What it means that a worker ended by itself."""
        if end is None:
            return _Lost("the sandbox's server died")
        if end.over_disk:
            return RenderLimit(f"wrote more than {self._settings.disk_mb} MB")
        if not os.WIFSIGNALED(end.status):
            return RenderFailed("its process ended before its picture was there")
        number = os.WTERMSIG(end.status)
        if number == signal.SIGXCPU or end.cpu_s - worker.cpu_s > self._limits.time_s:
            return RenderLimit(f"used more than {self._limits.time_s:g} s of the processor")
        if number == signal.SIGKILL:
            # Workers cannot send signals: the system did, perhaps for want of memory.
            return _Lost("killed from outside", RenderLimit)
        return RenderFailed(f"its process crashed ({signal.Signals(number).name})")

    # Workers

    async def _take(self, server: _Server) -> _Worker:
        """A worker that is ready."""
        worker = None
        while server.idle and worker is None:
            worker = server.idle.pop()
            if worker.ended.done():
                worker.line.close()
                worker = None
        if not server.idle:
            self._refill(server)
        return worker or await self._fork(server)

    def _refill(self, server: _Server) -> None:
        """Has one more worker got ready where none draws twice.

        After a drawing, not beside it, unless no other is ready: making a worker slows down what is being drawn.
        """
        spare = len(server.idle) + len(server.preparing)
        if not server.reusable and server is self._server and spare < self._slots.count:
            task = asyncio.create_task(self._prepare(server))
            server.preparing.add(task)
            task.add_done_callback(server.preparing.discard)

    async def _prepare(self, server: _Server) -> None:
        try:
            server.idle.append(await self._fork(server))
        except _Lost as loss:
            log.debug("no worker to spare: %s", loss)

    async def _fork(self, server: _Server) -> _Worker:
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        server.number += 1
        ended: asyncio.Future[_End | None] = asyncio.get_running_loop().create_future()
        worker = _Worker(server.number, ours, ended)
        if server.is_alive():
            server.living[worker.number] = worker
        else:
            ended.set_result(None)
        with theirs:
            server.tell({"fork": worker.number}, theirs.fileno())
        ready = False
        try:
            ready = bytes(await asyncio.wait_for(_receive(ours, len(READY)), WORKER_LIMIT_S)) == READY
            return worker
        except (OSError, EOFError, asyncio.TimeoutError):
            raise _Lost("a worker ended, or was too slow, before its walls were up") from None
        finally:
            if not ready:
                server.discard(worker)

    def _give_back(self, server: _Server, worker: _Worker) -> None:
        worker.drawn += 1
        if server.reusable and worker.drawn < DRAWINGS_PER_WORKER and server is self._server:
            server.idle.append(worker)
        else:
            worker.line.close()
            self._refill(server)

    # The server

    async def _current(self) -> _Server:
        if self._closed:
            raise RendererUnavailable("the renderer was closed")
        if self._server is not None and self._server.is_alive():
            return self._server
        if self._starting is None:
            self._starting = asyncio.create_task(self._restart())
        return await asyncio.shield(self._starting)

    async def _restart(self) -> _Server:
        try:
            if self._server is not None:
                log.warning("the sandbox's server died; starting another")
                await self._retire(self._server)
            self._server = await self._start()
            return self._server
        finally:
            self._starting = None

    async def _start(self) -> _Server:
        lacks = await asyncio.to_thread(missing_layers)
        layers = {name: why if name in self._settings.layers else "switched off" for name, why in lacks.items()}
        bubblewrap = not layers["bubblewrap"]
        folder = None if bubblewrap else Path(tempfile.mkdtemp(prefix="visual-erm-sandbox-"))
        work = INSIDE if folder is None else str(folder)
        if folder is not None:
            (folder / "shared").mkdir()
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.setblocking(False)
        disk_mb = (self._slots.count + 1) * self._settings.disk_mb + SPARE_MB
        with theirs, os.fdopen(os.memfd_create("log"), "w+b") as said:
            process = subprocess.Popen(  # noqa: S603, ASYNC220
                command(bubblewrap, disk_mb, theirs.fileno()),
                env=environment(work),
                cwd=folder or "/",
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=said,
                start_new_session=True,
            )
            theirs.close()
            server = _Server(process, ours, folder, Proof((), layers))
            plan = Plan(
                layers=tuple(name for name, why in layers.items() if not why and name != "bubblewrap"),
                readable=readable(f"{work}/shared"),
                cpu_s=self._limits.time_s,
                memory_mb=self._settings.memory_mb,
                disk_mb=self._settings.disk_mb,
            )
            setup = {"toolkit": self._toolkit, "options": self._options, "walls": asdict(plan), "folder": work}
            started = False
            try:
                server.tell({**setup, "forbidden": FORBIDDEN})
                greeting = await self._greeting(server, said)
                if self._steps_back:
                    # Not before: a process that is being forked just then would be passed over.
                    await lower_priority(process.pid)
                server.reusable = greeting["reusable"]
                # The host's own clock kills what is late, whatever the layers.
                server.proof = Proof((*greeting["ready"], "time"), layers)
                if lacking := server.proof.lacking(self._settings):
                    raise RendererUnavailable(lacking)
                server.listening = asyncio.create_task(server.listen())
                started = True
                return server
            finally:
                if not started:
                    await self._retire(server)

    async def _greeting(self, server: _Server, log_file: IO[bytes]) -> dict[str, Any]:
        """The server's first message: what holds, and how it draws. Raises RendererUnavailable without one."""
        try:
            receiving = asyncio.get_running_loop().sock_recv(server.control, MESSAGE_BYTES)
            data = await asyncio.wait_for(receiving, START_LIMIT_S)
            said = json.loads(data) if data else {"failed": "it ended at once"}
        except (OSError, asyncio.TimeoutError) as error:
            said = {"failed": str(error) or f"not ready within {START_LIMIT_S:g} s"}
        if "ready" in said:
            return said
        log_file.seek(0)
        printed = log_file.read().decode("utf-8", "replace").strip()
        log.debug("the sandbox's server printed: %s", printed)
        last_line = printed.rpartition("\n")[2]
        raise RendererUnavailable(f"the sandbox's server does not start: {said['failed']}; {last_line}")

    async def _retire(self, server: _Server) -> None:
        if self._server is server:
            self._server = None
        server.control.close()
        if server.listening is not None:
            server.listening.cancel()
            await asyncio.wait({server.listening})
        if server.preparing:
            await asyncio.wait(server.preparing)
        for worker in server.idle:
            worker.line.close()
        await asyncio.to_thread(_end, server.process)
        if server.folder is not None:
            await asyncio.to_thread(shutil.rmtree, server.folder, ignore_errors=True)


async def examine(settings: SandboxSettings) -> Proof:
    """What a sandbox with these settings holds back on this machine, within a second; whether it is enough, `lacking` says.

    Raises RendererUnavailable when its walls cannot be put up.
    """
    sandbox = Sandbox("noop", {}, settings.model_copy(update={"require": ()}), Limits(1, 1), workers=1)
    try:
        return (await sandbox._current()).proof
    finally:
        await sandbox.close()


def _end(process: subprocess.Popen[bytes]) -> None:
    """Waits for a server whose socket was closed, and kills what does not end by itself."""
    try:
        process.wait(STOP_LIMIT_S)
    except subprocess.TimeoutExpired:
        family = psutil.Process(process.pid).children(recursive=True)
        for member in family:
            with contextlib.suppress(psutil.NoSuchProcess):
                member.kill()
        process.kill()
        process.wait()


def waited_s(ancestor: int, pid: int | None) -> float:
    """How long a process has waited for a processor in all its life, by Linux's own account of its first thread.

    `pid` is its number in its own name space, below `ancestor`. 0 where it is gone, or nobody can tell.
    """
    with contextlib.suppress(OSError, LookupError, psutil.Error):
        for process in psutil.Process(ancestor).children(recursive=True):
            folder = Path(f"/proc/{process.pid}")
            numbers = folder.joinpath("status").read_text().partition("NSpid:")[2].partition("\n")[0].split()
            if numbers[-1] == str(pid):
                return int(folder.joinpath("schedstat").read_text().split()[1]) / 1e9
    return 0.0


async def _end_of(task: asyncio.Future[Any]) -> None:
    """Cancels what is still under way. Its socket must not be closed before."""
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def _receive(line: socket.socket, length: int, seen: Callable[[memoryview], None] = lambda _: None) -> bytearray:
    """`length` bytes, each piece shown to `seen`. Raises EOFError when the other end closes first."""
    loop = asyncio.get_running_loop()
    data = bytearray(length)
    rest = memoryview(data)
    while rest:
        count = await loop.sock_recv_into(line, rest)
        if not count:
            raise EOFError
        seen(rest[:count])
        rest = rest[count:]
    return data
