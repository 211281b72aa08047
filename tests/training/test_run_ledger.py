"""A run's ledger: every reward once, over kills and restarts."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from omegaconf import OmegaConf

from visual_erm.training.run_ledger import SUPERSEDED, RunIncomplete, RunLedger, scored, step_of

PER_STEP = 2


def line(step: int, validate: bool = False, split: str | None = None) -> str:
    """A line of the rollout log of this step: a rollout of its policy, or a validation after it."""
    return json.dumps({"split": split, "validate": validate, "policy_updates": step - (not validate)})


def save(run: Path, step: int) -> None:
    """A checkpoint as veRL leaves it."""
    (run / "checkpoints" / f"global_step_{step}").mkdir(parents=True)
    (run / "checkpoints" / "latest_checkpointed_iteration.txt").write_text(str(step))


def opened(run: Path) -> RunLedger:
    """The ledger as a run finds them that is about to start in this folder."""
    return RunLedger.open(
        OmegaConf.create(
            {
                "reward": {"custom_reward_function": {"reward_kwargs": {"rollout_log": str(run / "rollout_log")}}},
                "env": {"VERL_FILE_LOGGER_PATH": str(run / "metrics.jsonl")},
                "data": {"train_batch_size": PER_STEP},
                "actor_rollout_ref": {"rollout": {"n": 1}},
                "trainer": {"resume_mode": "auto", "default_local_dir": str(run / "checkpoints")},
            }
        )
    )


def train(run: Path, steps: range, last: int = PER_STEP, worker: str = "a") -> None:
    """What the reward function and veRL write about these steps, of the last one only so many rollouts; veRL logs a
    step when all its rollouts are scored, and begins its file anew with each start."""
    (run / "rollout_log").mkdir(parents=True, exist_ok=True)
    with (run / "rollout_log" / f"{worker}.jsonl").open("a") as rollout_log, (run / "metrics.jsonl").open("w") as metrics:
        for step in steps:
            rollouts = last if step == steps[-1] else PER_STEP
            rollout_log.write((line(step) + "\n") * rollouts)
            if rollouts == PER_STEP:
                rollout_log.write(line(step, validate=True) + "\n")
                metrics.write(json.dumps({"step": step, "data": {"training/global_step": step}}) + "\n")


def logged(run: Path) -> list[int]:
    return [json.loads(text)["step"] for text in (run / "metrics.jsonl").read_text().splitlines()]


@pytest.mark.parametrize("missing", [1, -1])
def test_a_missing_reward_or_one_too_many_is_an_error(tmp_path: Path, missing: int) -> None:
    ledger = opened(tmp_path)
    train(tmp_path, range(1, 4))
    ledger.check()
    with (tmp_path / "metrics.jsonl").open("a") as metrics:
        metrics.write(json.dumps({"step": 4, "data": {"training/global_step": 4}}) + "\n")
    with (tmp_path / "rollout_log" / "b.jsonl").open("a") as rollout_log:
        rollout_log.write((line(4) + "\n") * (PER_STEP - missing))
    with pytest.raises(RunIncomplete, match=f"{8 - missing} rollouts were scored, 8 expected .*step 4 has {2 - missing}"):
        ledger.check()


def test_a_run_without_a_step_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(RunIncomplete, match="0 rollouts were scored, 0 expected"):
        opened(tmp_path).check()


@given(kills=st.lists(st.tuples(st.integers(0, 3), st.integers(1, 4), st.integers(0, PER_STEP)), max_size=4))
def test_every_step_is_there_once_however_often_the_run_was_killed(
    kills: list[tuple[int, int, int]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    run, saved, written = tmp_path_factory.mktemp("run"), 0, 0
    for worker, (steps_saved, further, rollouts) in enumerate(kills):
        opened(run)
        train(run, range(saved + 1, saved + steps_saved + further + 1), rollouts, str(worker))
        written += sum(1 for _ in (run / "rollout_log" / f"{worker}.jsonl").open())
        # Killed while a line was written.
        with (run / "rollout_log" / f"{worker}.jsonl").open("a") as rollout_log:
            rollout_log.write('{"split": "tr')
        written += 1
        if steps_saved:
            saved += steps_saved
            save(run, saved)
    ledger = opened(run)
    assert ledger.resumed == saved
    train(run, range(saved + 1, saved + 3), worker="last")
    ledger.close()
    ledger.check()
    assert scored(run / "rollout_log") == dict.fromkeys(range(1, saved + 3), PER_STEP)
    assert logged(run) == list(range(1, saved + 3))
    kept = [path.read_text().splitlines() for path in (run / "rollout_log").rglob("*.jsonl") if path.stem != "last"]
    assert sum(map(len, kept)) == written, "nothing is lost: what is done again is set aside"


def test_what_a_fresh_run_finds_in_its_folder_is_set_aside(tmp_path: Path) -> None:
    train(tmp_path, range(1, 4))
    ledger = opened(tmp_path)
    train(tmp_path, range(1, 2), worker="b")
    ledger.close()
    ledger.check()
    assert len((tmp_path / "rollout_log" / SUPERSEDED / "a.jsonl").read_text().splitlines()) == 9
    assert logged(tmp_path) == [1]


def test_a_checkpoint_that_is_gone_is_not_gone_on_from(tmp_path: Path) -> None:
    save(tmp_path, 7)
    (tmp_path / "checkpoints" / "global_step_7").rmdir()
    assert opened(tmp_path).resumed == 0


@pytest.mark.parametrize("split", ["train", "test", "validation", "", None])
def test_a_validation_belongs_to_the_step_before_it_by_veRLs_word_and_not_by_the_rows(split: str | None) -> None:
    assert step_of({"split": split, "validate": False, "policy_updates": 2}) == 3
    assert step_of({"split": split, "validate": True, "policy_updates": 2}) == 2
    # Nobody asked veRL.
    assert step_of({"split": split, "policy_updates": 2}) == (2 if split == "test" else 3)


@pytest.mark.parametrize(("training", "validation"), [("test", None), ("test", "train"), (None, None), ("dev", "dev")])
def test_a_run_is_complete_whatever_its_rows_call_their_splits(
    tmp_path: Path, training: str | None, validation: str | None
) -> None:
    ledger = opened(tmp_path)
    (tmp_path / "rollout_log").mkdir()
    lines = [line(step, False, training) for step in (1, 2) for _ in range(PER_STEP)] + [line(2, True, validation)] * 3
    (tmp_path / "rollout_log" / "a.jsonl").write_text("".join(f"{text}\n" for text in lines))
    (tmp_path / "metrics.jsonl").write_text(json.dumps({"step": 2, "data": {"training/global_step": 2}}) + "\n")
    ledger.check()
    (tmp_path / "rollout_log" / "b.jsonl").write_text(line(2, False, validation) + "\n")
    with pytest.raises(RunIncomplete, match="5 rollouts were scored, 4 expected"):
        ledger.check()
