"""Runs that would fail, each reported by the check that finds it: the key to change, what is wrong, and how to fix it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from openai_server import OpenAIServer, completion, held, serving, status
from PIL import Image
from runs import Run, row, write
from typer.testing import CliRunner

from visual_erm import train
from visual_erm.cli import app
from visual_erm.errors import InfrastructureError
from visual_erm.launch.numbers import numbers
from visual_erm.preflight import doctor, machine, model
from visual_erm.preflight.checks import CHECKS, exit_code, run_check
from visual_erm.preflight.context import RunContext
from visual_erm.preflight.findings import Check, Note, Outcome, Problem
from visual_erm.preflight.overrides import composed
from visual_erm.preflight.report import as_json, last_line
from visual_erm.render.base import make_renderer
from visual_erm.serve.plan import Gpu
from visual_erm.spec.base import shipped
from visual_erm.spec.task import load_task

GPUS = ["cluster=8gpu", "policy="]
"""In place of the good run's CPU: what is only counted needs none."""
MEGATRON = [*GPUS, "engine=megatron"]
REPORT = json.dumps({"layout_error_count": 0, "text_error_count": 0, "numeric_error_count": 0, "errors": []})


def problem_text(outcome: Outcome) -> str:
    return "\n".join(map(str, outcome.problems))


def only(outcome: Outcome) -> Problem:
    assert len(outcome.problems) == 1, (problem_text(outcome), outcome)
    return outcome.problems[0]


# Settings


@pytest.mark.parametrize(
    ("title", "words", "key", "what", "fix"),
    [
        ("task", ["+task.scoring.smax=3"], "task", "unknown key `scoring.smax`", "did you mean `s_max`?"),
        ("task", ["task.scoring.mode=best"], "task", "key `scoring.mode`", "see configs/task/"),
        ("task", ["task.judge.prompt_file=gone.txt"], "task", "gone.txt", "see configs/task/"),
        ("judge", ["judge=remote"], "judge", "needs `endpoints`, like [http://127.0.0.1:8000/v1]", "see configs/judge/"),
        ("judge", ["judge=remote", "judge.endpoints=[http://a/v1]", "judge.api_key_file=gone.key"], "judge",
         "gone.key cannot be read", "see configs/judge/"),
        ("judge", ["judge=colocated", "reward.reward_model.enable=false", "reward.reward_model.model_path=/m"],
         "reward.reward_model.enable", "veRL runs no reward model", "set it to true"),
        ("judge", ["judge=colocated"], "reward.reward_model.model_path", "not set", "give reward.reward_model.model_path="),
        ("every key has a value", ["actor_rollout_ref.rollout.name=???"], "actor_rollout_ref.rollout.name", "not set",
         "give actor_rollout_ref.rollout.name=vllm"),
        ("every key has a value", ["trainer.experiment_name=${nowhere}"], "", "'nowhere' not found",
         "give it a value of its own"),
        ("numbers", ["data.train_batch_size=many"], "data.train_batch_size", "is 'many'", "a whole number of at least 1"),
        ("numbers", ["trainer.total_training_steps=0"], "trainer.total_training_steps", "is 0", "or null for all data"),
        ("veRL's settings", ["actor_rollout_ref.actor.loss_agg_mode=mean"], "actor_rollout_ref.actor.loss_agg_mode",
         "Invalid loss_agg_mode: mean", "veRL's own rule"),
        ("veRL's settings", ["+actor_rollout_ref.actor.clip_ratio_hi=0.3"], "actor_rollout_ref.actor.clip_ratio_hi",
         "veRL knows no such key", "did you mean `actor_rollout_ref.actor.clip_ratio_high`?"),
        ("veRL's settings", ["actor_rollout_ref.rollout.mode=sync"], "actor_rollout_ref.rollout", "'sync' has been removed",
         "veRL's own rule"),
        ("veRL's settings", ["reward.reward_manager.name=prime"], "reward.reward_manager", "prime", "name one of veRL's"),
        ("veRL's own validation", ["actor_rollout_ref.actor.use_dynamic_bsz=false",
         "actor_rollout_ref.rollout.log_prob_use_dynamic_bsz=false"], "actor_rollout_ref.actor.ppo_micro_batch_size",
         "set at least one of", "veRL's own rule"),
        ("packages", ["actor_rollout_ref.rollout.name=vlm", "actor_rollout_ref.model.external_lib=null"],
         "actor_rollout_ref.rollout.name", "veRL has no rollout engine `vlm`", "give one of vllm, sglang, trtllm"),
        ("packages", [*MEGATRON, "actor_rollout_ref.rollout.name=vllm"], "actor_rollout_ref.actor.strategy",
         "needs the package `megatron.core`", "or take the other engine: engine=fsdp"),
    ],
)  # fmt: skip
def test_settings_that_are_wrong(good: Run, tmp_path, monkeypatch, title, words, key, what, fix):
    monkeypatch.chdir(tmp_path)
    problems = good.look(title, *words).problems
    found = [problem for problem in problems if problem.key.startswith(key) and what in problem.what and fix in problem.fix]
    assert len(found) == 1, list(map(str, problems))


