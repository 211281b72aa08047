"""The benchmark of a step of rewards, and the endpoints that it is timed against."""

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

ROOT = Path(__file__).resolve().parents[1]
sys.path.append(str(ROOT / "benchmarks"))

from step_bounds import busy, full, planned  # noqa: E402
from step_samples import REPLIES, ROLLOUTS, samples  # noqa: E402
from vllm_simulator import Endpoint, Fault, Served, endpoints, served  # noqa: E402

from visual_erm.reward.report import parse_report, report_schema  # noqa: E402
from visual_erm.spec.task import load_tasks  # noqa: E402

TASKS = load_tasks("mixed")


def body(number: int, task: str = "svg", model: str = "visual-erm") -> dict[str, Any]:
    """A request about a pair of images, as far as the simulator looks at it."""
    urls = ["data:image/png;base64,AAAA", f"data:image/png;base64,{number:04}"]
    content = [{"type": "image_url", "image_url": {"url": url}} for url in urls]
    schema = {"name": "report", "schema": report_schema(TASKS[task].report)}
    form = {"type": "json_schema", "json_schema": schema}
    return {"model": model, "messages": [{"role": "user", "content": content}], "response_format": form}


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as one:
        yield one


async def ask(session: aiohttp.ClientSession, endpoint: Endpoint, asked: dict[str, Any]) -> tuple[int, str]:
    """Status and text of an answer."""
    async with session.post(f"{endpoint.url}/chat/completions", json=asked) as answer:
        return answer.status, await answer.text()


def text(answer: str) -> str:
    return str(json.loads(answer)["choices"][0]["message"]["content"])


@pytest.mark.parametrize("task", TASKS)
async def test_reports_keep_to_the_tasks_format_and_depend_on_the_images_alone(
    session: aiohttp.ClientSession, task: str
) -> None:
    async with endpoints(2, median_s=0.001) as both:
        first = [text((await ask(session, both[0], body(number, task)))[1]) for number in range(8)]
        again = [text((await ask(session, both[1], body(number, task)))[1]) for number in range(8)]
    assert first == again
    assert len(set(first)) == 8
    for found in first:
        report = parse_report(found, TASKS[task].report)
        assert report.severity > 0
        assert json.dumps(report.wire(TASKS[task].report)) == found


async def test_equal_images_have_an_empty_report(session: aiohttp.ClientSession) -> None:
    equal = body(0)
    equal["messages"][0]["content"][1] = equal["messages"][0]["content"][0]
    async with Endpoint(median_s=0.001) as endpoint:
        report = parse_report(text((await ask(session, endpoint, equal))[1]), TASKS["svg"].report)
    assert report.severity == 0


async def test_no_more_requests_than_slots_at_a_time_and_the_others_in_order(session: aiohttp.ClientSession) -> None:
    async with Endpoint(median_s=0.02, slots=2) as endpoint:
        waiting = []
        for number in range(9):
            waiting.append(asyncio.create_task(ask(session, endpoint, body(number))))
            await asyncio.sleep(0.002)
        assert [status for status, _ in await asyncio.gather(*waiting)] == [200] * 9
        told = await endpoint.stats()
    done = list(served(told))
    for one in done:
        assert sum(other.started <= one.started < other.ended for other in done) <= 2
    by_arrival = sorted(done, key=lambda one: one.arrived)
    assert [one.started for one in by_arrival] == sorted(one.started for one in done)
    assert told["running"] == 0
    assert told["busy_s"] == pytest.approx(sum(one.ended - one.started for one in done), rel=0.2)


async def test_who_goes_away_leaves_the_slot_to_the_next(session: aiohttp.ClientSession) -> None:
    async with Endpoint(median_s=30, sigma=0, slots=1) as endpoint:
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(ask(session, endpoint, body(0)), 0.5)
        for _ in range(100):
            told = await endpoint.stats()
            if told["given_up"]:
                break
            await asyncio.sleep(0.05)
    assert (told["given_up"], told["running"], told["served"]) == (1, 0, [])


async def test_the_latency_of_a_pair_is_the_same_everywhere(session: aiohttp.ClientSession) -> None:
    async with endpoints(2, median_s=0.2) as both:
        for endpoint in both:
            await asyncio.gather(*(ask(session, endpoint, body(number)) for number in range(6)))
        times = [
            [one.pair for one in sorted(served(await endpoint.stats()), key=lambda one: one.ended - one.started)]
            for endpoint in both
        ]
    assert times[0][0] == times[1][0]
    assert times[0][-1] == times[1][-1]


async def test_a_wrong_model_and_a_request_without_a_schema_are_refused(session: aiohttp.ClientSession) -> None:
    without = body(0)
    del without["response_format"]
    async with Endpoint(median_s=0.001) as endpoint:
        assert (await ask(session, endpoint, body(0, model="other")))[0] == 404
        assert (await ask(session, endpoint, without))[0] == 400


