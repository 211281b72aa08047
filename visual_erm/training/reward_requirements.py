"""What a reward needs, as its settings say (configs/reward/), and what a run brings in for it.

`needs` of a reward function is a list of: `judge` (a report gives the reward), `renderer` (replies are rendered),
`ground_truth` (replies are compared with each row's code), `tables` (every reply must be a table). Another reward function
without `needs` has those of this project's: `judge` and `renderer`. `packages` lists what it imports beyond this project's
own packages.
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
    """Reads what the run's reward function needs.

    Args:
        config: The run's configuration.

    Returns:
        Some of `KNOWN`.

    Raises:
        ConfigError: The configuration names a need that is not in `KNOWN`.
    """
    needs = frozenset(config.reward.custom_reward_function.get("needs", ("judge", "renderer")))
    if unknown := needs - set(KNOWN):
        raise ConfigError(f"{REWARD}.needs: no such need: {', '.join(sorted(unknown))}; give some of {', '.join(KNOWN)}")
    return needs


def check_packages(name: str, packages: Sequence[str]) -> None:
    """Checks that the packages that a reward imports are installed.

    Args:
        name: The reward's name, for the message.
        packages: Names to import.

    Raises:
        ConfigError: A package is missing.
    """
    if missing := [package for package in packages if importlib.util.find_spec(package) is None]:
        raise ConfigError(f"reward={name} needs {', '.join(missing)}; pip install 'visual-erm[baselines]'")


def check_tables(tasks: Mapping[str, Task]) -> None:
    """Checks that all replies are tables.

    Args:
        tasks: The run's tasks by name.

    Raises:
        ConfigError: A task has another language than those of tables.
    """
    for name, task in tasks.items():
        if not set(task.languages) <= MARKUP:
            raise ConfigError(
                f"reward=teds compares tables, but task `{name}` is written in {', '.join(task.languages)}; take "
                "reward=edit_distance, or another task"
            )


def normalised(config: DictConfig, tasks: Mapping[str, Task]) -> list[str]:
    """Lists the tasks whose rewards are normalised over a batch: `scoring.mode` says so, and a judge gives the rewards.

    Args:
        config: The run's configuration.
        tasks: The run's tasks by name.

    Returns:
        Names of the tasks.

    Raises:
        ConfigError: The configuration names a need that is not in `KNOWN`.
    """
    return (
        [name for name, task in tasks.items() if task.scoring.mode == "batch"]
        if "judge" in reward_requirements_of(config)
        else []
    )


def choose_manager(config: DictConfig, tasks: Mapping[str, Task], manager: str) -> None:
    """Sets the reward manager that normalises the rewards of a batch, where a task wants that.

    Another manager that was chosen stays, for preflight to find.

    Args:
        config: The run's configuration, which is changed.
        tasks: The run's tasks by name.
        manager: File of the reward manager that normalises a batch.

    Raises:
        ConfigError: The configuration names a need that is not in `KNOWN`.
    """
    chosen = config.reward.reward_manager
    if normalised(config, tasks) and (chosen.source, chosen.name) == ("register", "naive"):
        chosen.source, chosen.name, chosen.module.path = "importlib", MANAGER, manager
        config.trainer.v1.sampler.sampler_kwargs.batch_task = config.task
