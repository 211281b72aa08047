"""A model matches errors, on a real HTTP server."""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from aiohttp import web
from openai_server import Answer, OpenAIServer, completion, page, serving, status

from visual_erm.bench.match import match
from visual_erm.bench.matching import LabeledError, Match
from visual_erm.bench.model_matcher import read_reply, request_for, schema
from visual_erm.bench.rows import Row, read_rows
from visual_erm.bench.scores import ALL, score
from visual_erm.errors import ConfigError, JudgeUnreadable
from visual_erm.jobs.workers import Summary
from visual_erm.spec.judge import JudgeSettings

TRUTHS = [{"type": "text_error", "severity": 2, "description": f"word {{{n}}} is wrong"} for n in range(2)]
GOOD = json.dumps({"matches": [{"pred_id": 0, "gt_id": 1, "match_level": "yes"}]})


def row(number: int, **more: Any) -> Row:
    said = {"errors": [{"type": "text_error", "severity": 1, "description": "reads\notherwise"}]}
    content = {"id": number, "category": "table", "human_errors": TRUTHS, "pred_json": said, **more}
    return Row(f"answers:{number}", content)


async def matched(to: Path, rows: list[Row], *script: Answer, **changes: Any) -> tuple[Summary, OpenAIServer]:
    async with OpenAIServer(*script, routes=serving("matcher")) as server:
        settings = JudgeSettings(
            kind="remote", endpoints=(server.url,), model="matcher", unavailable_timeout_s=0.5, **{"retries": 0, **changes}
        )
        summary = await asyncio.to_thread(match, rows, to, settings)
    return summary, server


async def test_both_lists_are_sent_and_the_matches_are_kept(tmp_path: Path) -> None:
    summary, server = await matched(tmp_path / "m.jsonl", [row(1)], completion(f"```json\n{GOOD}\n```"))
    assert (summary.done, summary.failed) == (1, [])
    (body,) = server.bodies
    prompt = body["messages"][0]["content"]
    sent = [json.loads(line) for line in re.findall(r"^\{.*_id.*category.*\}$", prompt, re.M)]
    assert [(error.get("gt_id"), error.get("pred_id")) for error in sent] == [(0, None), (1, None), (None, 0)]
    assert sent[0]["description"] == "word {0} is wrong"
    assert set(body) == {"model", "messages", "temperature", "max_tokens", "response_format"}
    rows, _ = read_rows(tmp_path / "m.jsonl")
    assert rows[0].matching().matches == (Match(0, 1, "yes"),)
    assert rows[0].content["matcher"] == "matcher"
    assert score(rows).matchers == {"matcher": 1}


async def test_a_server_that_takes_no_schema_and_has_no_pages_is_asked_without_it(tmp_path: Path) -> None:
    async def hosted(server: OpenAIServer, body: dict[str, Any]) -> web.StreamResponse:
        if set(body) - {"model", "messages", "temperature", "max_tokens"}:
            return await status(400, "unknown field")(server, body)
        return await completion(GOOD)(server, body)

    async with OpenAIServer(hosted) as server:
        settings = JudgeSettings(kind="remote", endpoints=(server.url,), model="hosted", structured=False)
        summary = await asyncio.to_thread(match, [row(1)], tmp_path / "m.jsonl", settings)
    assert (summary.done, summary.failed) == (1, [])


async def test_an_item_with_an_empty_side_needs_no_request(tmp_path: Path) -> None:
    empty = row(1, pred_json={"errors": []}), row(2, human_errors=[]), row(3, pred_json=None)
    summary, server = await matched(tmp_path / "m.jsonl", [*empty], completion("prose"))
    assert (summary.done, server.bodies) == (3, [])


@pytest.mark.parametrize(
    "answer",
    [completion("The errors are alike."), completion('{"matches": 3}'), completion(None), page("<p>"), status(500)],
)
async def test_an_item_whose_matching_failed_counts_for_nothing_and_can_be_matched_again(
    tmp_path: Path, answer: Answer
) -> None:
    path = tmp_path / "m.jsonl"
    summary, _ = await matched(path, [row(1), row(2)], completion(GOOD), answer, max_in_flight=1)
    assert summary.done == 1
    (message,) = summary.failed
    assert message.startswith("answers:2: Judge")
    rows, _ = read_rows(path)
    scores = score(rows)
    assert scores.groups[ALL].figures.items == 1
    assert len(scores.left_out) == 1
    summary, server = await matched(path, [row(1), row(2)], completion(GOOD))
    assert (summary.kept, server.bodies) == (2, [])
    summary, _ = await _again(path)
    assert (summary.done, summary.kept) == (1, 1)
    assert score(read_rows(path)[0]).groups[ALL].figures.items == 2


async def _again(path: Path) -> tuple[Summary, OpenAIServer]:
    async with OpenAIServer(completion(GOOD), routes=serving("matcher")) as server:
        settings = JudgeSettings(kind="remote", endpoints=(server.url,), model="matcher")
        return await asyncio.to_thread(match, [row(1), row(2)], path, settings, retry_failed=True), server


async def test_matches_of_two_matchers_do_not_come_into_one_file(tmp_path: Path) -> None:
    await matched(tmp_path / "m.jsonl", [row(1)], completion(GOOD))
    with pytest.raises(ConfigError, match="holds matches of matcher, and this matcher is offline"):
        match([row(2)], tmp_path / "m.jsonl")


def test_a_row_that_was_not_judged_is_a_failure(tmp_path: Path) -> None:
    unjudged = Row("answers:1", {"id": 1, "category": "table", "human_errors": TRUTHS})
    summary = match([unjudged, row(2, pred_json=None, failed_reason="no server"), row(3)], tmp_path / "m.jsonl")
    assert summary.done == 1
    assert summary.failed == ["answers:1: `pred_json` is missing; run `visual-erm bench run` first", "answers:2: no server"]


@pytest.mark.parametrize("reply", [GOOD, f"So: {GOOD}.", f"```\n{GOOD}\n```"])
def test_a_reply_is_read_between_its_braces(reply: str) -> None:
    assert read_reply(reply).matches == (Match(0, 1, "yes"),)


@pytest.mark.parametrize(
    "reply", ["", "none", "{", "}{", "[1]", '{"match": []}', '{"matches": {}}', '{"matches":' + "[" * 100_000 + "}"]
)
def test_a_reply_without_matches_is_unreadable(reply: str) -> None:
    with pytest.raises(JudgeUnreadable, match="holds no matches"):
        read_reply(reply)


def test_the_schema_takes_what_the_prompt_asks_for_and_no_other_ids() -> None:
    jsonschema.validate(json.loads(GOOD), schema(1, 2))
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(json.loads(GOOD), schema(1, 1))
    errors = [LabeledError("text_error", 1, "x")]
    shown = json.loads(re.findall(r'^\{"matches": \[\{.*$', request_for(errors, errors)["messages"][0]["content"], re.M)[0])
    jsonschema.validate(shown, schema(1, 1))
