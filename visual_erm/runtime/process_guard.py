"""Runs a command between its owner and its processes: none of them outlives the command or the owner.

    python -m visual_erm.runtime.process_guard PID_OF_THE_OWNER GRACE COMMAND…

vLLM starts an engine, and that its workers: when the server is killed they would stay, with the GPU's memory. Here
they become children of this guard, whoever dies, and it ends them. The kernel tells the guard when the owner has died,
and kills the server when the guard has. The server's temporary files are in a folder of its own, removed in the end.
GRACE: seconds that the server has to end by itself, and then what it started.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence

import psutil

from visual_erm.runtime.prctl import PR_SET_PDEATHSIG, prctl
from visual_erm.runtime.process_tree import adopt_orphans


def main() -> None:
    """Runs the command of the command line. The exit code is the command's; 128 and the signal when that ended it."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    # By it a scheduler says that time is nearly up, to all processes of a node; what would end at it goes on.
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    adopt_orphans()
    prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    owner, grace, *command = sys.argv[1:]
    if os.getppid() == int(owner):
        sys.exit(run_guarded(command, float(grace)))


def run_guarded(command: Sequence[str], grace: float) -> int:
    """Runs a command to its end, or until this process gets SIGTERM. Then it ends all descendants of this process.

    Args:
        command: Words of the command.
        grace: Seconds that the command has to end by itself, and after it as long for its descendants.

    Returns:
        The command's exit code; 128 and the signal when a signal ended it.
    """
    # Sockets live in it, with names of up to 40 bytes, and a socket's path may have 107.
    folder = tempfile.mkdtemp(prefix="verm-", dir=None if len(tempfile.gettempdir()) < 50 else "/tmp")  # noqa: S108
    server = None
    try:
        server = subprocess.Popen(command, env=os.environ | {"TMPDIR": folder}, preexec_fn=_die_with_the_guard)  # noqa: S603
        code = server.wait()
        return code if code >= 0 else 128 - code
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        if server:
            with contextlib.suppress(subprocess.TimeoutExpired):
                server.terminate()
                server.wait(grace)
        _end_descendants(grace)
        shutil.rmtree(folder, ignore_errors=True)


def _die_with_the_guard() -> None:
    prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def _end_descendants(grace: float) -> None:
    """Asks all descendants to end, then kills them until there are none."""
    ask, seconds = psutil.Process.terminate, grace
    while rest := psutil.Process().children(recursive=True):
        for process in rest:
            with contextlib.suppress(psutil.NoSuchProcess):
                ask(process)
        psutil.wait_procs(rest, timeout=seconds)
        ask, seconds = psutil.Process.kill, 1.0


if __name__ == "__main__":
    main()
