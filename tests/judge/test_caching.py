"""Calls that are not made: for equal images, for equal pairs at the same time, and for pairs judged before."""

import asyncio
import json
import sqlite3

import pytest
from openai_server import OpenAIServer, completion, held, serving, status
from PIL import Image
from ports import free_port

from visual_erm.errors import JudgeUnavailable
from visual_erm.judge.base import make_judge
from visual_erm.judge.usage import JudgeUsage
from visual_erm.spec.judge import JudgeSettings, ReuseSettings
from visual_erm.spec.task import load_task

TABLE = load_task("table")
ERROR = {"type": "numeric_error", "description": "12.5 became 12.6", "severity": 3}
GOOD = completion(
    json.dumps({"layout_error_count": 0, "text_error_count": 0, "numeric_error_count": 1, "errors": [ERROR]}), "length"
)
REFERENCE = Image.new("RGB", (40, 30), "white")


def drawn(number: int) -> Image.Image:
    return Image.new("RGB", (40, 30), (number, 0, 0))


def judge(server: OpenAIServer, model: str = "visual-erm", timeout: float = 0.3, **reuse):
    return make_judge(
        JudgeSettings(
            kind="remote",
            endpoints=(server.url,),
            unavailable_timeout_s=timeout,
            model=model,
            reuse=ReuseSettings(**reuse),
            structured=False,
        )
    )


async def test_the_same_image_has_no_discrepancy_and_costs_no_call():
    async with OpenAIServer(GOOD) as server:
        caching, usage = judge(server), JudgeUsage()
        assert (await caching.judge(REFERENCE, REFERENCE.copy(), TABLE, usage)).severity == 0
        assert (usage.identical, usage.calls, server.bodies) == (1, 0, [])
        await caching.close()
        asking = judge(server, identical=False)
        assert (await asking.judge(REFERENCE, REFERENCE.copy(), TABLE)).severity == 3
        await asking.close()


async def test_one_pixel_is_a_difference():
    almost = REFERENCE.copy()
    almost.putpixel((39, 29), (255, 255, 254))
    async with OpenAIServer(GOOD) as server:
        caching = judge(server)
        assert (await caching.judge(REFERENCE, almost, TABLE)).severity == 3
        await caching.close()


async def test_equal_pairs_at_the_same_time_share_one_call_and_its_report():
    async with OpenAIServer(held(GOOD)) as server:
        caching, usages = judge(server, cache=False), [JudgeUsage() for _ in range(8)]
        waiting = [
            asyncio.create_task(caching.judge(REFERENCE.copy(), drawn(n % 2), TABLE, usage))
            for n, usage in enumerate(usages)
        ]
        while server.in_flight < 2:
            await asyncio.sleep(0.01)
        server.released.set()
        reports = await asyncio.gather(*waiting)
        await caching.close()
    assert [report.severity for report in reports] == [3] * 8 and all(report.truncated for report in reports)
    assert len(server.bodies) == 2
    assert (sum(usage.shared for usage in usages), sum(usage.calls for usage in usages)) == (6, 2)


@pytest.mark.parametrize("switched_off", [{"shared": False, "cache": False}])
async def test_switched_off_every_sample_is_asked(switched_off):
    async with OpenAIServer(GOOD) as server:
        asking = judge(server, **switched_off)
        await asyncio.gather(*(asking.judge(REFERENCE, drawn(1), TABLE) for _ in range(5)))
        await asking.close()
    assert len(server.bodies) == 5


async def test_who_is_cancelled_does_not_take_the_call_from_those_that_share_it():
    async with OpenAIServer(held(GOOD)) as server:
        caching = judge(server)
        first, second = (asyncio.create_task(caching.judge(REFERENCE, drawn(1), TABLE)) for _ in range(2))
        while not server.in_flight:
            await asyncio.sleep(0.01)
        first.cancel()
        server.released.set()
        assert (await second).severity == 3
        await caching.close()


