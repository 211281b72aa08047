"""Odd pictures and pages beside honest samples: a few of those of benchmarks/odd_pictures.py.

Here they are checked for results alone. How long honest samples wait depends on what else the machine does.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.append(str(ROOT / "benchmarks"))

import odd_pictures  # noqa: E402
from odd_pictures import Found, pages_beside, problems, run_beside  # noqa: E402

from visual_erm.errors import Illegible, JudgeUnavailable, RenderLimit  # noqa: E402


async def five() -> object:
    await asyncio.sleep(0.01)
    return 5


def fails(error: Exception) -> Callable[[], Awaitable[object]]:
    async def work() -> object:
        await asyncio.sleep(0.02)
        raise error

    return work


async def test_faults_of_the_policy_are_counted_and_those_of_others_are_wrong() -> None:
    works = [five, fails(Illegible("a")), fails(RenderLimit("b")), fails(JudgeUnavailable("c"))]
    found = await run_beside(iter([(f"odd {number}", work) for number, work in enumerate(works)]), five)
    assert found.outcomes == {"read": 1, "Illegible": 1, "RenderLimit": 1, "JudgeUnavailable": 1}
    assert found.faults == ["odd 3: JudgeUnavailable: c"]


async def test_an_honest_sample_with_another_result_is_wrong() -> None:
    results = iter(range(99))

    async def changes() -> object:
        return next(results)

    found = await run_beside(iter([("odd", five)]), changes)
    assert found.faults == ["an honest sample got another result"]


async def test_who_holds_the_event_loop_is_named() -> None:
    async def holds() -> object:
        await asyncio.sleep(0.02)
        time.sleep(0.2)
        await asyncio.sleep(0.02)
        return None

    found = await run_beside(iter([("calm", five), ("rude", holds)]), five)
    assert any("ms during rude" in sentence for sentence in problems(found))


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (Found(waits_s=[0.1, 3.3], alone_s=0.1), "waited 3.2 s longer"),
        (Found(held_s=[(0.01, "a"), (0.3, "b")]), "300 ms during b"),
        (Found(memory=[100 << 20] * 100 + [120 << 20]), "from 100 to 120 MB"),
    ],
)
def test_each_bound_is_checked(found: Found, words: str) -> None:
    [sentence] = problems(found)
    assert words in sentence
    assert problems(Found(waits_s=[0.1], held_s=[(0.01, "a")], memory=[100 << 20] * 200)) == []


@pytest.mark.long
async def test_browsers_that_are_stopped_cost_no_honest_page_its_image(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(odd_pictures, "STOP_EVERY", 4)
    found = await pages_beside(10, 0)
    assert found.faults == []
    assert found.outcomes["read"] >= 4


@pytest.mark.long
def test_the_command_prints_what_it_did(tmp_path: Path) -> None:
    command = [sys.executable, str(ROOT / "benchmarks" / "odd_pictures.py"), "--pictures", "6", "--pages", "3"]
    done = subprocess.run([*command, "--json", str(tmp_path / "figures")], capture_output=True, text=True, check=False)
    assert '"honest_longest_s"' in done.stdout, done.stderr
    assert (tmp_path / "figures").exists()
    assert "honest sample got another" not in done.stdout
    assert "Unavailable" not in done.stdout
