"""Runs a reward function over a few samples, in a process of its own: what it starts is gone with that process.

    python -m visual_erm.preflight.dry_run FOLDER

FOLDER holds the request (`DryRun.write`); a line for each sample is added to its results as it is done.
"""

from __future__ import annotations

import asyncio
import importlib.util
import inspect
import json
import os
import pickle
import signal
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from visual_erm.errors import ConfigError, InfrastructureError
from visual_erm.preflight.sample import SampledRow
from visual_erm.runtime.deferred_signals import deferred_signals

REQUEST, RESULTS, ROLLOUT_LOG = "request.pickle", "results.jsonl", "rollout_log"


@dataclass(frozen=True)
class DryRunSample:
    """One call of the reward function."""

    row: SampledRow
    reply: str
    true: bool
    """Whether the reply is the row's ground truth."""


@dataclass(frozen=True)
class DryRunResult:
    """Outcome of one call: a result or an error, and the reason that the rollout log gives."""

    result: Any = None
    error: str = ""
    machine_failure: bool = False
    """Whether the machine caused the error, as by a browser that does not start."""
    reason: str = ""


@dataclass(frozen=True)
class DryRun:
    """The function by file and name, its keyword arguments, and the samples."""

    path: str
    name: str
    kwargs: Mapping[str, Any]
    samples: tuple[DryRunSample, ...]

    def run(self, limit_s: float) -> list[DryRunResult]:
        """Scores the samples in a process of its own. Nothing is left behind.

        Args:
            limit_s: Seconds after which the process is killed.

        Returns:
            Results in the order of the samples; fewer when the time ran out. The last one has the error
            when the function raised.
        """
        with tempfile.TemporaryDirectory(prefix="visual-erm-", ignore_cleanup_errors=True) as folder:
            Path(folder, REQUEST).write_bytes(pickle.dumps(self))
            # Libraries leave things in the folder for temporary files.
            environment = {**os.environ, "TMPDIR": folder}
            process = None
            try:
                with deferred_signals():
                    process = subprocess.Popen(  # noqa: S603
                        [sys.executable, "-m", __name__, folder],
                        env=environment,
                        stdin=subprocess.DEVNULL,
                        stdout=subprocess.DEVNULL,
                        stderr=subprocess.DEVNULL,
                        start_new_session=True,
                    )
                process.wait(limit_s)
            except subprocess.TimeoutExpired:
                pass
            finally:
                if process is not None:
                    if process.poll() is None:
                        os.killpg(process.pid, signal.SIGKILL)
                    process.wait()
            results = Path(folder, RESULTS)
            return (
                [DryRunResult(**json.loads(line)) for line in results.read_text().splitlines()] if results.exists() else []
            )


def main(folder: Path) -> None:
    """Scores the samples of a request; the process that `DryRun.run` starts.

    Args:
        folder: Folder with the request; results are added to it.
    """
    dry_run = pickle.loads((folder / REQUEST).read_bytes())  # noqa: S301  written by `DryRun.run`
    try:
        asyncio.run(_score_all(dry_run, folder))
    except InfrastructureError as fault:
        of_judge = type(fault).__name__.startswith(("Judge", "Reference"))
        _add(folder, DryRunResult(error=f"{type(fault).__name__}: {fault}", machine_failure=not of_judge))
    except Exception as error:  # noqa: BLE001  whatever the function raises would end the run
        where = traceback.extract_tb(error.__traceback__)[-1]
        place = "" if isinstance(error, ConfigError) else f" ({Path(where.filename).name}, line {where.lineno})"
        _add(folder, DryRunResult(error=f"{type(error).__name__}: {error}{place}"))


async def _score_all(dry_run: DryRun, folder: Path) -> None:
    """Scores one sample after the other, so that the last line of the rollout log is the last sample's."""
    spec = importlib.util.spec_from_file_location("visual_erm_reward_dry_run", dry_run.path)
    if spec is None or spec.loader is None:
        raise ConfigError(f"{dry_run.path} is no Python file")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    function, kwargs = getattr(module, dry_run.name), dict(dry_run.kwargs)
    if "rollout_log" in kwargs:
        kwargs["rollout_log"] = str(folder / ROLLOUT_LOG)
    for sample in dry_run.samples:
        row = sample.row.content
        given = {
            "data_source": row.get("data_source"),
            "solution_str": sample.reply,
            "ground_truth": (row.get("reward_model") or {}).get("ground_truth"),
            "extra_info": dict(sample.row.extra_info),
        }
        if inspect.iscoroutinefunction(function):
            result = await function(**given, **kwargs)
        else:
            result = await asyncio.to_thread(function, **given, **kwargs)
        _add(folder, DryRunResult(result, reason=_last_reason(folder)))


def _add(folder: Path, result: DryRunResult) -> None:
    with (folder / RESULTS).open("a") as lines:
        lines.write(json.dumps(asdict(result), default=_plainly) + "\n")


def _plainly(value: Any) -> Any:
    """Turns numbers of other libraries into floats, and everything else into text."""
    try:
        return float(value)
    except (TypeError, ValueError):
        return repr(value)


def _last_reason(folder: Path) -> str:
    lines = [line for file in (folder / ROLLOUT_LOG).glob("*.jsonl") for line in file.read_text().splitlines()]
    return str(json.loads(lines[-1]).get("reason") or "") if lines else ""


if __name__ == "__main__":
    # Under its own name the request's classes are the ones that were written.
    from visual_erm.preflight import dry_run as module

    module.main(Path(sys.argv[1]))
