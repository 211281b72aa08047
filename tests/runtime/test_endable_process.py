"""Calls in a process that can be ended: limits of time and memory, and what is left afterwards."""

from __future__ import annotations

import contextlib
import math
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import psutil
import pytest

from visual_erm.errors import ConfigError
from visual_erm.kinds import find_kind
from visual_erm.runtime.endable_process import CallLimit, CallLost, EndableProcess

MB = 1 << 20


@pytest.fixture
def process() -> Iterator[EndableProcess]:
    made = EndableProcess(memory_bytes=400 * MB, resting_bytes=100 * MB)
    yield made
    made.end()
    assert children() == []


def children() -> list[psutil.Process]:
    return [one for one in psutil.Process().children() if "endable_process" in " ".join(one.cmdline())]


def call(process: EndableProcess, function: object, *arguments: object, cpu_s: float = 5, wall_s: float = 30) -> object:
    return process.call(function, *arguments, cpu_s=cpu_s, wall_s=wall_s)  # type: ignore[arg-type]


def test_one_process_answers_call_after_call(process: EndableProcess) -> None:
    first = call(process, os.getpid)
    assert first != os.getpid()
    assert [call(process, math.factorial, number) for number in range(4)] == [1, 1, 2, 6]
    assert call(process, len, bytes(30 * MB)) == 30 * MB
    assert call(process, os.getpid) == first


@pytest.mark.parametrize(
    ("function", "argument", "error"),
    [(math.sqrt, -1.0, ValueError), (int, "x", ValueError), (os.listdir, "/no such folder", FileNotFoundError)],
)
def test_what_a_function_raises_is_raised_here(
    process: EndableProcess, function: object, argument: object, error: type[Exception]
) -> None:
    with pytest.raises(error):
        call(process, function, argument)
    assert call(process, len, "abc") == 3


def test_a_call_over_its_processor_time_is_ended(process: EndableProcess) -> None:
    with pytest.raises(CallLimit, match=r"0\.3 s of CPU time"):
        call(process, math.factorial, 10**7, cpu_s=0.3)
    assert call(process, len, "abc") == 3


@pytest.mark.parametrize("megabytes", [500, 1000, 8000])
def test_a_call_over_its_memory_is_ended(process: EndableProcess, megabytes: int) -> None:
    with pytest.raises(CallLimit, match="400 MB of memory"):
        call(process, bytes, megabytes * MB)
    assert call(process, len, "abc") == 3


def test_a_call_that_waits_and_waits_is_ended(process: EndableProcess) -> None:
    call(process, len, "abc")
    begun = time.monotonic()
    with pytest.raises(CallLost, match="no answer in time"):
        call(process, time.sleep, 60, wall_s=0.5)
    assert time.monotonic() - begun < 30
    assert call(process, len, "abc") == 3


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGABRT])
def test_a_process_that_dies_loses_its_call_and_is_replaced(process: EndableProcess, number: int) -> None:
    with pytest.raises(CallLost, match=str(-number)):
        call(process, signal.raise_signal, number)
    assert call(process, len, "abc") == 3


def test_a_process_that_keeps_much_memory_is_replaced(process: EndableProcess) -> None:
    first = call(process, os.getpid)
    call(process, os.putenv, "KEPT", "x" * 110 * MB)
    assert call(process, os.getpid) != first


def test_its_end_interrupts_a_call(process: EndableProcess) -> None:
    call(process, len, "abc")
    threading.Timer(0.3, process.end).start()
    with pytest.raises(CallLost):
        call(process, time.sleep, 60)
    with pytest.raises(CallLost, match="was ended"):
        call(process, len, "abc")


def test_an_exception_of_this_project_comes_back_as_it_is(process: EndableProcess) -> None:
    with pytest.raises(ConfigError, match="must be one of"):
        call(process, find_kind, "nothing")


def test_the_process_goes_with_its_owner() -> None:
    code = (
        "import os\n"
        "from visual_erm.runtime.endable_process import EndableProcess\n"
        "print(EndableProcess(1 << 30, 1 << 30).call(os.getpid, cpu_s=9, wall_s=60), flush=True)\n"
        "os.kill(os.getpid(), 9)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    with contextlib.suppress(psutil.NoSuchProcess):
        left = psutil.Process(int(done.stdout))
        deadline = time.monotonic() + 20
        while left.status() != psutil.STATUS_ZOMBIE:
            assert time.monotonic() < deadline
            time.sleep(0.05)
