"""A command that runs behind `process_guard`: with this process end the command and everything that it started."""

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
"""Bytes of what a quiet command printed, in the message about its failure."""


class GuardedProcess:
    """A running command, in a session of its own: a signal to this process's group does not reach it.

    Args:
        command: Words of the command.
        environ: Its whole environment.
        grace: Seconds that it has to end by itself.
        quiet: Keep its output for `output()` instead of passing it on.
        output: File for its output, which may be closed afterwards. None: the output is passed on.
        kill_timeout: Seconds that a killed process has to be gone. None: as long as `grace`.
    """

    def __init__(
        self,
        command: Sequence[str],
        environ: Mapping[str, str],
        grace: float,
        quiet: bool = False,
        output: IO[bytes] | None = None,
        kill_timeout: float | None = None,
    ) -> None:
        self._end_timeout = 2 * grace + (grace if kill_timeout is None else kill_timeout)
        self._output: IO[bytes] | None = tempfile.TemporaryFile() if quiet else None  # noqa: SIM115
        # Until the process guard ignores it, as all that it starts then does.
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})
        try:
            self._process = subprocess.Popen(  # noqa: S603
                [sys.executable, "-m", "visual_erm.runtime.process_guard", str(os.getpid()), str(grace), *command],
                env=dict(environ),
                stdin=subprocess.DEVNULL,
                stdout=self._output or output,
                stderr=subprocess.STDOUT if self._output or output else None,
                start_new_session=True,
            )
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)

    def poll(self) -> int | None:
        """Returns the command's exit code, 128 and the signal when that ended it; None while it runs."""
        code = self._process.poll()
        return code if code is None or code >= 0 else 128 - code

    def output(self) -> str:
        """Returns the end of what a quiet command printed; empty for others."""
        if self._output is None:
            return ""
        self._output.seek(max(0, self._output.seek(0, os.SEEK_END) - TAIL))
        return self._output.read().decode(errors="replace").strip()

    def end(self) -> None:
        """Ends the command and everything it started."""
        if self._process.poll() is None:
            self._process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(self._end_timeout)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        if self._output:
            self._output.close()
