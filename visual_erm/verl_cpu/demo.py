"""The whole path on a CPU: a tiny policy learns tables from the visual-equivalence reward, in real veRL.

    python -m visual_erm.verl_cpu.demo [--seed 0] [--steps 45] [--out outputs/tiny]

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
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow.parquet as pq
from rich.console import Console
from rich.logging import RichHandler
from rich.table import Table

from visual_erm.errors import ConfigError, VisualERMError
from visual_erm.judge import load_judge_settings
from visual_erm.settings import shipped
from visual_erm.task import Task, load_task
from visual_erm.verl_cpu import tiny_report
from visual_erm.verl_cpu.tiny_data import BATCH, held_out_tables, read_held_out, train_tables, write_data
from visual_erm.verl_cpu.tiny_tables import draw, from_html

if TYPE_CHECKING:
    from visual_erm.verl_cpu.warm_start import WarmStart

log = logging.getLogger(__name__)

TEMPORARY = tempfile.gettempdir()
"""Where the training makes its own temporary folder: the paths of Ray's sockets must be short."""
ROLLOUTS = 8
"""Replies per prompt."""
S_MAX = 18.0
"""Severity at which nothing is left of the visual reward: the demo's tables have 4 to 12 cells."""
LEAST_STEPS = 3
SHOWN = 4
"""Prompts of the first and of the last step whose rollouts are kept to look at."""


