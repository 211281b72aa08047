"""A command that the launcher runs, behind a keeper: with the launcher end the command and all that came of it."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from typing import IO

TAIL = 4000
"""Bytes of what a quiet command said, in the message about its failure."""


class GuardedProcess:
    """A running command, in a session of its own: a signal to the launcher's group does not reach it.

    Args:
        environ: its whole environment.
        grace: seconds that it has to end by itself.
        quiet: keep what it says for `said` instead of passing it on.
    """

    def __init__(self, command: Sequence[str], environ: Mapping[str, str], grace: float, quiet: bool = False) -> None:
        self._grace = grace
        self._said: IO[bytes] | None = tempfile.TemporaryFile() if quiet else None  # noqa: SIM115
        # Until the keeper ignores it, as all that it starts then does.
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})
        try:
            self._process = subprocess.Popen(  # noqa: S603
                [sys.executable, "-m", "visual_erm.runtime.process_guard", str(os.getpid()), str(grace), *command],
                env=dict(environ),
                stdin=subprocess.DEVNULL,
                stdout=self._said,
                stderr=subprocess.STDOUT if quiet else None,
                start_new_session=True,
            )
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)

    def poll(self) -> int | None:
        """The command's exit code, 128 and the signal when that ended it; None while it runs."""
        code = self._process.poll()
        return code if code is None or code >= 0 else 128 - code

    def said(self) -> str:
        """The end of what a quiet command said."""
        if self._said is None:
            return ""
        self._said.seek(max(0, self._said.seek(0, os.SEEK_END) - TAIL))
        return self._said.read().decode(errors="replace").strip()

    def end(self) -> None:
        """Ends the command and everything it started."""
        if self._process.poll() is None:
            self._process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(3 * self._grace)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        if self._said:
            self._said.close()
