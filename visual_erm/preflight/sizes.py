"""Do the sizes fit each other? Each rule is one that veRL 0.9.1 asserts once its GPUs are taken, or passes over and pads.

Paths in comments are veRL's.
"""

from __future__ import annotations

from collections.abc import Iterator

from omegaconf import OmegaConf

from visual_erm.preflight.context import RunContext
from visual_erm.preflight.findings import Finding, Note, Problem

COUNTS = (
    "trainer.nnodes", "trainer.n_gpus_per_node", "trainer.total_epochs", "data.train_batch_size", "data.max_prompt_length",
    "data.max_response_length", "actor_rollout_ref.rollout.n", "actor_rollout_ref.actor.ppo_mini_batch_size",
    "actor_rollout_ref.rollout.tensor_model_parallel_size", "reward.num_workers",
)  # fmt: skip
"""Keys that must hold a whole number of at least one."""


def check_numbers(context: RunContext) -> Iterator[Finding]:
    """Checks the numbers that the other rules count with.

    Args:
        context: The run.

    Yields:
        Problems, and a note on what was looked at.
    """
    reported: list[object] = []
    # A key that refers to another comes after it, and is reported with it.
    for key in sorted(COUNTS, key=lambda key: _refers(context, key)):
        value = context.get(key)
        if (type(value) is not int or value < 1) and not (_refers(context, key) and value in reported):
            reported.append(value)
            yield Problem(key, f"is {value!r}", "give a whole number of at least 1")
    yield Note(f"{len(COUNTS)} whole ones")
    steps = context.get("trainer.total_training_steps")
    if steps is not None and (type(steps) is not int or steps < 1):
        yield Problem("trainer.total_training_steps", f"is {steps!r}", "give a number of at least 1, or null for all data")


def _refers(context: RunContext, key: str) -> bool:
    above, _, name = key.rpartition(".")
    return OmegaConf.is_interpolation(context.get(above), name)


def check_engine(context: RunContext) -> Iterator[Finding]:
    """Checks that GPUs divide into the engine's parallel groups and the rollout's replicas.

    Args:
        context: The run.

    Yields:
        Problems, and a note on what was looked at.
    """
    gpus = context.gpus
    size, keys = model_parallel(context)
    if gpus % size:
        yield Problem(
            keys, f"{size} GPUs make one copy of the policy, and {gpus} do not divide by that", _cluster_fix(context)
        )
    rollout, per_node = context.config.actor_rollout_ref.rollout, context.config.trainer.n_gpus_per_node
    replica = rollout.tensor_model_parallel_size * rollout.data_parallel_size * rollout.pipeline_model_parallel_size
    key = "actor_rollout_ref.rollout.tensor_model_parallel_size"
    # workers/engine_workers.py init_model; workers/rollout/replica.py.
    if gpus % replica:
        yield Problem(
            key, f"a rollout server takes {replica} GPUs, and {gpus} do not divide by that", _cluster_fix(context)
        )
    elif max(replica, per_node) % min(replica, per_node):
        yield Problem(
            key, f"a rollout server takes {replica} GPUs, which would lie on parts of nodes of {per_node}",
            "set it to a divisor of trainer.n_gpus_per_node",
        )  # fmt: skip
    if not context.megatron and size > 1 and not context.config.actor_rollout_ref.model.use_remove_padding:
        yield Problem(
            keys,
            "sequence parallelism works on packed sequences only",
            "set actor_rollout_ref.model.use_remove_padding=true",
        )
    yield from _check_adapter(context)
    yield Note(f"policy on {size} of {gpus}, rollout server on {replica}")


