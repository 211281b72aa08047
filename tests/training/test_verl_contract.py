"""The contract with veRL, TransferQueue and Ray: every name inside them that this project uses, and what it relies on.

A failure here after an update of veRL or Ray names what to look at, before a run finds out. Names that the project's
modules import are listed in `training/verl_internals.py` and `training/ray_internals.py`; those of the plug-in `verl_cpu/`,
of `data/check.py` and of `training/stop_callback.py` are named below.
"""

from __future__ import annotations

import dataclasses
import importlib
import importlib.util
import inspect
import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytest.importorskip("verl")
pytest.importorskip("transfer_queue")

import torch
from omegaconf import OmegaConf

from visual_erm.training import ray_internals, verl_internals
from visual_erm.training.replay_buffer import StrictReplayBuffer
from visual_erm.training.stop_callback import SaveAndStop

pytestmark = pytest.mark.long

PROJECT = Path(__file__).parents[2]
PROJECT_OF_VERL = Path(importlib.util.find_spec("verl").submodule_search_locations[0])


def takes(function, *positional: object, **named: object) -> bool:
    """Whether a call with these arguments fits the function's signature."""
    try:
        inspect.signature(function).bind(*positional, **named)
    except TypeError:
        return False
    return True


# --- who may name veRL's and Ray's insides


def test_only_the_modules_listed_here_import_from_verl_transfer_queue_or_inside_ray():
    allowed = {
        "visual_erm/training/ray_internals.py",
        "visual_erm/data/check.py",
        "visual_erm/verl_cpu/engine.py",
        "visual_erm/verl_cpu/platform.py",
        "visual_erm/verl_cpu/rollout.py",
    }
    inside = re.compile(
        r"^\s*(?:from|import) (?:verl|transfer_queue|ray\._\w+)\b|\bray\._(?:private|raylet)\b", re.MULTILINE
    )
    files = [file for folder in ("visual_erm", "reward_func") for file in (PROJECT / folder).rglob("*.py")]
    found = {str(file.relative_to(PROJECT)) for file in files if inside.search(file.read_text(encoding="utf-8"))}
    assert found == allowed


@pytest.mark.parametrize("name", verl_internals.PLACES)
def test_each_name_is_where_it_is_said_to_be(name):
    module, _, attribute = verl_internals.PLACES[name].partition(":")
    found = importlib.import_module(module)
    assert getattr(verl_internals, name) is (getattr(found, attribute) if attribute else found)


def test_a_name_that_is_not_listed_is_not_offered():
    with pytest.raises(AttributeError, match="no attribute 'RayPPOTrainer'"):
        _ = verl_internals.RayPPOTrainer


@pytest.mark.parametrize(
    ("name", "positional", "named"),
    [
        ("kv_batch_get", (), {"keys": ["a"], "partition_id": "train", "select_fields": ["rm_scores"]}),
        ("kv_batch_put", (), {"keys": ["a"], "partition_id": "train", "fields": None}),
        ("get_tensordict", ({"rm_scores": None},), {}),
        ("resolve_reward_manager_cls", ("config",), {}),
        ("omega_conf_to_dataclass", ("config",), {}),
        ("validate_config", ("config",), {"use_reference_policy": True, "use_critic": False}),
        ("need_critic", ("config",), {}),
    ],
)
def test_each_function_takes_the_arguments_that_it_is_given(name, positional, named):
    assert takes(getattr(verl_internals, name), *positional, **named)


# --- the entry point and the checks before a run


def test_the_entry_point_runs_a_configuration_that_is_composed_already():
    # Hydra's wrapper leaves out its command line when it is given a configuration.
    assert takes(verl_internals.main_ppo.main, "config")
    assert list(inspect.signature(verl_internals.main_ppo.main.__wrapped__).parameters) == ["config"]


def test_a_dataclass_with_an_unknown_key_is_refused_by_the_key():
    whole = {"_target_": "verl.trainer.config.AlgoConfig", "gamma": 0.5}
    assert verl_internals.omega_conf_to_dataclass(OmegaConf.create(whole)).gamma == 0.5
    with pytest.raises(Exception, match="unexpected keyword argument 'gama'"):
        verl_internals.omega_conf_to_dataclass(OmegaConf.create({**whole, "gama": 1}))


