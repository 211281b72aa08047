"""Training: compose the recipe, check everything that can be checked in seconds, hand over to veRL, leave nothing behind.

    python -m visual_erm.train cluster=cpu policy=tiny judge=local task=table [any.key.of.veRL=value …]

Exit codes: 0 the run is complete and every rollout was scored; 1 it stopped, with the reason in the last line; 2 the
configuration is wrong, found before anything was started.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib.util
import json
import logging
import os
import re
import secrets
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import hydra
import psutil
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException

from visual_erm.errors import ConfigError, VisualERMError
from visual_erm.judge import JudgeSettings, load_judge_settings
from visual_erm.settings import shipped
from visual_erm.task import load_task

log = logging.getLogger(__name__)

SHUTDOWN_S = 20.0
"""Seconds that the run's processes have to end by themselves."""
_PR_SET_CHILD_SUBREAPER = 36


class RunIncomplete(VisualERMError):
    """The run ended without an error, but not every rollout was scored."""


def main() -> None:
    """The command. Wrong settings are one line on stderr, whoever found them: Hydra, OmegaConf or this project."""
    os.environ["HYDRA_FULL_ERROR"] = "1"
    try:
        sys.argv.insert(1, f"hydra.searchpath=[file://{verl_configs()}]")
        _train()
    except (ConfigError, HydraException, OmegaConfBaseException) as error:
        fail(2, error)


@hydra.main(version_base="1.3", config_path=str(shipped("configs")), config_name="grpo")
def _train(config: DictConfig) -> None:
    try:
        prepare(config)
    except ConfigError as error:
        fail(2, error)
    os.environ.update({name: str(value) for name, value in config.env.items()})
    try:
        with nothing_left_behind(config):
            run(config)
    except VisualERMError as error:
        fail(1, error)


def fail(code: int, error: Exception) -> NoReturn:
    """Ends the process with the error as its last line, less the search paths and addresses that Hydra adds."""
    reason = " ".join(re.split(r"\nConfig search path:|\nSee http", str(error))[0].split())
    print(f"visual_erm.train: {reason}", file=sys.stderr, flush=True)
    sys.exit(code)


def verl_configs() -> Path:
    """veRL's own configuration folder, found without importing veRL: it picks its platform while being imported, and
    the configuration says which. Raises ConfigError when veRL is not installed."""
    spec = importlib.util.find_spec("verl")
    if spec is None or not spec.submodule_search_locations:
        raise ConfigError("veRL is not installed; fix: pip install 'visual-erm[train]'")
    return Path(spec.submodule_search_locations[0]) / "trainer" / "config"


def prepare(config: DictConfig) -> None:
    """Makes every path absolute and checks what can be checked without starting anything.

    Raises ConfigError: task or judge settings are wrong, or the model, the data or the reward function is missing.
    """
    load_task(config.task)
    describe(load_judge_settings(config.judge))
    with open_dict(config):
        config.run_dir = str(Path(config.run_dir).resolve())
        for key in ("train_files", "val_files"):
            config.data[key] = data_files(config, key)
        model = config.actor_rollout_ref.model
        model.path = model_path(value(config, "actor_rollout_ref.model.path"), str(config.env.get("HF_HUB_OFFLINE", "")))
        function = config.reward.custom_reward_function
        function.path = reward_path(function.path)
        settings = function.reward_kwargs
        settings.data_root = str(Path(settings.data_root or Path(config.data.train_files[0]).parent).resolve())
        if settings.journal:
            settings.journal = str(Path(settings.journal).resolve())
        # `Books` counts the steps by this logger's file.
        loggers = config.trainer.logger
        config.trainer.logger = list(dict.fromkeys([*([loggers] if isinstance(loggers, str) else loggers), "file"]))


def describe(judge: JudgeSettings) -> None:
    """Says who will judge: a run with the wrong judge looks like any other."""
    if judge.kind == "local":
        log.info("judge: local, by OCR on this CPU (give judge=remote 'judge.endpoints=[…]' for a reward model)")
    else:
        log.info("judge: %s at %s", judge.model, ", ".join(judge.endpoints))


def value(config: DictConfig, key: str) -> Any:
    """A setting that must be there. Raises ConfigError when it is `???` or null."""
    if OmegaConf.select(config, key, throw_on_missing=False) is None:
        raise ConfigError(f"`{key}` is not set; give {key}=… on the command line")
    return OmegaConf.select(config, key)


def data_files(config: DictConfig, key: str) -> list[str]:
    """Absolute paths of the parquet files under `data.<key>`. Raises ConfigError for one that does not exist."""
    files = value(config, f"data.{key}")
    paths = [Path(file).expanduser().resolve() for file in ([files] if isinstance(files, str) else files)]
    for path in paths:
        if not path.is_file():
            raise ConfigError(f"data.{key}: {path} does not exist; make it with data_prep/ (for policy=tiny: make demo)")
    return [str(path) for path in paths]


