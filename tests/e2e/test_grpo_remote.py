"""GRPO in real veRL whose rewards come from a real vLLM server: what a run on GPUs does, with everything tiny."""

from __future__ import annotations

import json
import re
import urllib.request

import pytest

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(1200)]

STEPS, ROLLOUTS = 3, 64


def answered(url: str) -> int:
    """Requests that the server has finished so far, by its own count."""
    with urllib.request.urlopen(f"{url.removesuffix('/v1')}/metrics", timeout=30) as page:
        metrics = page.read().decode()
    return sum(int(float(n)) for n in re.findall(r"^vllm:request_success_total\{[^}]*\} (\S+)$", metrics, re.MULTILINE))


def test_three_steps_are_rewarded_by_what_the_server_reports(vllm_server, train):
    before = answered(vllm_server)
    run = train(
        "judge=remote",
        f"judge.endpoints=[{vllm_server}]",
        "judge.timeout_s=300",
        # Within what the tiny judge's context holds.
        "task.judge.image.longest_side=256",
        "task.judge.sampling.temperature=1",
        "task.judge.sampling.max_tokens=700",
        "task.scoring.s_max=50",
        "task.report.max_discrepancies=3",
        "task.report.max_text=24",
        # The policy is untrained: of many replies some hold a table and reach the judge.
        "actor_rollout_ref.rollout.n=16",
        timeout=600,
    )

    assert run.exit_code == 0, run.log[-3000:]
    assert run.left == []
    calls = [
        json.loads(line) for file in (run.run_dir / "journal").glob("*.jsonl") for line in file.read_text().splitlines()
    ]
    assert len(calls) == STEPS * ROLLOUTS
    assert all(call["judge_ok"] == 1 for call in calls)

    drawn = [call for call in calls if call["render_ok"] == 1]
    assert drawn
    assert answered(vllm_server) - before == len(drawn), "one judgement for each picture, and none for a reply without"
    for call in drawn:
        errors = call["report"]["errors"]
        assert call["severity"] == sum(error["severity"] for error in errors)
        assert call["score"] == pytest.approx(1 + max(0, 1 - call["severity"] / 50))
        assert list(call["report"]) == ["layout_error_count", "text_error_count", "numeric_error_count", "errors"]
    assert len({call["score"] for call in drawn}) > 1
    assert all(call["score"] == 0 and call["report"] is None for call in calls if call["render_ok"] == 0)

    steps = [json.loads(line)["data"] for line in (run.run_dir / "metrics.jsonl").read_text().splitlines()]
    assert len(steps) == STEPS
    assert all(step["reward/lost"] == 0 for step in steps)