# Sizes


@pytest.mark.parametrize(
    ("title", "words", "key", "what", "fix"),
    [
        ("batches divide", ["actor_rollout_ref.actor.ppo_mini_batch_size=3"], "actor_rollout_ref.actor.ppo_mini_batch_size",
         "3 does not divide data.train_batch_size=4", "a divisor of 4: 2"),
        ("batches divide", ["actor_rollout_ref.actor.ppo_mini_batch_size=8"], "actor_rollout_ref.actor.ppo_mini_batch_size",
         "8 does not divide data.train_batch_size=4", "a divisor of 4: 4"),
        ("batches divide", ["actor_rollout_ref.rollout.n=1"], "actor_rollout_ref.rollout.n", "there is only one", "give 8"),
        ("batches divide", ["reward.num_workers=99"], "reward.num_workers", "99 workers for 16 rollouts", "at most 16"),
        ("batches divide", ["actor_rollout_ref.rollout.log_prob_use_dynamic_bsz=false"],
         "actor_rollout_ref.rollout.log_prob_use_dynamic_bsz", "differs from actor_rollout_ref.actor.use_dynamic_bsz",
         "set both to the same"),
        ("batches divide", [*GPUS, "actor_rollout_ref.actor.ppo_mini_batch_size=2", "actor_rollout_ref.rollout.n=3"],
         "actor_rollout_ref.actor.ppo_mini_batch_size", "2 prompts x 3 rollouts do not divide by the 4 data-parallel ranks",
         "so that they do"),
        ("batches divide", [*GPUS, "data.train_batch_size=8", "actor_rollout_ref.actor.ppo_mini_batch_size=8",
         "actor_rollout_ref.actor.use_dynamic_bsz=false", "actor_rollout_ref.rollout.log_prob_use_dynamic_bsz=false",
         "actor_rollout_ref.actor.ppo_micro_batch_size_per_gpu=3"],
         "actor_rollout_ref.actor.ppo_micro_batch_size_per_gpu", "3 does not divide the 8 rollouts of a rank", "give 2"),
        ("GPUs divide", [*MEGATRON, "trainer.n_gpus_per_node=4"],
         "actor_rollout_ref.actor.megatron.tensor_model_parallel_size",
         "8 GPUs make one copy of the policy, and 4 do not divide", "trainer.nnodes=1 x trainer.n_gpus_per_node=4"),
        ("GPUs divide", [*GPUS, "actor_rollout_ref.actor.ulysses_sequence_parallel_size=3"],
         "actor_rollout_ref.actor.ulysses_sequence_parallel_size", "3 GPUs make one copy", "change it"),
        ("GPUs divide", [*GPUS, "actor_rollout_ref.rollout.tensor_model_parallel_size=3"],
         "actor_rollout_ref.rollout.tensor_model_parallel_size", "a rollout server takes 3 GPUs, and 8 do", "change it"),
        ("GPUs divide", [*GPUS, "trainer.nnodes=2", "trainer.n_gpus_per_node=6",
         "actor_rollout_ref.rollout.tensor_model_parallel_size=4"],
         "actor_rollout_ref.rollout.tensor_model_parallel_size", "parts of nodes of 6", "divisor of trainer.n_gpus"),
        ("GPUs divide", [*MEGATRON, "actor_rollout_ref.model.lora_rank=32"], "actor_rollout_ref.model.lora_rank",
         "megatron does not read it", "set actor_rollout_ref.model.lora.rank=32"),
        ("GPUs divide", [*GPUS, "actor_rollout_ref.model.lora.rank=32"], "actor_rollout_ref.model.lora.rank",
         "fsdp2 does not read it", "set actor_rollout_ref.model.lora_rank=32"),
        ("sequences fit", ["actor_rollout_ref.rollout.max_model_len=100"], "actor_rollout_ref.rollout.max_model_len",
         "prompt and reply may have 128", "give 128"),
        ("sequences fit", [*MEGATRON, "actor_rollout_ref.actor.ppo_max_token_len_per_gpu=4096"],
         "actor_rollout_ref.actor.ppo_max_token_len_per_gpu", "4096 tokens x 2 GPUs that share a sequence do not hold",
         "give 8192 or more"),
        ("reward model's GPUs", [*GPUS, "judge=colocated", "reward.reward_model.model_path=/m",
         "reward.reward_model.rollout.tensor_model_parallel_size=3"],
         "reward.reward_model.rollout.tensor_model_parallel_size", "takes 3 GPUs; 8 do not divide", "give 2"),
        ("reward model's GPUs", [*GPUS, "judge=colocated", "reward.reward_model.model_path=/m",
         "reward.reward_model.nnodes=0"], "reward.reward_model.nnodes", "but none", "give the nodes"),
        ("reward model's GPUs", [*GPUS, "judge=colocated", "reward.reward_model.model_path=/m",
         "reward.reward_model.enable_resource_pool=false"], "reward.reward_model.enable_resource_pool",
         "shows a reward model no reference", "set it to true"),
        ("policy's shape", [*GPUS, "actor_rollout_ref.rollout.tensor_model_parallel_size=8", "data.max_prompt_length=64"],
         "actor_rollout_ref.rollout.tensor_model_parallel_size", "8 does not divide the policy's 4 attention heads",
         "a divisor of 4"),
        ("policy's shape", ["data.max_response_length=9999"], "data.max_response_length", "the policy's context has 4096",
         "shorten data.max_prompt_length"),
    ],
)  # fmt: skip
def test_sizes_that_do_not_fit_each_other(good: Run, title, words, key, what, fix):
    problems = good.look(title, *words).problems
    found = [problem for problem in problems if problem.key.startswith(key) and what in problem.what and fix in problem.fix]
    assert len(found) == 1, list(map(str, problems))


