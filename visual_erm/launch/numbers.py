"""The resolved numbers of a recipe, for `DRY_RUN=1`: what groups, variables and words of the command line come to.

# data.train_batch_size=256
# actor_rollout_ref.rollout.n=8
"""

from __future__ import annotations

from collections.abc import Iterator

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from visual_erm.errors import ConfigError
from visual_erm.judge.endpoint import hide_login
from visual_erm.preflight.context import RunContext

KEYS = (
    "task.name", "actor_rollout_ref.model.path", "actor_rollout_ref.model.lora_rank", "actor_rollout_ref.actor.strategy",
    "trainer.nnodes", "trainer.n_gpus_per_node",
    "data.train_files", "data.val_files", "data.train_batch_size", "actor_rollout_ref.rollout.n",
    "actor_rollout_ref.actor.ppo_mini_batch_size", "data.max_prompt_length", "data.max_response_length",
    "actor_rollout_ref.rollout.name", "actor_rollout_ref.rollout.tensor_model_parallel_size",
    "actor_rollout_ref.rollout.temperature", "actor_rollout_ref.rollout.top_p",
    "actor_rollout_ref.actor.optim.lr", "actor_rollout_ref.actor.use_kl_loss", "actor_rollout_ref.actor.kl_loss_coef",
    "actor_rollout_ref.actor.kl_loss_type", "actor_rollout_ref.actor.entropy_coeff",
    "actor_rollout_ref.actor.clip_ratio_low", "actor_rollout_ref.actor.clip_ratio_high", "algorithm.adv_estimator",
    "trainer.total_epochs", "trainer.total_training_steps", "trainer.save_freq", "trainer.test_freq", "data.seed",
    "reward.custom_reward_function.name", "reward.num_workers",
    "judge.kind", "judge.model", "judge.endpoints", "judge.endpoints_file", "judge.api_key_file", "judge.max_in_flight",
    "reward.reward_model.enable", "reward.reward_model.model_path",
    "task.scoring.mode", "task.scoring.s_max", "task.scoring.render_reward",
)  # fmt: skip
"""Keys that are shown, in this order. One that the recipe does not have is left out."""


def numbers(config: DictConfig) -> Iterator[str]:
    """Lists the numbers of a recipe.

    Args:
        config: The composed configuration.

    Yields:
        Lines like `key=value`. The last one is the number of steps, where that is set or the training files are there.
    """
    for key in KEYS:
        try:
            value = OmegaConf.select(config, key, throw_on_missing=True)
        except OmegaConfBaseException as error:
            yield f"{key}: {str(error).splitlines()[0]}"
            continue
        if value is not None and value not in ([], ""):
            # A URL of a server may hold a password.
            yield f"{key}={[*map(hide_login, value)] if key == 'judge.endpoints' else value}"
    if steps := _steps(config):
        yield f"steps: {steps}"


def _steps(config: DictConfig) -> int | None:
    """How many steps the run has. None where nothing says so, as before the training files are there."""
    try:
        return RunContext(config).steps() or None
    except (ConfigError, ImportError, TypeError, ZeroDivisionError):
        return config.trainer.total_training_steps