class TrainingFailed(VisualERMError):
    """The launcher did not finish."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the demo; returns the exit code: 0 when every rollout was rewarded exactly once."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seed", type=int, default=0, help="order of the training tables and sampling of the rollouts")
    parser.add_argument("--steps", type=int, default=45, help=f"GRPO steps of {BATCH} prompts x {ROLLOUTS} rollouts")
    parser.add_argument("--out", type=Path, default=Path("outputs/tiny"), help="folder for everything that is written")
    options = parser.parse_args(arguments)
    if options.steps < LEAST_STEPS:
        parser.error(f"--steps: at least {LEAST_STEPS}, for there to be a trend and a spread")
    logging.basicConfig(level=logging.INFO, format="%(message)s", datefmt="[%X]", handlers=[RichHandler(show_path=False)])
    for name in ("httpx", "RapidOCR", "transformers", "matplotlib"):
        logging.getLogger(name).setLevel(logging.WARNING)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        with own_temporary_folder():
            summary = run(options.seed, options.steps, options.out)
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


def run(seed: int, steps: int, out: Path) -> dict[str, Any]:
    """All stages; returns the content of `summary.json`. Raises VisualERMError."""
    # Not before there is a temporary folder: torch uses it while being imported.
    import torch
    from transformers.utils.logging import disable_progress_bar

    from visual_erm.verl_cpu.warm_start import WarmStart

    disable_progress_bar()
    torch.set_num_threads(1)  # the policy is too small to gain from more
    task, how = demo_task(), WarmStart()
    data, policy, run_dir = out / "data", out / "policy", out / f"seed{seed}"
    trained = run_dir / "checkpoints" / f"global_step_{steps}" / "actor" / "huggingface"
    before, after = out / "before.json", run_dir / "after.json"
    # What each stage depends on, those before it included.
    taught = {"warm_start": asdict(how)}
    shown = {"seed": seed, "steps": steps, "batch": BATCH, "render": task.render.model_dump()}
    rewarded = {**taught, "data": shown, "n": ROLLOUTS, "scoring": task.scoring.model_dump()}
    stages: list[tuple[str, Path, Any, Callable[[], None]]] = [
        ("data", data, shown, lambda: write_data(data, task, train_tables(seed, steps), held_out_tables())),
        ("warm start", policy, taught, lambda: teach(policy, how)),
        ("evaluation before", before, [taught, task.model_dump()], lambda: judge_policy(policy, data, task, before)),
        ("training", run_dir, rewarded, lambda: train(run_dir, data, policy, seed, steps)),
        ("evaluation after", after, [rewarded, task.model_dump()], lambda: judge_policy(trained, data, task, after)),
    ]
    start = time.monotonic()
    seconds = {}
    for name, result, settings, work in stages:
        began = time.monotonic()
        once(name, result, settings, work)
        seconds[name] = round(time.monotonic() - began, 1)
    summary = report(run_dir, data, before, task, seed, steps)
    summary["seconds"] = {**seconds, "all": round(time.monotonic() - start, 1)}
    tiny_report.write_json(run_dir / "summary.json", summary)
    return summary


def once(name: str, result: Path, settings: Any, work: Callable[[], None]) -> None:
    """Does the `work` that makes the file or folder `result`, unless it was finished for the same `settings` before."""
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


def demo_task() -> Task:
    """The table task, with the scoring that suits tables of a dozen cells."""
    content = load_task("table").model_dump()
    content["scoring"]["s_max"] = S_MAX
    return load_task(content)


def teach(folder: Path, how: WarmStart) -> None:
    """The warm start; the same policy for all seeds."""
    from visual_erm.verl_cpu.warm_start import synthetic_tables, warm_start

    tables = synthetic_tables(how)
    warm_start(folder, tables, asyncio.run(draw(tables)), how)


def judge_policy(policy: Path, data: Path, task: Task, result: Path) -> None:
    """An evaluation: what `policy` does on the held-out tables, written to `result`."""
    from visual_erm.verl_cpu.evaluate import evaluate

    figures = asyncio.run(evaluate(policy, read_held_out(data / "test.parquet"), task, load_judge_settings("local")))
    tiny_report.write_json(result, asdict(figures))


def train(run_dir: Path, data: Path, policy: Path, seed: int, steps: int) -> None:
    """The training: real veRL, through the launcher that anyone can use. Raises TrainingFailed."""
    launcher = shipped("rl_scripts") / "run_tiny_cpu.sh"
    if not launcher.is_file():
        raise ConfigError(f"{launcher} is missing: the demo runs in a checkout of the project")
    run_dir.mkdir(parents=True, exist_ok=True)
    overrides = [
        f"run_dir={run_dir.resolve()}",
        f"actor_rollout_ref.model.path={policy.resolve()}",
        f"data.train_files={(data / 'train.parquet').resolve()}",
        f"data.val_files={(data / 'test.parquet').resolve()}",
        f"data.train_batch_size={BATCH}",
        f"actor_rollout_ref.rollout.n={ROLLOUTS}",
        f"task.scoring.s_max={S_MAX}",
    ]
    settings = {"SEED": str(seed), "STEPS": str(steps), "PYTHON": sys.executable, "TMPDIR": TEMPORARY}
    log_path = run_dir / "log"
    log.info("GRPO in veRL, %d steps; follow it with: tail -f %s", steps, log_path)
    code = run_to_the_end(["/bin/bash", str(launcher), *overrides], {**os.environ, **settings}, log_path)
    if code:
        last = log_path.read_text(encoding="utf-8", errors="replace").rstrip().rpartition("\n")[2]
        raise TrainingFailed(f"training ended with exit code {code}: {last} (all of it in {log_path})")


def run_to_the_end(command: list[str], environment: dict[str, str], log_path: Path) -> int:
    """Exit code of a command that writes to `log_path`. When the demo is stopped, the command is told once, and awaited.

    It has a session of its own, because a Ctrl-C that reached it as well would disturb its own clearing up.
    """
    with log_path.open("wb") as lines:
        process = subprocess.Popen(  # noqa: S603
            command, env=environment, stdout=lines, stderr=subprocess.STDOUT, start_new_session=True
        )
    try:
        return process.wait()
    except BaseException:
        log.info("stopping; the training ends its processes first …")
        process.terminate()
        process.wait()
        raise


def report(run_dir: Path, data: Path, before: Path, task: Task, seed: int, steps: int) -> dict[str, Any]:
    """The report stage: prints and writes what the run did; returns the summary."""
    rows = pq.read_table(data / "train.parquet", columns=["reward_model", "extra_info"]).to_pylist()
    truths = [from_html(row["reward_model"]["ground_truth"]) for row in rows]
    references = [row["extra_info"]["reference"]["bytes"] for row in rows]
    calls = tiny_report.read_journal(run_dir / "journal")
    wrong = tiny_report.miscounts(calls, steps * BATCH, ROLLOUTS)
    figures = tiny_report.step_figures(calls, truths, BATCH)
    tiny_report.write_steps(figures, run_dir)
    tiny_report.plot_steps(figures, run_dir / "steps.png", f"GRPO on small tables, seed {seed}")
    shutil.rmtree(run_dir / "rollouts", ignore_errors=True)
    for step in (0, steps - 1):
        shown = [call for call in calls if step * BATCH <= call["index"] < step * BATCH + SHOWN]
        tiny_report.write_rollouts(run_dir / "rollouts" / f"step{step + 1:02d}", shown, references, task)
    summary = {
        "seed": seed,
        "steps": len(figures),
        "reward_calls": {
            "expected": steps * BATCH * ROLLOUTS,
            "counted": len(calls),
            "wrong_prompts": wrong,
            "ok": not wrong,
        },
        "reward": tiny_report.trend([step.reward for step in figures]).figures(),
        "shape": tiny_report.trend([step.shape for step in figures]).figures(),
        "held_out": {
            "before": json.loads(before.read_text(encoding="utf-8")),
            "after": json.loads((run_dir / "after.json").read_text(encoding="utf-8")),
        },
    }
    show(figures, summary, run_dir)
    return summary


def show(steps: Sequence[tiny_report.Step], summary: dict[str, Any], run_dir: Path) -> None:
    """Prints the table of steps and what the run comes to."""
    console = Console()
    table = Table("step", "mean reward", "renders", "right shape", "mean severity", title="Training")
    for step in steps:
        shares = f"{step.render_ok:.2f}", f"{step.shape:.2f}"
        table.add_row(str(step.step), f"{step.reward:.3f}", *shares, f"{step.severity:.2f}")
    console.print(table)
    held_out = Table("held-out tables", "before", "after", title="Tables the policy was never trained on")
    before, after = summary["held_out"]["before"], summary["held_out"]["after"]
    for name, key in (("greedy", "greedy"), ("sampled", "sampled"), ("sampled, pictures swapped", "swapped")):
        for kind in ("shape", "cells"):
            label = f"right {'rows and columns' if kind == 'shape' else 'cells'}, {name}"
            held_out.add_row(label, f"{before[key][kind]:.3f}", f"{after[key][kind]:.3f}")
    for name, key in (("mean reward", "reward"), ("mean reward, pictures swapped", "reward_swapped")):
        held_out.add_row(name, f"{before[key]:.3f}", f"{after[key]:.3f}")
    console.print(held_out)
    for name, key in (("Mean reward", "reward"), ("Share of rollouts with the right rows and columns", "shape")):
        moved = summary[key]
        ratio = moved["gain_over_spread"] or 0
        console.print(
            f"{name}: {moved['first']:.3f} in the first {tiny_report.EDGE} steps, {moved['last']:.3f} in the last. "
            f"The gain of {moved['gain']:.3f} is {ratio:.1f} times the spread between steps, {moved['spread']:.3f}."
        )
    calls = summary["reward_calls"]
    console.print(f"Reward calls: {calls['counted']} of {calls['expected']}" + ("." if calls["ok"] else ": WRONG."))
    console.print(f"Plot, figures and rollouts: {run_dir}")


if __name__ == "__main__":
    sys.exit(main())
