"""The recipes: every choice of groups goes with every other and veRL takes it, and the published one is ours."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("verl")

from omegaconf import DictConfig, OmegaConf
from verl.utils.config import omega_conf_to_dataclass, validate_config

from visual_erm.preflight.overrides import compose_recipe
from visual_erm.spec.agent import load_agent_settings
from visual_erm.spec.judge import load_judge_settings
from visual_erm.spec.task import load_tasks

pytestmark = pytest.mark.usefixtures("hydra_reads_files_once")

TASKS = ["table", "chart", "svg", "mixed"]
JUDGES = ["remote", "colocated", "local"]
MACHINES = [
    ("fsdp", "1gpu", "qwen3vl_8b"),
    ("fsdp", "8gpu", "qwen3vl_8b"),
    ("fsdp", "32gpu", "qwen3vl_8b"),
    # Megatron's copy of the policy takes 8 GPUs.
    ("megatron", "8gpu", "qwen3vl_8b"),
    ("megatron", "32gpu", "qwen3vl_8b"),
    ("fsdp", "cpu", "tiny"),
]
PAIRS = [
    pytest.param(machine, task, JUDGES[(shift + turn) % len(JUDGES)], id="-".join((*machine, task)))
    for shift, machine in enumerate(MACHINES)
    for turn, task in enumerate(TASKS)
]
"""Each machine with each task and each judge, and each task with each judge."""


def recipe(**groups: str) -> DictConfig:
    """The recipe of these groups, as `python -m visual_erm.train` composes it."""
    data = ["data.train_files=train.parquet", "data.val_files=test.parquet"]
    if groups.get("judge") == "remote":
        data.append("judge.endpoints=[http://judge:8000/v1]")
    if groups.get("judge") == "colocated":
        data.append("reward.reward_model.model_path=/models/Visual-ERM")
    return compose_recipe([*(f"{name}={choice}" for name, choice in groups.items()), *data])


@pytest.mark.parametrize(("machine", "task", "judge"), PAIRS)
def test_every_pair_of_groups_passes_verls_own_validation(machine: tuple[str, str, str], task: str, judge: str) -> None:
    engine, cluster, policy = machine
    config = recipe(engine=engine, cluster=cluster, policy=policy, task=task, judge=judge)
    validate_config(config, use_reference_policy=True, use_critic=False)
    omega_conf_to_dataclass(config.actor_rollout_ref.rollout)
    if config.reward.reward_model.enable:
        omega_conf_to_dataclass(config.reward.reward_model)
    omega_conf_to_dataclass(as_the_worker_takes_it(config))
    assert load_tasks(config.task)
    assert load_judge_settings(config.judge).kind == judge
    gpus = config.trainer.nnodes * config.trainer.n_gpus_per_node
    assert gpus % config.actor_rollout_ref.rollout.tensor_model_parallel_size == 0
    longest = config.data.max_prompt_length + config.data.max_response_length
    assert longest <= tokens_at_once(config)


@pytest.mark.parametrize(("engine", "cluster"), [("fsdp", "1gpu"), ("fsdp", "8gpu"), ("megatron", "32gpu")])
def test_reflect_and_revise_goes_with_every_engine_and_has_room_for_its_answers(engine: str, cluster: str) -> None:
    config = recipe(engine=engine, cluster=cluster, policy="qwen3vl_8b", task="table", judge="remote", agent="refine")
    validate_config(config, use_reference_policy=True, use_critic=False)
    rollout = omega_conf_to_dataclass(config.actor_rollout_ref.rollout)
    assert (rollout.agent.default_agent_loop, rollout.mode) == ("refine", "async")
    assert load_agent_settings(config.agent).answer_length(rollout.response_length) >= 1024
    one = recipe(engine=engine, cluster=cluster, policy="qwen3vl_8b", task="table", judge="remote")
    assert one.agent == {"name": "none"}
    assert one.actor_rollout_ref.rollout.agent.default_agent_loop == "single_turn_agent"


@pytest.mark.parametrize("engine", ["fsdp", "megatron"])
def test_another_policy_of_the_same_size_is_another_model_and_nothing_else(engine: str) -> None:
    one = recipe(engine=engine, cluster="32gpu", task="svg", judge="local", policy="qwen3vl_8b")
    other = recipe(engine=engine, cluster="32gpu", task="svg", judge="local", policy="vincicoder_8b")
    assert other.actor_rollout_ref.model.path != one.actor_rollout_ref.model.path
    other.actor_rollout_ref.model.path = one.actor_rollout_ref.model.path
    assert OmegaConf.to_yaml(other) == OmegaConf.to_yaml(one)


def as_the_worker_takes_it(config: DictConfig) -> DictConfig:
    """The reference policy's settings, renamed as veRL's worker does before it reads them."""
    ref = {key.replace("log_prob_max", "ppo_max"): value for key, value in config.actor_rollout_ref.ref.items()}
    sizes = {key.replace("log_prob_", "ppo_" if "micro" in key else ""): value for key, value in ref.items()}
    return OmegaConf.create({**sizes, "ppo_mini_batch_size": config.actor_rollout_ref.actor.ppo_mini_batch_size})


def tokens_at_once(config: DictConfig) -> int:
    """Of the GPUs that share a sequence."""
    actor = config.actor_rollout_ref.actor
    shared = actor.megatron.context_parallel_size if "megatron" in actor else actor.ulysses_sequence_parallel_size
    return int(actor.ppo_max_token_len_per_gpu * shared)


PUBLISHED = {
    "algorithm.adv_estimator": "grpo",
    "algorithm.use_kl_in_reward": False,
    "data.train_batch_size": 256,
    "data.max_prompt_length": 8192,
    "data.max_response_length": 8192,
    "data.filter_overlong_prompts": True,
    "data.truncation": "error",
    "actor_rollout_ref.actor.optim.lr": 1e-6,
    "actor_rollout_ref.actor.ppo_mini_batch_size": 128,
    "actor_rollout_ref.actor.ppo_micro_batch_size_per_gpu": 1,
    "actor_rollout_ref.actor.megatron.pipeline_model_parallel_size": 2,
    "actor_rollout_ref.actor.megatron.tensor_model_parallel_size": 2,
    "actor_rollout_ref.actor.megatron.context_parallel_size": 2,
    "actor_rollout_ref.actor.use_kl_loss": True,
    "actor_rollout_ref.actor.kl_loss_coef": 0.01,
    "actor_rollout_ref.actor.kl_loss_type": "low_var_kl",
    "actor_rollout_ref.actor.entropy_coeff": 0,
    "actor_rollout_ref.actor.use_dynamic_bsz": True,
    "actor_rollout_ref.actor.ppo_max_token_len_per_gpu": 8192,
    "actor_rollout_ref.ref.log_prob_micro_batch_size_per_gpu": 1,
    "actor_rollout_ref.ref.log_prob_use_dynamic_bsz": True,
    "actor_rollout_ref.ref.log_prob_max_token_len_per_gpu": 8192,
    "actor_rollout_ref.rollout.log_prob_micro_batch_size_per_gpu": 1,
    "actor_rollout_ref.rollout.log_prob_use_dynamic_bsz": True,
    "actor_rollout_ref.rollout.log_prob_max_token_len_per_gpu": 8192,
    "actor_rollout_ref.rollout.name": "vllm",
    "actor_rollout_ref.rollout.tensor_model_parallel_size": 4,
    "actor_rollout_ref.rollout.gpu_memory_utilization": 0.7,
    "actor_rollout_ref.rollout.n": 8,
    "actor_rollout_ref.rollout.engine_kwargs.vllm.disable_mm_preprocessor_cache": True,
    "actor_rollout_ref.actor.megatron.use_mbridge": True,
    "actor_rollout_ref.actor.megatron.param_offload": True,
    "actor_rollout_ref.actor.megatron.optimizer_offload": True,
    "actor_rollout_ref.actor.megatron.grad_offload": True,
    "actor_rollout_ref.ref.megatron.param_offload": True,
    "actor_rollout_ref.actor.optim.override_optimizer_config.optimizer_offload_fraction": 1,
    "actor_rollout_ref.actor.optim.override_optimizer_config.overlap_cpu_optimizer_d2h_h2d": True,
    "actor_rollout_ref.actor.optim.override_optimizer_config.use_precision_aware_optimizer": True,
    "actor_rollout_ref.actor.optim.override_optimizer_config.optimizer_cpu_offload": True,
    "actor_rollout_ref.actor.megatron.override_transformer_config.moe_router_dtype": "fp32",
    "actor_rollout_ref.actor.megatron.override_transformer_config.moe_enable_deepep": True,
    "actor_rollout_ref.actor.megatron.override_transformer_config.moe_token_dispatcher_type": "flex",
    "actor_rollout_ref.actor.megatron.override_transformer_config.moe_permute_fusion": True,
    "actor_rollout_ref.actor.megatron.override_transformer_config.recompute_method": "uniform",
    "actor_rollout_ref.actor.megatron.override_transformer_config.recompute_granularity": "full",
    "actor_rollout_ref.actor.megatron.override_transformer_config.recompute_num_layers": 1,
    "actor_rollout_ref.actor.megatron.override_transformer_config.gradient_accumulation_fusion": True,
    "reward_model.use_reward_loop": False,
    "reward_model.reward_manager": "prime",
    "trainer.critic_warmup": 0,
    "trainer.logger": ["console", "tensorboard"],
    "trainer.n_gpus_per_node": 8,
    "trainer.nnodes": 4,
    "trainer.save_freq": 100,
    "trainer.test_freq": 100,
    "trainer.total_epochs": 1,
}
"""What the published launcher for tables on 32 GPUs gives to veRL (InternLM/Visual-ERM,
rl_scripts/run_qwen3vl_table_40k_rm_32gpus.sh), less the paths and names of its authors' own."""