def model_path(path: str, offline: str) -> str:
    """A model's folder as an absolute path, or its name on the Hugging Face hub. Raises ConfigError for neither."""
    folder = Path(path).expanduser()
    if folder.is_dir():
        return str(folder.resolve())
    if offline in ("", "0") and path.count("/") == 1 and path[0] not in "./~":
        return path
    raise ConfigError(f"actor_rollout_ref.model.path: no folder {folder.absolute()} (for policy=tiny: make demo)")


def reward_path(path: str) -> str:
    """The reward function's file: as given, or inside the project. Raises ConfigError when there is none."""
    for found in (Path(path), shipped("reward_func").parent / path):
        if found.is_file():
            return str(found.resolve())
    raise ConfigError(f"reward.custom_reward_function.path: {path} does not exist, here or in {shipped('reward_func')}")


def run(config: DictConfig) -> None:
    """The training itself, from the start of Ray to the last step.

    Raises VisualERMError with the reason when a rollout or the reward function stopped it, RunIncomplete when rewards
    are missing in the end; any other exception is veRL's or Ray's own, with its traceback.
    """
    from ray.exceptions import RayTaskError
    from verl.trainer import main_ppo

    books = Books.open(config)
    try:
        main_ppo.main(config)
    except RayTaskError as error:
        cause = root_cause(error)
        if isinstance(cause, VisualERMError):
            raise cause from error
        raise
    books.check()


def root_cause(error: BaseException) -> BaseException:
    """The exception at the bottom of Ray's wrappings."""
    while isinstance(getattr(error, "cause", None), BaseException):
        error = error.cause  # type: ignore[attr-defined]
    return error


@dataclass(frozen=True)
class Books:
    """The journal of the reward function against the steps that veRL logged: an independent count of the rewards."""

    journal: Path | None
    metrics: Path
    per_step: int
    """Rollouts of one step."""
    before: int
    """Training rollouts that the journal held before this run."""

    @classmethod
    def open(cls, config: DictConfig) -> Books:
        folder = config.reward.custom_reward_function.reward_kwargs.journal
        journal = Path(folder) if folder else None
        metrics = Path(config.env.VERL_FILE_LOGGER_PATH)
        metrics.parent.mkdir(parents=True, exist_ok=True)
        if journal:
            (journal / "fatal.txt").unlink(missing_ok=True)
        per_step = config.data.train_batch_size * config.actor_rollout_ref.rollout.n
        return cls(journal, metrics, per_step, scored(journal) if journal else 0)

    def check(self) -> None:
        """Raises RunIncomplete unless every step's rollouts are in the journal, each once. Without a journal: nothing."""
        if self.journal is None:
            return
        steps = trained(self.metrics)
        found, expected = scored(self.journal) - self.before, steps * self.per_step
        if found != expected or not steps:
            raise RunIncomplete(
                f"{found} rollouts were scored, {expected} expected ({steps} steps of {self.per_step}); see {self.journal}"
            )
        log.info("%d steps, %d rollouts, every one scored", steps, found)


def scored(journal: Path) -> int:
    """Training rollouts in a journal."""
    lines = (line for file in journal.glob("*.jsonl") for line in file.open(encoding="utf-8"))
    return sum(json.loads(line).get("split") != "test" for line in lines)


def trained(metrics: Path) -> int:
    """Training steps in veRL's metrics file."""
    if not metrics.is_file():
        return 0
    return sum("training/global_step" in json.loads(line)["data"] for line in metrics.open(encoding="utf-8"))


@contextlib.contextmanager
def nothing_left_behind(config: DictConfig) -> Iterator[None]:
    """Gives the run a temporary folder of its own, and removes that and every process of the run, however it ends.

    A Ray cluster that is already running (`ray_kwargs.ray_init.address`) keeps its own folders and processes.
    """
    # Ray's sockets live in it, and a socket's path may have 107 bytes.
    folder = Path(tempfile.mkdtemp(prefix="verm-", dir=None if len(tempfile.gettempdir()) < 24 else "/tmp"))  # noqa: S108
    os.environ["TMPDIR"] = tempfile.tempdir = str(folder)
    if not OmegaConf.select(config, "ray_kwargs.ray_init.address"):
        with open_dict(config):
            config.ray_kwargs.ray_init._temp_dir = str(folder / "ray")
        # Without a token in the environment Ray makes one and leaves it in the home directory.
        os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
    # Processes whose parent dies become this one's children: none can get out of sight.
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        yield
    finally:
        # Ray's native SIGTERM handler sets an alarm that aborts the process after 3 s, whatever it is doing.
        signal.alarm(0)
        if "ray" in sys.modules:
            sys.modules["ray"].shutdown()
        end_processes(psutil.Process())
        shutil.rmtree(folder, ignore_errors=True)


def end_processes(parent: psutil.Process) -> None:
    """Waits for all descendants, then ends those that stayed."""
    _, alive = psutil.wait_procs(parent.children(recursive=True), timeout=SHUTDOWN_S)
    while alive:
        for process in alive:
            with contextlib.suppress(psutil.NoSuchProcess):
                log.warning("still running after the run, killed: %s (%d)", process.name(), process.pid)
                process.kill()
        psutil.wait_procs(alive, timeout=SHUTDOWN_S)
        alive = parent.children(recursive=True)


if __name__ == "__main__":
    main()