def test_a_critic_is_needed_when_it_is_asked_for():
    ask = OmegaConf.create({"critic": {"enable": True}, "algorithm": {"adv_estimator": "grpo"}})
    assert verl_internals.need_critic(ask) is True
    ask.critic.enable = False
    assert verl_internals.need_critic(ask) is False


def test_a_reward_manager_is_found_by_name_or_by_file():
    config = OmegaConf.create({"reward": {"reward_manager": {"source": "register", "name": "naive"}}})
    assert verl_internals.resolve_reward_manager_cls(config) is verl_internals.NaiveRewardManager
    file = PROJECT / "reward_func" / "batch_manager.py"
    config.reward.reward_manager = {"source": "importlib", "name": "BatchRewardManager", "module": {"path": str(file)}}
    assert issubclass(verl_internals.resolve_reward_manager_cls(config), verl_internals.NaiveRewardManager)
    config.reward.reward_manager = {"source": "register", "name": "gone"}
    with pytest.raises(Exception, match="gone"):
        verl_internals.resolve_reward_manager_cls(config)


# --- the reward manager


def test_a_manager_scores_single_samples_and_puts_their_scores_at_the_last_token():
    manager = verl_internals.NaiveRewardManager
    assert takes(manager.__init__, None, "config", "tokenizer", "compute_score")
    assert inspect.iscoroutinefunction(manager.run_single) and takes(manager.run_single, None, "data")
    for key in ("reward_score", "reward_extra_info"):
        assert f'"{key}"' in inspect.getsource(manager.run_single)
    tensors = {
        "prompts": torch.ones(2, 1, dtype=torch.long),
        "responses": torch.ones(2, 3, dtype=torch.long),
        "attention_mask": torch.tensor([[1, 1, 1, 0], [1, 1, 1, 1]]),
    }
    data = verl_internals.DataProto.from_dict(tensors, non_tensors={"data_source": ["a", "b"]})
    assert manager.assemble_rm_scores(data, [0.5, 1.0]).tolist() == [[0, 0.5, 0], [0, 0, 1.0]]
    assert data[-1].non_tensor_batch["data_source"] == "b"


# --- the manager of rollouts


def test_the_manager_of_rollouts_marks_each_row_with_veRLs_word(monkeypatch):
    from verl.trainer.ppo.v1 import trainer_base
    from verl.utils.import_utils import load_class_from_fqn
    from verl.utils.tensordict_utils import assign_non_tensor_data, get, get_tensordict

    from visual_erm.preflight.overrides import compose_recipe

    name = compose_recipe(["cluster=cpu", "policy=tiny"]).actor_rollout_ref.rollout.agent.agent_loop_manager_class
    manager = load_class_from_fqn(name, "AgentLoopManager")
    assert issubclass(manager, verl_internals.AgentLoopManagerTQ)
    started = []
    verls = verl_internals.AgentLoopManagerTQ
    monkeypatch.setattr(verls, "generate_sequences", lambda self, prompts: started.append(prompts))
    rows = [{"index": 0, "split": "test"}, {"index": 1, "validate": True}, {}, None]
    for validate in (None, True):
        batch = get_tensordict({"dummy": torch.zeros(4), "extra_info": rows})
        if validate:
            assign_non_tensor_data(batch, "validate", True)
        manager.generate_sequences(object.__new__(manager), batch)
        marked = [part["extra_info"] for chunk in started.pop().chunk(2) for part in chunk]
        assert [row["validate"] for row in marked] == [bool(validate)] * 4
        assert [row.get("index") for row in marked] == [0, 1, None, None]
    bare = get_tensordict({"dummy": torch.zeros(2)})
    manager.generate_sequences(object.__new__(manager), bare)
    assert get(bare, "extra_info") == [{"validate": False}] * 2
    assert 'tu.assign_non_tensor_data(batch, "validate", True)' in inspect.getsource(trainer_base.PPOTrainer._validate)


# --- the agent loop


