from __future__ import annotations

import asyncio
import itertools
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from chromium import browsers, html, is_browser, is_tab, small_table
from marked import nicer_than_other_sessions

from visual_erm.errors import RendererUnavailable, RenderLimit, VisualERMError
from visual_erm.kinds.table import TableSettings
from visual_erm.render import browser
from visual_erm.render.browser_process import Tab
from visual_erm.render.chromium import find_chromium, renderer_version_of
from visual_erm.render.table import TableRenderer
from visual_erm.runtime.cpu_priority import NICER

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the browser keeps its profile during the test."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    return folder


def program(path: Path, text: str = "#!/bin/sh\n") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)
    return path


@pytest.fixture
def bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine without any Chromium; its programs are in the folder `bin`, Playwright's downloads in `downloads`."""
    monkeypatch.delenv("VISUAL_ERM_CHROMIUM", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setenv("PLAYWRIGHT_BROWSERS_PATH", str(tmp_path / "downloads"))
    return tmp_path


class TestFindChromium:
    def test_no_chromium_is_ours_and_names_the_fix(self, bare: Path) -> None:
        with pytest.raises(RendererUnavailable, match=r"make setup.*playwright install"):
            find_chromium()

    def test_the_environment_variable_wins(self, bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        program(bare / "bin" / "chromium-headless-shell")
        chosen = program(bare / "mine")
        monkeypatch.setenv("VISUAL_ERM_CHROMIUM", str(chosen))
        assert find_chromium() == chosen

    def test_a_wrong_environment_variable_is_named(self, bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        program(bare / "bin" / "chromium-headless-shell")
        monkeypatch.setenv("VISUAL_ERM_CHROMIUM", "/nowhere/chrome")
        with pytest.raises(RendererUnavailable, match="VISUAL_ERM_CHROMIUM=/nowhere/chrome"):
            find_chromium()

    def test_headless_shells_come_before_full_browsers(self, bare: Path) -> None:
        program(bare / "bin" / "chromium")
        shell = program(bare / "bin" / "chromium-headless-shell")
        assert find_chromium() == shell

    def test_the_systems_comes_before_playwrights(self, bare: Path) -> None:
        program(bare / "downloads" / "chromium_headless_shell-1200" / "chrome-linux" / "headless_shell")
        system = program(bare / "bin" / "google-chrome")
        assert find_chromium() == system

    def test_the_newest_of_playwrights_downloads_is_taken(self, bare: Path) -> None:
        for revision in (999, 1200, 1100):
            program(bare / "downloads" / f"chromium_headless_shell-{revision}" / "shell-linux64" / "chrome-headless-shell")
        assert "-1200/" in find_chromium().as_posix()

    def test_ubuntus_stub_for_a_snap_is_passed_over(self, bare: Path) -> None:
        program(bare / "bin" / "chromium-browser", "#!/bin/sh\nexec /snap/bin/chromium\n")
        with pytest.raises(RendererUnavailable):
            find_chromium()

    def test_the_engine_has_name_and_version(self) -> None:
        name, version = renderer_version_of(find_chromium()).split()
        assert name == find_chromium().name
        assert int(version.split(".")[0]) > 100

    def test_a_program_that_is_no_chromium_has_no_engine(self, tmp_path: Path) -> None:
        with pytest.raises(RendererUnavailable, match="gives no version"):
            renderer_version_of(program(tmp_path / "chromium"))


async def test_a_chromium_that_does_not_start_is_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: TableSettings
) -> None:
    before = psutil.Process().children(recursive=True)
    monkeypatch.setenv("VISUAL_ERM_CHROMIUM", str(program(tmp_path / "chromium", "#!/bin/sh\nexit 1\n")))
    renderer = TableRenderer(settings)
    with pytest.raises(RendererUnavailable, match="does not start"):
        await renderer.render(small_table(1))
    await renderer.close()
    assert psutil.Process().children(recursive=True) == before


async def test_nothing_is_started_before_the_first_render(settings: TableSettings) -> None:
    renderer = TableRenderer(settings)
    assert browsers() == []
    await renderer.close()


async def test_the_browser_steps_back_behind_who_asked(settings: TableSettings) -> None:
    renderer = TableRenderer(settings, low_priority=True)
    await renderer.render(small_table(1))
    nice, alone = the_browser().nice(), nicer_than_other_sessions(the_browser().pid)
    await renderer.close()
    assert nice == psutil.Process().nice() + NICER
    assert alone


def the_browser() -> psutil.Process:
    return browsers()[0]


def a_tab() -> psutil.Process:
    return next(process for process in psutil.Process().children(recursive=True) if is_tab(process))


def the_driver() -> psutil.Process:
    return next(process for process in psutil.Process().children() if is_browser_below(process))


def is_browser_below(process: psutil.Process) -> bool:
    return any(map(is_browser, process.children(recursive=True)))


@pytest.mark.long
@pytest.mark.parametrize("victim", [the_browser, a_tab, the_driver])
async def test_none_of_100_renders_is_lost_when_a_process_is_killed_again_and_again(
    victim: Callable[[], psutil.Process], settings: TableSettings, temporary: Path
) -> None:
    renderer = TableRenderer(settings, pages=2)
    expected = await renderer.render(small_table(42))
    done = 0

    async def draw(seed: int) -> bytes:
        nonlocal done
        image = await renderer.render(small_table(seed))
        done += 1
        if done in (10, 45, 80):
            victim().send_signal(signal.SIGKILL)
        return image.tobytes()

    images = await asyncio.gather(*(draw(seed) for seed in range(100)))
    assert len(set(images)) == 100
    assert images[42] == expected.tobytes()
    await renderer.close()
    assert list(temporary.glob("*profile*")) == []


async def test_close_leaves_no_process_and_no_file(temporary: Path, settings: TableSettings) -> None:
    before = psutil.Process().children(recursive=True)
    renderer = TableRenderer(settings)
    await renderer.render(small_table(1))
    started = [process for process in psutil.Process().children(recursive=True) if process not in before]
    assert any(map(is_browser, started))
    assert list(temporary.iterdir()), "the browser keeps its profile where this test looks"
    await renderer.close()
    assert [process for process in started if alive(process)] == []
    assert list(temporary.iterdir()) == []


async def test_close_ends_a_browser_that_does_not_listen(settings: TableSettings) -> None:
    before = psutil.Process().children(recursive=True)
    renderer = TableRenderer(settings)
    await renderer.render(small_table(1))
    started = [process for process in psutil.Process().children(recursive=True) if process not in before]
    the_browser().suspend()
    await renderer.close()
    assert [process for process in started if alive(process)] == []


async def test_close_may_come_twice_and_ends_what_is_in_flight(settings: TableSettings) -> None:
    renderer = TableRenderer(settings)
    await renderer.render(small_table(1))
    in_flight = asyncio.gather(*(renderer.render(small_table(seed)) for seed in range(50)), return_exceptions=True)
    await asyncio.sleep(0)
    await renderer.close()
    await renderer.close()
    assert {type(result) for result in await in_flight} == {RendererUnavailable}
    with pytest.raises(RendererUnavailable, match="closed"):
        await renderer.render(small_table(1))


async def test_a_cancelled_render_leaves_the_renderer_whole(settings: TableSettings) -> None:
    renderer = TableRenderer(settings, pages=1)
    expected = await renderer.render(small_table(1))
    for moment in (0, 0.005, 0.02):
        task = asyncio.create_task(renderer.render(small_table(2)))
        await asyncio.sleep(moment)
        task.cancel()
    assert (await renderer.render(small_table(1))).tobytes() == expected.tobytes()
    await renderer.close()


OWNER = """
import asyncio, sys
from visual_erm.extract import Code
from visual_erm.render.table import TableRenderer
from visual_erm.kinds.table import TableSettings
from visual_erm.render import table

# A page that says so keeps its process busy by a function of ours.
table.PLACE = table.PLACE.replace("=> {", "=> { while (markup.includes('busy')) {}", 1)

async def main():
    renderer = TableRenderer(TableSettings(timeout_s=600))
    await renderer.render(Code("html", "<table><td>1</table>"))
    busy = [asyncio.create_task(renderer.render(Code("html", f"<p>busy {text}"))) for text in sys.argv[1:]]
    await asyncio.sleep(0.5)
    print("drawing", flush=True)
    await asyncio.sleep(600)

asyncio.run(main())
"""


@pytest.mark.parametrize("busy", [[], ["a", "b"]], ids=["idle", "in the middle of renders"])
def test_the_browser_goes_when_its_owner_is_killed(temporary: Path, busy: list[str]) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    owner = subprocess.Popen([sys.executable, "-c", OWNER, *busy], stdout=subprocess.PIPE, env=environment)
    family: list[psutil.Process] = []
    try:
        assert owner.stdout is not None
        assert owner.stdout.readline() == b"drawing\n"
        family = psutil.Process(owner.pid).children(recursive=True)
        assert any(map(is_browser, family))
        owner.kill()
        owner.communicate()
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and (any(map(alive, family)) or list(temporary.iterdir())):
            time.sleep(0.1)
        assert [process for process in family if alive(process)] == []
        assert list(temporary.iterdir()) == []
    finally:
        for process in filter(alive, [*family, *([psutil.Process(owner.pid)] if owner.poll() is None else [])]):
            process.kill()


def alive(process: psutil.Process) -> bool:
    """Not yet ended; a zombie that nobody collects (a container without an init process) has ended."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


async def test_the_hundredth_caller_waits_for_a_tab_and_no_more_are_opened(settings: TableSettings) -> None:
    renderer = TableRenderer(settings, pages=2)
    await asyncio.gather(*(renderer.render(html(f"<table><td>{seed}</table>")) for seed in range(100)))
    assert len([process for process in psutil.Process().children(recursive=True) if is_tab(process)]) <= 2
    await renderer.close()


async def ended_by(number: signal.Signals, patch: pytest.MonkeyPatch, kills: Iterator[int]) -> VisualERMError:
    """How a page is judged whose process gets a signal at every attempt. `kills`: what the kernel says of its own kills."""
    warm = browser.WarmBrowser()
    patch.setattr(browser, "_killed_for_memory", lambda: next(kills))

    async def job(tab: Tab) -> None:
        await tab.show("<p>a page")
        for process in filter(is_tab, psutil.Process().children(recursive=True)):
            process.send_signal(number)
        # The loss ends this. A browser that is asked about a lost page may die before it says how the page ended.
        await asyncio.Event().wait()

    try:
        await warm.render(job, 10)
    except VisualERMError as error:
        return error
    finally:
        await warm.close()
    raise AssertionError("it was rendered")


@pytest.mark.long
async def test_a_page_that_is_killed_at_every_attempt_is_no_fault_of_the_policy(monkeypatch: pytest.MonkeyPatch) -> None:
    error = await ended_by(signal.SIGKILL, monkeypatch, itertools.repeat(3))
    assert isinstance(error, RendererUnavailable)
    assert str(error) == "4 attempts failed, by a signal: the page was killed"


@pytest.mark.long
@pytest.mark.parametrize(
    ("number", "kills"),
    [(signal.SIGKILL, itertools.count()), (signal.SIGSEGV, itertools.repeat(3)), (signal.SIGTRAP, itertools.repeat(3))],
    ids=["killed for its memory", "crashed", "trapped"],
)
async def test_a_page_that_ends_by_its_memory_or_crashes_is_the_policys(
    number: signal.Signals, kills: Iterator[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert isinstance(await ended_by(number, monkeypatch, kills), RenderLimit)


def test_the_kernel_says_how_many_processes_it_killed() -> None:
    assert browser._killed_for_memory() >= 0


LEFT = ["playwright-artifacts-abc", "playwright_chromiumdev_profile-abc", "playwright-artifacts-"]


def test_folders_that_a_killed_playwright_left_are_removed_when_a_browser_starts(
    temporary: Path, settings: TableSettings
) -> None:
    for name in (*LEFT, "playwright-artifacts-new", "other-artifacts-abc", "outside"):
        (temporary / name / "Default").mkdir(parents=True)
        os.utime(temporary / name, (1, 1))
    os.utime(temporary / "playwright-artifacts-new")
    (temporary / "playwright-artifacts-link").symlink_to(temporary / "outside")
    (temporary / "playwright-artifacts-file").touch()
    if os.geteuid() == 0:
        (temporary / "playwright-artifacts-another").mkdir()
        os.chown(temporary / "playwright-artifacts-another", 65534, -1)
        os.utime(temporary / "playwright-artifacts-another", (1, 1))
    kept = {path for path in temporary.iterdir() if path.name not in LEFT}

    async def start() -> None:
        renderer = TableRenderer(settings)
        await renderer.render(small_table(1))
        await renderer.close()

    asyncio.run(start())
    assert {*temporary.iterdir()} == kept
    assert (temporary / "outside" / "Default").is_dir()


@pytest.mark.long
async def test_what_a_driver_that_is_killed_leaves_is_removed_by_a_later_browser(
    temporary: Path, settings: TableSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    for victims in ([the_driver], [the_driver, the_browser]):
        renderer = TableRenderer(settings)
        await renderer.render(small_table(1))
        for process in [victim() for victim in victims]:
            process.kill()
        await renderer.close()
    left = list(temporary.iterdir())
    # Processes of other tests may be older than these folders.
    for path in left:
        os.utime(path, (1, 1))
    renderer = TableRenderer(settings)
    await renderer.render(small_table(1))
    assert not [path for path in left if path.exists()]
    await renderer.close()
    assert list(temporary.iterdir()) == []
