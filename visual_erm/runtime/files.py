r"""Atomic writes: whoever reads a file sees the old content or the new one, whenever the process that writes it ends.

Everything that replaces a file which others read goes through this module: ledgers, lists of endpoints, images, tokens.

    write_atomic(Path("endpoints.txt"), "http://10.0.0.1:8000/v1\n")
    with replacing(Path("image.png")) as part:
        image.save(part, "PNG")

The content is written to a hidden file in the same folder, which then takes the place of the file. A process that is killed
may leave that hidden file; long jobs remove such files at their next start (`remove_stale_parts`). Nothing is forced to the
disk, so a machine that loses power may lose the new content.
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import stat
import time
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

_SHOWN = 40
"""Characters of the file's name in the name of its part: any file name must leave room for the rest."""
_STALE_S = 3600.0
"""A part that nobody has written to for so many seconds belongs to a process that was killed."""


@contextlib.contextmanager
def replacing(path: Path, mode: int = 0o666) -> Iterator[Path]:
    """Lets the block write a new file, which replaces `path` at the end. If the block raises, `path` stays as it is.

    Args:
        path: The file to replace or create. Its folder is created where it is missing.
        mode: Permissions of the new file, less those that the umask takes away.

    Yields:
        The path to write to: an empty hidden file in the same folder. Its name ends in `.part`.

    Raises:
        OSError: The folder cannot be created, or the file cannot be written or replaced.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name[:_SHOWN]}.{secrets.token_hex(4)}.part")
    try:
        part.touch(mode, exist_ok=False)
        yield part
        part.replace(path)
    finally:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)


def write_atomic(path: Path, data: str | bytes, mode: int = 0o666) -> None:
    """Writes a file as a whole.

    Args:
        path: The file to replace or create. Its folder is created where it is missing.
        data: The whole content. Text is written as UTF-8.
        mode: Permissions of the file, less those that the umask takes away.

    Raises:
        OSError: The file cannot be written. An older one stays as it is.
    """
    with replacing(path, mode) as part:
        part.write_bytes(data.encode("utf-8") if isinstance(data, str) else data)


def remove_stale_parts(folder: Path) -> None:
    """Removes the hidden parts that killed processes left in a folder. A part of the last hour may be in use, and stays.

    Args:
        folder: The folder that files were written to. It need not exist. Folders in it are not searched.
    """
    for part in folder.glob(".*.part"):
        with contextlib.suppress(OSError):
            if time.time() - part.stat().st_mtime > _STALE_S:
                part.unlink()


@contextlib.contextmanager
def open_regular(path: Path) -> Iterator[BinaryIO]:
    """Opens a file that others may have put there. A pipe or a device would keep its reader waiting, or never end.

    Args:
        path: The file, or a link to one.

    Yields:
        The open file.

    Raises:
        OSError: The file cannot be opened, or is no regular file.
    """
    # Without O_NONBLOCK, the open of a pipe waits until somebody writes to it.
    with open(path, "rb", opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK)) as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise OSError(errno.EINVAL, "it is no regular file", str(path))
        yield file


def read_regular(path: Path, max_bytes: int) -> bytes:
    """Reads a file of limited size that others may have put there.

    Args:
        path: The file, or a link to one.
        max_bytes: Largest size in bytes.

    Returns:
        The content.

    Raises:
        OSError: The file cannot be read, is no regular file, or is larger.
    """
    with open_regular(path) as file:
        content = file.read(max_bytes + 1)
    if len(content) > max_bytes:
        raise OSError(errno.EFBIG, f"it has more than {max_bytes} bytes", str(path))
    return content


def writable_by_others(path: Path) -> bool:
    """Tells whether another user than this one and root decides what is at a path.

    Args:
        path: A file or folder.

    Returns:
        True where another user owns it, or the permissions let the group or everybody write. In a folder with the sticky
        bit, such as `/tmp`, nobody replaces the files of others.

    Raises:
        OSError: There is nothing at the path, or it cannot be looked at.
    """
    found = path.stat()
    is_sticky = stat.S_ISDIR(found.st_mode) and bool(found.st_mode & stat.S_ISVTX)
    return found.st_uid not in (0, os.getuid()) or bool(found.st_mode & 0o022 and not is_sticky)


def is_private(path: Path) -> bool:
    """Tells whether this user owns a file, and nobody else may read or write it.

    Args:
        path: The file.

    Returns:
        False where the group or everybody has any permission, or another user owns it.

    Raises:
        OSError: There is nothing at the path, or it cannot be looked at.
    """
    found = path.stat()
    return found.st_uid == os.getuid() and not found.st_mode & 0o077


def files_below(folder: Path) -> list[Path]:
    """Lists the files in a folder and in the folders below it, those behind links included.

    Args:
        folder: The folder.

    Returns:
        The paths, sorted. A folder that can be reached in several ways, or holds itself, is listed once.
    """
    seen: set[tuple[int, int]] = set()
    found: list[Path] = []
    for place, folders, names in os.walk(folder, followlinks=True):
        about = Path(place).stat()
        if (about.st_dev, about.st_ino) in seen:
            folders.clear()
            continue
        seen.add((about.st_dev, about.st_ino))
        folders.sort()
        found += [path for name in names if (path := Path(place, name)).is_file()]
    return sorted(found)
