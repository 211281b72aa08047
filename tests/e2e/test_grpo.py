"""GRPO in real veRL, through the launcher that users start: real rollouts, real updates, the real reward path."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

STEPS, ROLLOUTS = 3, 16
TESTED = 2
"""Rows of the test split."""


def lines(folder: Path, pattern: str) -> list[dict]:
    return [json.loads(line) for path in sorted(folder.glob(pattern)) for line in path.read_text().splitlines()]


def test_three_steps_score_every_rollout_once_change_the_policy_and_leave_nothing_behind(train, tiny_model):
    # The reference policy with its KL term, and a test of the policy, which the tiny recipe does without, run here too.
    run = train("actor_rollout_ref.actor.use_kl_loss=true", "trainer.test_freq=3")

    assert run.exit_code == 0, run.log[-3000:]
    assert run.left == []

    journal = lines(run.run_dir / "journal", "*.jsonl")
    calls = [call for call in journal if call["split"] == "train"]
    assert len(calls) == STEPS * ROLLOUTS
    assert len(journal) - len(calls) == TESTED
    assert len({frozenset(call) for call in journal}) == 1
    assert all(call["judge_ok"] == 1 for call in journal)

    steps = [line["data"] for line in lines(run.run_dir, "metrics.jsonl")]
    assert len(steps) == STEPS
    for number, step in enumerate(steps):
        mine = calls[number * ROLLOUTS : (number + 1) * ROLLOUTS]
        mean = sum(call["score"] for call in mine) / ROLLOUTS
        assert step["reward/lost"] == 0
        assert step["reward/score/mean"] == pytest.approx(mean)
        assert step["critic/score/mean"] == pytest.approx(mean, abs=1e-6)
        assert step["reward/render_ok/mean"] == pytest.approx(sum(call["render_ok"] for call in mine) / ROLLOUTS)
        assert "actor/kl_loss" in step
        # Had the rollouts' weights not been the trainer's, the two would disagree about the replies' probabilities.
        assert step["training/rollout_probs_diff_max"] < 2e-5

    assert any(name.startswith("val-") and name.endswith("/score/mean@1") for name in steps[-1])

    saved = run.run_dir / "checkpoints" / f"global_step_{STEPS}" / "actor" / "huggingface" / "model.safetensors"
    before, after = load_file(tiny_model / "model.safetensors"), load_file(saved)
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    assert moved
    assert not any("visual." in name for name in moved), "the vision tower is frozen in the tiny recipe"


def test_a_judge_that_is_not_there_stops_the_run_with_its_reason_in_the_last_line(train):
    dead = "http://127.0.0.1:9/v1"
    run = train(
        "judge=remote",
        f"judge.endpoints=[{dead}]",
        "judge.retries=0",
        "judge.failure.on_failure=abort",
        # More replies, so that some hold a table and reach the judge.
        "actor_rollout_ref.rollout.n=16",
    )

    assert run.exit_code == 1, run.log[-3000:]
    last = run.log.rstrip().splitlines()[-1]
    assert last.startswith("visual_erm.train: JudgeUnavailable")
    assert run.left == []
