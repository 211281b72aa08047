"""The whole path on a CPU: a tiny policy learns from the visual-equivalence reward, in real veRL.

    python -m visual_erm.demo.run [--task table|chart|svg|mixed] [--seed 0] [--steps 45] [--out outputs/tiny]

Data, a warm start, an evaluation, GRPO (rl_scripts/run_tiny_cpu.sh), the same evaluation again, and a report of what
happened. A stage that is finished for the same settings is not done again.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import logging
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.logging import RichHandler
from rich.table import Table

from visual_erm.demo import tiny_report
from visual_erm.demo.tiny_data import held_out_samples, read_rows, render_images, train_samples, write_data
from visual_erm.demo.tiny_problem import TinyProblem
from visual_erm.demo.tiny_tasks import TASKS, TinyTask
from visual_erm.errors import ConfigError, VisualERMError
from visual_erm.runtime.deferred_signals import deferred_signals
from visual_erm.spec.base import shipped
from visual_erm.spec.judge import load_judge_settings
from visual_erm.spec.task import Task, load_task

if TYPE_CHECKING:
    from visual_erm.demo.warm_start import WarmStart

log = logging.getLogger(__name__)

TEMPORARY = tempfile.gettempdir()
"""Folder in which the training makes its own temporary folder; the paths of Ray's sockets must be short."""
ROLLOUTS = 8
"""Number of replies to each prompt."""
MIN_STEPS = 3
"""Smallest number of steps from which a trend and a spread can be computed."""
SHOWN = 4
"""Number of prompts of the first and the last step whose rollouts are written."""


class TrainingFailed(VisualERMError):
    """The training ended with an error."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the demo as the command line asks.

    Args:
        arguments: Arguments of the command line. None: those of the process.

    Returns:
        The exit code: 0 when every rollout was rewarded exactly once.
    """
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--task", choices=TASKS, default="table", help="what is learned; `mixed` is all three in one run")
    parser.add_argument("--seed", type=int, default=0, help="order of the training samples and sampling of the rollouts")
    parser.add_argument("--steps", type=int, default=45, help=f"GRPO steps of 16 to 18 prompts x {ROLLOUTS} rollouts")
    parser.add_argument(
        "--out", type=Path, help="folder for everything that is written; default: outputs/tiny or outputs/tiny-TASK"
    )
    options = parser.parse_args(arguments)
    if options.steps < MIN_STEPS:
        parser.error(f"--steps: give at least {MIN_STEPS}, so that a trend and a spread can be computed")
    logging.basicConfig(level=logging.INFO, format="%(message)s", datefmt="[%X]", handlers=[RichHandler(show_path=False)])
    for name in ("httpx", "RapidOCR", "transformers", "matplotlib"):
        logging.getLogger(name).setLevel(logging.WARNING)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        with own_temporary_folder():
            summary = run(options.task, options.seed, options.steps, options.out or Path(TASKS[options.task].out))
    except VisualERMError as error:
        log.error("%s", error)
        return 1
    return 0 if summary["reward_calls"]["ok"] else 1


@contextlib.contextmanager
def own_temporary_folder() -> Iterator[None]:
    """Gives this process and its children a temporary folder of their own, and removes it.

    torch leaves a cache in the temporary folder, and onnxruntime the number of its session.
    """
    before = os.environ.get("TMPDIR")
    with tempfile.TemporaryDirectory(prefix="visual-erm-", ignore_cleanup_errors=True) as folder:
        os.environ["TMPDIR"] = tempfile.tempdir = folder
        try:
            yield
        finally:
            tempfile.tempdir = None
            del os.environ["TMPDIR"]
            if before is not None:
                os.environ["TMPDIR"] = before