COUNTED = ("every key has a value", "numbers", "GPUs divide", "batches divide", "sequences fit", "reward model's GPUs")


@pytest.mark.parametrize("engine", ["fsdp", "megatron"])
@pytest.mark.parametrize("judge", ["local", "colocated"])
def test_the_recipes_for_gpus_have_no_such_problem(engine, judge):
    for cluster in ("1gpu", "8gpu", "32gpu")[engine == "megatron" :]:
        words = [f"cluster={cluster}", f"engine={engine}", f"judge={judge}", "policy=qwen3vl_8b"]
        config, problems = composed([*words, *(["reward.reward_model.model_path=/m"] if judge == "colocated" else [])])
        assert config is not None and not problems
        for check in CHECKS:
            if check.title in COUNTED:
                assert not run_check(RunContext(config), check).problems, (cluster, check.title)


# Data


def test_data_files_that_are_not_there_or_are_no_parquet(run_copy: Run, tmp_path):
    (tmp_path / "text.parquet").write_text("PAR")
    gone = only(run_copy.look("training files", "data.train_files=[nowhere.parquet]"))
    text = only(run_copy.look("test files", f"data.val_files={tmp_path / 'text.parquet'}"))
    assert (gone.key, text.key) == ("data.train_files", "data.val_files")
    assert gone.what.endswith("/nowhere.parquet does not exist")
    assert "make it with data_prep/" in gone.fix
    assert "text.parquet: cannot be read as parquet" in text.what
    assert "data.val_files: not set; give data.val_files=FILE.parquet" in problem_text(
        run_copy.look("test files", "data.val_files=null")
    )


def test_less_data_than_a_step_and_less_than_the_steps(good: Run):
    few = only(good.look("training rows", "data.train_batch_size=16", "actor_rollout_ref.actor.ppo_mini_batch_size=16"))
    assert (few.key, few.fix) == ("data.train_batch_size", "give at most 8, or more data")
    short = only(good.look("training rows", "trainer.total_epochs=2", "trainer.total_training_steps=9"))
    assert short.key == "trainer.total_training_steps"
    assert "9 steps, but in 2 epochs the data lasts for 4" in short.what
    assert "give trainer.total_epochs=5" in short.fix


def test_rows_of_another_task_and_references_that_another_engine_drew(run_copy: Run):
    here = make_renderer(load_task("table").render).renderer_version
    write(
        run_copy.folder / "train.parquet",
        [row(0, extra_info={"renderer_version": here}), row(1, extra_info={"renderer_version": "chromium 1.2"})],
    )
    drawn = only(run_copy.look("rows fit the tasks"))
    assert drawn.key == "data.train_files"
    for part in ("train.parquet, row 1: ", "`chromium 1.2`", f"`{here}`", "task.render.allow_renderer_mismatch=true"):
        assert part in str(drawn)
    assert run_copy.look("rows fit the tasks", "task.render.allow_renderer_mismatch=true").ok
    write(run_copy.folder / "train.parquet", [row(0), row(1, data_source="tables")])
    strange = only(run_copy.look("rows fit the tasks", "task=mixed"))
    assert "row 1: `data_source` is 'tables', none of the run's tasks: table, chart, svg" in strange.what


