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

from visual_erm.preflight.overrides import compose_recipe
from visual_erm.spec.base import shipped
from visual_erm.spec.task import load_tasks
from visual_erm.training.reward_requirements import choose_manager

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

ROWS = "<tr><th>Year</th><th>Sales</th></tr><tr><td>2019</td><td>{}</td></tr><tr><td>2020</td><td>57</td></tr>"
RIGHT, WRONG, NOTHING = f"<table>{ROWS}</table>".format("41"), f"<table>{ROWS}</table>".format("86"), "I see a table."
WORSE = "<table><tr><td>9</td></tr></table>"


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with reference.png: the right table, drawn by the project's renderer."""
    from visual_erm.extract import Code
    from visual_erm.render.base import make_renderer
    from visual_erm.spec.task import load_task

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


def test_two_workers_score_a_batch_together_with_the_same_keys_and_end_with_their_browsers(
    ray_processes, tiny_model, reference, tmp_path
):
    import ray
    from verl.experimental.reward_loop import RewardLoopManager
    from verl.utils import hf_tokenizer

    config = compose_recipe(
        [
            "cluster=cpu",
            "policy=tiny",
            f"run_dir={tmp_path}",
            f"actor_rollout_ref.model.path={tiny_model}",
            f"reward.custom_reward_function.path={shipped('reward_func') / 'visual_equivalence.py'}",
            f"reward.custom_reward_function.reward_kwargs.data_root={reference}",
            "reward.num_workers=2",
            "task.scoring.mode=batch",
        ]
    )
    choose_manager(config, load_tasks(config.task), str(shipped("reward_func") / "batch_manager.py"))
    manager = RewardLoopManager(config)
    # The worst is in one worker's half.
    replies = [WORSE, RIGHT, WRONG, NOTHING, RIGHT, WRONG] + [RIGHT, WRONG, NOTHING] * 2
    scored = manager.compute_rm_score(batch(hf_tokenizer(str(tiny_model)), replies))

    rewards = scored.batch["rm_scores"].sum(dim=1).tolist()
    numbers = {key: values.tolist() for key, values in scored.non_tensor_batch.items()}
    severities = {
        reply: {s for s, of in zip(numbers["severity"], replies, strict=True) if of == reply} for reply in replies
    }
    ((slip,), (worst,)) = severities[WRONG], severities[WORSE]
    assert worst > slip > 0, "both workers judge alike"
    # Paper, Eq. 3-5, over both workers; a sample by itself has the task's constant.
    together = {RIGHT: 2, WRONG: 2 - slip / worst, WORSE: 1, NOTHING: 0}
    assert rewards == pytest.approx([together[reply] for reply in replies])
    apart = {RIGHT: 2, WRONG: 2 - slip / 50, WORSE: 2 - worst / 50, NOTHING: 0}
    assert numbers["score"] == pytest.approx([apart[reply] for reply in replies])
    assert numbers["render_ok"] == [float(reply != NOTHING) for reply in replies]
    assert {n for n, of in zip(numbers["numeric_error_count"], replies, strict=True) if of == WRONG} == {1}
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
    rollout_log = [line for file in (tmp_path / "rollout_log").glob("*.jsonl") for line in file.read_text().splitlines()]
    assert len(rollout_log) == len(replies)
