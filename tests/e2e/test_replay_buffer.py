"""The buffer between rollouts and updates, on veRL's real queue: what it counts, and what it stops."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("verl")

import torch
import transfer_queue
from omegaconf import OmegaConf
from verl.utils.tensordict_utils import list_of_dict_to_tensordict

from visual_erm.preflight.overrides import verl_configs
from visual_erm.spec.task import load_task
from visual_erm.training.replay_buffer import RolloutsLost, StrictReplayBuffer

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

ROLLOUTS = 2


@pytest.fixture(scope="module")
def queue(shared_ray: None) -> Iterator[None]:
    settings = OmegaConf.load(verl_configs() / "config" / "transfer_queue" / "transfer_queue.yaml")
    settings.backend.SimpleStorage.num_data_storage_units = 1
    transfer_queue.init(settings)
    yield
    transfer_queue.close()


def buffer(abort_file: Path, **changes: Any) -> StrictReplayBuffer:
    settings = {
        "max_lost_rollouts": 0,
        "max_lost_validation_share": 0.3,
        "stall_timeout_s": 60,
        "poll_s": 0.05,
        "rollouts": ROLLOUTS,
        "validation_rollouts": ROLLOUTS,
        "abort_file": str(abort_file),
        **changes,
    }
    return StrictReplayBuffer(
        trainer_mode="sync",
        trainer_config={},
        max_off_policy_threshold=8,
        max_off_policy_strategy="drop",
        sampler_kwargs=settings,
    )


@pytest.fixture(autouse=True)
def emptied(queue: None) -> Iterator[None]:
    yield
    for partition, keys in (transfer_queue.kv_list() or {}).items():
        if keys:
            transfer_queue.kv_clear(keys=list(keys), partition_id=partition)


def put(prompt: str, status: str, scores: list[float | None], partition: str = "train") -> None:
    """A prompt and its rollouts, one per score; None is a rollout that nobody scored."""
    for number, score in enumerate(scores):
        info = {} if score is None else {"score": score, "render_ok": float(score > 0)}
        row = {"responses": torch.tensor([1, 2]), "extra_fields": {"reward_extra_info": info}}
        transfer_queue.kv_batch_put(
            keys=[f"{prompt}_{number}_0"],
            partition_id=partition,
            fields=list_of_dict_to_tensordict([row]),
            tags=[{"status": "success", "global_steps": 1}],
        )
    tag = {"is_prompt": True, "status": status, "global_steps": 1}
    transfer_queue.kv_put(key=prompt, partition_id=partition, tag=tag)


def put_judged(prompt: str, data_source: str, severities: list[float | None]) -> None:
    """A prompt and its rollouts, as they are judged one by one; None is one that did not draw. Their lengths differ."""
    for number, severity in enumerate(severities):
        invalid = severity is None
        info = {
            "score": 0.0 if invalid else 1.9,
            "severity": 50.0 if invalid else severity,
            "severity_unfloored": 50.0 if invalid else severity,
            "severity_floor": 0.0,
            "scored_ok": 1.0,
            "invalid": float(invalid),
        }
        scores = torch.zeros(2 + number)
        scores[-1] = info["score"]
        row = {"rm_scores": scores, "data_source": data_source, "extra_fields": {"reward_extra_info": info}}
        transfer_queue.kv_batch_put(
            keys=[f"{prompt}_{number}_0"],
            partition_id="train",
            fields=list_of_dict_to_tensordict([row]),
            tags=[{"status": "success", "global_steps": 1}],
        )
    transfer_queue.kv_put(
        key=prompt, partition_id="train", tag={"is_prompt": True, "status": "finished", "global_steps": 1}
    )


def test_a_step_gets_what_it_asked_for_or_the_run_stops(tmp_path):
    abort_file = tmp_path / "abort_reason.txt"

    put("a", "finished", [2.0, 0.0])
    put("b", "finished", [1.0, 1.0])
    batch, metrics = buffer(abort_file).sample(1, "train", 2)
    assert len(batch.keys) == 4
    assert metrics["reward/lost"] == 0
    assert metrics["reward/score/mean"] == 1.0
    assert metrics["reward/render_ok/mean"] == 0.75
    transfer_queue.kv_clear(keys=batch.keys, partition_id="train")

    put("c", "failure", [2.0])
    put("d", "finished", [1.0, 1.0])
    with pytest.raises(RolloutsLost, match="1 of the step's 4 rollouts"):
        buffer(abort_file).sample(2, "train", 2)
    batch, metrics = buffer(abort_file, max_lost_rollouts=1).sample(2, "train", 2)
    assert (len(batch.keys), metrics["reward/lost"]) == (3, 1)
    transfer_queue.kv_clear(keys=batch.keys, partition_id="train")

    put("e", "failure", [])
    with pytest.raises(RolloutsLost, match="2 of the step's 2 rollouts"):
        buffer(abort_file).sample(3, "train", 1)
    transfer_queue.kv_clear(keys=["e"], partition_id="train")

    put("f", "finished", [1.0, None])
    with pytest.raises(RolloutsLost, match="1 of the step's 2 rollouts"):
        buffer(abort_file).sample(4, "train", 1)

    put("g", "running", [])
    with pytest.raises(RolloutsLost, match=r"no prompt has finished for 0\.2 s, 1 are under way"):
        buffer(abort_file, stall_timeout_s=0.2).sample(5, "train", 2)

    abort_file.write_text("TooManyFailures: 60 of the last 256 samples could not be judged\n")
    with pytest.raises(RolloutsLost, match="TooManyFailures: 60 of the last 256"):
        buffer(abort_file).sample(5, "train", 2)


def test_a_validation_may_lose_a_share_which_is_counted_in_its_numbers_and_more_stops_the_run(tmp_path, caplog):
    abort_file = tmp_path / "abort_reason.txt"
    for prompt, status, scores in (("a", "finished", [2.0, 0.0]), ("b", "failure", [1.0])):
        put(prompt, status, scores, "val")
    batch, _ = buffer(abort_file).sample(7, "val", 2)
    assert "step 7 lost 1 rollouts of partition `val`" in caplog.text
    fields = transfer_queue.kv_batch_get(keys=batch.keys, partition_id="val", select_fields=["extra_fields", "responses"])
    numbers = [field["reward_extra_info"] for field in fields.pop("extra_fields").tolist()]
    assert [sample["lost_share"] for sample in numbers] == [0.25] * 3
    assert sorted(sample["score"] for sample in numbers) == [0.0, 1.0, 2.0]
    transfer_queue.kv_clear(keys=batch.keys, partition_id="val")

    for lost, scores in ((2, [[1.0], [None, 1.0]]), (3, [[1.0], []]), (4, [[], []])):
        for prompt, rollouts in zip("cd", scores, strict=True):
            put(prompt, "failure", rollouts, "val")
        with pytest.raises(RolloutsLost, match=f"{lost} of the validation's 4 rollouts.*max_lost_validation_share=0.3"):
            buffer(abort_file).sample(8, "val", 2)
        transfer_queue.kv_clear(keys=list(transfer_queue.kv_list()["val"]), partition_id="val")

    put("e", "finished", [1.0, 1.0], "val")
    batch, _ = buffer(abort_file, max_lost_validation_share=0).sample(9, "val", 1)
    fields = transfer_queue.kv_batch_get(keys=batch.keys, partition_id="val", select_fields=["extra_fields"])
    assert [field["reward_extra_info"]["lost_share"] for field in fields.pop("extra_fields").tolist()] == [0.0, 0.0]


def test_rewards_of_a_step_are_normalised_together_where_the_task_says_so(tmp_path):
    tables, charts = load_task("table").model_dump(), load_task("chart").model_dump()
    tables["scoring"]["mode"] = "batch"
    mixture = {"name": "both", "tasks": {"table": tables, "chart": charts}}
    own_reward = {"a_0_0": 1.9, "a_1_0": 1.9, "b_0_0": 1.9, "b_1_0": 0, "c_0_0": 1.9, "c_1_0": 1.9}
    for task, expected in ((None, own_reward), (mixture, own_reward | {"a_0_0": 2, "a_1_0": 1, "b_0_0": 1.5})):
        put_judged("a", "table", [0, 8])
        put_judged("b", "table", [4, None])
        put_judged("c", "chart", [1, 2])
        batch, metrics = buffer(tmp_path / "abort_reason.txt", batch_task=task).sample(1, "train", 3)
        found = transfer_queue.kv_batch_get(keys=batch.keys, partition_id="train", select_fields=["rm_scores"])
        rewards = dict(zip(batch.keys, found["rm_scores"].unbind(), strict=True))
        assert {key: float(row[-1]) for key, row in rewards.items()} == pytest.approx(expected)
        assert all(row[:-1].count_nonzero() == 0 for row in rewards.values()), "at the last token of a reply"
        assert sorted(map(len, rewards.values())) == [2, 2, 2, 3, 3, 3]
        assert metrics["reward/score/mean"] == pytest.approx(sum(expected.values()) / 6)
        transfer_queue.kv_clear(keys=batch.keys, partition_id="train")