def test_references_that_do_not_open_are_reported_by_file_and_row(run_copy: Run):
    absent = {"reference": {"bytes": None, "path": "images/gone.png"}}
    broken = {"reference": {"bytes": b"PNG?", "path": None}}
    write(run_copy.folder / "train.parquet", [row(0), row(1, extra_info=absent), row(2, extra_info=broken), row(3)])
    outcome = run_copy.look("references open")
    assert [re.search(r"train\.parquet, row (\d)", problem.what)[1] for problem in outcome.problems] == ["1", "2"]
    assert f"reference image {run_copy.folder}/images/gone.png does not exist" in outcome.problems[0].what
    assert "data_root is the folder that the paths start from" in outcome.problems[0].fix


def test_references_outside_of_the_data_root_are_reported_unless_they_are_allowed(run_copy: Run, tmp_path):
    Image.new("RGB", (300, 120), "red").save(tmp_path / "1.png")
    outside = {"reference": {"bytes": None, "path": str(tmp_path / "1.png")}}
    write(run_copy.folder / "train.parquet", [row(0), row(1, extra_info=outside), row(2)])
    refused = only(run_copy.look("references open"))
    assert "row 1: " in refused.what and "outside of the folder" in refused.what
    assert "allow_outside_data_root=true" in refused.fix
    allowed = "reward.custom_reward_function.reward_kwargs.allow_outside_data_root=true"
    assert run_copy.look("references open", allowed).ok


def test_of_large_files_rows_all_over_them_are_looked_at_and_the_report_says_so(run_copy: Run):
    broken = {"reference": {"bytes": b"PNG?", "path": None}}
    write(run_copy.folder / "train.parquet", [*(row(index) for index in range(99)), row(99, extra_info=broken)])
    outcome = run_copy.look("references open")
    assert "train.parquet, row 99: " in only(outcome).what
    assert outcome.notes == ("64 of 100 rows, spread over the files",)


def test_references_of_test_rows_are_wanted_where_the_run_tests(run_copy: Run):
    write(run_copy.folder / "test.parquet", [row(0, extra_info={"reference": {"bytes": None, "path": None}})])
    assert run_copy.look("references open").ok
    for tests in ("trainer.test_freq=2", "trainer.val_before_train=true"):
        assert "test.parquet, row 0: `extra_info.reference`" in only(run_copy.look("references open", tests)).what


def test_rows_that_veRL_cannot_load_and_prompts_that_are_too_long(run_copy: Run):
    null = [{"bytes": None, "path": "x.png"}]
    write(run_copy.folder / "train.parquet", [row(0), row(1, images=null)])
    lost = only(run_copy.look("veRL loads the rows"))
    assert lost.key == "data.train_files"
    assert "train.parquet, row 1: veRL cannot load it" in lost.what
    write(run_copy.folder / "train.parquet", [row(0), row(1)])
    words = ["data.max_prompt_length=10", "data.filter_overlong_prompts=false"]
    train, test = run_copy.look("veRL loads the rows", *words).problems
    assert train.key == test.key == "data.max_prompt_length"
    assert "2 of 2 prompts looked at are longer than 10 tokens" in train.what
    assert "--longest-side" in train.fix


# Model


def test_a_model_that_is_not_there_may_be_on_the_hub_unless_the_run_is_offline(good: Run):
    hub = "actor_rollout_ref.model.path=Qwen/Qwen3-VL-8B-Instruct"
    assert "no folder" in only(good.look("policy", hub)).what
    assert good.look("policy", hub, "env.HF_HUB_OFFLINE='0'").ok
    gone = only(good.look("policy", "actor_rollout_ref.model.path=./gone"))
    assert (gone.key, gone.fix) == ("actor_rollout_ref.model.path", "give the model's folder (for policy=tiny: make demo)")