def run(name: str, seed: int, steps: int, out: Path) -> dict[str, Any]:
    """Runs all stages for one task.

    Args:
        name: Name of the task, one of `TASKS`.
        seed: Order of the training samples, and seed of the rollouts.
        steps: Number of training steps.
        out: Folder for everything that is written.

    Returns:
        The content of `summary.json`.

    Raises:
        VisualERMError: A stage failed.
    """
    # Only after the temporary folder was set: torch uses it during its import.
    import torch
    from transformers.utils.logging import disable_progress_bar

    from visual_erm.demo.warm_start import WarmStart

    disable_progress_bar()
    torch.set_num_threads(1)  # the policy is too small to gain from more
    tiny = TASKS[name]
    tasks, how = demo_tasks(tiny.problems), WarmStart(steps=tiny.lessons)
    data, policy, run_dir = out / "data", out / "policy", out / f"seed{seed}"
    trained = run_dir / "checkpoints" / f"global_step_{steps}" / "actor" / "huggingface"
    before, after = out / "before.json", run_dir / "after.json"
    # What each stage depends on, with what earlier stages depend on.
    taught = {"task": name, "warm_start": asdict(how)}
    rules = {task: settings.model_dump() for task, settings in tasks.items()}
    shown = {
        "task": name,
        "seed": seed,
        "steps": steps,
        "batch": tiny.batch,
        "render": [rule["render"] for rule in rules.values()],
    }
    rewarded = {**taught, "data": shown, "n": ROLLOUTS, "scoring": [rule["scoring"] for rule in rules.values()]}
    stages: list[tuple[str, Path, Any, Callable[[], None]]] = [
        ("data", data, shown, lambda: make_data(data, tiny, tasks, seed, steps)),
        ("warm start", policy, taught, lambda: teach(policy, tiny.problems, how)),
        ("evaluation before", before, [taught, rules], lambda: evaluate_policy(policy, data, tasks, before)),
        ("training", run_dir, rewarded, lambda: train(run_dir, data, policy, name, seed, steps)),
        ("evaluation after", after, [rewarded, rules], lambda: evaluate_policy(trained, data, tasks, after)),
    ]
    start = time.monotonic()
    seconds = {}
    for stage, result, settings, work in stages:
        began = time.monotonic()
        once(stage, result, settings, work)
        seconds[stage] = round(time.monotonic() - began, 1)
    summary = report(run_dir, data, before, name, seed, steps)
    summary["seconds"] = {**seconds, "all": round(time.monotonic() - start, 1)}
    tiny_report.write_json(run_dir / "summary.json", summary)
    return summary


def once(name: str, result: Path, settings: Any, work: Callable[[], None]) -> None:
    """Does a stage, unless it was finished for the same settings before.

    Args:
        name: Name of the stage for the log.
        result: File or folder that the stage makes.
        settings: What the stage depends on.
        work: Does the stage.
    """
    stamp = result.with_name(result.name + ".made.json")
    wanted = json.loads(json.dumps(settings))
    if result.exists() and stamp.exists() and json.loads(stamp.read_text(encoding="utf-8")) == wanted:
        log.info("%s: done before", name)
        return
    log.info("%s …", name)
    stamp.unlink(missing_ok=True)
    if result.is_dir():
        shutil.rmtree(result)
    work()
    tiny_report.write_json(stamp, wanted)


def demo_tasks(problems: Sequence[TinyProblem]) -> dict[str, Task]:
    """Loads tasks with the scoring that suits images of few parts.

    Args:
        problems: The problems.

    Returns:
        The tasks, by name.
    """
    tasks = {}
    for problem in problems:
        content = load_task(problem.task).model_dump()
        content["scoring"]["s_max"] = problem.s_max
        tasks[problem.task] = load_task(content)
    return tasks


def make_data(folder: Path, tiny: TinyTask, tasks: Mapping[str, Task], seed: int, steps: int) -> None:
    """Writes the data set.

    Args:
        folder: Folder of the data set.
        tiny: The task of the demo.
        tasks: Its tasks, by name.
        seed: Decides the training samples.
        steps: Number of training steps.
    """
    judged = tiny.judged * len(tiny.problems)
    write_data(folder, tasks, train_samples(tiny, seed, steps), held_out_samples(tiny), judged)