def check_batches(context: RunContext) -> Iterator[Finding]:
    """Checks that a step's rollouts divide into mini-batches, those over the ranks, and those into micro-batches.

    Args:
        context: The run.

    Yields:
        Problems, and a note on what was looked at.
    """
    actor, rollout = context.config.actor_rollout_ref.actor, context.config.actor_rollout_ref.rollout
    prompts, mini, n = context.config.data.train_batch_size, actor.ppo_mini_batch_size, rollout.n
    ranks = context.gpus // model_parallel(context)[0]
    yield Note(f"{prompts} prompts x {n} rollouts, {mini * n} to an update")
    if context.config.algorithm.adv_estimator == "grpo" and n < 2:
        yield Problem(
            "actor_rollout_ref.rollout.n", "GRPO compares the rollouts of a prompt with each other, and there is only one",
            "give 8, as the paper does, or at least 2",
        )  # fmt: skip
    # trainer/ppo/v1/trainer_base.py _balance_batch pads with empty rollouts what does not divide.
    if prompts % mini:
        yield Problem(
            "actor_rollout_ref.actor.ppo_mini_batch_size",
            f"{mini} does not divide data.train_batch_size={prompts}: veRL would fill the last update with empty rollouts",
            f"set it to a divisor of {prompts}: {_nearest_divisor(mini, prompts)}",
        )  # fmt: skip
        return
    # workers/engine_workers.py train_mini_batch.
    if mini * n % ranks:
        yield Problem(
            "actor_rollout_ref.actor.ppo_mini_batch_size",
            f"{mini} prompts x {n} rollouts do not divide by the {ranks} data-parallel ranks",
            "choose it, or actor_rollout_ref.rollout.n, so that they do",
        )  # fmt: skip
        return
    yield from _check_micro_batches(context, prompts * n // ranks, mini * n // ranks)
    if context.config.reward.num_workers > prompts * n:
        yield Problem(
            "reward.num_workers", f"{context.config.reward.num_workers} workers for {prompts * n} rollouts a step",
            f"give at most {prompts * n}",
        )  # fmt: skip


def check_lengths(context: RunContext) -> Iterator[Finding]:
    """Checks that the longest sequence of a rollout fits wherever it goes.

    Args:
        context: The run.

    Yields:
        Problems, and a note on what was looked at.
    """
    data, part = context.config.data, context.config.actor_rollout_ref
    longest = data.max_prompt_length + data.max_response_length
    yield Note(f"sequences of up to {longest} tokens")
    if part.rollout.max_model_len is not None and longest > part.rollout.max_model_len:
        yield Problem(
            "actor_rollout_ref.rollout.max_model_len",
            f"{part.rollout.max_model_len} tokens, but prompt and reply may have {longest}: replies would be cut off",
            f"give {longest}, or shorten data.max_prompt_length or data.max_response_length",
        )  # fmt: skip
    # utils/seqlen_balancing.py rearrange_micro_batches.
    for key, dynamic in _token_limits(context):
        limit, spread = context.get(key), _sequence_parallel(context, "ref" if ".ref." in key else "actor")
        if dynamic and isinstance(limit, int) and limit * spread < longest:
            over = f" x {spread} GPUs that share a sequence" if spread > 1 else ""
            yield Problem(
                key, f"{limit} tokens{over} do not hold the longest sequence, {longest}",
                f"give {-(-longest // spread)} or more, or shorten data.max_prompt_length or data.max_response_length",
            )  # fmt: skip


def check_reward_model(context: RunContext) -> Iterator[Finding]:
    """Checks that the GPUs of veRL's own reward model divide into its servers (experimental/reward_loop/reward_model.py).

    Args:
        context: The run.

    Yields:
        Problems, and a note on what was looked at.
    """
    model = context.config.reward.reward_model
    if not model.enable:
        return
    key = "reward.reward_model.rollout.tensor_model_parallel_size"
    server = model.rollout.tensor_model_parallel_size * model.rollout.data_parallel_size
    if not model.enable_resource_pool:
        # trainer/ppo/v1/trainer_base.py _compute_reward_colocate
        yield Problem(
            "reward.reward_model.enable_resource_pool", "on the training's own GPUs veRL shows a reward model no reference",
            "set it to true, and reward.reward_model.nnodes and n_gpus_per_node to GPUs beside those of the training",
        )  # fmt: skip
        return
    if model.n_gpus_per_node < 1 or model.nnodes < 1:
        yield Problem(
            "reward.reward_model.nnodes" if model.nnodes < 1 else "reward.reward_model.n_gpus_per_node",
            "the reward model gets GPUs of its own, but none", "give the nodes, and the GPUs on each, that it may use",
        )  # fmt: skip
        return
    gpus = model.nnodes * model.n_gpus_per_node
    if gpus % server:
        yield Problem(
            key,
            f"a server of the reward model takes {server} GPUs; {gpus} do not divide by that",
            f"give {_nearest_divisor(server, gpus)}",
        )
    if model.rollout.skip_tokenizer_init:
        yield Problem(
            "reward.reward_model.rollout.skip_tokenizer_init", "the reward model needs its tokenizer", "set it to false"
        )
    yield Note(f"server on {server} of {gpus}")


def model_parallel(context: RunContext) -> tuple[int, str]:
    """Counts the GPUs that share one copy of the policy.

    Args:
        context: The run.

    Returns:
        The number of GPUs, and the keys that set it.
    """
    actor = context.config.actor_rollout_ref.actor
    if context.megatron:
        engine, prefix = actor.megatron, "actor_rollout_ref.actor.megatron."
        size = engine.tensor_model_parallel_size * engine.pipeline_model_parallel_size * engine.context_parallel_size
        return size, f"{prefix}tensor_model_parallel_size x pipeline_model_parallel_size x context_parallel_size"
    return _sequence_parallel(context), "actor_rollout_ref.actor.ulysses_sequence_parallel_size"


def _sequence_parallel(context: RunContext, part: str = "actor") -> int:
    """Counts the GPUs that share one sequence."""
    names: tuple[str, ...] = ("megatron.context_parallel_size",)
    if not context.megatron:
        names = ("ulysses_sequence_parallel_size", "fsdp_config.ulysses_sequence_parallel_size")
    return max(int(context.get(f"actor_rollout_ref.{part}.{name}") or 1) for name in names)


def _token_limits(context: RunContext) -> Iterator[tuple[str, bool]]:
    """Lists the keys of tokens per GPU, and whether each is in use."""
    part = context.config.actor_rollout_ref
    yield "actor_rollout_ref.actor.ppo_max_token_len_per_gpu", part.actor.use_dynamic_bsz
    yield "actor_rollout_ref.rollout.log_prob_max_token_len_per_gpu", part.rollout.log_prob_use_dynamic_bsz
    yield (
        "actor_rollout_ref.ref.log_prob_max_token_len_per_gpu",
        context.uses_reference_policy and part.ref.log_prob_use_dynamic_bsz,
    )


def _check_micro_batches(context: RunContext, batch: int, mini: int) -> Iterator[Problem]:
    """For micro-batches of a fixed number of rollouts; `batch` and `mini` are one rank's (workers/engine/utils.py)."""
    part = context.config.actor_rollout_ref
    if part.actor.use_dynamic_bsz != part.rollout.log_prob_use_dynamic_bsz:
        yield Problem(
            "actor_rollout_ref.rollout.log_prob_use_dynamic_bsz", "differs from actor_rollout_ref.actor.use_dynamic_bsz",
            "set both to the same",
        )  # fmt: skip
        return
    if part.actor.use_dynamic_bsz:
        return
    sizes = [("actor.ppo_micro_batch_size_per_gpu", mini), ("rollout.log_prob_micro_batch_size_per_gpu", batch)]
    if context.uses_reference_policy:
        sizes.append(("ref.log_prob_micro_batch_size_per_gpu", batch))
    for name, rollouts in sizes:
        key = f"actor_rollout_ref.{name}"
        size = context.get(key)
        if size is None:
            yield Problem(
                key, "not set", f"give a divisor of {rollouts}, or set actor_rollout_ref.actor.use_dynamic_bsz=true"
            )
        elif rollouts % size:
            yield Problem(
                key, f"{size} does not divide the {rollouts} rollouts of a rank", f"give {_nearest_divisor(size, rollouts)}"
            )


def _check_adapter(context: RunContext) -> Iterator[Problem]:
    """Checks the key of LoRA: each engine has another.

    By the wrong one the policy gets no adapter, and veRL takes it for its own reference (trainer/ppo/v1/trainer_base.py
    ref_in_actor).
    """
    right, wrong = ("lora.rank", "lora_rank") if context.megatron else ("lora_rank", "lora.rank")
    rank = int(context.get(f"actor_rollout_ref.model.{wrong}") or 0)
    if rank > 0 and not context.lora_rank:
        yield Problem(
            f"actor_rollout_ref.model.{wrong}",
            f"{context.config.actor_rollout_ref.actor.strategy} does not read it: nothing would be an adapter",
            f"set actor_rollout_ref.model.{right}={rank} in its place",
        )  # fmt: skip


def _cluster_fix(context: RunContext) -> str:
    trainer = context.config.trainer
    return f"change it, or trainer.nnodes={trainer.nnodes} x trainer.n_gpus_per_node={trainer.n_gpus_per_node}"


def _nearest_divisor(wanted: int, whole: int) -> int:
    """Returns the divisor of `whole` that is nearest to `wanted`."""
    return min((d for d in range(1, whole + 1) if whole % d == 0), key=lambda d: abs(d - wanted))