def test_a_model_folder_that_is_not_whole(run_copy: Run):
    folder = run_copy.folder / "model"
    (folder / "preprocessor_config.json").unlink()
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "model_type": "qwen9_vl", "architectures": []}))
    content = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").unlink()
    (folder / "model.safetensors").write_bytes(content[:-1000])
    output = problem_text(run_copy.look("policy"))
    for part in (
        "config.json: transformers ", "knows no model_type 'qwen9_vl'", "`architectures` is [], veRL wants one",
        f"model.safetensors is cut off: {len(content) - 1000} of {len(content)} bytes", "has no image processor",
        "download it again: hf download",
    ):  # fmt: skip
        assert part in output
    (folder / "model.safetensors").write_text("version https://git-lfs.github.com/spec/v1\n")
    assert "is a pointer of git-lfs, not the weights (git lfs pull)" in problem_text(run_copy.look("policy"))
    (folder / "model.safetensors").unlink()
    index = {"weight_map": {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    assert "lacks model-00001-of-00002.safetensors, model-00002-of-00002.safetensors" in problem_text(
        run_copy.look("policy")
    )
    (folder / "config.json").unlink()
    assert "config.json cannot be read" in only(run_copy.look("policy")).what


def test_weights_that_are_no_whole_safetensors_file_are_reported_and_count_no_bytes(run_copy: Run):
    file = run_copy.folder / "model" / "model.safetensors"
    content = file.read_bytes()
    whole = model.weights(file.parent)
    assert whole.keys() <= model.BYTES_OF_TYPE.keys()
    file.unlink()
    for damaged, message in (
        (content + b"x", "is damaged ("), (content[:20], "is no safetensors file ("), (b"", "is no safetensors file ("),
        (content[:8] + b"{" + content[9:-1], "is cut off"),
    ):  # fmt: skip
        file.write_bytes(damaged)
        assert f"{file.name} {message}" in problem_text(run_copy.look("policy")), message
        assert model.weights(file.parent) == {}
    file.write_bytes(content)
    assert model.weights(file.parent) == whole


def test_the_reward_model_that_veRL_runs_must_be_there_too(good: Run, tmp_path):
    words = ["judge=colocated", f"reward.reward_model.model_path={tmp_path}/none"]
    gone = only(good.look("reward model", *words))
    assert (gone.key, gone.what) == ("reward.reward_model.model_path", f"no folder {tmp_path}/none")
    words[1] = f"reward.reward_model.model_path={good.folder / 'model'}"
    assert good.look("reward model", *words).ok


# Machine


def test_checkpoints_that_would_not_fit_on_the_disk(good: Run, monkeypatch):
    words = ["trainer.save_freq=1", "actor_rollout_ref.actor.checkpoint.save_contents=[model,optimizer,hf_model]"]
    numbers = sum(model.weights(good.folder / "model").values())
    size = machine.checkpoint_bytes(good.case(*words))
    assert size == numbers * (4 + 8 + 4)
    assert machine.new_checkpoints(good.case(*words)) == 3
    assert machine.new_checkpoints(good.case(*words, "trainer.max_actor_ckpt_to_keep=1")) == 2
    assert machine.new_checkpoints(good.case("trainer.save_freq=2")) == 2
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(0, 0, 3 * size - 1))
    full = only(good.look("disk", *words))
    assert full.key == "trainer.max_actor_ckpt_to_keep"
    assert full.what.startswith("3 checkpoints of ")
    assert "give run_dir=FOLDER on a larger disk" in full.fix
    assert good.look("disk", *words, "trainer.max_actor_ckpt_to_keep=2").ok


@pytest.mark.parametrize(
    ("saved", "resumed", "keep", "added"),
    [
        # Of 8 steps, saved every 2.
        ([], 0, "null", 4), ([], 0, 2, 2), ([2, 4], 4, "null", 2), ([2, 4], 4, 1, 2), ([2, 4], 4, 3, 2),
        ([6], 6, "null", 1), ([4, 6, 8], 8, 2, 0),
        # Saved, and not yet told: the step is done again.
        ([2, 4], 2, "null", 2), ([2, 4], 2, 2, 2),
    ],
)  # fmt: skip
def test_checkpoints_of_an_earlier_start_stay_beside_those_of_this_one(
    run_copy: Run, monkeypatch, saved, resumed, keep, added
):
    folder = run_copy.folder / "run" / "checkpoints"
    for step in saved:
        (folder / f"global_step_{step}").mkdir(parents=True)
    (run_copy.folder / "run" / "checkpoints" / "global_step_tmp").mkdir(parents=True)
    if resumed:
        (folder / "latest_checkpointed_iteration.txt").write_text(str(resumed))
    words = ["trainer.save_freq=2", f"trainer.max_actor_ckpt_to_keep={keep}", "trainer.total_training_steps=8"]
    words += ["trainer.total_epochs=4", "trainer.resume_mode=auto"]
    assert machine.new_checkpoints(run_copy.case(*words)) == added
    size = machine.checkpoint_bytes(run_copy.case(*words))
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(0, 0, added * size))
    outcome = run_copy.look("disk", *words)
    assert outcome.ok
    told = f"{len(saved)} of an earlier start, which veRL does not remove"
    assert (told in outcome.notes) == bool(saved)
    if added:
        monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(0, 0, added * size - 1))
        full = only(run_copy.look("disk", *words))
        assert full.what.startswith(f"{added} checkpoints of ")
        by_hand = "remove by hand what veRL does not, " + ", ".join(f"global_step_{step}" for step in saved[:-1])
        assert full.fix.startswith(by_hand) == (len(saved) > 1)


def test_a_run_folder_that_cannot_be_made(good: Run):
    inside = only(good.look("disk", f"run_dir={good.folder}/train.parquet/run"))
    assert str(inside) == f"run_dir: {good.folder}/train.parquet cannot be written; give run_dir=FOLDER that can"


