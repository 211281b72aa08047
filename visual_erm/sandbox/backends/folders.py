"""Folders that scripts expect: `/tmp`, and those that a script makes where it may not, as `/content/out`.

Scripts write logs to `/tmp` and make folders of notebooks. In the sandbox a script may write below its own folder only, so
what it writes to these folders goes to a folder below its own, and is found there when it is read, listed or asked for.
This is a convenience for honest scripts. What may be read or written is decided by the sandbox's isolation.
"""

from __future__ import annotations

import asyncio
import builtins
import errno
import functools
import io
import os
import selectors
from collections.abc import Callable
from typing import Any

_ROOTS = {"/tmp"}  # noqa: S108  the script's own
_BY_PATH = ("stat", "lstat", "listdir", "scandir", "access", "remove", "unlink", "rmdir", "chmod", "utime")
_FORBIDDEN = (errno.EACCES, errno.EPERM, errno.EROFS)
_absolute = os.path.abspath


def stand_in(own: str) -> None:
    """Has the calls of this process find the folders. There is no way back.

    Args:
        own: The folder of the script, which it may write to.
    """
    home = os.path.join(own, ".outside")  # noqa: PTH118
    make, lexists = os.mkdir, _lexists(os.lstat)

    def moved(path: Any, writes: bool) -> Any:
        """Where a path leads: below `home`, if it is in one of the folders and is written to or is there."""
        if not isinstance(path, str | bytes | os.PathLike):
            return path
        real = _absolute(os.fsdecode(path))
        root = next((root for root in _ROOTS if real == root or real.startswith(f"{root}/")), "")
        if not root or real.startswith(f"{own}/"):
            return path
        there = home + real
        if writes and not lexists(home + root):
            _make_path(make, lexists, home + root)
        return there if writes or lexists(there) else path

    def make_folder(path: Any, mode: int = 0o777, *, dir_fd: int | None = None) -> None:
        place = path if dir_fd is not None else moved(path, writes=True)
        try:
            make(place, mode, dir_fd=dir_fd)
        except OSError as error:
            if error.errno not in _FORBIDDEN or dir_fd is not None:
                raise
            _ROOTS.add(_absolute(os.fsdecode(path)))
            moved(path, writes=True)

    def opener(call: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(call)
        def opened(file: Any, mode: Any = "r", *args: Any, **settings: Any) -> Any:
            writes = isinstance(mode, str) and any(letter in mode for letter in "wax+")
            return call(moved(file, writes), mode, *args, **settings)

        return opened

    def by_path(name: str) -> None:
        call = getattr(os, name)

        @functools.wraps(call)
        def called(path: Any = ".", *args: Any, **settings: Any) -> Any:
            try:
                return call(moved(path, writes=False), *args, **settings)
            except OSError as error:
                # Rights and times of the script's own files are of no use, and copying a file sets them.
                if name not in ("chmod", "utime") or error.errno not in _FORBIDDEN:
                    raise
                if not _absolute(os.fsdecode(moved(path, writes=False))).startswith(f"{own}/"):
                    raise

        setattr(os, name, called)

    def by_two(name: str) -> None:
        call = getattr(os, name)

        @functools.wraps(call)
        def called(source: Any, target: Any, **settings: Any) -> Any:
            return call(moved(source, writes=False), moved(target, writes=True), **settings)

        setattr(os, name, called)

    open_flags = os.open

    @functools.wraps(open_flags)
    def open_by_flags(path: Any, flags: int, *args: Any, **settings: Any) -> int:
        return open_flags(moved(path, bool(flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT))), flags, *args, **settings)

    os.mkdir = make_folder
    builtins.open = io.open = opener(io.open)  # type: ignore[assignment]
    os.open = open_by_flags
    for name in _BY_PATH:
        by_path(name)
    for name in ("rename", "replace"):
        by_two(name)


def _lexists(lstat: Callable[[str], Any]) -> Callable[[str], bool]:
    def exists(path: str) -> bool:
        try:
            lstat(path)
        except (OSError, ValueError):
            return False
        return True

    return exists


def _make_path(make: Callable[[str], None], exists: Callable[[str], bool], path: str) -> None:
    parent = os.path.dirname(path)  # noqa: PTH120
    if not exists(parent):
        _make_path(make, exists, parent)
    make(path)


class ScriptLoop(asyncio.SelectorEventLoop):
    """An event loop without sockets and epoll, which the sandbox forbids. There is no other thread that could wake it."""

    def __init__(self) -> None:
        super().__init__(selectors.SelectSelector())

    def _make_self_pipe(self) -> None:
        """Nothing but another thread or a signal would write to it."""

    def _close_self_pipe(self) -> None:
        """There is none."""

    def _write_to_self(self) -> None:
        """There is none."""


class ScriptLoops(asyncio.DefaultEventLoopPolicy):
    """Makes a `ScriptLoop` wherever a script asks for an event loop."""

    _loop_factory = ScriptLoop
