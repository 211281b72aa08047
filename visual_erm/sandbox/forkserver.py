"""The fork server: imports what rendering needs once, then forks a worker for every job. Runs no code of a model itself.

Started by the host with an empty environment, inside bubblewrap where there is one. It speaks with the host over one
socket, in single messages of JSON:

    host    {"backend", "source", "options", "isolation", "folder", "outside"}      once
    server  {"ready": [guarantees that hold], "reusable"}     once, or {"failed": why, "killed": whether from outside}
    host    {"fork": number} with the worker's socket, {"kill": number}
    server  {"forked": number, "pid"}                                   for every worker
    server  {"ended": number, "status", "cpu_s", "over_disk"}           for every worker

It ends when the host does: the socket closes, and every worker is killed.
"""

from __future__ import annotations

import contextlib
import fcntl
import gc
import importlib
import json
import os
import resource
import selectors
import signal
import socket
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from visual_erm.sandbox import isolation, probe, worker
from visual_erm.sandbox.disk import DiskWatch
from visual_erm.sandbox.isolation import Isolation, IsolationPlan

MESSAGE_BYTES = 1 << 16
OWN_BACKEND = "visual_erm_own_backend"
"""Name of the module of a backend from outside of this package."""
WATCH_S = 0.05
"""Seconds between two checks of what workers have written, where they share a file system. A worker over its limit is ended
within twice this time."""
OWN = "own"
"""Name of a worker's folder where it is a file system of its own."""


class KilledError(Exception):
    """A worker of the self-test was killed from outside."""


@dataclass
class Child:
    """A worker under way."""

    number: int
    folder: str
    over_disk: bool = False


