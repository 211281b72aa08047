"""Thirty tables, and a policy that mends a fault each round, or adds one: real HTTP, Chromium and the local judge."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from openai_server import OpenAIServer, serving, slowly
from PIL import Image
from policies import TablePolicy, faults_in, makes_worse, mends_one

from visual_erm.jobs.rows import JobRow, read_rows
from visual_erm.refine.inputs import open_inputs
from visual_erm.refine.loop import RefineSettings
from visual_erm.refine.run import run
from visual_erm.refine.summary import RefineSummary, summarize
from visual_erm.spec.judge import load_judge_settings
from visual_erm.spec.policy import load_policy_settings

TABLES = 30
pytestmark = pytest.mark.long


async def refined(
    rows: Path, to: Path, server: OpenAIServer, judge: str = "local", **settings: Any
) -> list[dict[str, Any]]:
    """The results of a run, by row."""
    judged = None if judge == "none" else load_judge_settings(judge)
    done = await asyncio.to_thread(
        run,
        open_inputs(rows, None, None, None),
        load_policy_settings(server.url),
        judged,
        to,
        RefineSettings(**settings),
        policy_name="mine",
        judge_name=judge,
    )
    assert (done.done, done.failed) == (TABLES, [])
    lines = [json.loads(line) for line in (to / "results.jsonl").read_text().splitlines()]
    return sorted(lines, key=lambda line: int(line["id"]))


def summary_of(to: Path) -> RefineSummary:
    return summarize(read_rows(to / "results.jsonl", JobRow)[0])


async def test_a_policy_that_mends_one_fault_a_round_reaches_severity_0(truths, rows, tmp_path):
    async with OpenAIServer(slowly(TablePolicy(truths, mends_one), 0.02), routes=serving("mine")) as server:
        results = await refined(rows, tmp_path, server)
    assert server.most_in_flight > 8
    for number, line in enumerate(results):
        faults = 1 + (100 + number) % 3
        assert (line["severity"], line["ended"], line["best_round"]) == (0, "identical", faults)
        assert line["reply"] == line["rounds"][-1]["reply"]
        assert [faults_in(one["code"]) for one in line["rounds"]] == list(range(faults, -1, -1))
        assert [len(one["report"]["errors"]) for one in line["rounds"]] == list(range(faults, -1, -1))
        rewards = [one["reward"] for one in line["rounds"]]
        assert rewards == sorted(rewards)
        for one in line["rounds"]:
            assert Image.open(tmp_path / one["image"]).size
            assert (one["prompt_tokens"], one["reply_tokens"]) == (100, 10)
        assert line["reply_tokens"] == 10 * (faults + 1)
    summary = summary_of(tmp_path)
    assert (summary.improved, summary.kept, summary.worsened, summary.drafts) == (TABLES, 0, 0, 0)
    assert [one.items for one in summary.rounds] == [30, 30, 20, 10]
    assert [one.rendered for one in summary.rounds] == [1, 1, 1, 1]
    best = [one.best_reward for one in summary.rounds]
    assert best == sorted(best)
    assert best[-1] == 2


async def test_of_a_policy_that_makes_things_worse_the_first_draft_is_kept(truths, rows, tmp_path):
    async with OpenAIServer(TablePolicy(truths, makes_worse), routes=serving("mine")) as server:
        results = await refined(rows, tmp_path, server, history="conversation")
    for line in results:
        assert (line["best_round"], line["ended"], faults_in(line["code"])) == (0, "no_better", 1)
        assert [faults_in(one["code"]) for one in line["rounds"]] == [1, 2, 3]
        assert line["reward"] == line["rounds"][0]["reward"] > line["rounds"][1]["reward"] > line["rounds"][2]["reward"]
    summary = summary_of(tmp_path)
    assert (summary.improved, summary.kept, summary.worsened) == (0, TABLES, TABLES)
    assert summary.rounds[2].best_reward == summary.rounds[0].reward > summary.rounds[2].reward


async def test_without_a_judge_the_last_round_wins_even_if_it_is_worse_and_nothing_is_told_of_the_differences(
    truths, rows, tmp_path
):
    async with OpenAIServer(TablePolicy(truths, makes_worse), routes=serving("mine")) as server:
        results = await refined(rows, tmp_path, server, judge="none", rounds=2)
    for line in results:
        assert (line["best_round"], line["ended"], line["reward"], line["severity"]) == (2, "rounds", None, None)
        assert faults_in(line["code"]) == 3
        assert {one["report"] for one in line["rounds"]} == {None}
    assert not any("severity" in json.dumps(body["messages"]) for body in server.bodies)
    summary = summary_of(tmp_path)
    assert [(one.items, one.rendered, one.reward) for one in summary.rounds] == [(30, 1, None)] * 3
    assert (summary.improved, summary.kept, summary.worsened) == (0, 0, 0)
