"""A process that is started can be ended by whoever started it, whenever a signal comes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from visual_erm.runtime.deferred_signals import deferred_signals

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_inside_is_handled_at_the_end_as_before(number: int) -> None:
    done: list[str] = []
    before = signal.signal(number, lambda *_: done.append("handled"))
    try:
        with deferred_signals():
            os.kill(os.getpid(), number)
            done.append("started")
        assert done == ["started", "handled"]
        os.kill(os.getpid(), number)
        assert done == ["started", "handled", "handled"]
    finally:
        signal.signal(number, before)


def test_a_keyboard_interrupt_comes_after_what_was_started_has_a_name() -> None:
    started = None
    with pytest.raises(KeyboardInterrupt), deferred_signals():
        os.kill(os.getpid(), signal.SIGINT)
        started = "a process"
    assert started == "a process"


def test_what_is_ignored_stays_ignored_for_the_process_that_is_started() -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with deferred_signals():
            os.kill(os.getpid(), signal.SIGINT)
            code = "import signal; print(signal.getsignal(signal.SIGINT) == signal.SIG_IGN)"
            shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        assert shown.stdout == "True\n"
    finally:
        signal.signal(signal.SIGINT, before)


def test_another_thread_handles_no_signals_and_changes_none() -> None:
    handlers = []

    def start() -> None:
        with deferred_signals():
            handlers.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=start)
    thread.start()
    thread.join()
    assert handlers == [signal.getsignal(signal.SIGINT)]


DEMO = (
    "from visual_erm.demo.run import run_to_the_end\n"
    "run_to_the_end(['/bin/sleep', '60'], {}, pathlib.Path('log'))"
)  # fmt: skip
DRY_RUN = "from visual_erm.preflight.dry_run import DryRun\nDryRun('x.py', 'score', {}, ()).run(60)"


@pytest.mark.parametrize("run", [DEMO, DRY_RUN], ids=["demo", "preflight"])
def test_a_signal_while_a_process_starts_leaves_none_behind(run: str, tmp_path: Path) -> None:
    interrupted = (
        "import os, pathlib, signal, subprocess\n"
        "class Interrupted(subprocess.Popen):\n"
        "    def __init__(self, *words, **options):\n"
        "        super().__init__(*words, **options)\n"
        "        pathlib.Path('pid').write_text(str(self.pid))\n"
        "        os.kill(os.getpid(), signal.SIGINT)\n"
        "subprocess.Popen = Interrupted\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", interrupted + run],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert "KeyboardInterrupt" in done.stderr
    assert not Path("/proc", (tmp_path / "pid").read_text()).exists()
