"""The sandbox from the trainer's side: what it promises about processes, files and results, with real workers."""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from marked import nicer_than_other_sessions

from visual_erm.errors import BlankImage, ConfigError, RendererUnavailable, RenderLimit
from visual_erm.runtime.cpu_priority import NICER
from visual_erm.sandbox import host
from visual_erm.sandbox.bubblewrap import missing_layers
from visual_erm.sandbox.host import Limits, Sandbox, examine
from visual_erm.sandbox.server_process import ServerProcess
from visual_erm.spec.sandbox import SandboxSettings

SIDE = 24
OPTIONS = {"backend": "cairosvg", "width": SIDE, "height": SIDE, "background": "white"}
EVERY = ("bubblewrap", "landlock", "seccomp", "rlimits")
HERE = [layer for layer, lacks in missing_layers().items() if not lacks]
LAYERS = [pytest.param(EVERY, id="all"), pytest.param(EVERY[1:], id="without bubblewrap")]


@pytest.fixture(autouse=True)
def temporary(tmp_path, monkeypatch):
    """Where the sandbox keeps what it must keep on disk."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def make(backend="svg", layers=EVERY, require=("processes",), workers=2, low_priority=False) -> Sandbox:
    settings = SandboxSettings(layers=layers, require=require)
    return Sandbox(backend, OPTIONS, settings, Limits(20, SIDE * SIDE), workers, low_priority)


@pytest.mark.parametrize(("content", "message"), [(None, "cannot be read"), ("#" * 20_001, "has 20001 characters")])
def test_a_backend_that_cannot_be_loaded_is_told_before_anything_starts(tmp_path, content, message):
    backend = tmp_path / "backend.py"
    if content:
        backend.write_text(content)
    with pytest.raises(ConfigError, match=message):
        make(backend)


def square(number: int) -> str:
    """A drawing whose pixels say its number."""
    return f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 2 2"><path fill="#{number:06x}" d="M0 0h1v2h-1z"/></svg>'


def number_of(image) -> int:
    red, green, blue = image.getpixel((2, SIDE // 2))
    return red << 16 | green << 8 | blue


_before: set[psutil.Process] = set()


@pytest.fixture(autouse=True)
def others():
    """Processes that other tests' browsers and servers keep."""
    _before.clear()
    _before.update(psutil.Process().children(recursive=True))


def family() -> list[psutil.Process]:
    return [process for process in psutil.Process().children(recursive=True) if process not in _before]


def servers() -> list[psutil.Process]:
    """The processes at the top of a sandbox, bubblewrap's own left out."""
    return [process for process in family() if "visual_erm.sandbox.forkserver" in " ".join(process.cmdline())]


# What it draws


@pytest.mark.parametrize("layers", LAYERS)
async def test_what_draws_steps_back_behind_who_asked(layers):
    """Also where Linux shares processors out by session: a worker has none of its own."""
    sandbox = make(layers=layers, low_priority=True)
    try:
        await sandbox.render(square(1))
        top = servers()[0]
        drawing = [top, *top.children(recursive=True)]
        assert {process.nice() for process in drawing} == {psutil.Process().nice() + NICER}
        assert {os.getsid(process.pid) for process in drawing} == {top.pid}
        assert nicer_than_other_sessions(top.pid)
    finally:
        await sandbox.close()


@pytest.mark.parametrize("layers", LAYERS)
async def test_every_result_belongs_to_its_job(layers):
    sandbox = make(layers=layers, workers=3)
    try:
        images = await asyncio.gather(*(sandbox.render(square(number)) for number in range(1000, 1060)))
        assert [number_of(image) for image in images] == list(range(1000, 1060))
    finally:
        await sandbox.close()


@contextlib.contextmanager
def one_busy_processor() -> Iterator[None]:
    """All of the sandbox on one processor that another process wants too, and has more right to."""
    processor = min(os.sched_getaffinity(0))
    top = servers()[0]
    # Once more for a worker that was forked just before its server was moved.
    for _ in range(2):
        for process in (top, *top.children(recursive=True)):
            # The last drawing's worker may be gone by now.
            with contextlib.suppress(psutil.NoSuchProcess):
                process.cpu_affinity([processor])
    busy = f"import os; os.sched_setaffinity(0, [{processor}])\nwhile True: pass"
    with subprocess.Popen([sys.executable, "-c", busy], start_new_session=True) as other:
        yield
        other.kill()