def teach(folder: Path, problems: Sequence[TinyProblem], how: WarmStart) -> None:
    """Does the warm start, which is the same for all seeds.

    Args:
        folder: Folder of the policy.
        problems: The problems to teach.
        how: Settings of the warm start.
    """
    from visual_erm.demo.warm_start import synthetic_samples, warm_start

    samples = synthetic_samples(problems, how)
    warm_start(folder, samples, asyncio.run(render_images(samples)), how)


def evaluate_policy(policy: Path, data: Path, tasks: Mapping[str, Task], result: Path) -> None:
    """Evaluates a policy on the held-out samples.

    Args:
        policy: Folder of the policy.
        data: Folder of the data set.
        tasks: The tasks, by name.
        result: JSON file to write.
    """
    from visual_erm.demo.evaluate import evaluate

    figures = asyncio.run(evaluate(policy, read_rows(data / "test.parquet"), tasks, load_judge_settings("local")))
    tiny_report.write_json(result, {name: asdict(evaluation) for name, evaluation in figures.items()})


def train(run_dir: Path, data: Path, policy: Path, name: str, seed: int, steps: int) -> None:
    """Trains in veRL, with the launcher that users call.

    Args:
        run_dir: Folder of the run.
        data: Folder of the data set.
        policy: Folder of the policy.
        name: Name of the task.
        seed: Seed of the run.
        steps: Number of training steps.

    Raises:
        TrainingFailed: The training ended with an error.
        ConfigError: There is no launcher, because this is not a checkout.
    """
    launcher = shipped("rl_scripts") / "run_tiny_cpu.sh"
    if not launcher.is_file():
        raise ConfigError(f"{launcher} is missing: the demo runs in a checkout of the project")
    run_dir.mkdir(parents=True, exist_ok=True)
    overrides = [
        f"run_dir={run_dir.resolve()}",
        f"actor_rollout_ref.model.path={policy.resolve()}",
        f"data.train_files={(data / 'train.parquet').resolve()}",
        f"data.val_files={(data / 'test.parquet').resolve()}",
        f"data.train_batch_size={TASKS[name].batch}",
        f"actor_rollout_ref.rollout.n={ROLLOUTS}",
    ]
    settings = {"TASK": name, "SEED": str(seed), "STEPS": str(steps), "PYTHON": sys.executable, "TMPDIR": TEMPORARY}
    log_path = run_dir / "log"
    log.info("GRPO in veRL, %d steps; follow it with: tail -f %s", steps, log_path)
    code = run_to_the_end(["/bin/bash", str(launcher), *overrides], {**os.environ, **settings}, log_path)
    if code:
        last = log_path.read_text(encoding="utf-8", errors="replace").rstrip().rpartition("\n")[2]
        raise TrainingFailed(f"training ended with exit code {code}: {last} (all of it in {log_path})")


def run_to_the_end(command: list[str], environment: dict[str, str], log_path: Path) -> int:
    """Runs a command. When the demo is stopped, the command is terminated once and awaited.

    The command has a session of its own, because a Ctrl-C that reached it as well would disturb its own cleanup.

    Args:
        command: The command.
        environment: Its environment.
        log_path: File for its output.

    Returns:
        Its exit code.
    """
    process = None
    try:
        with log_path.open("wb") as lines, deferred_signals():
            process = subprocess.Popen(  # noqa: S603
                command, env=environment, stdout=lines, stderr=subprocess.STDOUT, start_new_session=True
            )
        return process.wait()
    except BaseException:
        if process is not None:
            log.info("stopping; the training ends its processes first …")
            process.terminate()
            process.wait()
        raise


