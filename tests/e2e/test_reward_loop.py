"""The reward function in veRL's own reward loop: Ray actors, an event loop and a browser in each."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

pytest.importorskip("verl")

import numpy as np
import torch
from hydra import compose, initialize_config_dir

from visual_erm import train
from visual_erm.settings import shipped

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

ROWS = "<tr><th>Year</th><th>Sales</th></tr><tr><td>2019</td><td>{}</td></tr><tr><td>2020</td><td>57</td></tr>"
RIGHT, WRONG, NOTHING = f"<table>{ROWS}</table>".format("41"), f"<table>{ROWS}</table>".format("86"), "I see a table."


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with reference.png: the right table, drawn by the project's renderer."""
    from visual_erm.extract import Code
    from visual_erm.render import make_renderer
    from visual_erm.task import load_task

    async def draw() -> None:
        renderer = make_renderer(load_task("table").render)
        (await renderer.render(Code("html", RIGHT))).save(folder / "reference.png")
        await renderer.close()

    folder = tmp_path_factory.mktemp("reference")
    asyncio.run(draw())
    return folder


def batch(tokenizer, replies: list[str]):
    """The replies as veRL hands them to its reward loop, all with the same reference."""
    from verl import DataProto

    prompt = tokenizer.encode("html")
    tokens = [tokenizer.encode(reply) for reply in replies]
    width = max(map(len, tokens))
    padding = [[0] * (width - len(reply)) for reply in tokens]
    rows = list(zip(tokens, padding, strict=True))
    extra = [{"index": i, "split": "train", "reference": {"path": "reference.png"}} for i in range(len(replies))]
    return DataProto.from_dict(
        tensors={
            "prompts": torch.tensor([prompt] * len(replies)),
            "responses": torch.tensor([reply + pad for reply, pad in rows]),
            "attention_mask": torch.tensor([[1] * (len(prompt) + len(reply)) + pad for reply, pad in rows]),
        },
        non_tensors={
            "data_source": np.array(["table"] * len(replies), dtype=object),
            "reward_model": np.array([{"style": "model", "ground_truth": ""}] * len(replies), dtype=object),
            "extra_info": np.array(extra, dtype=object),
        },
    )


def gone(processes: Callable[[], list[psutil.Process]], wait_s: float = 60) -> list[str]:
    """Command lines of the processes that are still there after at most `wait_s` seconds."""
    deadline = time.monotonic() + wait_s
    while (left := processes()) and time.monotonic() < deadline:
        time.sleep(0.2)
    return [" ".join(process.cmdline()) for process in left]


def browsers(worker: psutil.Process) -> list[psutil.Process]:
    return [child for child in worker.children(recursive=True) if "headless" in child.name()]


def test_two_workers_score_with_the_same_keys_and_end_with_their_browsers(ray_processes, tiny_model, reference, tmp_path):
    import ray
    from verl.experimental.reward_loop import RewardLoopManager
    from verl.utils import hf_tokenizer

    with initialize_config_dir(str(shipped("configs")), version_base="1.3"):
        found = f"hydra.searchpath=[file://{train.verl_configs()}]"
        config = compose(
            "grpo",
            [
                "cluster=cpu",
                "policy=tiny",
                found,
                f"run_dir={tmp_path}",
                f"actor_rollout_ref.model.path={tiny_model}",
                f"reward.custom_reward_function.path={shipped('reward_func') / 'visual_equivalence.py'}",
                f"reward.custom_reward_function.reward_kwargs.data_root={reference}",
                "reward.num_workers=2",
            ],
        )
    manager = RewardLoopManager(config)
    replies = [RIGHT, WRONG, NOTHING] * 4
    scored = manager.compute_rm_score(batch(hf_tokenizer(str(tiny_model)), replies))

    rewards = scored.batch["rm_scores"].sum(dim=1).tolist()
    right, wrong, nothing = rewards[0::3], rewards[1::3], rewards[2::3]
    assert set(right) == {2.0}
    assert all(1 < value < 2 for value in wrong)
    assert len(set(wrong)) == 1, "both workers judge alike"
    assert set(nothing) == {0.0}
    numbers = {key: values.tolist() for key, values in scored.non_tensor_batch.items()}
    assert numbers["score"] == pytest.approx(rewards)
    assert numbers["render_ok"] == [1, 1, 0] * 4
    assert numbers["numeric_error_count"] == [0, 1, 0] * 4
    assert all(isinstance(value, float) for values in numbers.values() for value in values)

    first, second = (process for process in ray_processes() if "RewardLoopWorker" in " ".join(process.cmdline()))
    hers, his = browsers(first), browsers(second)
    assert hers, "each worker has a browser of its own"
    assert his
    first.send_signal(signal.SIGKILL)
    assert gone(lambda: [process for process in hers if process.is_running()]) == []
    assert all(process.is_running() for process in his)

    ray.shutdown()
    assert gone(ray_processes) == []
    journal = [line for file in (tmp_path / "journal").glob("*.jsonl") for line in file.read_text().splitlines()]
    assert len(journal) == len(replies)
