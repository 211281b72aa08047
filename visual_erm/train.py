"""Training: compose the recipe, check everything that can be checked in seconds, hand over to veRL, leave nothing behind.

    python -m visual_erm.train cluster=cpu policy=tiny judge=local task=table [any.key.of.veRL=value …]

Exit codes: 0 the run is complete and every rollout was scored; 1 it stopped, with the reason in the last line; 2 the
configuration is wrong, found before anything was started: all that is wrong is told, and in the last line the keys; 3 it
was asked to stop, and goes on when started again.
"""

from __future__ import annotations

import contextlib
import logging
import os
import re
import secrets
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NoReturn

import hydra
import psutil
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException
from rich.console import Console

from visual_erm.errors import ConfigError, RunInterrupted, VisualERMError
from visual_erm.preflight.checks import checked, exit_code
from visual_erm.preflight.context import select
from visual_erm.preflight.findings import Outcome, Problem
from visual_erm.preflight.overrides import arguments, composed, one_line, places_of
from visual_erm.preflight.report import last_line, print_report
from visual_erm.preflight.settings import unresolved
from visual_erm.runtime.process_tree import adopt_orphans, end_descendants
from visual_erm.spec.base import shipped
from visual_erm.spec.prompts import described, import_of
from visual_erm.spec.task import Task, load_tasks
from visual_erm.training.reward_requirements import REWARD, choose_manager
from visual_erm.training.run_ledger import RunLedger
from visual_erm.training.stop_callback import forget, stopped_after

log = logging.getLogger(__name__)


def main() -> None:
    """The command. What Hydra cannot compose is told together with what the checks find in the rest."""
    os.environ["HYDRA_FULL_ERROR"] = "1"
    with tempfile.TemporaryDirectory(prefix="verm-task-") as folder:
        try:
            sys.argv[1:] = arguments(sys.argv[1:], Path(folder))
            _train()
        except (HydraException, OmegaConfBaseException) as error:
            if hasattr(error, "cause"):
                # Ray's, from a process of the run.
                raise
            words = [word for word in sys.argv[1:] if not word.startswith("-")]
            config, problems = composed(words)
            if not problems:
                fail(2, one_line(error))
            check(config, problems, words)
        except ConfigError as error:
            fail(2, str(error))


@hydra.main(version_base="1.3", config_path=str(shipped("configs")), config_name="grpo")
def _train(config: DictConfig) -> None:
    if config.preflight:
        check(config)
    else:
        prepare(config)
        set_environment(config)
    try:
        with nothing_left_behind(config):
            run(config)
    except RunInterrupted as error:
        fail(3, str(error))
    except VisualERMError as error:
        fail(1, str(error))


def check(config: DictConfig | None, beforehand: Sequence[Problem] = (), words: Sequence[str] = ()) -> None:
    """Prepares the configuration and looks at all of it; ends the process, with everything told, unless all is well."""
    console = Console(file=sys.stderr)
    outcomes = preflight(config, console, beforehand, words)
    if code := exit_code(outcomes):
        print_report(outcomes, console)
        fail(code, last_line(outcomes))


def preflight(
    config: DictConfig | None, console: Console, beforehand: Sequence[Problem] = (), words: Sequence[str] = ()
) -> list[Outcome]:
    """What the checks find in a configuration, after it is prepared; without one, what is known `beforehand`.

    `words`: what it was composed of, where that was not by Hydra's own command line.
    """
    if config is None:
        return [Outcome("command line", tuple(beforehand))]
    try:
        prepare(config, words)
        set_environment(config)
    except OmegaConfBaseException as error:
        return [Outcome("command line", (*beforehand, unresolved(error)))]
    return checked(config, console, beforehand)


def fail(code: int, reason: str) -> NoReturn:
    """Ends the process with the reason in its last line."""
    print(f"visual_erm.train: {' '.join(reason.split())}", file=sys.stderr, flush=True)
    sys.exit(code)


def prepare(config: DictConfig, words: Sequence[str] = ()) -> None:
    """Makes every path absolute, and puts the prompts and the environment into the recipe.

    What is wrong stays as it is, for the checks to find.
    """
    with open_dict(config):
        # Wrong settings of a task, or values that are not there yet.
        with contextlib.suppress(ConfigError, OmegaConfBaseException):
            tasks = load_tasks(config.task, task_folders(words))
            carry_prompts(config.task, tasks)
            choose_manager(config, tasks, reward_path("reward_func/batch_manager.py"))
        config.run_dir = str(Path(config.run_dir).resolve())
        for key in ("train_files", "val_files"):
            if files := select(config, f"data.{key}"):
                config.data[key] = [absolute(file) for file in ([files] if isinstance(files, str) else files)]
        for key in ("actor_rollout_ref.model.path", "reward.reward_model.model_path", f"{REWARD}.reward_kwargs.model"):
            if (path := select(config, key)) and Path(path).expanduser().is_dir():
                OmegaConf.update(config, key, absolute(path))
        function = config.reward.custom_reward_function
        function.path = reward_path(function.path)
        settings = function.reward_kwargs
        if "data_root" in settings:
            root = settings.data_root or (config.data.train_files and Path(config.data.train_files[0]).parent)
            settings.data_root = root and absolute(root)
        if settings.rollout_log:
            settings.rollout_log = absolute(settings.rollout_log)
        for key in ("endpoints_file", "api_key_file", "reuse.cache_dir"):
            if path := select(config.judge, key):
                OmegaConf.update(config.judge, key, absolute(path))
        carry_environment(config)
        # `RunLedger` counts the steps by this logger's file.
        loggers = config.trainer.logger
        config.trainer.logger = list(dict.fromkeys([*([loggers] if isinstance(loggers, str) else loggers), "file"]))


