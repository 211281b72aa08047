"""Comparisons in processes of their own: no text, however hostile, holds up the event loop or stays."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys

import psutil
import pytest

from visual_erm.baselines.similarity import Similarity
from visual_erm.baselines.worker_pool import Workers
from visual_erm.errors import ComparisonFailed, ConfigError

SAME = Similarity(1.0)
CELL = "<table><tr><td>{}</td></tr></table>"


def large(rows: int, fill: str) -> str:
    lines = (f"<td>{fill}{row}</td>" * 12 for row in range(rows))
    return f"<table>{''.join(f'<tr>{line}</tr>' for line in lines)}</table>"


def comparers() -> list[psutil.Process]:
    return [child for child in psutil.Process().children() if "baselines.worker_pool" in " ".join(child.cmdline())]


async def test_the_loop_goes_on_while_tables_are_compared_and_one_over_its_time_is_given_up():
    workers = Workers(2, timeout_s=0.5)
    beats = 0

    async def heartbeat() -> None:
        nonlocal beats
        while True:
            await asyncio.sleep(0.01)
            beats += 1

    beating = asyncio.create_task(heartbeat())
    slow = asyncio.create_task(
        workers.compare(measure="teds", prediction=large(60, "a"), truth=large(60, "b"), header_text=True)
    )
    quick = [workers.compare(measure="edit_distance", prediction=f"a{n}", truth="ab") for n in range(20)]
    assert all(0 < found.value < 1 for found in await asyncio.gather(*quick))
    with pytest.raises(ComparisonFailed, match=r"took more than 0\.5 s of CPU time"):
        await slow
    beating.cancel()
    assert beats > 10, "half a second of comparing on the loop itself would leave it none"
    assert await workers.compare(measure="teds", prediction=CELL.format(1), truth=CELL.format(1), header_text=True) == SAME
    assert 1 <= len(comparers()) <= 2
    await workers.close()
    await workers.close()
    assert not comparers()


async def test_a_process_that_dies_costs_its_comparison_and_no_other():
    workers = Workers(1, timeout_s=20)
    assert await workers.compare(measure="edit_distance", prediction="a", truth="a") == SAME
    process = comparers()[0]
    idle = process.cpu_times().user
    slow = asyncio.create_task(
        workers.compare(measure="teds", prediction=large(60, "a"), truth=large(60, "b"), header_text=True)
    )
    while process.cpu_times().user < idle + 0.1:
        await asyncio.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    with pytest.raises(ComparisonFailed, match="lost its process"):
        await slow
    assert await workers.compare(measure="edit_distance", prediction="a", truth="a") == SAME
    with pytest.raises(ConfigError, match="the ground truth holds no table"):
        await workers.compare(measure="teds", prediction="<p>1</p>", truth="41", header_text=True)
    await workers.close()


def test_processes_end_with_a_reward_worker_that_is_killed():
    code = (
        "import asyncio, psutil, sys\n"
        "from visual_erm.baselines.worker_pool import Workers\n"
        "async def main():\n"
        "    await Workers(1, 20).compare(measure='edit_distance', prediction='a', truth='a')\n"
        "    print(psutil.Process().children()[0].pid, flush=True)\n"
        "    await asyncio.sleep(60)\n"
        "asyncio.run(main())\n"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, env=os.environ) as parent:
        assert parent.stdout
        child = psutil.Process(int(parent.stdout.readline()))
        parent.kill()
    child.wait(timeout=20)
