"""Training: compose the recipe, check everything that can be checked in seconds, hand over to veRL, leave nothing behind.

    python -m visual_erm.train cluster=cpu policy=tiny judge=local task=table [any.key.of.veRL=value …]

Exit codes: 0 the run is complete and every rollout was scored; 1 it stopped, with the reason in the last line; 2 the
configuration is wrong: nothing was started, every problem is reported, and the last line has the keys; 3 it was asked to
stop, and goes on when started again.
"""

from __future__ import annotations

import contextlib
import logging
import os
import re
import secrets
import shlex
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
from omegaconf import DictConfig, ListConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException
from rich.console import Console

from visual_erm.errors import ConfigError, RunInterrupted, VisualERMError
from visual_erm.preflight.checks import exit_code, run_checks
from visual_erm.preflight.context import select
from visual_erm.preflight.findings import Outcome, Problem
from visual_erm.preflight.overrides import arguments, composed, one_line, search_path_folders
from visual_erm.preflight.report import last_line, print_report
from visual_erm.preflight.settings import misread, unresolved
from visual_erm.runtime.process_tree import adopt_orphans, end_descendants
from visual_erm.spec.base import shipped
from visual_erm.spec.prompts import described, import_of
from visual_erm.spec.task import Task, load_tasks
from visual_erm.training.reward_requirements import REWARD, choose_manager
from visual_erm.training.run_ledger import RunLedger
from visual_erm.training.stop_callback import clear_stop_request, stopped_after

log = logging.getLogger(__name__)


def main() -> None:
    """Runs the command. Problems that Hydra finds are reported together with those that the checks find in the rest."""
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
    """Prepares the configuration and runs all checks. Ends the process, with every problem printed, unless all is well.

    Args:
        config: The configuration, which is changed. None: it could not be composed.
        beforehand: Problems that were found while it was composed.
        words: Overrides that it was composed of. Empty: Hydra's own command line.
    """
    console = Console(file=sys.stderr)
    outcomes = preflight(config, console, beforehand, words)
    if code := exit_code(outcomes):
        print_report(outcomes, console)
        fail(code, last_line(outcomes))


def preflight(
    config: DictConfig | None, console: Console, beforehand: Sequence[Problem] = (), words: Sequence[str] = ()
) -> list[Outcome]:
    """Prepares the configuration and runs all checks.

    Args:
        config: The configuration, which is changed. None: it could not be composed, and nothing is checked.
        console: Where each check prints its line.
        beforehand: Problems that were found while it was composed.
        words: Overrides that it was composed of. Empty: Hydra's own command line.

    Returns:
        The outcomes, in the order of the checks.
    """
    if config is None:
        return [Outcome("command line", tuple(beforehand))]
    given = words or (HydraConfig.get().overrides.task if HydraConfig.initialized() else ())
    beforehand = [*beforehand, *misread(config, given)]
    try:
        prepare(config, words)
        set_environment(config)
    except OmegaConfBaseException as error:
        return [Outcome("command line", (*beforehand, unresolved(error)))]
    return run_checks(config, console, beforehand)


def fail(code: int, reason: str) -> NoReturn:
    """Ends the process, with the reason as the last line of its output.

    Args:
        code: The exit code.
        reason: The reason; line breaks become spaces.
    """
    print(f"visual_erm.train: {' '.join(reason.split())}", file=sys.stderr, flush=True)
    sys.exit(code)


def prepare(config: DictConfig, words: Sequence[str] = ()) -> None:
    """Makes every path absolute, and puts the prompts and the environment into the configuration.

    Wrong values stay as they are, for the checks to find.

    Args:
        config: The configuration, which is changed.
        words: Overrides that it was composed of. Empty: Hydra's own command line.
    """
    with open_dict(config):
        # Wrong settings of a task, or values that are not there yet.
        with contextlib.suppress(ConfigError, OmegaConfBaseException):
            tasks = load_tasks(config.task, task_folders(words))
            carry_prompts(config.task, tasks)
            choose_manager(config, tasks, project_path("reward_func/batch_manager.py"))
        config.run_dir = str(Path(str(config.run_dir)).resolve())
        for key in ("train_files", "val_files"):
            if files := select(config, f"data.{key}"):
                config.data[key] = [absolute(file) for file in (files if isinstance(files, ListConfig) else [files])]
        for key in ("actor_rollout_ref.model.path", "reward.reward_model.model_path", f"{REWARD}.reward_kwargs.model"):
            if (path := select(config, key)) and Path(str(path)).expanduser().is_dir():
                OmegaConf.update(config, key, absolute(path))
        function = config.reward.custom_reward_function
        function.path = project_path(function.path)
        loops = "actor_rollout_ref.rollout.agent.agent_loop_config_path"
        if path := select(config, loops):
            OmegaConf.update(config, loops, project_path(str(path)))
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
    """Sets the run's environment variables in this process. Call it before an import of what reads them.

    Args:
        config: The configuration.
    """
    os.environ.update(environment_of(config))