def test_a_machine_without_a_browser(good: Run, monkeypatch, tmp_path):
    monkeypatch.setenv("VISUAL_ERM_CHROMIUM", str(tmp_path / "none"))
    assert only(good.look("browser")).key == "Chromium"
    assert good.look("browser", "task=svg").ok


def test_walls_that_the_task_requires_and_the_machine_has_not(good: Run):
    lacking = only(good.look("sandbox", "task=mixed", "task.tasks.chart.render.sandbox.layers=[rlimits]"))
    assert lacking.key == "task.tasks.chart.render.sandbox"
    assert "task `chart`: the sandbox does not guarantee network, files, processes" in lacking.what
    assert "shorten task.tasks.chart.render.sandbox.require" in lacking.fix
    assert good.look(
        "sandbox", "task=chart", "task.render.sandbox.layers=[]", "task.render.sandbox.require=[time]"
    ).ok  # fmt: skip


def test_gpus_that_are_not_there(good: Run, monkeypatch):
    monkeypatch.setattr(machine, "gpus_here", lambda environ: [Gpu(0, "GPU-0", 80 << 30)])
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    few = only(good.look("GPUs", *GPUS))
    assert str(few) == "trainer.n_gpus_per_node: the run takes 8 GPUs, this machine has 1; give trainer.n_gpus_per_node=1"
    alone = only(good.look("GPUs", *GPUS, "cluster=32gpu"))
    assert alone.key == "trainer.nnodes"
    assert "4 nodes, but no Ray cluster" in alone.what
    assert "a launcher of rl_scripts/" in alone.fix
    pretended = only(good.look("GPUs", "trainer.n_gpus_per_node=2"))
    assert pretended.fix.startswith("give ray_kwargs.ray_init.num_gpus=2")


# Judges


def endpoints(*servers: OpenAIServer | str) -> list[str]:
    urls = ",".join(server if isinstance(server, str) else server.url for server in servers)
    return ["judge=remote", f"judge.endpoints=[{urls}]", "judge.timeout_s=2"]


async def test_every_endpoint_is_asked_for_a_report_and_what_is_wrong_with_it_is_reported(good: Run, monkeypatch):
    monkeypatch.setenv("VISUAL_ERM_API_KEY", "sk-secret")
    models = serving("visual-erm")
    async with (
        OpenAIServer(completion(REPORT), routes=models) as well,
        OpenAIServer(status(401, "bad key sk-secret"), routes=models) as locked,
        OpenAIServer(completion("I cannot see it."), routes=models) as talking,
        OpenAIServer(completion(""), routes=models) as empty,
        OpenAIServer(completion(REPORT), routes=serving("qwen")) as other,
        OpenAIServer(held(completion(REPORT)), routes=models) as slow,
    ):
        servers = [well, locked, talking, empty, other, slow, "http://127.0.0.1:9/v1", "ftp://judge"]
        outcome = await asyncio.to_thread(good.look, "endpoints", *endpoints(*servers))
        assert outcome.notes == ("1 of 8 wrote a report",)
        assert len(well.bodies) == 1
        expected = [
            (locked.url, "judge.endpoints", "answered 401", "VISUAL_ERM_API_KEY"),
            (talking.url, "judge.endpoints", "answers, but not with a report", "is it the reward model"),
            (empty.url, "judge.endpoints", "answers, but not with a report", "judge.structured=true"),
            (other.url, "judge.model", "serves qwen, not `visual-erm`", "set judge.model"),
            (slow.url, "judge.endpoints", "did not answer within 2 s", "it takes longer than 2 s"),
            ("http://127.0.0.1:9/v1", "judge.endpoints", "cannot be reached", "start it: visual-erm serve MODEL"),
            ("ftp://judge", "judge.endpoints", "is no URL", "write it like http://"),
        ]
        assert len(outcome.problems) == len(expected), problem_text(outcome)
        for problem, (url, key, what, fix) in zip(outcome.problems, expected, strict=True):
            assert problem.key == key
            assert url in problem.what and what in problem.what and fix in problem.fix, str(problem)
        assert "sk-secret" not in problem_text(outcome)


@pytest.mark.parametrize("login", ["me:very-secret", ":very-secret", "very-secret"])
def test_a_password_in_an_endpoint_is_not_shown_and_a_warning_names_the_file(good: Run, login):
    words = endpoints(f"http://{login}@127.0.0.1:9/v1")
    told = good.look("judge", *words)
    assert "FILE" in told.warnings[0].fix and told.warnings[0].key == "judge.endpoints"
    assert told.notes == ("visual-erm at http://127.0.0.1:9/v1",)
    asked = good.look("endpoints", *words)
    assert "http://127.0.0.1:9/v1 cannot be reached" in only(asked).what
    (found,) = doctor.endpoints(good.case(*words).judge)
    shown = [*numbers(good.case(*words).config), str(found), repr(told), repr(asked)]
    assert "judge.endpoints=['http://127.0.0.1:9/v1']" in shown
    assert not [text for text in shown if "very-secret" in text]