def set_environment(config: DictConfig) -> None:
    """The run's environment variables, before anything is imported that reads them."""
    os.environ.update(environment_of(config))


def environment_of(config: DictConfig) -> dict[str, str]:
    """The variables that `env` sets."""
    return {name: str(value) for name, value in config.env.items()}


def task_folders(words: Sequence[str] = ()) -> list[Path]:
    """Where tasks of the user's own are, see `arguments`."""
    if words or not HydraConfig.initialized():
        return [place / "task" for place in places_of(words)]
    sources = HydraConfig.get().runtime.config_sources
    return [Path(source.path) / "task" for source in sources if source.schema == "file"]


def absolute(path: str | Path) -> str:
    """The same path from the root on."""
    return str(Path(path).expanduser().resolve())


def reward_path(path: str) -> str:
    """The reward function's file: as given, or inside the project; as it stands where there is none."""
    found = (place for place in (Path(path), shipped("reward_func").parent / path) if place.is_file())
    return next((absolute(place) for place in found), path)


def carry_prompts(config: DictConfig, tasks: Mapping[str, Task]) -> None:
    """Puts the text of each prompt into the recipe: what a file's name means may differ from node to node."""
    for name, task in tasks.items():
        node = config.tasks[name] if "tasks" in config else config
        # The path of a kind of the user's own, from the root on.
        node.kind = task.kind.reference
        judge = node.judge
        judge.pop("prompt_file", None)
        # As it stands: to OmegaConf, `${` starts a reference.
        judge.prompt = re.sub(r"(\\*)\$\{", r"\1\1\\${", task.judge.prompt)
        if import_of(task.judge.prompt):
            log.info("prompt of %s: %s", name, described(task.judge.prompt))


def carry_environment(config: DictConfig) -> None:
    """Hands `env` to every process of the run: those of a Ray cluster that runs already do not inherit it from here.

    Of such a cluster (`ray_kwargs.ray_init.address`) the size and the folders are settled: what says them is left out.
    """
    ray_init = config.ray_kwargs.ray_init
    own = ray_init.get("runtime_env") or {}
    runtime_env = OmegaConf.merge({"env_vars": environment_of(config)}, own)
    if ray_init.get("address"):
        config.ray_kwargs.ray_init = {"address": ray_init.address}
    config.ray_kwargs.ray_init.runtime_env = runtime_env


def run(config: DictConfig) -> None:
    """The training itself, from the start of Ray to the last step.

    Raises VisualERMError with the reason when a rollout or the reward function stopped it, RunIncomplete when rewards
    are missing in the end, RunInterrupted when it was asked to stop; any other exception is veRL's or Ray's own, with its
    traceback.
    """
    from ray.exceptions import RayTaskError

    from visual_erm.training.verl_internals import main_ppo

    forget(Path(config.run_dir), before=psutil.Process().create_time())
    ledger = RunLedger.open(config)
    try:
        main_ppo.main(config)
    except RayTaskError as error:
        cause = root_cause(error)
        if isinstance(cause, VisualERMError):
            raise cause from error
        raise
    finally:
        ledger.close()
    ledger.check()
    if step := stopped_after(Path(config.run_dir)):
        raise RunInterrupted(
            f"stopped after step {step}, which is saved, as was asked; the same command goes on from there"
        )


def root_cause(error: BaseException) -> BaseException:
    """The exception at the bottom of Ray's wrappings."""
    while isinstance(getattr(error, "cause", None), BaseException):
        error = error.cause  # type: ignore[attr-defined]
    return error


@contextlib.contextmanager
def nothing_left_behind(config: DictConfig) -> Iterator[None]:
    """Gives the run a temporary folder of its own, and removes that and every process of the run, however it ends.

    A Ray cluster that is already running (`ray_kwargs.ray_init.address`) keeps its own folders and processes.
    """
    # Ray's sockets live in it, and a socket's path may have 107 bytes.
    folder = Path(tempfile.mkdtemp(prefix="verm-", dir=None if len(tempfile.gettempdir()) < 24 else "/tmp"))  # noqa: S108
    os.environ["TMPDIR"] = tempfile.tempdir = str(folder)
    if not select(config, "ray_kwargs.ray_init.address"):
        with open_dict(config):
            config.ray_kwargs.ray_init._temp_dir = str(folder / "ray")
        # Without a token in the environment Ray makes one and leaves it in the home directory.
        os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
    adopt_orphans()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        yield
    finally:
        # Ray's native SIGTERM handler sets an alarm that aborts the process after 3 s, whatever it is doing.
        signal.alarm(0)
        if "ray" in sys.modules:
            sys.modules["ray"].shutdown()
        end_descendants()
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
