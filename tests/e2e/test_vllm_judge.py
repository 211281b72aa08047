"""The remote judge against a real vLLM server: a tiny Qwen3-VL with random weights, held to the report's schema."""

from __future__ import annotations

import asyncio
import json

import pytest
from PIL import Image

from visual_erm.errors import JudgeUnavailable, JudgeUnreadable
from visual_erm.extract import Code
from visual_erm.judge import JudgeSettings
from visual_erm.judge.remote import RemoteJudge
from visual_erm.render import make_renderer
from visual_erm.task import Task, load_task

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

GROUPS, ROLLOUTS, CONCURRENCY = 8, 8, 32


def task(max_tokens: int = 700, max_text: int = 24) -> Task:
    """The table task, within what the tiny model's context holds."""
    plain = load_task("table").model_dump()
    plain["judge"]["image"]["longest_side"] = 256
    plain["judge"]["sampling"] = {"temperature": 1.0, "max_tokens": max_tokens, "top_k": 200, "repetition_penalty": 1.05}
    plain["report"] |= {"max_discrepancies": 3, "max_text": max_text}
    return load_task(plain)


class Recording(RemoteJudge):
    """Keeps what the server wrote."""

    def __init__(self, settings: JudgeSettings) -> None:
        super().__init__(settings)
        self.replies: list[str] = []

    async def _reply(self, request):
        reply, cut_off = await super()._reply(request)
        self.replies.append(reply)
        return reply, cut_off


def settings(url: str, **changes) -> JudgeSettings:
    return JudgeSettings(kind="remote", endpoints=(url,), **{"max_in_flight": CONCURRENCY, "timeout_s": 300, **changes})


@pytest.fixture(scope="module")
def pictures():
    """One reference and eight predictions per group, drawn by the project's renderer."""

    async def draw():
        renderer = make_renderer(load_task("table").render)
        try:
            head = "<table><tr><th>Year</th><th>Revenue</th></tr>"
            tables = (
                f"{head}<tr><td>{2000 + group}</td><td>{other * 1.5}</td></tr></table>"
                for group in range(GROUPS)
                for other in range(ROLLOUTS + 1)
            )
            return await asyncio.gather(*(renderer.render(Code("html", table)) for table in tables))
        finally:
            await renderer.close()

    drawn = asyncio.run(draw())
    groups = [drawn[start : start + ROLLOUTS + 1] for start in range(0, len(drawn), ROLLOUTS + 1)]
    return [(group[0], prediction) for group in groups for prediction in group[1:]]


async def test_64_judgements_at_concurrency_32_are_all_reports_in_the_tasks_form(vllm_server, pictures):
    judge, form = Recording(settings(vllm_server)), task()
    reports = await asyncio.gather(*(judge.judge(*pair, form) for pair in pictures))
    await judge.close()

    assert len(reports) == len(judge.replies) == 64, "each was readable at the first reading"
    assert not any(report.truncated for report in reports)
    for reply in judge.replies:
        wire = json.loads(reply)
        assert list(wire) == ["layout_error_count", "text_error_count", "numeric_error_count", "errors"]
        assert all(0 <= wire[key] <= 3 for key in list(wire)[:3])
        assert len(wire["errors"]) <= 3
        assert all(list(error) == ["type", "description", "severity"] for error in wire["errors"])
    assert any(report.discrepancies for report in reports)
    assert sum(report.severity for report in reports) == sum(
        error["severity"] for reply in judge.replies for error in json.loads(reply)["errors"]
    )


async def test_the_shipped_tasks_schema_is_one_that_the_server_can_hold_replies_to(vllm_server, pictures):
    plain = load_task("table").model_dump()
    plain["judge"] |= {"image": task().judge.image.model_dump(), "sampling": {"temperature": 1.0, "max_tokens": 64}}
    judge = RemoteJudge(settings(vllm_server))
    reply, _ = await judge._reply(await judge._request(*pictures[0], load_task(plain)))
    await judge.close()
    assert reply.startswith('{"layout_error_count": ')


async def test_a_reply_cut_off_by_the_token_limit_is_marked_and_keeps_what_it_says(vllm_server, pictures):
    judge, form = RemoteJudge(settings(vllm_server)), task(max_tokens=100, max_text=400)
    outcomes = await asyncio.gather(*(judge.judge(*pair, form) for pair in pictures[:24]), return_exceptions=True)
    await judge.close()
    reports = [outcome for outcome in outcomes if not isinstance(outcome, JudgeUnreadable)]
    cut_off = [report for report in reports if report.truncated]
    assert cut_off
    assert all(report.discrepancies for report in cut_off)


async def test_without_the_schema_a_model_that_writes_rubbish_is_unreadable(vllm_server, pictures):
    judge = RemoteJudge(settings(vllm_server, structured=False))
    with pytest.raises(JudgeUnreadable):
        await judge.judge(*pictures[0], task(max_tokens=32))
    await judge.close()


@pytest.mark.parametrize("size", [(1, 1), (3600, 3), (2, 6000)])
async def test_a_picture_however_thin_or_tiny_is_judged(vllm_server, pictures, size):
    judge, odd = RemoteJudge(settings(vllm_server)), Image.new("RGB", size, "grey")
    await judge.judge(pictures[0][0], odd, task())
    await judge.judge(odd, odd, task())
    await judge.close()


async def test_a_wrong_model_name_and_a_wrong_path_are_told_with_the_fix(vllm_server, pictures):
    for wrong in (settings(vllm_server, model="visual-emr"), settings(vllm_server.removesuffix("/v1"))):
        judge = RemoteJudge(wrong)
        with pytest.raises(JudgeUnavailable, match=r"404.*ends in /v1.*/models"):
            await judge.judge(*pictures[0], task())
        await judge.close()


async def test_a_prompt_beyond_the_servers_context_is_told_in_its_own_words(vllm_server, pictures):
    judge = RemoteJudge(settings(vllm_server))
    with pytest.raises(JudgeUnavailable, match=r"400.*4096"):
        await judge.judge(*pictures[0], task(max_tokens=8192))
    await judge.close()