def test_veRL_makes_the_loop_that_the_recipe_names():
    import hydra
    from verl.experimental.agent_loop import agent_loop

    from visual_erm.preflight.overrides import compose_recipe
    from visual_erm.training.refine_loop import RefineLoop

    agent = compose_recipe(["cluster=cpu", "policy=tiny", "agent=refine"]).actor_rollout_ref.rollout.agent
    (loop,) = OmegaConf.load(PROJECT / agent.agent_loop_config_path)
    assert loop.name == agent.default_agent_loop
    assert hydra.utils.get_class(loop._target_) is RefineLoop
    assert issubclass(RefineLoop, verl_internals.AgentLoopBase)
    worker = inspect.getsource(agent_loop.AgentLoopWorker)
    assert "_agent_loop_registry[agent_loop_config.name] = agent_loop_config" in worker
    assert re.search(r"output: AgentLoopOutput = await agent_loop\.run\(sampling_params, \*\*kwargs\)", worker)


@pytest.mark.parametrize(
    ("method", "positional", "named"),
    [
        ("process_multi_modal_info", ([],), {}),
        ("_assert_mm_supported", (True,), {}),
        ("_get_mm_processor_kwargs", (), {}),
        ("ct_build_initial_tokens", ([],), {"images": []}),
        ("ct_merge_assistant_token", ([], [], [], None), {"assistant_logprobs": None}),
        ("ct_merge_context_msg", ([], [], [], [], None), {}),
    ],
)
def test_a_loop_has_the_methods_that_write_its_tokens(method, positional, named):
    assert takes(getattr(verl_internals.AgentLoopBase, method), None, *positional, **named)


def test_a_loop_counts_the_tokens_of_a_message_with_veRLs_builder():
    from verl.utils.tokenizer.continuous_token import ContinuousTokenBuilder

    assert takes(ContinuousTokenBuilder.tokenize_context_incremental_messages, None, [], [])
    base = inspect.getsource(verl_internals.AgentLoopBase.__init__)
    for used in ("config", "rollout_config", "server_manager", "tokenizer", "continuous_token_builder"):
        assert f"self.{used} = " in base, used


def test_a_loop_that_brings_its_reward_is_not_scored_again_and_its_mask_is_that_of_the_loss():
    from verl.experimental.agent_loop import agent_loop

    assert "final_output.reward_score is None and enable_async_reward" in inspect.getsource(agent_loop.AgentLoopWorker)
    # Ray hides the class.
    worker = (PROJECT_OF_VERL / "trainer" / "ppo" / "v1" / "agent_loop_tq.py").read_text(encoding="utf-8")
    assert 'field["loss_mask"] = field["response_mask"]' in worker
    output = verl_internals.AgentLoopOutput(
        prompt_ids=[1],
        response_ids=[2, 3, 4],
        response_mask=[1, 0, 1],
        reward_score=0.5,
        metrics=verl_internals.AgentLoopMetrics(generate_sequences=0.1, compute_score=0.1, num_preempted=-1),
        extra_fields={"reward_extra_info": {"score": 0.5}},
    ).as_dict()
    assert (output["response_mask"].tolist(), output["rm_scores"].tolist()) == ([1, 0, 1], [0, 0, 0.5])
    assert output["extra_fields"]["reward_extra_info"] == {"score": 0.5}


def test_the_loss_leaves_out_what_the_mask_leaves_out():
    from verl.trainer.ppo.core_algos import agg_loss

    loss, mask = torch.tensor([[1.0, 100.0, 3.0]]), torch.tensor([[1, 0, 1]])
    assert agg_loss(loss, mask, "token-mean") == 2


def test_a_reward_worker_is_found_by_its_name_and_hands_on_what_the_loop_says():
    from verl.experimental.reward_loop import RewardLoopManager
    from verl.experimental.reward_loop.reward_loop import RewardLoopWorker

    from visual_erm.training.refine_loop import REWARD_WORKER

    assert REWARD_WORKER.format(3) == "reward_loop_worker_3"
    assert 'name=f"reward_loop_worker_{i}"' in inspect.getsource(RewardLoopManager)
    assert "range(num_workers)" in inspect.getsource(RewardLoopManager._init_reward_loop_workers)
    assert inspect.iscoroutinefunction(RewardLoopWorker.compute_score) and takes(
        RewardLoopWorker.compute_score, None, "data"
    )
    manager = inspect.getsource(verl_internals.NaiveRewardManager.run_single)
    assert "extra_info.update(tool_extra_fields.items())" in manager
    for used in ("data_source", "reward_model", "extra_info", "tool_extra_fields", "__num_turns__"):
        assert f'"{used}"' in manager, used