def test_an_endpoints_file_that_others_can_write_is_a_problem_with_its_fix(good: Run, tmp_path):
    (tmp_path / "endpoints.txt").write_text("http://127.0.0.1:9/v1")
    (tmp_path / "endpoints.txt").chmod(0o666)
    refused = only(good.look("endpoints", "judge=remote", f"judge.endpoints_file={tmp_path / 'endpoints.txt'}"))
    assert "others than its owner can write" in refused.what and "chmod go-w" in refused.fix


def test_an_endpoints_file_without_any(good: Run, tmp_path):
    words = ["judge=remote", f"judge.endpoints_file={tmp_path / 'endpoints.txt'}"]
    none = only(good.look("endpoints", *words))
    assert none.what == f"no endpoint in {tmp_path / 'endpoints.txt'}"
    assert none.fix == f"start one: visual-erm serve MODEL --endpoints-file {tmp_path / 'endpoints.txt'}"


def test_a_connection_that_is_not_trusted_names_the_remedy():
    from visual_erm.preflight.endpoints import _explained

    reason = "https://j/v1 cannot be reached (ClientConnectorCertificateError)"
    what, fix = _explained("https://j/v1", f"no judge has answered for 0.5 s; the last failure: {reason}", 60)
    assert what == reason
    assert "SSL_CERT_FILE" in fix