WORKS = """
import time
begun = time.process_time()
while time.process_time() < begun + 0.2:
    pass
from matplotlib import pyplot
pyplot.figure(figsize=(1, 1)).text(0, 0, "a")
"""
SLEEPS = "import time; time.sleep(1000)"


@pytest.mark.long
@pytest.mark.skipif(not Path("/proc/self/schedstat").exists(), reason="this kernel does not tell how long a process waits")
@pytest.mark.parametrize("layers", LAYERS)
async def test_a_worker_that_is_kept_waiting_for_a_processor_has_the_time_for_its_drawing_and_no_other_has(layers):
    settings = SandboxSettings(layers=layers, require=("processes",))
    sandbox = Sandbox("chart", {"dpi": 50, "max_pixels": 10**6}, settings, Limits(1.0, 10**6), low_priority=True)
    try:
        await sandbox.render(WORKS)
        with one_busy_processor():
            begun = time.monotonic()
            image = await sandbox.render(WORKS)
            took_s = time.monotonic() - begun
            with pytest.raises(RenderLimit):
                await sandbox.render(SLEEPS)
        assert image.size == (50, 50)
        assert took_s > 1.0, "longer than the limit"
    finally:
        await sandbox.close()


@pytest.mark.long
@pytest.mark.skipif(not Path("/proc/self/schedstat").exists(), reason="this kernel does not tell how long a process waits")
async def test_scripts_that_sleep_are_stopped_at_their_limit_and_not_run_again():
    settings = SandboxSettings(require=("processes",))
    sandbox = Sandbox("chart", {"dpi": 50, "max_pixels": 10**6}, settings, Limits(2.0, 10**6), workers=2)
    try:
        await sandbox.render("from matplotlib import pyplot; pyplot.figure(figsize=(1, 1)).text(0, 0, 'a')")
        begun = time.monotonic()
        results = await asyncio.gather(*(sandbox.render(SLEEPS) for _ in range(6)), return_exceptions=True)
        took_s = time.monotonic() - begun
        assert {type(result) for result in results} == {RenderLimit}
        assert took_s < 12, "three rounds of two seconds; a second attempt of each alone would take twelve more"
    finally:
        await sandbox.close()


@pytest.mark.long
async def test_a_lost_kill_does_not_wait_for_ever_and_replaces_the_server(monkeypatch):
    sandbox = Sandbox(
        "chart",
        {"dpi": 50, "max_pixels": 10**6},
        SandboxSettings(require=("processes",)),
        Limits(1.0, 10**6),
        workers=1,
    )
    tell, lost = ServerProcess.tell, []

    def losing(server, message, *descriptors):
        if "kill" in message and not lost:
            lost.append(server)
            return
        tell(server, message, *descriptors)

    monkeypatch.setattr(ServerProcess, "tell", losing)
    monkeypatch.setattr(host, "KILL_LIMIT_S", 1.0)
    try:
        with pytest.raises(RenderLimit):
            await asyncio.wait_for(sandbox.render(SLEEPS), 60)
        assert lost and lost[0] is not sandbox._server
        assert lost[0].process.poll() is not None
    finally:
        await sandbox.close()


async def test_nothing_is_started_before_the_first_drawing():
    sandbox = make()
    assert family() == []
    await sandbox.close()


async def test_a_fault_of_the_code_has_its_type_and_reason():
    sandbox = make("noop")
    try:
        with pytest.raises(BlankImage, match="nothing is drawn here"):
            await sandbox.render("")
    finally:
        await sandbox.close()


# What it leaves


@pytest.mark.parametrize("layers", LAYERS)
async def test_close_leaves_no_process_and_no_file(layers, temporary):
    sandbox = make(layers=layers)
    await sandbox.render(square(1))
    assert family()
    await sandbox.close()
    await sandbox.close()
    assert family() == []
    assert list(temporary.iterdir()) == []
    with pytest.raises(RendererUnavailable, match="closed"):
        await sandbox.render(square(1))


