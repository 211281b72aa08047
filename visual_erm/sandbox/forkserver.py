"""The fork server: imports what rendering needs once, then forks a worker for every job. Runs no code of a model itself.

Started by the host with an empty environment, inside bubblewrap where there is one. It speaks with the host over one
socket, in single messages of JSON:

    host    {"backend", "source", "options", "isolation", "folder", "forbidden"}      once
    server  {"ready": [guarantees that hold], "reusable"}            once, or {"failed": why}
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
import selectors
import signal
import socket
import stat
import sys
import time
import traceback
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from visual_erm.sandbox import isolation, worker
from visual_erm.sandbox.isolation import Isolation, IsolationPlan

MESSAGE_BYTES = 1 << 16
OWN_BACKEND = "visual_erm_own_backend"
"""Name of the module of a backend from outside of this package."""
WATCH_S = 0.2
"""Seconds between two checks of what workers have written."""


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
        self._disk_bytes = plan.disk_mb * isolation.MB
        self._isolation = Isolation(plan, threads=self.backend.THREADS, reuse=self.backend.REUSABLE)
        self._children: dict[int, Child] = {}
        self._removers: set[int] = set()
        """Processes that remove what workers left."""
        # What is there now is there for good: workers need not copy it when they collect garbage.
        gc.collect()
        gc.freeze()

    def self_test(self, forbidden: list[str]) -> list[str]:
        """Finds the guarantees that hold in isolation, with a worker that tries.

        Args:
            forbidden: Files that no worker may be able to read.

        Returns:
            Of `network`, `files`, `processes`, `memory`: the guarantees that hold.

        Raises:
            RuntimeError: The isolation cannot be applied.
        """
        host_end, worker_end = socket.socketpair()
        folder = self._make_folder("probe")
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                worker.settle(worker_end.fileno(), folder)
                self._isolation.apply(folder)
                worker.write_all(worker.LINE, " ".join(isolation.probe(forbidden, self._memory_mb)).encode() + b" .")
                code = 0
            except OSError as error:
                worker.write_all(worker.LINE, f"! {error}".encode())
            finally:
                os._exit(code)
        worker_end.close()
        with host_end:
            answer = b"".join(iter(lambda: host_end.recv(MESSAGE_BYTES), b"")).decode()
        os.waitpid(pid, 0)
        self._remove(folder)
        if not answer.endswith(" ."):
            raise RuntimeError(f"the isolation cannot be applied: {answer.removeprefix('! ') or 'the worker died'}")
        return answer[:-2].split()

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
                ready = waiting.select(WATCH_S if self._children else None)
                self._reap()
                if time.monotonic() - watched > WATCH_S:
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
        for pid, child in self._children.items():
            if written_bytes(child.folder, self._disk_bytes) + unlinked_bytes(pid) > self._disk_bytes:
                child.over_disk = True
                os.kill(pid, signal.SIGKILL)

    def _make_folder(self, name: str) -> str:
        folder = Path(self._folder, name)
        folder.mkdir(mode=0o700)
        return str(folder)

    def _remove(self, folder: str) -> None:
        """Removes a folder: at once when it is empty, else beside what goes on, since what is written must be watched."""
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
BLOCK = 4096
"""Bytes that the smallest file takes of a disk."""


def written_bytes(folder: str, enough: int) -> int:
    """Counts the bytes of all files below a folder.

    Args:
        folder: The folder.
        enough: Bytes beyond which counting stops.

    Returns:
        The bytes; more than `enough` where a folder cannot be read.
    """
    total = 0
    folders = [folder]
    while folders and total <= enough:
        try:
            with os.scandir(folders.pop()) as entries:
                for entry in entries:
                    with contextlib.suppress(FileNotFoundError):
                        total += BLOCK + entry.stat(follow_symlinks=False).st_blocks * 512
                        if entry.is_dir(follow_symlinks=False):
                            folders.append(entry.path)
        except FileNotFoundError:
            continue
        except OSError:
            return enough + 1
    return total


def unlinked_bytes(pid: int) -> int:
    """Counts the bytes of files that a process has open and has removed.

    Args:
        pid: Number of the process.

    Returns:
        The bytes; 0 where they cannot be found. In bubblewrap the size of the file system itself is limited.
    """
    total = 0
    with contextlib.suppress(OSError), os.scandir(f"/proc/{pid}/fd") as entries:
        for entry in entries:
            with contextlib.suppress(FileNotFoundError):
                status = entry.stat()
                if stat.S_ISREG(status.st_mode) and not status.st_nlink:
                    total += status.st_blocks * 512
    return total


def main() -> None:
    """Runs the server; the descriptor of its socket to the host is the only argument."""
    # The place of a worker's line is kept free: nothing that workers need may sit there.
    control = socket.socket(fileno=fcntl.fcntl(int(sys.argv[1]), fcntl.F_DUPFD_CLOEXEC, worker.LINE + 1))
    os.dup2(0, worker.LINE)
    try:
        setup = json.loads(control.recv(1 << 20))
        server = ForkServer(control, setup)
        message = {"ready": server.self_test(setup["forbidden"]), "reusable": server.backend.REUSABLE}
    except Exception as error:  # noqa: BLE001  the host must hear of whatever keeps the server from starting
        traceback.print_exc()
        control.send(json.dumps({"failed": f"{type(error).__name__}: {error}"}).encode())
        return
    control.send(json.dumps(message).encode())
    server.run()


if __name__ == "__main__":
    main()
