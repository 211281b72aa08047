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
from visual_erm.preflight.dry_run import DryRun, Sample, Scored
from visual_erm.preflight.findings import Finding, Note, Problem, problems_from
from visual_erm.preflight.model import check_there
from visual_erm.preflight.sample import Row
from visual_erm.spec.base import plain
from visual_erm.spec.task import Task
from visual_erm.training.reward_requirements import MANAGER, REWARD, check_packages, check_tables, normalised

ROWS = 3
SCORING_S = 180.0
"""For all of it, beyond the time that one request of a remote judge may take."""
PATIENCE_S = 20.0
"""For a judge that does not answer: it has just been asked."""


def check_needs(context: RunContext) -> Iterator[Finding]:
    """What the reward needs is known, installed, and no more is started than it asks."""
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
        yield from check_there(context, f"{REWARD}.reward_kwargs.model", path, writes=False)


def check_tasks(context: RunContext) -> Iterator[Finding]:
    """The reward can be had of each task, and nothing stands where rewards are normalised over a batch."""
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
    """The file of the reward function is there. It is read, not run."""
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
    """Every sample has a finite score, and all have the same keys.

    Raises InfrastructureError when the machine fails, as by a browser that does not start.
    """
    samples = choose(context)
    asks = "judge" in context.needs and context.judge.kind == "remote"
    limit_s = SCORING_S + (min(context.judge.timeout_s, SCORING_S) if asks else 0)
    trial = DryRun(context.get(f"{REWARD}.path"), context.get(f"{REWARD}.name"), settings(context), tuple(samples))
    scored = trial.run(limit_s)
    if len(scored) < len(samples) and not any(outcome.error for outcome in scored):
        yield Problem(
            f"{REWARD}.path", f"only {len(scored)} of {len(samples)} samples were scored within {limit_s:.0f} s",
            "see what takes so long: visual-erm score",
        )  # fmt: skip
    keys: dict[frozenset[str], Sample] = {}
    for sample, outcome in zip(samples, scored, strict=False):
        if outcome.ours:
            raise InfrastructureError(f"{sample.row.where}: {outcome.error}")
        if outcome.error:
            yield _raised(context, sample, outcome.error)
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
    yield Note(f"{_mean(scored, samples, False)}{_mean(scored, samples, True)}")


def choose(context: RunContext) -> list[Sample]:
    """Three rows, of as many tasks as there are, each with a trivial reply and its true one."""
    by_task: dict[str, list[Row]] = {}
    for row in context.rows["train_files"]:
        by_task.setdefault(str(row.content.get("data_source")), []).append(row)
    turns = [rows[turn] for turn in range(ROWS) for rows in by_task.values() if turn < len(rows)]
    samples = []
    for row in turns[: max(ROWS, len(by_task))]:
        task = context.tasks.get(str(row.content.get("data_source"))) or next(iter(context.tasks.values()))
        samples.append(Sample(row, _reply_of(task), true=False))
        if truth := (row.content.get("reward_model") or {}).get("ground_truth"):
            samples.append(Sample(row, str(truth), true=True))
    return samples


def settings(context: RunContext) -> dict[str, Any]:
    """The run's own keyword arguments, made for a few calls: a failing judge is an error, and nothing is left on the disk.

    The judge that veRL runs is not up yet; the local one stands in for it.
    """
    given: dict[str, Any] = plain(context.config.reward.custom_reward_function.reward_kwargs)
    if isinstance(given.get("judge"), dict):
        judge = {**given["judge"], "failure": {"on_failure": "abort"}, "metrics_port": None, "retries": 1}
        judge["unavailable_timeout_s"] = min(float(judge.get("unavailable_timeout_s") or PATIENCE_S), PATIENCE_S)
        given["judge"] = {"kind": "local"} if judge["kind"] == "colocated" else judge
    return given


def _raised(context: RunContext, sample: Sample, error: str) -> Problem:
    if error.startswith("Judge"):
        fix = "start it: visual-erm serve MODEL" if context.judge.kind == "remote" else "see `visual-erm doctor`"
        return Problem("judge", f"it gives no report ({error})", fix)
    return Problem(f"{REWARD}.path", f"{sample.row.where}: {error}", "mend the function, or what it says is wrong")


def _name(context: RunContext) -> str:
    """Of the reward, as the command line has it."""
    return Path(context.config.reward.custom_reward_function.path or "").stem


def _mean(scored: Sequence[Scored], samples: Sequence[Sample], true: bool) -> str:
    scores = [
        float(outcome.result["score"] if isinstance(outcome.result, Mapping) else outcome.result)
        for outcome, sample in zip(scored, samples, strict=False)
        if sample.true is true
    ]
    if not scores:
        return ""
    return f"{', ' if true else ''}{len(scores)} {'true' if true else 'trivial'} replies {sum(scores) / len(scores):.2f}"


def _reply_of(task: Task) -> str:
    """A reply that renders, and is not what was asked for."""
    language = task.code_languages[0]
    example = task.kind.examples.get(language.name, "")
    return f"```{language.labels[0]}\n{example}\n```"
