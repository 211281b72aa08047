"""The fork server as the host sees it: its process, the socket to it, and the workers that it has forked.

`Sandbox` (host.py) starts one `ServerProcess`, asks it for workers and replaces it when it dies. Nothing here knows about
limits of time or whose fault a failure is.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import shutil
import socket
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from visual_erm.sandbox.protocol import READY
from visual_erm.spec.sandbox import SandboxSettings

log = logging.getLogger(__name__)

WORKER_LIMIT_S = 30.0
"""Wall time of a fork and its isolation, on the most loaded machine."""
STOP_LIMIT_S = 5.0
"""Wall time that a server has to end by itself."""
MESSAGE_BYTES = 1 << 16


class WorkerLostError(Exception):
    """A worker, or its server, was gone before a result was there; it may not be the code's fault."""


@dataclass(frozen=True)
class SelfTest:
    """What the isolation holds back on this machine, as a worker inside it found by trying."""

    guarantees: tuple[str, ...]
    """Of `network`, `files`, `processes`, `memory`, `time`: those that hold."""
    layers: dict[str, str]
    """Layer -> why it is not in use; empty where it is."""

    def missing(self, settings: SandboxSettings) -> str:
        """Compares the guarantees with those that a task requires.

        Args:
            settings: Its `require` lists the guarantees.

        Returns:
            The required guarantees that do not hold, and why; empty when all hold.
        """
        lost = [guarantee for guarantee in settings.require if guarantee not in self.guarantees]
        if not lost:
            return ""
        why = [f"{layer}: {reason}" for layer, reason in self.layers.items() if reason]
        return f"the sandbox does not guarantee {', '.join(lost)}; {'; '.join(why) or 'although every layer is up'}"


@dataclass(frozen=True)
class WorkerEnd:
    """How a worker ended, as its server saw it."""

    status: int
    """As `os.wait4` gives it."""
    cpu_s: float
    """CPU time of the whole worker, in seconds."""
    over_disk: bool
    """Whether the server killed it because it wrote too much."""


@dataclass(eq=False)
class Worker:
    """One isolated process, and the socket that no other worker has."""

    number: int
    line: socket.socket
    ended: asyncio.Future[WorkerEnd | None]
    """None when its server died."""
    pid: int | None = None
    """As the server sees it: bubblewrap's name space has numbers of its own."""
    rendered: int = 0
    """Jobs done."""
    cpu_s: float = 0.0
    """CPU time used before the job under way, in seconds."""
    waited_s: float = 0.0
    """Time spent waiting for a processor, in seconds, as far as it was asked."""