class ForkServer:
    """Owns the workers.

    Args:
        control: Socket to the host.
        setup: The host's first message: backend and its source, options, isolation plan, folder.

    Raises:
        OSError: The isolation cannot be prepared on this machine.
    """

    def __init__(self, control: socket.socket, setup: dict[str, Any]) -> None:
        self._control = control
        self._options = setup["options"]
        self._folder = setup["folder"]
        self.backend = load_backend(setup["backend"], setup["source"])
        self.backend.warm(self._options)
        # Before the address space is measured: what is freed later would be added to the limit of every worker.
        gc.collect()
        plan = IsolationPlan(**setup["isolation"])
        self._memory_mb = plan.memory_mb
        self._mounts = plan.mounts
        self._disk = DiskWatch(self._folder, plan.disk_mb * isolation.MB, threads=self.backend.THREADS)
        self._isolation = Isolation(plan, threads=self.backend.THREADS, reuse=self.backend.REUSABLE)
        self._children: dict[int, Child] = {}
        self._removers: set[int] = set()
        """Processes that remove what workers left."""
        # What is there now is there for good: workers need not copy it when they collect garbage.
        gc.collect()
        gc.freeze()

    def self_test(self, outside: dict[str, Any]) -> list[str]:
        """Finds the guarantees that hold in isolation, with workers that try.

        Args:
            outside: What no worker may reach: `unreadable` and `untouchable` files, and a `port` of this machine.

        Returns:
            Of `network`, `files`, `processes`, `memory`: the guarantees that hold.

        Raises:
            RuntimeError: The isolation cannot be applied.
            KilledError: A worker was killed from outside.
        """
        name = f".visual-erm-{os.urandom(8).hex()}"
        shared = str(Path(self._folder, "shared"))
        mine = str(Path(shared, name))
        Path(mine).touch()
        everywhere = (self._folder, shared, *probe.SHARED)
        left: list[str] = []
        try:
            with self._trial("left", lambda folder: probe.leave_notes((folder, *everywhere), name)) as paths:
                left += paths
            with self._trial("neighbor", lambda folder: [*probe.leave_notes((folder,), name), str(os.getpid())]) as found:
                note, pid = found
                targets = probe.Targets(
                    unreadable=(*outside["unreadable"], *left),
                    untouchable=(*outside["untouchable"], note, f"/proc/{pid}/cwd/{name}"),
                    unchangeable=(mine,),
                    processes=(os.getpid(), int(pid)),
                    port=outside["port"],
                )
                with self._trial("probe", lambda _: list(probe.guarantees(targets, self._memory_mb))) as held:
                    return held
        finally:
            for path in (mine, *left):
                with contextlib.suppress(OSError):
                    Path(path).unlink()

    @contextlib.contextmanager
    def _trial(self, name: str, act: Callable[[str], list[str]]) -> Iterator[list[str]]:
        """Has an isolated worker act in its folder, and yields what it found. It lives until the block ends."""
        host_end, worker_end = socket.socketpair()
        folder = self._make_folder(name)
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                worker.settle(worker_end.fileno(), folder)
                self._isolation.apply(folder)
                worker.close_others()
                worker.write_all(worker.LINE, f"{json.dumps(act(folder))}\n".encode())
                worker.read_all(worker.LINE, 1)
                code = 0
            except OSError as error:
                worker.write_all(worker.LINE, f"{json.dumps(str(error))}\n".encode())
            finally:
                os._exit(code)
        worker_end.close()
        with host_end, host_end.makefile("rb") as answers:
            line = answers.readline()
            found = json.loads(line) if line else "the worker died"
            try:
                if isinstance(found, list):
                    yield found
            finally:
                with contextlib.suppress(OSError):
                    host_end.shutdown(socket.SHUT_RDWR)
                _, status = os.waitpid(pid, 0)
                self._remove(folder)
        if not line and os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL:
            raise KilledError("a worker of the self-test was killed")
        if not isinstance(found, list):
            raise RuntimeError(f"the isolation cannot be applied: {found}")

    def run(self) -> None:
        """Serves until the host is gone."""
        wake, wakes = socket.socketpair()
        wakes.setblocking(False)
        wake.setblocking(False)
        signal.set_wakeup_fd(wakes.fileno(), warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        with selectors.DefaultSelector() as waiting:
            waiting.register(self._control, selectors.EVENT_READ, self._command)
            waiting.register(wake, selectors.EVENT_READ, lambda: bool(wake.recv(MESSAGE_BYTES)))
            going, watched = True, time.monotonic()
            while going:
                watching = bool(self._children) and not self._mounts
                ready = waiting.select(WATCH_S if watching else None)
                self._reap()
                if watching and time.monotonic() - watched >= WATCH_S:
                    self._watch_disk()
                    watched = time.monotonic()
                for key, _ in ready:
                    going = key.data() and going
        for pid in self._children:
            os.kill(pid, signal.SIGKILL)
        self._wait_for_all()
        # The host, who made it, may have been killed.
        self._remove(self._folder)
        self._wait_for_all()

    def _command(self) -> bool:
        """Does what the host says; False when it is gone."""
        try:
            data, descriptors, _, _ = socket.recv_fds(self._control, MESSAGE_BYTES, 1)
        except ConnectionResetError:
            # It was killed before it had read all that it was told.
            return False
        if not data:
            return False
        message = json.loads(data)
        if "fork" in message:
            self._fork(message["fork"], descriptors[0])
            os.close(descriptors[0])
        else:
            for pid, child in self._children.items():
                if child.number == message["kill"]:
                    os.kill(pid, signal.SIGKILL)
        return True

    def _fork(self, number: int, line: int) -> None:
        folder = self._make_folder(str(number))
        pid = os.fork()
        if pid == 0:
            worker.run(line, folder, self.backend, self._options, self._isolation)
        self._children[pid] = Child(number, folder)
        self._tell({"forked": number, "pid": pid})

    def _reap(self) -> None:
        with contextlib.suppress(ChildProcessError):
            while (ended := os.wait4(-1, os.WNOHANG))[0]:
                self._collect(*ended)

    def _wait_for_all(self) -> None:
        while self._children or self._removers:
            self._collect(*os.wait4(-1, 0))

    def _collect(self, pid: int, status: int, usage: Any) -> None:
        if pid in self._removers:
            self._removers.remove(pid)
            return
        child = self._children.pop(pid)
        self._remove(child.folder)
        message = {"ended": child.number, "status": status, "cpu_s": usage.ru_utime + usage.ru_stime}
        self._tell({**message, "over_disk": child.over_disk})

    def _tell(self, message: dict[str, Any]) -> None:
        """Sends a message; to a host that is gone, nothing."""
        with contextlib.suppress(OSError):
            self._control.send(json.dumps(message).encode())

    def _watch_disk(self) -> None:
        over = self._disk.over({pid: child.folder for pid, child in self._children.items()})
        for pid in over:
            self._children[pid].over_disk = True
            os.kill(pid, signal.SIGKILL)

    def _make_folder(self, name: str) -> str:
        folder = Path(self._folder, OWN if self._mounts else name)
        folder.mkdir(mode=0o700, exist_ok=self._mounts)
        return str(folder)

    def _remove(self, folder: str) -> None:
        """Removes a worker's folder: at once when it is empty, else beside what goes on, since others must be watched.

        A file system of its own ended with the worker. The folder under it is that of all workers, and stays.
        """
        if self._mounts and folder != self._folder:
            return
        try:
            Path(folder).rmdir()
        except OSError:
            silent = [(os.POSIX_SPAWN_OPEN, 2, os.devnull, os.O_WRONLY, 0)]
            self._removers.add(os.posix_spawn("/bin/sh", ["sh", "-c", REMOVE, "sh", folder], {}, file_actions=silent))


def load_backend(name: str, source: str) -> ModuleType:
    """Imports a backend of this package, or makes a module of one from outside: its file cannot be read in here.

    Args:
        name: Name of a module in `visual_erm.sandbox.backends`, or the path of the file that `source` is from.
        source: Python code, or an empty string for a backend of this package.

    Returns:
        The module.

    Raises:
        ImportError: There is no such module, or it imports what cannot be imported in here.
    """
    if not source:
        return importlib.import_module(f"visual_erm.sandbox.backends.{name}")
    module = sys.modules[OWN_BACKEND] = ModuleType(OWN_BACKEND)
    exec(compile(source, name, "exec"), vars(module))  # noqa: S102 -- the user's own file, as an import would run it
    return module


REMOVE = 'rm -rf "$1" || { chmod -R u+rwx "$1"; rm -rf "$1"; }'
"""Shell command that removes the folder `$1`; tries again with rights added for folders that forbid it."""


def main() -> None:
    """Runs the server; the descriptor of its socket to the host is the only argument."""
    # The place of a worker's line is kept free: nothing that workers need may sit there.
    control = socket.socket(fileno=fcntl.fcntl(int(sys.argv[1]), fcntl.F_DUPFD_CLOEXEC, worker.LINE + 1))
    os.dup2(0, worker.LINE)
    # A soft limit of the shell would keep libraries from being loaded.
    _, most = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
    try:
        setup = json.loads(control.recv(1 << 20))
        server = ForkServer(control, setup)
        message = {"ready": server.self_test(setup["outside"]), "reusable": server.backend.REUSABLE}
    except Exception as error:  # noqa: BLE001  the host must hear of whatever keeps the server from starting
        traceback.print_exc()
        why = {"failed": f"{type(error).__name__}: {error}", "killed": isinstance(error, KilledError)}
        control.send(json.dumps(why).encode())
        return
    control.send(json.dumps(message).encode())
    server.run()


if __name__ == "__main__":
    main()