@pytest.mark.parametrize("engine", ["vllm_rollout/vllm_async_server.py", "sglang_rollout/async_sglang_server.py"])
def test_rollout_servers_bound_an_answer_as_they_are_asked(engine):
    from verl.workers.rollout.llm_server import LLMServerClient

    asked = {"prompt_ids": [1], "sampling_params": {}, "image_data": None, "mm_processor_kwargs": {}, "priority": 0}
    assert takes(LLMServerClient.generate, None, request_id="a", **asked)
    server = (PROJECT_OF_VERL / "workers" / "rollout" / engine).read_text(encoding="utf-8")
    assert 'sampling_params.pop("max_tokens")' in server


# --- the replay buffer


SAMPLER = {
    "max_lost_rollouts": 0, "max_lost_validation_share": 0.0, "stall_timeout_s": 60, "poll_s": 0.01, "rollouts": 2,
    "validation_rollouts": 1, "abort_file": "none",
}  # fmt: skip


def replay_buffer() -> StrictReplayBuffer:
    return StrictReplayBuffer(
        trainer_mode="sync",
        trainer_config=OmegaConf.create({}),
        max_off_policy_threshold=None,
        max_off_policy_strategy="drop",
        sampler_kwargs=OmegaConf.create(SAMPLER),
    )


def test_the_trainer_takes_the_buffer_from_its_configuration():
    from verl.trainer.ppo.v1 import trainer_base

    source = inspect.getsource(trainer_base)
    assert "load_extern_type(custom_sampler.path, custom_sampler.name)" in source
    load = trainer_base.load_extern_type
    assert load("pkg://visual_erm.training.replay_buffer", "StrictReplayBuffer") is StrictReplayBuffer


def test_the_buffer_keeps_its_prompts_by_partition_and_state():
    buffer = replay_buffer()
    for name in ("pending_keys", "running_keys", "finished_keys", "failure_keys"):
        assert getattr(buffer, name)["train"] == set()
    assert buffer.partitions["train"] == {} and buffer.prompt_global_steps["train"] == {}
    assert buffer.sampler_kwargs == SAMPLER
    assert buffer.poll_interval == 0.01


def test_a_step_is_chosen_by_prompt_whose_rollouts_have_its_name_before_an_underscore():
    buffer = replay_buffer()
    buffer.partitions["train"] = {"p_0_0": {}, "p_1_0": {}, "q_0_0": {}, "q_1_0": {}}
    buffer.prompt_global_steps["train"] = {"p": 2, "q": 1}
    selected, rollouts, steps = buffer._select_prompt_uids("train", {"p", "q"}, 1)
    assert (list(selected), steps) == (["q"], {"p": 2, "q": 1})
    assert set(rollouts) == {"p_0_0", "p_1_0", "q_0_0", "q_1_0"}


def test_the_buffer_waits_for_its_interval_and_returns_when_it_last_logged():
    began, now = time.monotonic(), time.time()
    assert replay_buffer()._wait_for_next_poll("train", now) == now
    assert time.monotonic() - began >= 0.01


def test_veRL_calls_the_methods_that_the_buffer_replaces():
    base = verl_internals.ReplayBuffer
    source = inspect.getsource(base)
    assert "self._select_prompt_uids(" in source
    assert "self._wait_for_next_poll(" in source
    for name in ("sample", "_select_prompt_uids", "_wait_for_next_poll"):
        mine, verls = (list(inspect.signature(getattr(cls, name)).parameters) for cls in (StrictReplayBuffer, base))
        assert mine == verls, name


def test_a_batch_has_keys_and_a_partition():
    fields = {field.name for field in dataclasses.fields(verl_internals.KVBatchMeta)}
    assert {"keys", "tags", "partition_id"} <= fields
    batch = verl_internals.KVBatchMeta(keys=["a_0_0"], tags=[{}], partition_id="train")
    assert (batch.keys, batch.partition_id) == (["a_0_0"], "train")


