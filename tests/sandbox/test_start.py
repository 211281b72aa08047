"""The start of a sandbox's server: it may be killed meanwhile, and the machine may limit what it needs."""

import asyncio
import contextlib
import pickle
import re
import resource
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import psutil
import pytest

from visual_erm.errors import RendererUnavailable
from visual_erm.sandbox import host
from visual_erm.sandbox.bubblewrap import missing_layers
from visual_erm.sandbox.host import START_ATTEMPTS, Limits, Sandbox
from visual_erm.spec.sandbox import SandboxSettings

BACKEND = Path(__file__).with_name("script_backend.py")
EVERY = ("bubblewrap", "landlock", "seccomp", "rlimits")
LAYERS = [pytest.param(EVERY, id="all"), pytest.param(EVERY[1:], id="without bubblewrap")]


@pytest.fixture(autouse=True)
def temporary(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def skip_where_missing(layers) -> None:
    if "bubblewrap" in layers and (reason := missing_layers()["bubblewrap"]):
        pytest.skip(f"bubblewrap: {reason}")


def make(warm="", layers=EVERY) -> Sandbox:
    skip_where_missing(layers)
    settings = SandboxSettings(layers=layers, require=("processes",), memory_mb=256)
    return Sandbox(BACKEND, {"warm": warm}, settings, Limits(20, 10**6), workers=1)


@pytest.fixture
def starts(monkeypatch):
    """The servers that were started."""
    found, popen = [], subprocess.Popen

    def counted(command, **settings):
        process = popen(command, **settings)
        if "visual_erm.sandbox.forkserver" in " ".join(command):
            found.append(process)
        return process

    monkeypatch.setattr(host.subprocess, "Popen", counted)
    return found


async def servers_inside(count: int, starts) -> psutil.Process:
    """The server of the last start, in bubblewrap the process that runs Python there; waits for `count` starts."""
    while True:
        if len(starts) >= count:
            with contextlib.suppress(psutil.Error):
                top = psutil.Process(starts[count - 1].pid)
                for process in (top, *top.children(recursive=True)):
                    if "bwrap" not in process.name() and "-s" in process.cmdline():
                        return process
        await asyncio.sleep(0.005)


HANGS = "import time; time.sleep(60)"


@pytest.mark.parametrize("layers", LAYERS)
@pytest.mark.parametrize("kills", range(1, START_ATTEMPTS))
async def test_a_server_that_is_killed_while_it_starts_is_started_again(layers, kills, starts):
    sandbox = make(HANGS, layers)
    try:
        job = asyncio.ensure_future(sandbox.render("answer = 7"))
        for count in range(1, kills + 1):
            server = await asyncio.wait_for(servers_inside(count, starts), 60)
            sandbox._options["warm"] = "" if count == kills else HANGS
            server.kill()
        assert pickle.loads((await asyncio.wait_for(job, 60)).tobytes()) == 7
        assert len(starts) == kills + 1
    finally:
        await sandbox.close()


@pytest.mark.parametrize("layers", LAYERS)
async def test_a_server_that_is_always_killed_is_given_up(layers, starts, temporary):
    sandbox = make(f"import os; os.kill(os.getpid(), {int(signal.SIGKILL)})", layers)
    with pytest.raises(RendererUnavailable, match=f"killed {START_ATTEMPTS} times"):
        await sandbox.render("answer = 7")
    assert len(starts) == START_ATTEMPTS
    assert all(process.poll() is not None for process in starts)
    await sandbox.close()
    assert list(temporary.iterdir()) == []


KILLS_ITS_TRIALS = """
import os
from visual_erm.sandbox import worker
worker.settle = lambda *_: os.kill(os.getpid(), 9)
"""


async def test_a_server_whose_self_test_is_killed_is_started_again(starts):
    sandbox = make(KILLS_ITS_TRIALS)
    with pytest.raises(RendererUnavailable, match=f"killed {START_ATTEMPTS} times"):
        await sandbox.render("answer = 7")
    assert len(starts) == START_ATTEMPTS
    await sandbox.close()


@pytest.mark.parametrize(
    ("warm", "message"),
    [
        ("raise ImportError('no such library')", "no such library"),
        ("import os; os._exit(3)", "it ended at once"),
        ("import sys; sys.stderr.write('\\x1b[2Jsaid\\n'); raise ValueError('\\x1b]0;title\\x07')", r"\\x1b\]0;title\\x07"),
    ],
)
async def test_a_server_that_fails_by_itself_is_not_started_again(warm, message, starts):
    sandbox = make(warm)
    with pytest.raises(RendererUnavailable, match=message) as raised:
        await sandbox.render("answer = 7")
    assert "\x1b" not in str(raised.value)
    assert len(starts) == 1
    await sandbox.close()


LIMITED = """
import asyncio, pickle, resource, subprocess, sys, tempfile
sys.path[:0] = {here!r}
tempfile.tempdir = {temporary!r}
import test_start
popen = subprocess.Popen

def limited(command, **settings):
    if "visual_erm.sandbox.forkserver" in " ".join(command):
        settings["preexec_fn"] = lambda: resource.setrlimit({which}, {limits})
    return popen(command, **settings)

subprocess.Popen = limited

async def main():
    sandbox = test_start.make(layers=test_start.EVERY[{first}:])
    try:
        print(pickle.loads((await sandbox.render("answer = len(bytes(200 << 20))")).tobytes()))
    except test_start.RendererUnavailable as error:
        print(error)
    finally:
        await sandbox.close()

asyncio.run(main())
"""
MB = 1 << 20
NO = resource.RLIM_INFINITY


@pytest.mark.parametrize("first", [0, 1], ids=["all", "without bubblewrap"])
@pytest.mark.parametrize(
    ("which", "limits", "said"),
    [
        (resource.RLIMIT_AS, (6000 * MB, 6000 * MB), str(200 * MB)),
        (resource.RLIMIT_AS, (3000 * MB, NO), str(200 * MB)),
        (resource.RLIMIT_AS, (260 * MB, 260 * MB), "limited to 260 MB|address space of a process to 260 MB"),
        (resource.RLIMIT_CPU, (15, 15), str(200 * MB)),
        (resource.RLIMIT_STACK, (4 * MB, 4 * MB), str(200 * MB)),
        (resource.RLIMIT_FSIZE, (MB, MB), str(200 * MB)),
    ],
    ids=["far", "soft", "near", "cpu", "stack", "files"],
)
def test_limits_of_the_machine_are_kept_or_named(first, which, limits, said, temporary):
    """The limits are those of the sandbox's server. Those of this test's own process would keep it from its libraries."""
    skip_where_missing(EVERY[first:])
    here = [str(Path(__file__).parent), str(Path(__file__).parents[2])]
    script = LIMITED.format(here=here, temporary=str(temporary), which=which, limits=limits, first=first)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120)
    assert re.search(said, done.stdout), done.stdout + done.stderr
