"""A runner without isolation, as naive ones are: the trainer forks, runs the script, and takes the first image from a pipe.

It has the sandbox's `render`, so that attacks can be shown to be real.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import io
import os
import shutil
import signal
import struct
import sys
import tempfile
import threading
from typing import Any, NoReturn

from matplotlib import pyplot
from PIL import Image

CHANNEL = 3
HEAD = struct.Struct("<II")
"""Width and height."""
LIMIT_S = 60.0
"""Seconds that a script has."""
RAISED = 77
"""Exit code of a script that raised."""


class Died(Exception):
    """The script's process ended without a word."""


class Raised(Exception):
    """The script did."""


class NeverEnds(Exception):
    """The script's process would have gone on."""


class Unprotected:
    """Draws scripts, `workers` at once. Starts no thread: the trainer forks itself."""

    def __init__(self, packages: str, workers: int) -> None:
        self._packages = packages
        # What is there now need not be copied by every fork that collects garbage.
        gc.freeze()
        self._places = asyncio.Semaphore(workers)

    async def render(self, *scripts: str, unavailable_timeout_s: float = LIMIT_S) -> Image.Image:
        """The image of the last script; all run in one process. Raises Raised, Died, NeverEnds."""
        async with self._places:
            folder = tempfile.mkdtemp(prefix="unprotected-")
            reading, writing = os.pipe()
            pid = os.fork()
            if pid == 0:
                self._live(writing, folder, scripts)
            os.close(writing)
            try:
                data = await asyncio.wait_for(_read(reading), unavailable_timeout_s)
                while (ended := os.waitpid(pid, os.WNOHANG)) == (0, 0):
                    await asyncio.sleep(0.02)
                pid = 0
            except asyncio.TimeoutError:
                raise NeverEnds from None
            finally:
                if pid:
                    os.kill(pid, signal.SIGKILL)
                    os.waitpid(pid, 0)
                with contextlib.suppress(RecursionError):
                    shutil.rmtree(folder, ignore_errors=True)
        if os.waitstatus_to_exitcode(ended[1]) == RAISED:
            raise Raised(data.decode("utf-8", "replace"))
        if len(data) < HEAD.size:
            raise Died
        width, height = HEAD.unpack_from(data)
        try:
            return Image.frombytes("RGB", (width, height), data[HEAD.size :][: 3 * width * height])
        except ValueError:
            raise Died from None

    async def close(self) -> None:
        """There is nothing to close."""

    def _live(self, line: int, folder: str, scripts: tuple[str, ...]) -> NoReturn:
        code = 1
        try:
            for number in (signal.SIGUSR1, signal.SIGCHLD, signal.SIGINT):
                signal.signal(number, signal.SIG_DFL)
            os.dup2(line, CHANNEL)
            os.chdir(folder)
            sys.path.insert(0, self._packages)
            for script in scripts[:-1]:
                with contextlib.suppress(Exception):
                    _run(script)
            pyplot.close("all")
            _run(scripts[-1])
            data = _image()
            while data:
                data = data[os.write(CHANNEL, data) :]
            threading._shutdown()  # type: ignore[attr-defined]
            code = 0
        except Exception as error:  # noqa: BLE001  whatever a script may raise
            code = RAISED
            os.write(CHANNEL, repr(error).encode("utf-8", "replace"))
        finally:
            os._exit(code)


def _run(script: str) -> None:
    exec(compile(script, "<script>", "exec"), {"__name__": "__main__"})


def _image() -> memoryview:
    held = io.BytesIO()
    figure = pyplot.gcf()
    figure.savefig(held, format="raw", dpi="figure")
    size = figure.canvas.get_width_height(physical=True)
    return memoryview(HEAD.pack(*size) + Image.frombytes("RGBA", size, held.getvalue()).convert("RGB").tobytes())


async def _read(descriptor: int) -> bytes:
    """Until every holder of the other end has closed it."""
    reader: Any = asyncio.StreamReader()
    with os.fdopen(descriptor, "rb") as pipe:
        transport, _ = await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), pipe
        )
        try:
            return bytes(await reader.read())
        finally:
            transport.close()
