"""What veRL itself says of its configuration: its own dataclasses and `validate_config`, as its trainer calls them.

veRL picks its platform while it is imported: the environment that the configuration asks for must be set by then.
"""

from __future__ import annotations

import copy
import importlib.util
import re
from collections.abc import Iterator

from omegaconf import DictConfig, OmegaConf, open_dict

from visual_erm.preflight.context import RunContext
from visual_erm.preflight.findings import Finding, Note, Problem
from visual_erm.preflight.overrides import keys, nearest

REF_NAMES = {
    "log_prob_micro_batch_size": "ppo_micro_batch_size",
    "log_prob_micro_batch_size_per_gpu": "ppo_micro_batch_size_per_gpu",
    "log_prob_use_dynamic_bsz": "use_dynamic_bsz",
    "log_prob_max_token_len_per_gpu": "ppo_max_token_len_per_gpu",
}
"""Keys of the reference policy -> what its worker makes of them (workers/engine_workers.py)."""
ROLLOUTS = ("vllm", "sglang", "trtllm")
"""Rollout engines that veRL brings, each with a package of its name."""


def check_parts(context: RunContext) -> Iterator[Finding]:
    """Checks that each part becomes the dataclass that veRL's workers make of it, and that the reward manager is found.

    Args:
        context: The run.

    Yields:
        Problems, and a note on what was looked at.
    """
    from visual_erm.training.verl_internals import omega_conf_to_dataclass, resolve_reward_manager_cls

    parts = ["actor_rollout_ref.actor", "actor_rollout_ref.rollout", "algorithm"]
    parts += ["actor_rollout_ref.ref"] if context.uses_reference_policy else []
    parts += ["reward.reward_model.rollout"] if context.config.reward.reward_model.enable else []
    for name in parts:
        try:
            omega_conf_to_dataclass(_as_worker_has_it(context.config, name))
        except Exception as error:  # noqa: BLE001  whatever veRL raises says what is wrong with the part
            yield explained(error, name, context.config)
    try:
        resolve_reward_manager_cls(context.config)
    except Exception as error:  # noqa: BLE001  likewise
        yield Problem("reward.reward_manager", _message(error), "name one of veRL's, as naive, or the file of your own")
    yield Note(", ".join(name.rpartition(".")[2] for name in parts))


def _as_worker_has_it(config: DictConfig, name: str) -> DictConfig:
    config = copy.deepcopy(config)
    node: DictConfig = OmegaConf.select(config, name)
    if name.endswith(".ref"):
        with open_dict(config):
            node.ppo_mini_batch_size = config.actor_rollout_ref.actor.ppo_mini_batch_size
            for here, there in REF_NAMES.items():
                node[there] = node.pop(here, None)
    return node


def check_whole(context: RunContext) -> Iterator[Finding]:
    """Calls veRL's `validate_config`, as its own entry point does first.

    Args:
        context: The run.

    Yields:
        Problems, and a note on what was looked at.
    """
    from visual_erm.training.verl_internals import need_critic, validate_config

    config = copy.deepcopy(context.config)
    try:
        validate_config(config, use_reference_policy=context.uses_reference_policy, use_critic=need_critic(config))
    except Exception as error:  # noqa: BLE001  likewise
        yield explained(error, "actor_rollout_ref", context.config)
    yield Note("validate_config")


def check_packages(context: RunContext) -> Iterator[Finding]:
    """Checks that the packages that the engine and the rollout import on a GPU are installed.

    Args:
        context: The run.

    Yields:
        Problems, and a note on what was looked at.
    """
    part = context.config.actor_rollout_ref
    name, wanted = part.rollout.name, []
    if name in ROLLOUTS:
        wanted.append((name, "actor_rollout_ref.rollout.name", f"pip install {name}, the build for your CUDA"))
    elif not part.model.external_lib:
        known = f"give one of {', '.join(ROLLOUTS)}, or actor_rollout_ref.model.external_lib, the module that registers it"
        yield Problem("actor_rollout_ref.rollout.name", f"veRL has no rollout engine `{name}`", known)
    if context.config.trainer.device == "cuda":
        if context.megatron:
            fix = "pip install megatron-core and megatron-bridge, or take the other engine: engine=fsdp"
            wanted.append(("megatron.core", "actor_rollout_ref.actor.strategy", fix))
            fused = "actor_rollout_ref.actor.megatron.override_transformer_config.gradient_accumulation_fusion"
            if context.get(fused):
                wanted.append(("fused_weight_gradient_mlp_cuda", fused, "install NVIDIA's Apex, or set it to false"))
        attention = part.model.override_config.get("attn_implementation", "flash_attention_2")
        if not context.megatron and attention == "flash_attention_2":
            fix = "pip install flash-attn, or give +actor_rollout_ref.model.override_config.attn_implementation=sdpa"
            wanted.append(("flash_attn", "actor_rollout_ref.model.override_config.attn_implementation", fix))
    for package, key, fix in wanted:
        if not _installed(package):
            yield Problem(key, f"needs the package `{package}`, which is not installed", fix)
    yield Note(", ".join(package for package, _, _ in wanted) or name)


def _installed(package: str) -> bool:
    try:
        return importlib.util.find_spec(package) is not None
    except ModuleNotFoundError:
        return False


def explained(error: BaseException, part: str, config: DictConfig) -> Problem:
    """Writes veRL's error as one problem.

    Args:
        error: The error; its innermost cause counts.
        part: Key of the part of the configuration that veRL read.
        config: The whole configuration.

    Returns:
        The problem, under the key that the message names, or else under `part`.
    """
    while error.__cause__ is not None:
        error = error.__cause__
    message = _message(error)
    here = list(keys(OmegaConf.select(config, part)))
    if unknown := re.search(r"unexpected keyword argument '(\w+)'", message):
        name = unknown[1]
        near = nearest(name, [key for key in here if key != name])
        fix = f"did you mean `{part}.{near}`?" if near else "take it out"
        return Problem(f"{part}.{name}", "veRL knows no such key", fix)
    key = getattr(error, "full_key", None)
    named = [name for word in re.findall(r"[a-z]\w*(?:\.\w+)*", message) if (name := _full_key(word, here))]
    full = f"{part}.{key}" if key else f"{part}.{named[0]}" if named else part
    return Problem(full, message, "this is veRL's own rule; change one of the keys it names")


def _message(error: BaseException) -> str:
    """Returns the message in one line, without what Hydra and OmegaConf add."""
    message = re.sub(r"^\[\w+\] |\n\s*(full_key|object_type|reference_type).*", "", str(error))
    return " ".join(message.split()).rstrip(".") or type(error).__name__


def _full_key(word: str, here: list[str]) -> str:
    """The key under which a word of veRL's message stands; empty for none, and for words that are keys by chance."""
    leaf = word.rpartition(".")[2]
    found = [key for key in here if key.rpartition(".")[2] == leaf]
    return min(found, key=len, default="") if "_" in leaf or "." in word else ""