async def health(session: aiohttp.ClientSession, endpoint: Endpoint) -> int:
    """The status of `/health`; 0 when none comes."""
    try:
        async with session.get(endpoint.url.replace("/v1", "/health"), timeout=aiohttp.ClientTimeout(0.5)) as answer:
            return answer.status
    except (asyncio.TimeoutError, aiohttp.ClientError):
        return 0


async def test_a_dead_endpoint_is_gone(session: aiohttp.ClientSession) -> None:
    async with Endpoint(median_s=0.001) as endpoint:
        assert endpoint.alive
        await endpoint.misbehave(Fault.dead)
        assert not endpoint.alive
        with pytest.raises(aiohttp.ClientError):
            await ask(session, endpoint, body(0))


@pytest.mark.parametrize(("fault", "said"), [(Fault.stalled, 0), (Fault.wedged, 200)])
async def test_a_hanging_endpoint_answers_nothing_until_it_goes_on(
    session: aiohttp.ClientSession, fault: Fault, said: int
) -> None:
    async with Endpoint(median_s=0.05) as endpoint:
        under_way = asyncio.create_task(ask(session, endpoint, body(0)))
        await asyncio.sleep(0.01)
        await endpoint.misbehave(fault)
        later = asyncio.create_task(ask(session, endpoint, body(1)))
        assert await health(session, endpoint) == said
        await asyncio.sleep(0.3)
        assert not later.done()
        await endpoint.misbehave(Fault.none)
        assert [status for status, _ in await asyncio.gather(under_way, later)] == [200, 200]
        assert await health(session, endpoint) == 200


async def test_errors_and_rubbish_last_as_long_as_they_are_asked_to(session: aiohttp.ClientSession) -> None:
    async with Endpoint(median_s=0.001) as endpoint:
        await endpoint.misbehave(Fault.errors)
        assert (await ask(session, endpoint, body(0)))[0] == 500
        await endpoint.misbehave(Fault.rubbish)
        answers = [await ask(session, endpoint, body(number)) for number in range(12)]
        assert {status for status, _ in answers} == {200}
        assert len({answer[:8] for _, answer in answers}) == 3
        assert not any('"errors' in answer for _, answer in answers)
        await endpoint.misbehave(Fault.errors, seconds=0.2)
        begun = time.monotonic()
        while (await ask(session, endpoint, body(0)))[0] == 500:
            assert time.monotonic() - begun < 10
            await asyncio.sleep(0.05)


def test_slots_in_use_are_those_of_the_requests_that_were_answered() -> None:
    one, two = Served("a", 0, 0, 4), Served("b", 0, 2, 4)
    assert busy([one, two], 0, 4) == 1.5
    assert busy([one, two], 2, 3) == 2
    assert full([one, two], slots=2, begun=1) == (1, 1)
    assert full([one], slots=2, begun=0) == (0, 0)
    assert planned([2, 2, 2], slots=2) == 4


async def test_samples_are_the_same_for_the_same_seed_and_hold_equal_and_wrong_replies() -> None:
    mix = await samples(160, TASKS)
    assert mix == await samples(160, TASKS)
    assert len(mix) == 160
    assert {one.task for one in mix} >= {"table", "svg"}
    assert {one.kind for one in mix} == set(REPLIES)
    for prompt in range(160 // ROLLOUTS):
        mine = [one for one in mix if one.prompt == prompt]
        assert len(mine) == ROLLOUTS
        assert len({(one.task, one.reference) for one in mine}) == 1
    different = len({(one.prompt, one.reply) for one in mix})
    assert 0.5 * len(mix) < different < 0.9 * len(mix)


@pytest.mark.long
def test_the_benchmark_scores_every_sample_in_calm_and_in_trouble(tmp_path: Path) -> None:
    figures = tmp_path / "figures.json"
    few = ["--samples", "24", "--median", "0.3", "--slots", "2", "--published", "2", "--faults", "--calls", "50"]
    command = [sys.executable, str(ROOT / "benchmarks" / "reward_step.py"), *few, "--json", str(figures)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(figures.read_text())
    step, faults = found["step"], found["faults"]
    for one in (step, faults):
        assert one["samples"] == 24
        assert one["judged"] + one["without_image"] == 24
        assert one["not_judged"] == 0
        assert one["calls"] >= one["judged"] - one["identical"] - one["shared"] - one["cached"] > 0
        assert one["loop"]["longest_ms"] > 0
    assert sum(step["endpoint_calls"]) == step["calls"]
    assert step["ratio"] == step["step_s"] / max(step["local_bound_s"], step["endpoints_bound_s"])
    assert faults["rewards_differ"] == 0
    assert faults["spans"][0]["slots"] == 8
    assert found["published"]["samples"] == 2
    assert found["soak"]["calls"] == 50
    assert "event loop" in done.stdout
