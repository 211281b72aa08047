"""What is to be run: the words of a launcher's script, of the user's variables and of the command line as one recipe.

The recipe is composed here as the training itself will do it, on every node: what is misspelt is found before Ray starts,
and how many nodes and GPUs Ray must have is read where the training reads it.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from visual_erm.errors import ConfigError
from visual_erm.launch.numbers import numbers
from visual_erm.launch.topology import Topology
from visual_erm.preflight.overrides import arguments, compose_recipe
from visual_erm.preflight.quoting import override
from visual_erm.spec.base import plain
from visual_erm.spec.keys import key_of_file, key_of_variable
from visual_erm.training.reward_requirements import reward_requirements_of

FILES = {"TRAIN_FILES": "data.train_files", "VAL_FILES": "data.val_files"}
JUDGES = {
    "ENDPOINTS_FILE": ("remote", "judge.endpoints_file"),
    "JUDGE_URLS": ("remote", "judge.endpoints"),
    "REWARD_MODEL": ("colocated", "reward.reward_model.model_path"),
}
"""Variable -> the judge that it chooses, and the key that its value is for. At most one may be set."""
ONE_GPU = "engine=fsdp"
"""Engine for a single GPU, where LoRA runs."""


@dataclass(frozen=True)
class Recipe:
    """Overrides of the training, and what it needs of the cluster."""

    overrides: tuple[str, ...]
    nodes: int
    gpus: int
    """GPUs of each node."""
    run_dir: Path
    ray_init: Mapping[str, Any]
    """`ray_kwargs.ray_init`: arguments for the start of Ray on each node."""
    numbers: tuple[str, ...] = ()
    """The resolved numbers, for people: lines like `key=value`."""


def read_recipe(defaults: Sequence[str], given: Sequence[str], environ: Mapping[str, str], topology: Topology) -> Recipe:
    """Reads the recipe. Of two words with the same key the later one wins.

    Args:
        defaults: The words of the launcher's script.
        given: The words of the command line. They come last, after those that variables stand for.
        environ: The environment.
        topology: How many nodes there are, where something says so.

    Returns:
        The recipe.

    Raises:
        ConfigError: A setting is missing, or two settings contradict each other.
        HydraException: Hydra does not take a word. OmegaConf raises its own errors too.
    """
    from_variables = variables(environ)
    words = last_of_each([*defaults, *from_variables, *given])
    asked = {key_of(word) for word in [*from_variables, *given]}
    if "cluster=1gpu" in words and "engine" not in asked:
        words = last_of_each([*words, ONE_GPU])
    if topology.nodes is not None:
        given_nodes = [word for word in words if key_of(word) == "trainer.nnodes"]
        if given_nodes and given_nodes != [f"trainer.nnodes={topology.nodes}"]:
            raise ConfigError(f"{given_nodes[0]}, but there are {topology.nodes} nodes; leave it out")
        words = last_of_each([*words, f"trainer.nnodes={topology.nodes}"])
    config = compose_words(words)
    if not any(key_of(word) == "run_dir" for word in words):
        raise ConfigError("`run_dir` is not set; give RUN_DIR=…, the same at every start: a restart goes on from it")
    for variable, key in FILES.items():
        if not OmegaConf.select(config, key):
            raise ConfigError(f"`{key}` is not set; give {variable}=… in the environment, or {key}=…")
    _check_key(config, environ)
    recipe = Recipe(
        overrides=tuple(words),
        nodes=config.trainer.nnodes,
        gpus=config.trainer.n_gpus_per_node,
        run_dir=Path(config.run_dir).resolve(),
        ray_init=plain(OmegaConf.to_container(config.ray_kwargs.ray_init, resolve=True)),
        numbers=tuple(numbers(config)),
    )
    if recipe.nodes > 1 and topology.head is None:
        raise ConfigError(
            f"this recipe is for {recipe.nodes} nodes of {recipe.gpus} GPUs, and nothing says which of them this is: set "
            "NODE_RANK, NNODES and MASTER_ADDR on each, use slurm/train.sbatch or torchrun, or give GPUS=8 for one machine"
        )
    if topology.rank >= recipe.nodes:
        raise ConfigError(f"this is node {topology.rank}, counted from 0, and the recipe is for {recipe.nodes}; set NNODES")
    return recipe


def _check_key(config: DictConfig, environ: Mapping[str, str]) -> None:
    """Raises ConfigError for a judge's key that no header takes. The servers make a file that is not there yet."""
    if config.judge.get("kind") not in ("remote", "colocated") or "judge" not in reward_requirements_of(config):
        return
    if file := config.judge.get("api_key_file"):
        if Path(file).expanduser().exists():
            key_of_file(Path(file).expanduser(), f"judge.api_key_file: {file}")
    elif name := config.judge.get("api_key_env"):
        key_of_variable(name, environ, f"judge.api_key_env: the variable {name}")


def variables(environ: Mapping[str, str]) -> list[str]:
    """Turns a launcher's variables into overrides.

    Args:
        environ: The environment.

    Returns:
        Words like `key=value`.

    Raises:
        ConfigError: Two judges are set.
    """
    words = []
    if gpus := environ.get("GPUS"):
        words.append(f"cluster={gpus}gpu")
    for name, key in FILES.items():
        if environ.get(name):
            words.append(override(key, _list(environ[name])))
    if model := environ.get("MODEL_PATH"):
        words.append(override("actor_rollout_ref.model.path", model))
    judges = [name for name in JUDGES if environ.get(name)]
    if len(judges) > 1:
        raise ConfigError(f"{' and '.join(judges)} are set: give one of them")
    for name in judges:
        judge, key = JUDGES[name]
        value = _list(environ[name]) if name == "JUDGE_URLS" else environ[name]
        words += [f"judge={judge}", override(key, value)]
        if judge == "remote" and environ.get("API_KEY_FILE"):
            words.append(override("judge.api_key_file", environ["API_KEY_FILE"]))
    if run_dir := environ.get("RUN_DIR"):
        words.append(override("run_dir", run_dir))
    return words


def compose_words(words: Sequence[str]) -> DictConfig:
    """Composes the configuration as the training will.

    Args:
        words: Overrides.

    Returns:
        The configuration.

    Raises:
        ConfigError: A value is invalid, or a file of a task does not exist.
        HydraException: Hydra does not take a word.
    """
    with tempfile.TemporaryDirectory(prefix="verm-task-") as folder:
        try:
            return compose_recipe(arguments(words, Path(folder)))
        except ValueError as error:
            raise ConfigError(str(error)) from error


def last_of_each(words: Sequence[str]) -> list[str]:
    """Keeps the last word of each key.

    >>> last_of_each(["cluster=32gpu", "task=table", "cluster=8gpu"])
    ['cluster=8gpu', 'task=table']

    Args:
        words: Overrides.

    Returns:
        One word for each key, in the order in which the keys come first.

    Raises:
        ConfigError: A word is no override.
    """
    return list({key_of(word): word for word in words}.values())


def key_of(word: str) -> str:
    """Reads the key of an override.

    Args:
        word: The override, like `key=value`, `+key=value` or `~key`.

    Returns:
        The key without `+`.

    Raises:
        ConfigError: The word is no override.
    """
    key, found, _ = word.partition("=")
    if not found and not word.startswith("~"):
        raise ConfigError(f"`{word}`: give key=value")
    return key.lstrip("+")


def _list(value: str) -> list[str]:
    return [part.strip() for part in value.split(",") if part.strip()]