async def test_a_call_that_nobody_waits_for_is_ended():
    async with OpenAIServer(held(GOOD)) as server:
        caching = judge(server)
        waiting = [asyncio.create_task(caching.judge(REFERENCE, drawn(1), TABLE)) for _ in range(2)]
        while not server.in_flight:
            await asyncio.sleep(0.01)
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
        while server.in_flight:
            await asyncio.sleep(0.01)
        await caching.close()


async def test_failures_are_shared_and_not_remembered():
    async with OpenAIServer(status(422, "no")) as server:
        caching = judge(server)
        outcomes = await asyncio.gather(
            *(caching.judge(REFERENCE, drawn(1), TABLE) for _ in range(4)), return_exceptions=True
        )
        assert all(isinstance(outcome, JudgeUnavailable) for outcome in outcomes)
        server.script[:] = [GOOD]
        assert (await caching.judge(REFERENCE, drawn(1), TABLE)).severity == 3
        await caching.close()


def changed(**judge_changes):
    plain = TABLE.model_dump()
    plain["judge"] |= judge_changes
    return load_task(plain)


async def test_a_pair_judged_before_is_not_judged_again_unless_something_that_matters_changed():
    async with OpenAIServer(GOOD) as server:
        caching = judge(server)
        for _ in range(3):
            usage = JudgeUsage()
            report = await caching.judge(REFERENCE, drawn(1), TABLE, usage)
        assert (report.severity, report.truncated, usage.cached, usage.calls) == (3, True, 1, 0)
        assert len(server.bodies) == 1
        await caching.judge(drawn(1), REFERENCE, TABLE)
        await caching.judge(REFERENCE, drawn(1), changed(prompt="Look closer."))
        await caching.judge(REFERENCE, drawn(1), changed(sampling={"temperature": 0.5, "max_tokens": 9}))
        assert len(server.bodies) == 4
        await caching.close()


async def test_the_cache_is_bounded_and_the_oldest_goes_first():
    async with OpenAIServer(GOOD) as server:
        caching = judge(server, cache_size=2)
        for number in (1, 2, 3, 3, 2, 1):
            await caching.judge(REFERENCE, drawn(number), TABLE)
        await caching.close()
    assert len(server.bodies) == 4


async def test_on_disk_reports_outlive_the_run_and_are_bounded(tmp_path):
    folder = {"cache_dir": str(tmp_path / "cache"), "cache_size": 3}
    async with OpenAIServer(GOOD) as server:
        first = judge(server, **folder)
        reports = [await first.judge(REFERENCE, drawn(number), TABLE) for number in range(5)]
        await first.close()
        second, usage = judge(server, **folder), JudgeUsage()
        assert await second.judge(REFERENCE, drawn(4), TABLE, usage) == reports[4]
        assert (usage.cached, len(server.bodies)) == (1, 5)
        await second.judge(REFERENCE, drawn(0), TABLE)
        assert len(server.bodies) == 6
        await second.close()
        other_model = judge(server, model="other", **folder)
        await other_model.judge(REFERENCE, drawn(4), TABLE)
        assert len(server.bodies) == 7
        await other_model.close()


async def test_two_workers_may_use_one_file(tmp_path):
    async with OpenAIServer(GOOD) as server:
        workers = [judge(server, cache_dir=str(tmp_path)) for _ in range(2)]
        await asyncio.gather(*(w.judge(REFERENCE, drawn(n), TABLE) for w in workers for n in range(20)))
        await asyncio.gather(*(w.close() for w in workers))
        third = judge(server, cache_dir=str(tmp_path))
        known = len(server.bodies)
        await asyncio.gather(*(third.judge(REFERENCE, drawn(n), TABLE) for n in range(20)))
        await third.close()
    assert len(server.bodies) == known