def test_a_proxy_before_an_endpoint_is_the_fix(good: Run, monkeypatch):
    for name in ("HTTP_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    proxied = only(good.look("endpoints", *endpoints("http://127.0.0.1:8/v1")))
    assert "http://127.0.0.1:8/v1 cannot be reached" in proxied.what
    assert "through the proxy http://127.0.0.1:9 of HTTP_PROXY: add 127.0.0.1 to NO_PROXY" in proxied.fix
    (told,) = doctor.endpoints(good.case(*endpoints("http://127.0.0.1:8/v1")).judge)
    assert told.fix == proxied.fix
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    assert only(good.look("endpoints", *endpoints("http://127.0.0.1:8/v1"))).fix.startswith("start it")


# Scores


def function(tmp_path: Path, body: str) -> list[str]:
    file = tmp_path / "mine.py"
    file.write_text(f"import time\nasync def compute_score(solution_str, **_):\n    {body}\n")
    return [f"reward.custom_reward_function.path={file}"]


@pytest.mark.parametrize(
    ("limit_s", "body", "what", "fix"),
    [
        (60, "raise KeyError('reference')", "KeyError: 'reference' (mine.py, line 3)", "correct the function"),
        (60, "return {'score': float('nan')}", "the result is {'score': nan}", "return finite numbers"),
        (60, "return {'score': 1.0, **({'extra': 1.0} if '10' in solution_str else {})}", "only some have extra",
         "return the same keys"),
        (3, "time.sleep(99)", "only 0 of 6 samples were scored within 3 s", "see what takes so long"),
    ],
)  # fmt: skip
def test_reward_functions_that_would_end_the_run(good: Run, tmp_path, monkeypatch, limit_s, body, what, fix):
    monkeypatch.setattr("visual_erm.preflight.reward.SCORING_TIMEOUT_S", limit_s)
    found = only(good.look("three samples are scored", *function(tmp_path, body)))
    assert found.key == "reward.custom_reward_function.path"
    assert what in found.what and fix in found.fix


def test_a_reward_function_that_is_not_there(good: Run, tmp_path):
    gone = only(good.look("reward function", "reward.custom_reward_function.path=no.py"))
    assert (gone.key, gone.what) == ("reward.custom_reward_function.path", "no.py does not exist, here or in the project")
    name = only(good.look("reward function", "reward.custom_reward_function.name=scores"))
    assert "visual_equivalence.py defines no function `scores`" in name.what


async def test_a_judge_that_gives_out_while_samples_are_scored_is_reported_as_such(good: Run):
    async with OpenAIServer(status(401), routes=serving("visual-erm")) as server:
        down = await asyncio.to_thread(good.look, "three samples are scored", *endpoints(server))
    problem = only(down)
    assert problem.key == "judge"
    assert "JudgeUnavailable" in problem.what and "answered 401" in problem.what


# All together


def test_what_depends_on_something_broken_waits_and_our_own_failures_are_another_exit_code(good: Run):
    def fails(case: RunContext):
        yield Note("so far")
        raise InfrastructureError("the browser does not start")

    case = good.case()
    assert run_check(case, Check("b", fails, ("a",)), {"a"}).skipped == ("a",)
    failed = run_check(case, Check("b", fails))
    assert failed.failure == "InfrastructureError: the browser does not start"
    wrong = Outcome("a", (Problem("k", "w", "f"),))
    assert [exit_code(outcomes) for outcomes in ([], [failed], [wrong], [failed, wrong])] == [0, 1, 2, 2]
    assert last_line([failed]) == "b: InfrastructureError: the browser does not start"
    assert last_line([wrong, failed]) == "k: w; f"
    assert last_line([wrong, wrong]) == "2 problems: k"
    assert json.loads(as_json([wrong]))["problems"] == [{"key": "k", "what": "w", "fix": "f"}]


def test_training_reports_all_that_is_wrong_in_one_go_and_starts_nothing(run_copy: Run, tmp_path, monkeypatch, capsys):
    (run_copy.folder / "model" / "preprocessor_config.json").unlink()
    write(run_copy.folder / "test.parquet", [row(0, extra_info={"reference": {"bytes": b"PNG?", "path": None}})])
    wrong = [
        "trainer.totl_epochs=2", "trainer.experiment_name=12e4567",
        "actor_rollout_ref.actor.ppo_mini_batch_size=3", "trainer.n_gpus_per_node=2",
        "actor_rollout_ref.actor.loss_agg_mode=mean", "actor_rollout_ref.rollout.max_model_len=100",
        "judge=remote", "judge.endpoints=[http://127.0.0.1:9/v1]", "reward.custom_reward_function.name=scores",
        "trainer.val_before_train=true",
    ]  # fmt: skip
    monkeypatch.setattr(sys, "argv", ["train", *run_copy.words, *wrong])
    monkeypatch.chdir(tmp_path)
    with environment_as_before(), pytest.raises(SystemExit, match="2"):
        train.main()
    output = capsys.readouterr().err
    keys = [
        "trainer.totl_epochs", "trainer.experiment_name",
        "actor_rollout_ref.actor.loss_agg_mode", "actor_rollout_ref.rollout.max_model_len",
        "actor_rollout_ref.model.path", "ray_kwargs.ray_init.num_gpus", "data.val_files", "judge.endpoints",
        "actor_rollout_ref.actor.ppo_mini_batch_size", "reward.custom_reward_function.name",
    ]  # fmt: skip
    last = output.strip().splitlines()[-1]
    assert re.match(r"visual_erm\.train: \d+ problems: ", last)
    for key in keys:
        assert f"\n{key}\n" in output, output
        assert key in last
    assert output.count("fix: ") >= len(keys)
    assert not (run_copy.folder / "run" / "rollout_log").exists()
    assert "Traceback" not in output


def test_the_readmes_command_finds_nothing_in_a_run_that_is_as_it_should_be(good: Run, tmp_path, monkeypatch):
    readme = (shipped("configs").parent / "README.md").read_text(encoding="utf-8")
    (command,) = re.findall(r"^\S+/visual-erm preflight (.+)$", readme, re.M)
    words = command.split()
    monkeypatch.chdir(tmp_path)
    with environment_as_before():
        done = CliRunner().invoke(app, ["preflight", *words, *(set(good.words) - set(words)), "--json"])
    assert done.exit_code == 0, done.output
    report = json.loads(done.stdout)
    assert report["ok"] and report["problems"] == []
    assert {check["state"] for check in report["checks"]} == {"ok"}
    (scored,) = [check for check in report["checks"] if check["check"] == "three samples are scored"]
    assert re.match(r"3 trivial replies 1\.\d\d, 3 true replies \d\.\d\d", scored["looked_at"][0])
    assert not (good.folder / "run").exists()


@contextlib.contextmanager
def environment_as_before() -> Iterator[None]:
    """The command sets the run's variables."""
    before = dict(os.environ)
    yield
    os.environ.clear()
    os.environ.update(before)


def test_the_entry_point_ends_with_exit_code_2_and_everything_reported(good: Run, tmp_path):
    wrong = ["data.train_files=nowhere.parquet", "data.train_batch_size=many"]
    command = [sys.executable, "-m", "visual_erm.train", *good.words[:-3], *wrong]
    command.remove(f"data.train_files={good.folder / 'train.parquet'}")
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=240)
    assert done.returncode == 2, done.stderr
    last = done.stderr.strip().splitlines()[-1]
    assert last == "visual_erm.train: 2 problems: data.train_batch_size, data.train_files"
    assert f"{tmp_path}/nowhere.parquet does not exist\n  fix: make it with data_prep/" in done.stderr


def test_one_problem_is_the_last_line_as_it_is(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["train", "cluster=cpu", "policy=tinny"])
    with environment_as_before(), pytest.raises(SystemExit, match="2"):
        train.main()
    (*_, line) = capsys.readouterr().err.strip().splitlines()
    assert line.startswith("visual_erm.train: policy: In 'grpo': Could not find 'policy/tinny'; give one of ")
