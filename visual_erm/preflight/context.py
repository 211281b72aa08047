"""The run that is checked: its configuration, and what several checks read from it, each read once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from visual_erm.data.check import LoadedRow, VerlCheck
from visual_erm.errors import ConfigError
from visual_erm.preflight.sample import SampledFile, SampledRow, count, sample
from visual_erm.spec.judge import JudgeSettings, load_judge_settings
from visual_erm.spec.task import Task, load_tasks
from visual_erm.training.reward_requirements import reward_requirements_of

KEYS = ("train_files", "val_files")
SAMPLE_ROWS = 64
"""Rows of each split that are checked one by one."""


@dataclass(frozen=True)
class RunContext:
    """A configuration with absolute paths, and what is read from it."""

    config: DictConfig

    def get(self, key: str) -> Any:
        """Reads a key of the configuration.

        Args:
            key: The whole key, with dots.

        Returns:
            Its value; None where it is not set or does not exist.
        """
        return select(self.config, key)

    def files(self, key: str) -> Sequence[str]:
        """Lists the files under a key of `data`.

        Args:
            key: One of `KEYS`.

        Returns:
            The files; none where the key is not set.
        """
        files = self.get(f"data.{key}")
        return [files] if isinstance(files, str) else list(files or ())

    @cached_property
    def tasks(self) -> dict[str, Task]:
        """The run's tasks by name. Raises ConfigError for settings that are wrong."""
        return load_tasks(self.config.task)

    @cached_property
    def judge(self) -> JudgeSettings:
        """The settings of the judge. Raises ConfigError for settings that are wrong."""
        return load_judge_settings(self.config.judge)

    @cached_property
    def needs(self) -> frozenset[str]:
        """What the reward function needs, see training/reward_requirements.py. Raises ConfigError."""
        return reward_requirements_of(self.config)

    def readable(self, key: str) -> list[str]:
        """Lists the files under a key of `data` that are parquet and hold rows.

        Args:
            key: One of `KEYS`.

        Returns:
            The files.
        """
        return [file for file in self.files(key) if _rows(file)]

    @cached_property
    def samples(self) -> dict[str, list[SampledFile]]:
        """Some of the rows under each key of `data`, of the files that can be read."""
        return {key: sample(self.readable(key), SAMPLE_ROWS) for key in KEYS}

    @cached_property
    def rows(self) -> dict[str, list[SampledRow]]:
        """The rows of `samples`, as Python objects."""
        return {key: [row for file in files for row in file.rows()] for key, files in self.samples.items()}

    @cached_property
    def verl_check(self) -> VerlCheck:
        """Loads rows as veRL does for the policy. Raises ConfigError where the policy has no processor."""
        data = self.config.data
        return VerlCheck(Path(self.config.actor_rollout_ref.model.path), data.max_prompt_length, data)

    def loaded(self, key: str) -> list[LoadedRow]:
        """Loads the sampled rows as veRL does.

        Args:
            key: One of `KEYS`.

        Returns:
            What veRL makes of each of `rows[key]`.

        Raises:
            ConfigError: veRL cannot load them, or not for this policy.
        """
        if key not in self._loaded:
            self._loaded[key] = self.verl_check.rows([file.table for file in self.samples[key]])
        return self._loaded[key]

    @cached_property
    def _loaded(self) -> dict[str, list[LoadedRow]]:
        return {}

    @property
    def tests(self) -> bool:
        """Whether the policy is tested on `data.val_files` while, or before, it is trained."""
        trainer = self.config.trainer
        return trainer.test_freq > 0 or bool(trainer.val_before_train or trainer.val_only)

    @property
    def gpus(self) -> int:
        """GPUs of the training, on all nodes."""
        return int(self.config.trainer.nnodes) * int(self.config.trainer.n_gpus_per_node)

    @property
    def megatron(self) -> bool:
        """Whether Megatron updates the policy."""
        return bool(self.config.actor_rollout_ref.actor.strategy == "megatron")

    @property
    def uses_reference_policy(self) -> bool:
        """Whether veRL computes log-probabilities of a reference policy (verl/trainer/ppo/utils.py)."""
        return bool(self.config.algorithm.use_kl_in_reward or self.config.actor_rollout_ref.actor.use_kl_loss)

    @property
    def lora_rank(self) -> int:
        """Rank of the adapter that the engine trains; 0 for none. Each engine reads another key."""
        return int(self.get("actor_rollout_ref.model." + ("lora.rank" if self.megatron else "lora_rank")) or 0)

    def steps(self) -> int:
        """Counts the training steps that follow from the data and the settings."""
        rows = sum(count(file) for file in self.files("train_files"))
        limit = self.get("data.train_max_samples") or -1
        rows = min(rows, limit) if limit > 0 else rows
        lasts = rows // self.config.data.train_batch_size * self.config.trainer.total_epochs
        asked = self.get("trainer.total_training_steps")
        return int(lasts if asked is None else min(lasts, asked))


def _rows(file: str) -> int:
    try:
        return count(file)
    except ConfigError:
        return 0


def select(config: DictConfig, key: str) -> Any:
    """Reads a key of a configuration.

    Args:
        config: The configuration.
        key: The whole key, with dots.

    Returns:
        Its value; None where it is not set or does not exist.
    """
    return OmegaConf.select(config, key, throw_on_missing=False)
