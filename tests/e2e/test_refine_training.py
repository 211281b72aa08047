"""`agent=refine` in real veRL on a CPU: three steps of GRPO with two answers a rollout, and what the updates were given."""

from __future__ import annotations

import io
import itertools
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

pytest.importorskip("verl")

from visual_erm.spec.task import load_task
from visual_erm.testing.tiny_qwen3vl import build_tiny_qwen3vl

pytestmark = [pytest.mark.e2e, pytest.mark.long, pytest.mark.timeout(900)]

ROOT = Path(__file__).parents[2]
TASK = ROOT / "tests" / "kinds" / "shapes.yaml"
COLORS = ("red", "green", "blue")
SHAPES = [f"{kind} {x} {y} 8 {c}\n" for kind in ("circle", "square") for x in (16, 40) for y in (16, 40) for c in COLORS]
PROMPTS, ROLLOUTS, STEPS = 2, 4, 3

RECORDER = '''
"""The sampler of the recipe, which also writes down what the update is given."""
import json
from pathlib import Path
from visual_erm.training.replay_buffer import StrictReplayBuffer
from visual_erm.training.verl_internals import kv_batch_get

FIELDS = ["prompts", "responses", "response_mask", "loss_mask", "rm_scores"]

class RecordingBuffer(StrictReplayBuffer):
    def sample(self, global_steps, partition_id, batch_size):
        batch, metrics = super().sample(global_steps, partition_id, batch_size)
        found = kv_batch_get(keys=batch.keys, partition_id=batch.partition_id, select_fields=FIELDS)
        rows = zip(*([row.tolist() for row in found[name].unbind()] for name in FIELDS), strict=True)
        with Path("updates.jsonl").open("a") as lines:
            lines.writelines(json.dumps({"step": global_steps, **dict(zip(FIELDS, row))}) + "\\n" for row in rows)
        return batch, metrics
'''


def data(folder: Path) -> Path:
    """Rows of single shapes."""
    task = load_task(TASK)
    renderer = task.render.renderer_class(task.render, 1, False)
    rows = []
    for index, code in enumerate(SHAPES[:: len(SHAPES) // (2 * PROMPTS)]):
        png = io.BytesIO()
        renderer._draw(code).save(png, "PNG")
        picture = {"bytes": png.getvalue(), "path": None}
        info = {"index": index, "split": "train", "reference": picture, "renderer_version": renderer.renderer_version}
        prompt = [{"role": "user", "content": "<image>\nWrite the shapes."}]
        truth = {"style": "model", "ground_truth": code}
        rows.append(
            {"data_source": "shapes", "prompt": prompt, "images": [picture], "reward_model": truth, "extra_info": info}
        )
    file = folder / "train.parquet"
    pq.write_table(pa.Table.from_pylist(rows), file)
    return file


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run with an untaught policy, some of whose answers hold shapes and many of which are cut off."""
    folder = tmp_path_factory.mktemp("refine")
    build_tiny_qwen3vl(folder / "policy", words=["Write", "the", "shapes", "."], runs=SHAPES)
    file = data(folder)
    (folder / "recorder.py").write_text(RECORDER)
    recipe = [
        *(f"task={TASK}", "judge=local", "policy=tiny", "cluster=cpu", "agent=refine"),
        *(f"tiny_data={folder}", f"run_dir={folder / 'run'}", f"data.train_files={file}", f"data.val_files={file}"),
        *(
            f"data.train_batch_size={PROMPTS}",
            f"actor_rollout_ref.rollout.n={ROLLOUTS}",
            "data.max_prompt_length=128",
            "preflight=false",
        ),
        *("data.max_response_length=1088", "agent.feedback_length=1024", f"trainer.total_training_steps={STEPS}"),
        *(f"trainer.v1.sampler.custom_sampler.path={folder / 'recorder.py'}",),
        "trainer.v1.sampler.custom_sampler.name=RecordingBuffer",
    ]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}
    done = subprocess.run(
        [sys.executable, "-m", "visual_erm.train", *recipe],
        cwd=folder, env=environment, capture_output=True, text=True, timeout=800, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return folder


def lines(*files: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for file in files for line in file.read_text(encoding="utf-8").splitlines()]


@pytest.fixture(scope="module")
def rollouts(run: Path) -> list[dict[str, Any]]:
    return lines(*(run / "run" / "rollout_log").glob("*.jsonl"))


@pytest.fixture(scope="module")
def updates(run: Path) -> list[dict[str, Any]]:
    return lines(*run.rglob("updates.jsonl"))


def test_three_steps_are_trained_with_two_answers_each(run: Path, rollouts: list[dict[str, Any]]) -> None:
    steps = lines(run / "run" / "metrics.jsonl")
    assert [step["step"] for step in steps] == [1, 2, 3]
    assert all(step["data"]["actor/grad_norm"] > 0 for step in steps)
    assert [step["data"]["reward/refine_turns/mean"] for step in steps] == [2, 2, 2]
    assert len(rollouts) == STEPS * PROMPTS * ROLLOUTS, "one line per rollout, and not per answer"
    assert all(len(rollout["turns"]) == 2 and rollout["scored_ok"] == 1 for rollout in rollouts)
    for rollout in rollouts:
        assert rollout["score"] == max(turn["score"] for turn in rollout["turns"])
    assert {turn["outcome"] for rollout in rollouts for turn in rollout["turns"]} >= {"scored", "no_code"}


def test_updates_were_given_no_token_of_a_report_to_train_on(
    run: Path, rollouts: list[dict[str, Any]], updates: list[dict[str, Any]]
) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(run / "policy")
    image = tokenizer.convert_tokens_to_ids("<|image_pad|>")
    assert len(updates) == STEPS * PROMPTS * ROLLOUTS
    written, shown = [], 0
    for row in updates:
        assert row["loss_mask"] == row["response_mask"]
        pairs = zip(row["loss_mask"], row["responses"], strict=True)
        parts = [(mask, [token for _, token in part]) for mask, part in itertools.groupby(pairs, key=lambda pair: pair[0])]
        assert [mask for mask, _ in parts] == [1, 0, 1]
        first, told, second = (tokens for _, tokens in parts)
        assert image not in first + second
        shown += image in told
        text = tokenizer.decode(told, skip_special_tokens=True)
        answers = [tokenizer.decode(tokens, skip_special_tokens=True) for tokens in (first, second)]
        (match,) = {
            rollout["turns"][0]["feedback"]
            for rollout in rollouts
            if [turn["reply"] for turn in rollout["turns"]] == answers
        }
        assert text.strip() == f"user\n{match}\nassistant"
        assert len(first) <= 32 and len(second) <= 32
        assert sum(row["rm_scores"]) == row["rm_scores"][-1]
        written.append(answers)
    assert len(written) == len(rollouts)
    assert shown == sum(rollout["turns"][0]["outcome"] == "scored" for rollout in rollouts) > 0
