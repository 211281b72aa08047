"""Old keys on the command line of a training run: told with their new names, beside whatever else is wrong."""

from __future__ import annotations

import pytest

pytest.importorskip("verl")

from visual_erm.preflight.overrides import composed
from visual_erm.spec.task import load_tasks


@pytest.mark.parametrize(
    ("word", "new"),
    [
        ("task.render.allow_engine_mismatch=true", "task.render.allow_renderer_mismatch"),
        ("task.guard.silence.likeness=0.5", "task.guard.under_reporting.min_similarity"),
        ("task.guard.injection.kind=0.4", "task.guard.injection.check_below_severity_share"),
        ("judge.savings.cache=false", "judge.reuse.cache"),
        ("judge.patience_s=3", "judge.unavailable_timeout_s"),
        (
            "reward.custom_reward_function.reward_kwargs.journal=x",
            "reward.custom_reward_function.reward_kwargs.rollout_log",
        ),
        ("trainer.v1.sampler.sampler_kwargs.fatal=x", "trainer.v1.sampler.sampler_kwargs.abort_file"),
        ("trainer.v1.sampler.sampler_kwargs.max_lost=3", "trainer.v1.sampler.sampler_kwargs.max_lost_rollouts"),
        ("trainer.v1.sampler.sampler_kwargs.stall_s=3", "trainer.v1.sampler.sampler_kwargs.stall_timeout_s"),
    ],
)
def test_an_old_key_is_told_with_its_new_name(word, new):
    _, problems = composed(["task=table", "judge=remote", "cluster=cpu", "policy=tiny", word])
    assert [(problem.key, problem.what, problem.fix) for problem in problems] == [
        (word.partition("=")[0], "no such key", f"it is called `{new}` now")
    ]


@pytest.mark.parametrize("key", ["silence.at_most", "under_reporting.at_most", "under_reporting.max_severity"])
def test_a_key_that_is_gone_is_told_with_what_to_do(key):
    _, problems = composed(["task=table", "judge=remote", "cluster=cpu", "policy=tiny", f"task.guard.{key}=5"])
    assert [(problem.key, problem.what, problem.fix) for problem in problems] == [
        (f"task.guard.{key}", "no such key", "leave it out: the floor holds whatever the report says")
    ]


def test_an_old_key_that_is_added_is_told_when_the_task_is_read():
    config, problems = composed(
        ["task=table", "judge=local", "cluster=cpu", "policy=tiny", "+task.guard.silence.enabled=false"]
    )
    assert not problems
    with pytest.raises(Exception, match=r"unknown key `guard\.silence`; it is called `guard\.under_reporting` now"):
        load_tasks(config.task)
