"""What a reward needs, as its settings say (configs/reward/), and what a run brings in for it.

`needs` of a reward function is a list of: `judge` (reports are what is rewarded), `renderer` (replies are drawn),
`ground_truth` (each row's code is compared with), `tables` (only tables can be). A reward function of one's own that says
nothing needs what the project's own does. `packages` are what it imports beyond the project's own.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from visual_erm.errors import ConfigError
from visual_erm.spec.task import Task

if TYPE_CHECKING:
    from omegaconf import DictConfig

REWARD = "reward.custom_reward_function"
KNOWN = ("judge", "renderer", "ground_truth", "tables")
MARKUP = {"html", "markdown"}
"""Languages of tables."""
MANAGER = "BatchRewardManager"


def reward_requirements_of(config: DictConfig) -> frozenset[str]:
    """What the run's reward function needs. Raises ConfigError for what nobody knows."""
    needs = frozenset(config.reward.custom_reward_function.get("needs", ("judge", "renderer")))
    if unknown := needs - set(KNOWN):
        raise ConfigError(f"{REWARD}.needs: no such need: {', '.join(sorted(unknown))}; give some of {', '.join(KNOWN)}")
    return needs


def check_packages(name: str, packages: Sequence[str]) -> None:
    """Raises ConfigError when packages that a reward imports are not installed."""
    if missing := [package for package in packages if importlib.util.find_spec(package) is None]:
        raise ConfigError(f"reward={name} needs {', '.join(missing)}; pip install 'visual-erm[baselines]'")


def check_tables(tasks: Mapping[str, Task]) -> None:
    """Raises ConfigError for a task whose replies are not all tables."""
    for name, task in tasks.items():
        if not set(task.languages) <= MARKUP:
            raise ConfigError(
                f"reward=teds compares tables, but task `{name}` is written in {', '.join(task.languages)}; take "
                "reward=edit_distance, or another task"
            )


def normalised(config: DictConfig, tasks: Mapping[str, Task]) -> list[str]:
    """Tasks whose rewards, a judge's, are normalised over a batch: `scoring.mode` says so. Raises ConfigError."""
    return (
        [name for name, task in tasks.items() if task.scoring.mode == "batch"]
        if "judge" in reward_requirements_of(config)
        else []
    )


def choose_manager(config: DictConfig, tasks: Mapping[str, Task], manager: str) -> None:
    """Has veRL normalise the rewards of tasks that want it. Another manager that was chosen is kept, for preflight to find.

    Args:
        config: The run's configuration, which is changed.
        tasks: The run's tasks by name.
        manager: The file of the reward manager that normalises a batch.

    Raises:
        ConfigError: The reward function needs what nobody knows.
    """
    chosen = config.reward.reward_manager
    if normalised(config, tasks) and (chosen.source, chosen.name) == ("register", "naive"):
        chosen.source, chosen.name, chosen.module.path = "importlib", MANAGER, manager
        config.trainer.v1.sampler.sampler_kwargs.batch_task = config.task
