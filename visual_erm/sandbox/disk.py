"""What workers have written, where they share a file system: the server looks often, and ends who is over its limit."""

from __future__ import annotations

import contextlib
import os
import stat
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from visual_erm.sandbox.mounts import BLOCK

SEARCH_S = 0.5
"""Seconds that a worker runs before its memory is searched for files that are neither named nor open.

It takes milliseconds. It is done at once where the file system loses room.
"""


class DiskWatch:
    """Finds the workers that have written more than they may.

    Args:
        folder: The folder that all workers' folders are in.
        limit: Bytes that each worker may have there.
        threads: Whether workers may start threads. Linux tells of the first thread alone when it ran.
    """

    def __init__(self, folder: str, limit: int, threads: bool) -> None:
        self._folder = folder
        self._limit = limit
        self._threads = threads
        self._free = 0
        self._seen: dict[int, tuple[bytes, float]] = {}
        """How long each worker had run, and since when it has run without a search of its memory; 0 where it has not."""

    def over(self, workers: Mapping[int, str]) -> list[int]:
        """Looks at all workers that have run since their memory was searched.

        Args:
            workers: The folder of each, by process.

        Returns:
            The processes whose files have more bytes than the limit, those included that have no name any more.
        """
        now, shrunk, found = time.monotonic(), self._shrunk(), []
        self._seen = {pid: self._seen.get(pid, (b"", 0.0)) for pid in workers}
        for pid, folder in workers.items():
            ran = b"" if self._threads else _schedule(pid)
            ran_before, since = self._seen[pid]
            if ran and ran == ran_before and not since:
                continue
            since = since or now
            search = shrunk or now - since >= SEARCH_S
            self._seen[pid] = ran, 0.0 if search else since
            if self._is_over(pid, folder, search):
                found.append(pid)
        return found

    def _is_over(self, pid: int, folder: str, search: bool) -> bool:
        nameless = dict(_open_without_name(pid))
        written = written_bytes(folder, self._limit) + sum(nameless.values())
        return written > self._limit or (search and not _mapped_without_name(pid, folder) <= nameless.keys())

    def _shrunk(self) -> bool:
        """Whether the file system has lost more room than a worker may take, since this was last so."""
        status = os.statvfs(self._folder)
        free = status.f_bfree * status.f_frsize
        self._free = max(self._free, free)
        shrunk = self._free - free > self._limit
        if shrunk:
            self._free = free
        return shrunk


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
                    if total > enough:
                        break
        except FileNotFoundError:
            continue
        except OSError:
            return enough + 1
    return total


def _schedule(pid: int) -> bytes:
    """Changes whenever a process has run; empty where this kernel does not tell."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/schedstat").read_bytes()
    return b""


def _open_without_name(pid: int) -> Iterator[tuple[int, int]]:
    """Inode and bytes of each file that a process has open and has removed."""
    with contextlib.suppress(OSError), os.scandir(f"/proc/{pid}/fd") as entries:
        for entry in entries:
            with contextlib.suppress(FileNotFoundError):
                status = entry.stat()
                if stat.S_ISREG(status.st_mode) and not status.st_nlink:
                    yield status.st_ino, status.st_blocks * 512


def _mapped_without_name(pid: int, folder: str) -> set[int]:
    """Inode of each file below a folder that a process has mapped and has removed."""
    found = set()
    with contextlib.suppress(OSError):
        inside = f" {folder}/".encode()
        for line in Path(f"/proc/{pid}/maps").read_bytes().splitlines():
            if line.endswith(b" (deleted)") and inside in line:
                found.add(int(line.split(maxsplit=5)[4]))
    return found