def environment_of(config: DictConfig) -> dict[str, str]:
    """Reads the variables that `env` sets.

    Args:
        config: The configuration.

    Returns:
        Values by name.
    """
    return {name: str(value) for name, value in config.env.items()}


def task_folders(words: Sequence[str] = ()) -> list[Path]:
    """Lists the folders with the user's own tasks, see `arguments`.

    Args:
        words: Overrides of the run. Empty: Hydra's own command line.

    Returns:
        The folders.
    """
    if words or not HydraConfig.initialized():
        return [place / "task" for place in search_path_folders(words)]
    sources = HydraConfig.get().runtime.config_sources
    return [Path(source.path) / "task" for source in sources if source.schema == "file"]


def absolute(path: str | Path) -> str:
    """Makes a path absolute.

    Args:
        path: The path. `~` is the home directory.

    Returns:
        The absolute path.
    """
    return str(Path(str(path)).expanduser().resolve())


def project_path(path: str) -> str:
    """Finds a file that is the user's or the project's, for example the reward function's.

    Args:
        path: The path, from this folder or from the project.

    Returns:
        The absolute path; `path` itself where there is no such file.
    """
    found = (place for place in (Path(path), shipped("reward_func").parent / path) if place.is_file())
    return next((absolute(place) for place in found), path)


def carry_prompts(config: DictConfig, tasks: Mapping[str, Task]) -> None:
    """Puts the text of each prompt into the configuration: a file's name may mean another file on another node.

    Args:
        config: The configuration's part `task`, which is changed.
        tasks: The run's tasks by name.
    """
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
    """Hands `env` to every process of the run: those of a running Ray cluster do not inherit it from here.

    A running cluster (`ray_kwargs.ray_init.address`) has its size and folders already; settings of those are left out.

    Args:
        config: The configuration, which is changed.
    """
    ray_init = config.ray_kwargs.ray_init
    own = ray_init.get("runtime_env") or {}
    runtime_env = OmegaConf.merge({"env_vars": environment_of(config)}, own)
    # Ray puts the path of Python into a shell's command as it stands: in a path with blanks no worker would start, and the
    # run would wait for ever.
    if (quoted := shlex.quote(sys.executable)) != sys.executable and not OmegaConf.select(runtime_env, "py_executable"):
        runtime_env.py_executable = quoted
    if ray_init.get("address"):
        config.ray_kwargs.ray_init = {"address": ray_init.address}
    config.ray_kwargs.ray_init.runtime_env = runtime_env


def run(config: DictConfig) -> None:
    """Trains, from the start of Ray to the last step. Any other exception than these is veRL's or Ray's own.

    Args:
        config: The configuration, prepared.

    Raises:
        VisualERMError: A rollout or the reward function stopped the run; the message has the reason.
        RunIncomplete: Rewards are missing at the end.
        RunInterrupted: The run was asked to stop.
    """
    from ray.exceptions import RayTaskError

    from visual_erm.training.verl_internals import main_ppo

    clear_stop_request(Path(config.run_dir), before=psutil.Process().create_time())
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
    """Finds the exception that Ray wrapped.

    Args:
        error: Ray's exception.

    Returns:
        The innermost cause; `error` itself where it has none.
    """
    while isinstance(getattr(error, "cause", None), BaseException):
        error = error.cause  # type: ignore[attr-defined]
    return error


@contextlib.contextmanager
def nothing_left_behind(config: DictConfig) -> Iterator[None]:
    """Gives the run a temporary folder. Removes it, and ends every process of the run, however the run ends.

    A Ray cluster that is already running (`ray_kwargs.ray_init.address`) keeps its own folders and processes.

    Args:
        config: The configuration; Ray's folder is set in it.

    Yields:
        Nothing.
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