HOST = """
import asyncio, sys, tempfile
sys.path[:0] = {here!r}
import test_host
tempfile.tempdir = {temporary!r}
async def main():
    await test_host.make(layers={layers!r}).render(test_host.square(1))
    print("drawn", flush=True)
    await asyncio.sleep(600)
asyncio.run(main())
"""


@pytest.mark.parametrize("layers", LAYERS)
async def test_when_its_owner_is_killed_nothing_is_left(layers, temporary):
    source = HOST.format(
        here=[str(Path(__file__).parent), str(Path(__file__).parents[1] / "helpers"), str(Path(__file__).parents[1])],
        temporary=str(temporary),
        layers=layers,
    )
    host = subprocess.Popen([sys.executable, "-c", source], stdout=subprocess.PIPE)
    assert host.stdout.readline() == b"drawn\n"
    below = psutil.Process(host.pid).children(recursive=True)
    assert below
    # The last words of a worker are something that it has not read when it ends.
    host.send_signal(signal.SIGSTOP)
    below[-1].kill()
    below[-1].wait()
    host.kill()
    host.wait()
    _, alive = psutil.wait_procs(below, timeout=20)
    assert alive == []
    # What removes the folder may have begun only then.
    deadline = time.monotonic() + 20
    while list(temporary.iterdir()) and time.monotonic() < deadline:
        await asyncio.sleep(0.1)
    assert list(temporary.iterdir()) == []


async def test_a_drawing_that_is_given_up_takes_its_place_with_it():
    sandbox = make(workers=1)
    try:
        await sandbox.render(square(1))
        for _ in range(5):
            given_up = asyncio.ensure_future(sandbox.render(square(2)))
            await asyncio.sleep(0.001)
            given_up.cancel()
        assert number_of(await asyncio.wait_for(sandbox.render(square(3)), 20)) == 3
    finally:
        await sandbox.close()


# What may befall it


async def test_a_server_that_dies_costs_no_drawing():
    sandbox = make(layers=EVERY[1:])
    try:
        await sandbox.render(square(1))
        drawings = [asyncio.ensure_future(sandbox.render(square(number))) for number in range(40)]
        await asyncio.sleep(0.02)
        for server in servers():
            server.kill()
        assert [number_of(image) for image in await asyncio.gather(*drawings)] == list(range(40))
    finally:
        await sandbox.close()


async def test_a_worker_that_is_killed_from_outside_costs_no_drawing():
    sandbox = make(layers=EVERY[1:], workers=1)
    try:
        await sandbox.render(square(1))
        (server,) = [process for process in servers() if process.children()]
        for worker in server.children():
            os.kill(worker.pid, signal.SIGKILL)
        assert number_of(await sandbox.render(square(2))) == 2
    finally:
        await sandbox.close()


# What it proves


@pytest.mark.parametrize(
    ("layers", "held"),
    [
        (EVERY, {"network", "files", "processes", "memory", "time"}),
        (EVERY[1:], {"network", "files", "processes", "memory", "time"}),
        (("bubblewrap",), {"network", "files", "time"}),
        (("landlock",), {"time"}),
        (("seccomp",), {"network", "processes", "time"}),
        (("rlimits",), {"memory", "time"}),
        ((), {"time"}),
    ],
)
async def test_guarantees_are_what_a_worker_found_by_trying(layers, held):
    if "landlock" not in HERE or (layers == ("bubblewrap",) and "bubblewrap" not in HERE):
        pytest.skip(f"this machine has only {', '.join(HERE)}")
    assert set((await examine(SandboxSettings(layers=layers))).guarantees) == held


async def test_nothing_is_drawn_where_a_required_guarantee_does_not_hold():
    sandbox = make(layers=("rlimits",), require=("network", "processes", "memory"))
    with pytest.raises(RendererUnavailable, match=r"does not guarantee network, processes; .*seccomp: switched off"):
        await sandbox.render(square(1))
    assert family() == []
    await sandbox.close()


async def test_the_environment_of_the_trainer_is_nowhere_in_the_sandbox(monkeypatch):
    monkeypatch.setenv("VISUAL_ERM_API_KEY", "a-secret")
    sandbox = make()
    try:
        await sandbox.render(square(1))
        seen = [Path(f"/proc/{process.pid}/environ").read_bytes() for process in family()]
        assert seen
        assert all(b"a-secret" not in environment for environment in seen)
    finally:
        await sandbox.close()