@pytest.mark.parametrize("broken", ["no database", "a report that is none", "a folder that cannot be made"])
async def test_a_broken_file_only_costs_calls(tmp_path, broken, caplog):
    folder = tmp_path / "cache"
    async with OpenAIServer(GOOD) as server:
        if broken == "no database":
            folder.mkdir()
            (folder / "judgements.sqlite").write_bytes(b"not a database at all" * 99)
        elif broken == "a folder that cannot be made":
            folder.write_text("in the way")
        else:
            before = judge(server, cache_dir=str(folder))
            await before.judge(REFERENCE, drawn(1), TABLE)
            await before.close()
            with sqlite3.connect(folder / "judgements.sqlite") as file:
                file.execute("update reports set report = '{]'")
        caching = judge(server, cache_dir=str(folder))
        assert (await caching.judge(REFERENCE, drawn(1), TABLE)).severity == 3
        assert (await caching.judge(REFERENCE, drawn(2), TABLE)).severity == 3
        await caching.close()
    assert str(folder) in caplog.text


async def test_another_checkpoint_under_the_same_name_gets_no_old_reports(tmp_path):
    folder = {"cache_dir": str(tmp_path)}
    for root, calls in [("/models/one", 1), ("/models/one", 0), ("/models/two", 1)]:
        async with OpenAIServer(GOOD, routes=serving("visual-erm", root=root)) as server:
            caching = judge(server, **folder)
            await caching.judge(REFERENCE, drawn(1), TABLE)
            await caching.close()
        assert len(server.bodies) == calls, root


async def test_a_report_of_another_format_is_no_report_of_this_one(tmp_path):
    async with OpenAIServer(GOOD) as server:
        caching = judge(server, cache_dir=str(tmp_path))
        await caching.judge(REFERENCE, drawn(1), TABLE)
        plain = TABLE.model_dump()
        plain["report"]["max_discrepancies"] = 5
        await caching.judge(REFERENCE, drawn(1), load_task(plain))
        await caching.close()
    assert len(server.bodies) == 2


async def test_a_report_is_not_kept_where_the_checkpoint_changed_during_the_call(tmp_path):
    folder = {"cache_dir": str(tmp_path)}
    port = free_port()
    async with OpenAIServer(GOOD, port=port, routes=serving("visual-erm", root="/models/one")) as server:
        caching = judge(server, timeout=5, **folder)
        await caching.judge(REFERENCE, drawn(1), TABLE)
    # Judged by the checkpoint that comes, asked for under the one that went.
    waiting = asyncio.create_task(caching.judge(REFERENCE, drawn(2), TABLE))
    await asyncio.sleep(0.2)
    async with OpenAIServer(GOOD, port=port, routes=serving("visual-erm", root="/models/two")):
        await waiting
        await caching.close()
    async with OpenAIServer(GOOD, port=port, routes=serving("visual-erm", root="/models/one")) as server:
        again = judge(server, **folder)
        for number in (1, 2):
            await again.judge(REFERENCE, drawn(number), TABLE)
        await again.close()
    assert len(server.bodies) == 1, "only the first was judged by this checkpoint"


async def test_while_no_server_has_said_its_checkpoint_no_report_on_disk_is_used(tmp_path):
    async with OpenAIServer(GOOD, routes=serving("visual-erm", root="/models/one")) as server:
        before = judge(server, cache_dir=str(tmp_path))
        await before.judge(REFERENCE, drawn(1), TABLE)
        await before.close()
    nobody = judge(server, cache_dir=str(tmp_path))
    with pytest.raises(JudgeUnavailable):
        await nobody.judge(REFERENCE, drawn(1), TABLE)
    await nobody.close()


async def test_two_formats_of_one_report_do_not_share_a_call_under_way():
    plain = TABLE.model_dump()
    plain["report"]["max_discrepancies"] = 5
    async with OpenAIServer(held(GOOD)) as server:
        caching = judge(server)
        waiting = [
            asyncio.create_task(caching.judge(REFERENCE, drawn(1), task)) for task in (TABLE, TABLE, load_task(plain))
        ]
        while server.in_flight < 2:
            await asyncio.sleep(0.01)
        server.released.set()
        await asyncio.gather(*waiting)
        await caching.close()
    assert len(server.bodies) == 2