@dataclass(eq=False)
class ServerProcess:
    """One started server.

    Args:
        process: Its process; that of bubblewrap where the server runs in it.
        control: The socket to it, non-blocking.
        folder: Its folder on disk; None in bubblewrap, which has a file system in memory.
        mounts: Whether each worker has a file system of its own; else all write to one.
        self_test: What holds; known once the server has greeted.
    """

    process: subprocess.Popen[bytes]
    control: socket.socket
    folder: Path | None
    mounts: bool
    self_test: SelfTest
    reusable: bool = False
    """Whether its workers may render more than once."""
    idle: list[Worker] = field(default_factory=list)
    """Workers that are ready."""
    living: dict[int, Worker] = field(default_factory=dict)
    """All workers, by number."""
    preparing: set[asyncio.Task[None]] = field(default_factory=set)
    """Forks under way for later jobs."""
    listening: asyncio.Task[None] | None = None
    number: int = 0

    def is_alive(self) -> bool:
        """Whether its socket still answers."""
        return self.listening is not None and not self.listening.done()

    def tell(self, message: dict[str, Any], *descriptors: int) -> None:
        """Sends a message; does nothing when the server is dead.

        Args:
            message: What forkserver.py understands.
            descriptors: Descriptors that go with it.
        """
        with contextlib.suppress(OSError):
            socket.send_fds(self.control, [json.dumps(message).encode()], descriptors)

    def discard(self, worker: Worker) -> None:
        """Asks for a worker's end, if it still lives, and does not wait for it. May be called twice.

        Args:
            worker: One of this server's.
        """
        if not worker.ended.done():
            self.tell({"kill": worker.number})
        worker.line.close()

    async def listen(self) -> None:
        """Takes notice of workers that were forked and that ended, until the server dies."""
        loop = asyncio.get_running_loop()
        try:
            while data := await loop.sock_recv(self.control, MESSAGE_BYTES):
                message = json.loads(data)
                if "forked" in message:
                    self.living[message["forked"]].pid = message["pid"]
                    continue
                ended = self.living.pop(message.pop("ended")).ended
                if not ended.done():
                    ended.set_result(WorkerEnd(**message))
        except OSError:
            log.debug("the socket to the sandbox's server broke", exc_info=True)
        finally:
            for worker in self.living.values():
                if not worker.ended.done():
                    worker.ended.set_result(None)
            self.living.clear()

    async def fork(self) -> Worker:
        """Forks a worker and waits until its isolation is in place.

        Returns:
            The worker, ready for its first job.

        Raises:
            WorkerLostError: It ended, or was too slow.
        """
        host_end, worker_end = socket.socketpair()
        host_end.setblocking(False)
        self.number += 1
        ended: asyncio.Future[WorkerEnd | None] = asyncio.get_running_loop().create_future()
        worker = Worker(self.number, host_end, ended)
        if self.is_alive():
            self.living[worker.number] = worker
        else:
            ended.set_result(None)
        with worker_end:
            self.tell({"fork": worker.number}, worker_end.fileno())
        ready = False
        try:
            ready = bytes(await asyncio.wait_for(receive(host_end, len(READY)), WORKER_LIMIT_S)) == READY
            return worker
        except (OSError, EOFError, asyncio.TimeoutError):
            raise WorkerLostError("a worker ended, or was too slow, before it was isolated") from None
        finally:
            if not ready:
                self.discard(worker)

    async def stop(self) -> None:
        """Ends the server and all its workers, waits until they are gone, and removes the folder. May be called twice."""
        self.control.close()
        if self.listening is not None:
            self.listening.cancel()
            await asyncio.wait({self.listening})
        if self.preparing:
            await asyncio.wait(self.preparing)
        for worker in self.idle:
            worker.line.close()
        await asyncio.to_thread(_end, self.process)
        if self.folder is not None:
            await asyncio.to_thread(shutil.rmtree, self.folder, ignore_errors=True)


def _end(process: subprocess.Popen[bytes]) -> None:
    """Waits for a server whose socket was closed, and kills what does not end by itself."""
    try:
        process.wait(STOP_LIMIT_S)
    except subprocess.TimeoutExpired:
        with contextlib.suppress(psutil.NoSuchProcess):
            for member in psutil.Process(process.pid).children(recursive=True):
                with contextlib.suppress(psutil.NoSuchProcess):
                    member.kill()
        process.kill()
        process.wait()


def waiting_is_known() -> bool:
    """Whether this kernel tells how long a process waits for a processor."""
    return Path("/proc/self/schedstat").exists()


def waited_s(ancestor: int, pid: int | None) -> float:
    """Asks Linux how long a process has waited for a processor in all its life.

    Args:
        ancestor: A process above it, by its number in this name space.
        pid: Its number in its own name space.

    Returns:
        Seconds, of its first thread; 0 where the process is gone or nobody can tell.
    """
    with contextlib.suppress(OSError, LookupError, psutil.Error):
        for process in psutil.Process(ancestor).children(recursive=True):
            folder = Path(f"/proc/{process.pid}")
            numbers = folder.joinpath("status").read_text().partition("NSpid:")[2].partition("\n")[0].split()
            if numbers[-1] == str(pid):
                return int(folder.joinpath("schedstat").read_text().split()[1]) / 1e9
    return 0.0


async def receive(line: socket.socket, length: int, on_piece: Callable[[memoryview], None] = lambda _: None) -> bytearray:
    """Reads from a worker.

    Args:
        line: A non-blocking socket.
        length: How many bytes to read.
        on_piece: Called with each piece as it comes.

    Returns:
        Exactly `length` bytes.

    Raises:
        EOFError: The other end closed first.
    """
    loop = asyncio.get_running_loop()
    data = bytearray(length)
    rest = memoryview(data)
    while rest:
        count = await loop.sock_recv_into(line, rest)
        if not count:
            raise EOFError
        on_piece(rest[:count])
        rest = rest[count:]
    return data