def report(run_dir: Path, data: Path, before: Path, name: str, seed: int, steps: int) -> dict[str, Any]:
    """Writes and prints what the run did.

    Args:
        run_dir: Folder of the run.
        data: Folder of the data set.
        before: Result of the evaluation before the training.
        name: Name of the task.
        seed: Seed of the run.
        steps: Number of training steps.

    Returns:
        The summary.
    """
    tiny = TASKS[name]
    rows = read_rows(data / "train.parquet")
    calls = tiny_report.read_rollout_log(run_dir / "rollout_log")
    wrong = tiny_report.miscounts(calls, steps * tiny.batch, ROLLOUTS)
    figures = tiny_report.step_figures(calls, rows, tiny.batch)
    tiny_report.write_steps(figures, run_dir)
    tiny_report.plot_steps(figures, run_dir / "steps.png", f"GRPO on small problems ({name}), seed {seed}")
    shutil.rmtree(run_dir / "rollouts", ignore_errors=True)
    # Some prompts of every problem; a batch has one problem after another.
    share = tiny.batch // len(tiny.problems)
    places = {place for place in range(tiny.batch) if place % share < SHOWN}
    for step in (0, steps - 1):
        shown = [call for call in calls if call["index"] - step * tiny.batch in places]
        tiny_report.write_rollouts(run_dir / "rollouts" / f"step{step + 1:02d}", shown, rows, demo_tasks(tiny.problems))
    trends = {"reward": [step.reward for step in figures], "shape": [step.shape for step in figures]}
    trends |= {f"reward_{task}": [step.rewards[task] for step in figures] for task in figures[0].rewards}
    summary = {
        "task": name,
        "seed": seed,
        "steps": len(figures),
        "reward_calls": {
            "expected": steps * tiny.batch * ROLLOUTS,
            "counted": len(calls),
            "wrong_prompts": wrong,
            "ok": not wrong,
        },
        "trends": {key: tiny_report.trend(values).figures() for key, values in trends.items()},
        "held_out": {
            "before": json.loads(before.read_text(encoding="utf-8")),
            "after": json.loads((run_dir / "after.json").read_text(encoding="utf-8")),
        },
    }
    show(figures, summary, run_dir)
    return summary


TRENDS = {"reward": "Mean reward", "shape": "Share of rollouts of the right shape"}


def show(steps: Sequence[tiny_report.StepFigures], summary: dict[str, Any], run_dir: Path) -> None:
    """Prints the table of steps and the summary.

    Args:
        steps: Figures of each step.
        summary: The summary.
        run_dir: Folder of the run.
    """
    console = Console()
    table = Table("step", "mean reward", *steps[0].rewards, "renders", "right shape", "mean severity", title="Training")
    for step in steps:
        rewards = (f"{reward:.3f}" for reward in (step.reward, *step.rewards.values()))
        table.add_row(str(step.step), *rewards, f"{step.render_ok:.2f}", f"{step.shape:.2f}", f"{step.severity:.2f}")
    console.print(table)
    for task, before in summary["held_out"]["before"].items():
        show_held_out(console, task, before, summary["held_out"]["after"][task])
    for key, moved in summary["trends"].items():
        name = TRENDS.get(key, f"Mean reward, {key.removeprefix('reward_')}")
        ratio = moved["gain_over_spread"] or 0
        console.print(
            f"{name}: {moved['first']:.3f} in the first {tiny_report.EDGE} steps, {moved['last']:.3f} in the last. "
            f"The gain of {moved['gain']:.3f} is {ratio:.1f} times the spread between steps, {moved['spread']:.3f}."
        )
    calls = summary["reward_calls"]
    console.print(f"Reward calls: {calls['counted']} of {calls['expected']}" + ("." if calls["ok"] else ": WRONG."))
    console.print(f"Plot, figures and rollouts: {run_dir}")


def show_held_out(console: Console, task: str, before: dict[str, Any], after: dict[str, Any]) -> None:
    """Prints an evaluation before and after the training.

    Args:
        console: Where to print.
        task: Name of the task.
        before: Results before the training.
        after: Results after it.
    """
    table = Table(f"held out: {task}", "before", "after", title="Images that the policy was not trained on")
    for name, key in (("greedy", "greedy"), ("sampled", "sampled"), ("sampled, images swapped", "swapped")):
        for kind in ("shape", "parts"):
            table.add_row(f"right {kind}, {name}", f"{before[key][kind]:.3f}", f"{after[key][kind]:.3f}")
    for name, key in (("mean reward", "reward"), ("mean reward, images swapped", "reward_swapped")):
        table.add_row(name, f"{before[key]:.3f}", f"{after[key]:.3f}")
    console.print(table)


if __name__ == "__main__":
    sys.exit(main())
