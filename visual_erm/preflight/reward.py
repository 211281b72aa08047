"""Does the reward function score? Some rows of the training data go through it with the run's own settings.

There are three rows, each with a reply of no merit and, where it is known, the true one; the judge is asked too. They are
scored in a process of their own (dry_run.py), which is gone afterwards with its browser and its judge.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from visual_erm.errors import ConfigError, InfrastructureError
from visual_erm.preflight.context import RunContext
from visual_erm.preflight.dry_run import DryRun, DryRunResult, DryRunSample
from visual_erm.preflight.findings import Finding, Note, Problem, problems_from
from visual_erm.preflight.model import check_model_folder
from visual_erm.preflight.sample import SampledRow
from visual_erm.spec.base import plain
from visual_erm.spec.task import Task
from visual_erm.training.reward_requirements import MANAGER, REWARD, check_packages, check_tables, normalised

MIN_ROWS = 3
SCORING_TIMEOUT_S = 180.0
"""Seconds for the whole dry run, on top of the time that one request of a remote judge may take."""
UNAVAILABLE_TIMEOUT_S = 20.0
"""Seconds that a judge may be unavailable: the check of endpoints has just asked it."""


def check_needs(context: RunContext) -> Iterator[Finding]:
    """Checks that what the reward needs is known and installed, and that no judge is started in vain.

    Args:
        context: The run.

    Yields:
        Problems, and a note on what was looked at.
    """
    try:
        yield Note(f"{_name(context)}, with {', '.join(sorted(context.needs)) or 'nothing'}")
    except ConfigError as error:
        yield from problems_from(error, f"{REWARD}.needs")
        return
    try:
        check_packages(_name(context), context.config.reward.custom_reward_function.get("packages", ()))
    except ConfigError as error:
        yield from problems_from(error, "reward")
    if "judge" not in context.needs and context.config.reward.reward_model.enable:
        yield Problem("judge", f"veRL would run a reward model, and reward={_name(context)} asks none", "leave judge=… out")
    if (path := context.get(f"{REWARD}.reward_kwargs.model")) is not None:
        yield from check_model_folder(context, f"{REWARD}.reward_kwargs.model", path, writes=False)


def check_tasks(context: RunContext) -> Iterator[Finding]:
    """Checks that each task can have this reward, and that no other manager stands where a batch is normalised.

    Args:
        context: The run.

    Yields:
        Problems, and a note on what was looked at.
    """
    try:
        check_tables(context.tasks if "tables" in context.needs else {})
    except ConfigError as error:
        yield from problems_from(error, "reward")
    if names := normalised(context.config, context.tasks):
        why = f"task `{names[0]}` has scoring.mode=batch, which brings its own"
        for key, own in (("reward.reward_manager", MANAGER), ("trainer.v1.sampler.custom_sampler", "StrictReplayBuffer")):
            if context.get(f"{key}.name") != own:
                yield Problem(f"{key}.name", f"is {context.get(f'{key}.name')}, but {why}", "leave it out")
    yield Note(", ".join(context.tasks))


def check_function(context: RunContext) -> Iterator[Finding]:
    """Checks that the file of the reward function defines it. The file is read, not run.

    Args:
        context: The run.

    Yields:
        Problems, and a note on what was looked at.
    """
    path, name = context.get(f"{REWARD}.path"), context.get(f"{REWARD}.name")
    if not Path(path or "").is_file():
        yield Problem(
            f"{REWARD}.path",
            f"{path} does not exist, here or in the project",
            "give reward_func/visual_equivalence.py, or your own file",
        )
    elif f"def {name}(" not in Path(path).read_text(encoding="utf-8", errors="replace"):
        yield Problem(
            f"{REWARD}.name",
            f"{path} defines no function `{name}`",
            "give the name of one that it defines, as compute_score",
        )
    else:
        yield Note(f"{Path(path).name}, {name}")


def check_scores(context: RunContext) -> Iterator[Finding]:
    """Checks that every sample has a finite score, and that all have the same keys.

    Args:
        context: The run.

    Yields:
        Problems, and a note on what was looked at.

    Raises:
        InfrastructureError: The machine fails, as by a browser that does not start.
    """
    samples = choose_samples(context)
    asks = "judge" in context.needs and context.judge.kind == "remote"
    limit_s = SCORING_TIMEOUT_S + (min(context.judge.timeout_s, SCORING_TIMEOUT_S) if asks else 0)
    dry_run = DryRun(
        context.get(f"{REWARD}.path"), context.get(f"{REWARD}.name"), dry_run_settings(context), tuple(samples)
    )
    results = dry_run.run(limit_s)
    if len(results) < len(samples) and not any(outcome.error for outcome in results):
        yield Problem(
            f"{REWARD}.path", f"only {len(results)} of {len(samples)} samples were scored within {limit_s:.0f} s",
            "see what takes so long: visual-erm score",
        )  # fmt: skip
    keys: dict[frozenset[str], DryRunSample] = {}
    for sample, outcome in zip(samples, results, strict=False):
        if outcome.machine_failure:
            raise InfrastructureError(f"{sample.row.where}: {outcome.error}")
        if outcome.error:
            yield _error_problem(context, sample, outcome.error)
            return
        result = outcome.result
        numbers = dict(result) if isinstance(result, Mapping) else {"score": result}
        bad = [name for name, number in numbers.items() if not isinstance(number, int | float) or not math.isfinite(number)]
        if bad or "score" not in numbers:
            yield Problem(
                f"{REWARD}.path", f"{sample.row.where}: the result is {str(result)[:200]}",
                "return finite numbers, one of them under `score`",
            )  # fmt: skip
            return
        keys.setdefault(frozenset(numbers), sample)
        if sample.true and sample.row.extra_info.get("renderer_version") and numbers.get("render_ok") == 0:
            yield Problem(
                "data.train_files", f"{sample.row.where}: its own ground truth does not draw here ({outcome.reason[:200]})",
                "see `visual-erm doctor`, or draw the data again with data_prep/",
            )  # fmt: skip
    if len(keys) > 1:
        first, other = list(keys)[:2]
        some = ", ".join(sorted(first ^ other))
        yield Problem(
            f"{REWARD}.path", f"veRL takes one result's keys for all, and only some have {some}",
            "return the same keys for every sample",
        )  # fmt: skip
    yield Note(f"{_mean(results, samples, False)}{_mean(results, samples, True)}")


def choose_samples(context: RunContext) -> list[DryRunSample]:
    """Chooses rows of as many tasks as there are, each with a trivial reply and, where it is known, its true one.

    Args:
        context: The run.

    Returns:
        The samples: of at least three rows where there are so many, and of one row for each task.
    """
    by_task: dict[str, list[SampledRow]] = {}
    for row in context.rows["train_files"]:
        by_task.setdefault(str(row.content.get("data_source")), []).append(row)
    turns = [rows[turn] for turn in range(MIN_ROWS) for rows in by_task.values() if turn < len(rows)]
    samples = []
    for row in turns[: max(MIN_ROWS, len(by_task))]:
        task = context.tasks.get(str(row.content.get("data_source"))) or next(iter(context.tasks.values()))
        samples.append(DryRunSample(row, _reply_of(task), true=False))
        if truth := (row.content.get("reward_model") or {}).get("ground_truth"):
            samples.append(DryRunSample(row, str(truth), true=True))
    return samples


def dry_run_settings(context: RunContext) -> dict[str, Any]:
    """Makes keyword arguments for the dry run out of the run's own. A failing judge is an error, and no file is kept.

    The local judge stands in for one that veRL runs, which is not up yet.

    Args:
        context: The run.

    Returns:
        The keyword arguments of the reward function.
    """
    given: dict[str, Any] = plain(context.config.reward.custom_reward_function.reward_kwargs)
    if isinstance(given.get("judge"), dict):
        judge = {**given["judge"], "failure": {"on_failure": "abort"}, "metrics_port": None, "retries": 1}
        judge["unavailable_timeout_s"] = min(
            float(judge.get("unavailable_timeout_s") or UNAVAILABLE_TIMEOUT_S), UNAVAILABLE_TIMEOUT_S
        )
        given["judge"] = {"kind": "local"} if judge["kind"] == "colocated" else judge
    return given


def _error_problem(context: RunContext, sample: DryRunSample, error: str) -> Problem:
    if error.startswith("Judge"):
        fix = "start it: visual-erm serve MODEL" if context.judge.kind == "remote" else "see `visual-erm doctor`"
        return Problem("judge", f"it gives no report ({error})", fix)
    return Problem(
        f"{REWARD}.path", f"{sample.row.where}: {error}", "correct the function, or the value that its message names"
    )


def _name(context: RunContext) -> str:
    """Returns the name of the reward, as the command line writes it."""
    return Path(context.config.reward.custom_reward_function.path or "").stem


def _mean(results: Sequence[DryRunResult], samples: Sequence[DryRunSample], true: bool) -> str:
    scores = [
        float(outcome.result["score"] if isinstance(outcome.result, Mapping) else outcome.result)
        for outcome, sample in zip(results, samples, strict=False)
        if sample.true is true
    ]
    if not scores:
        return ""
    return f"{', ' if true else ''}{len(scores)} {'true' if true else 'trivial'} replies {sum(scores) / len(scores):.2f}"


def _reply_of(task: Task) -> str:
    """Returns a reply that renders and has nothing to do with the reference."""
    language = task.code_languages[0]
    example = task.kind.examples.get(language.name, "")
    return f"```{language.labels[0]}\n{example}\n```"
