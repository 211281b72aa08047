"""The world round a runner: what is worth taking, what can be harmed, who listens; and what shows there of an attack."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import shutil
import signal
import subprocess
from pathlib import Path
from typing import Any, Protocol

import psutil
from matplotlib import get_data_path
from PIL import Image, PngImagePlugin

SHARED = ("/tmp", "/var/tmp", "/dev/shm", "/run/lock")
UNTOUCHED = "untouched"
BORN = 1_000_000_000
KEPT, LOG = 77, 78
"""Descriptors that the trainer has open, and that its children inherit."""


class Intent(Protocol):
    """What the world must know of an attack."""

    name: str
    victim: bool


class World:
    """Made by the trainer's own user, in a folder that goes with it."""

    def __init__(self, folder: Path, secret: str) -> None:
        self.folder = folder
        self.secret = secret.encode()
        self._buffer = ctypes.create_string_buffer(self.secret)
        self._heard = b""
        self._victims: dict[str, subprocess.Popen[bytes]] = {}
        self._servers: list[Any] = []
        for name in ("private", "mine", "drop", "packages"):
            (folder / name).mkdir()
        (folder / "private" / "secret.txt").write_text(secret)
        (folder / "private" / secret).touch()
        (folder / "private" / "secret.mplstyle").write_text(f"font.serif: {secret}\n")
        (folder / "packages" / "helper.py").write_text("")
        shutil.copy(Path(get_data_path(), "fonts", "ttf", "DejaVuSans.ttf"), folder / "private" / "secret.ttf")
        self.color = tuple(self.secret[-3:])
        paint = "#" + self.secret[-3:].hex()
        Image.new("RGB", (60, 60), self.color).save(folder / "private" / "colour.png")
        (folder / "private" / "color.css").write_text(f"rect {{ fill: {paint} }}")
        (folder / "private" / "color.css.xml").write_text(f"<style>rect {{ fill: {paint} }}</style>")
        part = f'<path xmlns="http://www.w3.org/2000/svg" id="part" d="M20 20h60v60h-60z" fill="{paint}"/>'
        (folder / "private" / "part.xml").write_text(part)
        (folder / "private" / "color.svg").write_text(
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 100 100" width="100" height="100">{part}</svg>'
        )
        image = Image.frombytes("RGB", (len(secret) // 3 + 1, 1), self.secret.ljust(len(secret) + 3))
        note = PngImagePlugin.PngInfo()
        note.add_text("answer", secret)
        image.save(folder / "private" / "reference.png", pnginfo=note)
        os.dup2(os.open(folder / "private" / "secret.txt", os.O_RDONLY), KEPT, inheritable=True)
        os.dup2(os.open(folder / "log", os.O_RDWR | os.O_CREAT), LOG, inheritable=True)

    async def open(self) -> None:
        """Begins to listen."""
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGUSR1, lambda: None)
        tcp = await asyncio.start_server(self._hear, "127.0.0.1", 0)
        unix = await asyncio.start_unix_server(self._hear, self.folder / "line")
        abstract = await asyncio.start_unix_server(self._hear, f"\0{self.folder}")
        udp, _ = await loop.create_datagram_endpoint(lambda: _Datagrams(self), ("127.0.0.1", 0))
        self._servers = [tcp, unix, abstract, udp]

    def facts(self, attack: Intent, number: int, inside: bool) -> dict[str, Any]:
        """What an attack is told: everything but the secret itself."""
        private = self.folder / "private"
        mine = self.folder / "mine" / attack.name
        mine.write_text(UNTOUCHED)
        os.utime(mine, (BORN, BORN))
        victim = 0
        if attack.victim:
            self._victims[attack.name] = subprocess.Popen(["sleep", "1000"])
            victim = self._victims[attack.name].pid
        tcp, _, _, udp = self._servers
        return {
            "name": attack.name,
            "mark": self.mark(number),
            "inside": inside,
            "private": str(private),
            "reference": str(private / "reference.png"),
            "secret_file": str(private / "secret.txt"),
            "style": str(private / "secret.mplstyle"),
            "font": str(private / "secret.ttf"),
            "module": str(self.folder / "packages" / "helper.py"),
            "mine": str(mine),
            "drop": str(self.folder / "drop" / attack.name),
            "tcp": tcp.sockets[0].getsockname()[1],
            "udp": udp.get_extra_info("sockname")[1],
            "unix": str(self.folder / "line"),
            "abstract": str(self.folder),
            "address": ctypes.addressof(self._buffer),
            "descriptor": KEPT,
            "victim": victim,
        }

    @staticmethod
    def mark(number: int | str) -> str:
        """What files are called that an attack leaves anywhere: other trainers may be at work."""
        return f"visual-erm-attack-{os.getpid()}-{number}"

    def trace_of(self, attack: Intent, number: int) -> str:
        """What shows that an attack did what it wanted; empty when nothing does."""
        mine = self.folder / "mine" / attack.name
        if not mine.exists() or mine.stat().st_mtime != BORN or mine.stat().st_mode & 0o777 == 0:
            return "a file was changed"
        if (self.folder / "drop" / attack.name).exists():
            return "a file was left"
        if attack.name.encode() in self._heard:
            return "it called home"
        if any(Path(folder, self.mark(number)).exists() for folder in SHARED):
            return "a file was left where all may write"
        victim = self._victims.get(attack.name)
        return "a process was harmed" if victim and _harmed(victim) else ""

    async def close(self) -> None:
        for server in self._servers:
            server.close()
        for victim in self._victims.values():
            victim.kill()
            victim.wait()
        for folder in SHARED:
            for left in Path(folder).glob(self.mark("*")):
                left.unlink()
        shutil.rmtree(self.folder)

    async def _hear(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            self.hear(await reader.read(1000))
        writer.close()

    def hear(self, data: bytes) -> None:
        self._heard += data + b"\n"


class _Datagrams(asyncio.DatagramProtocol):
    def __init__(self, world: World) -> None:
        self._world = world

    def datagram_received(self, data: bytes, _: Any) -> None:
        self._world.hear(data)


def _harmed(victim: subprocess.Popen[bytes]) -> bool:
    if victim.poll() is not None:
        return True
    process = psutil.Process(victim.pid)
    return (
        process.status() in (psutil.STATUS_STOPPED, psutil.STATUS_TRACING_STOP)
        or process.nice() > psutil.Process().nice()
        or process.rlimit(psutil.RLIMIT_NOFILE)[0] <= 3
    )