def test_rewards_of_rows_of_unequal_length_fit_into_a_tensordict():
    rows = torch.nested.as_nested_tensor([torch.zeros(2), torch.ones(3)], layout=torch.jagged)
    made = verl_internals.get_tensordict({"rm_scores": rows})
    assert made.batch_size == torch.Size([2])
    assert [row.tolist() for row in made["rm_scores"].unbind()] == [[0, 0], [1, 1, 1]]


# --- the checkpoint callback


def test_the_callback_is_made_from_the_configuration_and_called_after_a_checkpoint(tmp_path):
    from verl.trainer.ppo.checkpoint_callback import CheckpointCallback, build_checkpoint_callback
    from verl.trainer.ppo.v1 import trainer_base

    name = "visual_erm.training.stop_callback.SaveAndStop"
    config = OmegaConf.create({"run_dir": str(tmp_path), "trainer": {"checkpoint_callback_class": name, "save_freq": 5}})
    callback = build_checkpoint_callback(config)
    assert isinstance(callback, SaveAndStop)
    calls = re.findall(r"checkpoint_callback\.on_save\((.*?)\)\n", inspect.getsource(trainer_base), re.DOTALL)
    assert calls
    for call in calls:
        given = re.findall(r"(\w+)=", call)
        assert {"trainer", "global_step"} <= set(given)
        assert takes(callback.on_save, **dict.fromkeys(given))
        assert takes(CheckpointCallback(config).on_save, **dict.fromkeys(given))


def test_the_trainer_reads_its_last_step_and_the_saving_interval_anew_in_each_step():
    from verl.trainer.ppo.v1 import trainer_base

    source = inspect.getsource(trainer_base)
    loop = source[source.index("while current_epoch < ") :]
    assert "self.global_steps <= self.total_training_steps" in loop[:200]
    assert "is_last_step = self.global_steps >= self.total_training_steps" in loop
    assert "self.global_steps % self.config.trainer.save_freq == 0" in loop


# --- the data set (data/check.py)


def test_the_data_set_takes_its_arguments_by_position_and_reads_images_by_a_method_of_its_own():
    from verl.utils import hf_processor, hf_tokenizer
    from verl.utils.dataset.rl_dataset import RLHFDataset

    assert takes(hf_processor, "folder") and takes(hf_tokenizer, "folder")
    assert list(inspect.signature(RLHFDataset.__init__).parameters)[1:5] == [
        "data_files",
        "tokenizer",
        "config",
        "processor",
    ]
    assert inspect.iscoroutinefunction(RLHFDataset._process_multi_modal_info) is False
    source = inspect.getsource(RLHFDataset)
    for used in ("self.image_patch_size", "self.config", '"filter_overlong_prompts_workers"', '"raw_prompt"', '"index"'):
        assert used in source, used
    function = RLHFDataset.__dict__["_process_multi_modal_info"]
    owner = (None,) if inspect.isfunction(function) else ()
    assert takes(RLHFDataset._process_multi_modal_info, *owner, "messages", "image_patch_size", "config")


# --- the plug-in for CPUs (verl_cpu/)

PLUG_IN = """
import inspect, json
import torch, verl.utils.distributed as distributed
before = list(inspect.signature(distributed.initialize_global_process_group_ray).parameters)
import visual_erm.verl_cpu.platform as platform
from verl.plugin.platform import PlatformRegistry, get_platform
from verl.workers.engine.fsdp import transformer_impl
source = inspect.getsource(transformer_impl)
import visual_erm.verl_cpu.engine as engine
import visual_erm.verl_cpu.rollout as rollout
from verl.workers import engine_workers
from verl.workers.engine import EngineRegistry, FSDPEngineWithLMHead
from verl.workers.rollout import base, replica
asked = {}
torch.distributed.is_initialized = lambda: False
torch.distributed.init_process_group = lambda **given: asked.update(given)
engine_workers.initialize_global_process_group_ray(timeout_second=None)
fields = replica.TokenOutput.model_fields if hasattr(replica.TokenOutput, "model_fields") else {}
made = inspect.getsource(replica.RolloutReplica.__init__)
print(json.dumps({
    "arguments": before,
    "backend": asked.get("backend"),
    "platform": type(get_platform()).__name__,
    "registered": PlatformRegistry.get("cpu") is platform.CpuPlatform,
    "offload": "CPUOffloadPolicy(pin_memory=True)" in source,
    "pinned": transformer_impl.CPUOffloadPolicy(pin_memory=True).pin_memory,
    "builds": callable(FSDPEngineWithLMHead._build_module) and "self.optimizer_config" in source,
    "engine": EngineRegistry.get_engine_cls("language_model", "fsdp2") is engine.CpuEngine,
    "adapter": base.get_rollout_class("hf_cpu", "async") is rollout.HFAdapter,
    "replica": replica.RolloutReplicaRegistry.get("hf_cpu") is rollout.HFReplica,
    "abstract": [sorted(cls.__abstractmethods__) for cls in (rollout.HFAdapter, rollout.HFReplica, platform.CpuPlatform)],
    "missing": sorted({"token_ids", "log_probs", "stop_reason", "num_preempted", "extra_fields"} - set(fields)),
    "unset": [name for name in ("config", "model_config", "replica_rank", "servers", "_server_handle", "_server_address")
              if f"self.{name}" not in made],
    "concurrency": isinstance(replica.RolloutReplica.max_concurrency, property),
    "sklearn": __import__("transformers").utils.is_sklearn_available(),
}))
"""


