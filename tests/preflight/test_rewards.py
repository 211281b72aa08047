"""What each reward needs, reported before a run starts: data, packages, a model, no judge that nobody asks."""

from __future__ import annotations

import pytest
from runs import Run, row, write

KWARGS = "reward.custom_reward_function.reward_kwargs"


@pytest.mark.parametrize(
    ("title", "words", "key", "what", "fix"),
    [
        ("reward", ["reward=ssim", "judge=colocated", "reward.reward_model.model_path=/m"], "judge",
         "reward=ssim asks none", "leave judge=… out"),
        ("reward", ["reward=ssim", "reward.custom_reward_function.packages=[skimagine]"], "reward",
         "reward=ssim needs skimagine", "pip install 'visual-erm[baselines]'"),
        ("reward", ["reward.custom_reward_function.needs=[judges]"], "reward.custom_reward_function.needs",
         "no such need: judges", "give some of judge, renderer, ground_truth, tables"),
        ("reward", ["reward=dino_similarity", f"{KWARGS}.model=no/where/x"], f"{KWARGS}.model", "no folder /", "folder"),
        ("every key has a value", ["reward=dino_similarity"], f"{KWARGS}.model", "not set", f"give {KWARGS}.model="),
        ("reward fits the tasks", ["reward=teds", "task=chart"], "reward",
         "task `chart` is written in python", "take reward=edit_distance"),
        ("reward fits the tasks", ["task.scoring.mode=batch", "reward.reward_manager.name=dapo"],
         "reward.reward_manager.name", "task `table` has scoring.mode=batch", "leave it out"),
        ("reward fits the tasks", ["task.scoring.mode=batch", "trainer.v1.sampler.custom_sampler.name=Mine"],
         "trainer.v1.sampler.custom_sampler.name", "task `table` has scoring.mode=batch", "leave it out"),
    ],
)  # fmt: skip
def test_a_reward_that_cannot_be_had_is_reported_with_the_key(
    good: Run, tmp_path, monkeypatch, title, words, key, what, fix
):
    monkeypatch.chdir(tmp_path)
    (problem,) = good.look(title, *words).problems
    assert problem.key == key
    assert what in problem.what
    assert fix in problem.fix


@pytest.mark.parametrize("reward", ["teds", "edit_distance"])
def test_rows_without_the_code_that_a_reward_compares_with_are_named(run_copy: Run, reward):
    assert run_copy.look("rows fit the tasks", f"reward={reward}").ok
    write(run_copy.folder / "train.parquet", [row(0), row(1, reward_model={"style": "model", "ground_truth": ""})])
    (problem,) = run_copy.look("rows fit the tasks", f"reward={reward}").problems
    assert "train.parquet, row 1: `reward_model.ground_truth` holds no code" in problem.what
    assert run_copy.look("rows fit the tasks", "reward=ssim").ok


@pytest.mark.parametrize("title", ["judge", "endpoints", "browser", "sandbox", "references open"])
def test_nothing_is_asked_for_that_the_reward_does_not_look_at(run_copy: Run, tmp_path, monkeypatch, title):
    monkeypatch.setenv("VISUAL_ERM_CHROMIUM", str(tmp_path / "none"))
    write(run_copy.folder / "train.parquet", [row(0, extra_info={"reference": {"bytes": b"no picture", "path": None}})])
    asked = [] if title == "browser" else ["judge=remote", "judge.endpoints=[http://127.0.0.1:9/v1]"]
    assert run_copy.look(title, "reward=edit_distance", *asked).ok


@pytest.mark.parametrize("reward", ["teds", "edit_distance", "ssim", "dino_similarity"])
def test_three_samples_are_scored_by_the_reward_of_the_run(good: Run, tiny_dino, reward):
    model = [f"{KWARGS}.model={tiny_dino}"] if reward == "dino_similarity" else []
    for title in ("reward", "reward fits the tasks", "reward function", "three samples are scored"):
        outcome = good.look(title, f"reward={reward}", *model)
        assert outcome.ok, outcome
    assert any("3 true replies" in note for note in outcome.notes)