DYNAMIC = "micro-batches are formed by tokens (use_dynamic_bsz), as published: this size is not read"
DENSE = "for mixtures of experts; Qwen3-VL-8B is dense"
DIFFERENCES = {
    "actor_rollout_ref.actor.ppo_micro_batch_size_per_gpu": DYNAMIC,
    "actor_rollout_ref.ref.log_prob_micro_batch_size_per_gpu": DYNAMIC,
    "actor_rollout_ref.rollout.log_prob_micro_batch_size_per_gpu": DYNAMIC,
    "actor_rollout_ref.rollout.engine_kwargs.vllm.disable_mm_preprocessor_cache": "now mm_processor_cache_gb=0",
    "actor_rollout_ref.actor.megatron.grad_offload": "veRL 0.9 moves gradients with the parameters",
    "actor_rollout_ref.actor.megatron.override_transformer_config.moe_router_dtype": DENSE,
    "actor_rollout_ref.actor.megatron.override_transformer_config.moe_enable_deepep": DENSE,
    "actor_rollout_ref.actor.megatron.override_transformer_config.moe_token_dispatcher_type": DENSE,
    "actor_rollout_ref.actor.megatron.override_transformer_config.moe_permute_fusion": DENSE,
    "reward_model.use_reward_loop": "the reward loop is veRL 0.9's only way",
    "reward_model.reward_manager": "veRL 0.9's place is reward.reward_manager, which awaits an async reward by itself",
    "trainer.logger": "`file`: every step's numbers as JSON lines; add `tensorboard` or `wandb`",
}


def test_the_table_recipe_on_32_gpus_is_the_published_one_key_by_key(capsys: pytest.CaptureFixture[str]) -> None:
    ours = recipe(task="table", judge="remote", policy="qwen3vl_8b", engine="megatron", cluster="32gpu")
    differing = {key: OmegaConf.select(ours, key) for key, value in PUBLISHED.items() if not same(ours, key, value)}
    with capsys.disabled():
        for key, value in PUBLISHED.items():
            note = f"{differing[key]!s:<28}{DIFFERENCES.get(key, '')}" if key in differing else "the same"
            print(f"\n{key:<98}{value!s:<26}{note}", end="")
    assert differing.keys() == DIFFERENCES.keys()
    assert ours.actor_rollout_ref.rollout.engine_kwargs.vllm.mm_processor_cache_gb == 0
    assert ours.actor_rollout_ref.model.path == "Qwen/Qwen3-VL-8B-Instruct"


def same(config: DictConfig, key: str, value: Any) -> bool:
    return bool(OmegaConf.select(config, key) == value)


def test_verl_asks_the_model_for_the_size_of_its_patches() -> None:
    assert recipe(task="table").data.image_patch_size is None