def test_the_plug_in_for_cpus_is_registered_and_what_it_replaces_is_called():
    environ = {**os.environ, "VERL_USE_EXTERNAL_MODULES": "visual_erm.verl_cpu.platform", "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run([sys.executable, "-c", PLUG_IN], env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert json.loads(done.stdout.splitlines()[-1]) == {
        "arguments": ["timeout_second", "backend"],
        "backend": "gloo",
        "platform": "CpuPlatform",
        "registered": True,
        "offload": True,
        "pinned": False,
        "builds": True,
        "engine": True,
        "adapter": True,
        "replica": True,
        "abstract": [[], [], []],
        "missing": [],
        "unset": [],
        "concurrency": True,
        "sklearn": False,
    }


# --- Ray


def test_rays_client_of_the_head_has_the_calls_that_the_launcher_makes():
    from ray._raylet import AuthenticationTokenLoader, GcsClient, InnerGcsClient

    assert callable(AuthenticationTokenLoader.instance().reset_cache)
    for name in ("get_all_node_info", "internal_kv_get", "internal_kv_put"):
        assert callable(getattr(InnerGcsClient, name)), name
    # Ray's own wrapper hands every call on.
    assert "__getattr__" in vars(GcsClient)
    assert takes(ray_internals.gcs_client, "127.0.0.1:6379")


def test_ray_counts_what_is_free_on_each_node():
    from ray._private.state import available_resources_per_node

    assert takes(available_resources_per_node)


def test_gpus_are_counted_on_live_nodes_with_what_is_free(monkeypatch):
    import ray
    from ray._private import state

    nodes = [
        {"NodeID": "a", "Alive": True, "Resources": {"GPU": 8.0}},
        {"NodeID": "b", "Alive": False, "Resources": {"GPU": 8.0}},
        {"NodeID": "c", "Alive": True, "Resources": {"CPU": 4.0}},
    ]
    assert takes(ray.init, address="10.0.0.1:6379", log_to_driver=False, logging_level="ERROR")
    monkeypatch.setattr(ray, "init", lambda **_: None)
    monkeypatch.setattr(ray, "nodes", lambda: nodes)
    monkeypatch.setattr(state, "available_resources_per_node", lambda: {"a": {"GPU": 3.0}, "c": {"CPU": 4.0}})
    assert ray_internals.gpus_of_nodes("10.0.0.1:6379") == [(8.0, 3.0), (0, 0)]


def test_advantages_of_a_log_that_is_scored_again_are_those_of_verl():
    import numpy as np
    from verl.trainer.ppo.core_algos import compute_grpo_outcome_advantage

    from visual_erm.evaluate.changes import advantages

    random = np.random.default_rng(0)
    groups = [random.normal(size=size) for size in (1, 2, 5, 8)] + [np.ones(4)]
    rewards = torch.tensor(np.concatenate(groups))[:, None]
    names = np.repeat(np.arange(len(groups)), [len(group) for group in groups])
    theirs, _ = compute_grpo_outcome_advantage(rewards, torch.ones_like(rewards), names)
    assert np.concatenate([advantages(group) for group in groups]) == pytest.approx(theirs[:, 0].numpy(), abs=1e-5)
