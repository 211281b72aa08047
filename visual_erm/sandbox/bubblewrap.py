"""The start of a server: the layers that this machine has, what may be read, and the command that starts it.

The environment is empty but for what is written here: no key of the trainer is ever in the sandbox's memory. Bubblewrap is
started with it too, because the first process of its name space can be looked into from inside.
"""

from __future__ import annotations

import functools
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Sequence
from pathlib import Path

from visual_erm.sandbox import landlock, seccomp

PACKAGE = Path(__file__).resolve().parents[1]
SYSTEM = (
    "/usr",
    "/lib",
    "/lib64",
    "/lib32",
    "/bin",
    "/etc/fonts",
    "/etc/ld.so.cache",
    "/etc/alternatives",
    "/var/cache/fontconfig",
)
"""What the server itself needs of the system, in bubblewrap."""
LIBRARIES = ("/usr/lib", "/usr/lib64", "/lib", "/lib64", "/usr/local/lib", "/etc/ld.so.cache")
"""Shared libraries, which a worker may read."""
FONTS = ("/usr/share/fonts", "/usr/local/share/fonts", "/usr/share/fontconfig", "/etc/fonts", "/var/cache/fontconfig")
DEVICES = ("/dev/null", "/dev/zero", "/dev/urandom")
OTHER = ("/usr/share/zoneinfo", "/usr/share/locale", "/usr/share/mime")
PREFIX = ("bin", "lib", "lib64", "etc", "share", "fonts", "pyvenv.cfg")
"""What the server needs of the folders that Python is installed in. A project may lie in the same folder."""
INSIDE = "/sandbox"
"""The server's folder in bubblewrap: a file system in memory that ends with it."""
SERVER_MB = 64
"""Megabytes of that file system for the server's own caches."""
OWN = f"{INSIDE}/own"
"""A worker's folder where it is a file system of its own. Each worker sees another one there."""
LIMIT_S = 30.0
"""Seconds for the trial that tells whether bubblewrap works here."""


def missing_layers() -> dict[str, str]:
    """Returns layer -> why it cannot be used on this machine; empty where it can."""
    return {"bubblewrap": _no_bubblewrap(), "landlock": landlock.missing(), "seccomp": seccomp.missing(), "rlimits": ""}


def workers_mount() -> bool:
    """Whether each worker in bubblewrap can have a file system of its own here (mounts.py)."""
    return not _no_bubblewrap() and not _refused(workers_mount=True)


@functools.cache
def _no_bubblewrap() -> str:
    if shutil.which("bwrap") is None:
        return "not installed"
    return _refused(workers_mount=True) and _refused(workers_mount=False)


@functools.cache
def _refused(workers_mount: bool) -> str:
    """Why bubblewrap does not start, or its workers cannot mount where they shall; empty where all works."""
    mounts = f"import os; os.mkdir({OWN!r}); from visual_erm.sandbox.mounts import enter; enter({OWN!r}, 1)"
    boot = f"import sys; sys.path.append({str(PACKAGE.parent)!r}); {mounts if workers_mount else ''}"
    trial = [*_bubblewrap(workers_mount), sys.executable, "-S", "-c", boot]
    try:
        done = subprocess.run(trial, env=environment(INSIDE), capture_output=True, text=True, timeout=LIMIT_S, check=False)  # noqa: S603
    except (OSError, subprocess.SubprocessError) as error:
        return str(error)
    return (done.stderr.strip().splitlines() or ["it fails"])[-1] if done.returncode else ""


def readable(shared: str) -> tuple[str, ...]:
    """Lists what a worker may read.

    Args:
        shared: The server's folder of files that all workers read.

    Returns:
        Paths of Python and its packages, libraries, fonts, time zones, devices, and `shared`.
    """
    standard = (sysconfig.get_path("stdlib"), sysconfig.get_path("platstdlib"), str(Path(sys.base_prefix, "lib")))
    return (*standard, *packages(), str(PACKAGE), *LIBRARIES, *FONTS, *OTHER, *DEVICES, shared)


def packages() -> tuple[str, ...]:
    """Returns the folders of installed packages among Python's paths, without other folders of the user in them."""
    return tuple(
        path for path in sys.path if {"site-packages", "dist-packages"} & set(Path(path).parts) and Path(path).is_dir()
    )


def command(bubblewrap: bool, mounts: bool, control: int) -> list[str]:
    """Makes the command that starts a server.

    Args:
        bubblewrap: Whether the server runs in bubblewrap.
        mounts: Whether its workers mount file systems of their own in there, see `workers_mount`.
        control: Descriptor of the server's socket to the host.

    Returns:
        The words of the command.
    """
    paths = [str(PACKAGE.parent), *packages()]
    boot = f"import sys; sys.path[:1] = {paths!r}; from visual_erm.sandbox.forkserver import main; main()"
    return [*(_bubblewrap(mounts) if bubblewrap else []), sys.executable, "-s", "-c", boot, str(control)]


def environment(folder: str) -> dict[str, str]:
    """Makes the whole environment of a server.

    Args:
        folder: The server's folder.

    Returns:
        The variables.
    """
    return {
        "PATH": "/usr/bin:/bin",
        "LANG": "C.UTF-8",
        "TZ": "UTC",
        "HOME": f"{folder}/shared",
        "TMPDIR": f"{folder}/shared",
        "MPLCONFIGDIR": f"{folder}/shared/matplotlib",
        "MPLBACKEND": "Agg",
        "PYTHONHASHSEED": "0",
        "PYTHONDONTWRITEBYTECODE": "1",
        # A thread of these would be lost in a fork.
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
        "MKL_NUM_THREADS": "1",
        # One heap: the address space of a worker that has threads stays within its limit.
        "MALLOC_ARENA_MAX": "1",
    }


def _bubblewrap(workers_mount: bool) -> list[str]:
    python = [str(Path(prefix, part)) for prefix in (sys.prefix, sys.base_prefix) for part in PREFIX]
    binds = [str(Path(path)) for path in (*SYSTEM, *python, *packages(), str(PACKAGE)) if Path(path).exists()]
    if workers_mount:
        # The server may mount, in its own name spaces. Workers give that right up before they see any code.
        may, memory = ["--cap-add", "CAP_SYS_ADMIN"], ["--size", str(SERVER_MB << 20), "--tmpfs", INSIDE]
    else:
        # Here all workers write to one file system. It has no size that one of them could use up before it is ended, and
        # files without a name are found in /proc.
        may, memory = [], ["--proc", "/proc", "--tmpfs", INSIDE]
    return [
        str(shutil.which("bwrap")),
        *("--unshare-all", "--cap-drop", "ALL", *may),
        *_each("--ro-bind", binds),
        *_each("--dev-bind", DEVICES),
        *memory,
        *("--dir", f"{INSIDE}/shared", "--chdir", INSIDE, "--remount-ro", "/", "--"),
    ]


def _each(option: str, paths: Sequence[str]) -> list[str]:
    return [word for path in paths for word in (option, path, path)]
