"""All checks in their order, and the functions that run them."""

from __future__ import annotations

import contextlib
import io
import logging
import time
from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet
from functools import partial

from omegaconf import DictConfig
from rich.console import Console

from visual_erm.preflight import agent, data, endpoints, libraries, machine, model, pictures, reward, settings, sizes, verl
from visual_erm.preflight.context import RunContext
from visual_erm.preflight.findings import Caution, Check, Note, Outcome, Problem
from visual_erm.preflight.report import line

log = logging.getLogger(__name__)

CHECKS = (
    Check("every key has a value", settings.check_values),
    Check("task", settings.check_task),
    Check("reward", reward.check_needs),
    Check("reward fits the tasks", reward.check_tasks, ("task", "reward")),
    Check("judge", settings.check_judge, ("reward",)),
    Check("numbers", sizes.check_numbers),
    Check("agent", agent.check_agent, ("reward", "numbers")),
    Check("GPUs divide", sizes.check_engine, ("every key has a value", "numbers")),
    Check("batches divide", sizes.check_batches, ("numbers", "GPUs divide")),
    Check("sequences fit", sizes.check_lengths, ("numbers",)),
    Check("reward model's GPUs", sizes.check_reward_model, ("every key has a value", "judge", "numbers")),
    Check("packages", verl.check_packages, ("every key has a value",)),
    Check("veRL's settings", verl.check_parts, ("every key has a value", "numbers")),
    Check(
        "veRL's own validation",
        verl.check_whole,
        ("every key has a value", "veRL's settings", "GPUs divide", "batches divide", "sequences fit"),
    ),
    Check("policy", model.check_policy),
    Check("reward model", model.check_reward_model, ("judge",)),
    Check("policy's shape", model.check_shape, ("numbers", "policy")),
    Check("training files", partial(data.check_exist, key="train_files")),
    Check("test files", partial(data.check_exist, key="val_files")),
    Check("training rows", data.check_amount, ("numbers", "training files")),
    Check("browser", machine.check_browser, ("task", "reward")),
    Check("sandbox", machine.check_sandbox, ("task", "reward")),
    Check("GPUs", machine.check_gpus, ("numbers",)),
    Check("disk", machine.check_disk, ("numbers", "policy", "training rows")),
    Check("rows fit the tasks", data.check_tasks, ("task", "reward", "browser")),
    Check("libraries of the references' code", libraries.check_libraries, ("task", "reward")),
    Check("references open", data.check_references, ("reward",)),
    Check("files join", data.check_joined),
    Check("image limits", pictures.check_limits, ("policy",)),
    Check("veRL loads the rows", data.check_load, ("numbers", "policy", "files join", "image limits")),
    Check("policy sees the references", pictures.check_images, ("reward", "references open", "veRL loads the rows")),
    Check("answers fit", agent.check_answers, ("agent", "veRL loads the rows")),
    Check("endpoints", endpoints.check_endpoints, ("task", "judge")),
    Check("reward function", reward.check_function),
    Check(
        "three samples are scored",
        reward.check_scores,
        (
            "task", "judge", "training files", "rows fit the tasks", "browser", "sandbox", "references open", "endpoints",
            "reward function",
        ),
    ),
)  # fmt: skip
"""All checks in the order of their reports; the quick ones first."""


def run_checks(config: DictConfig, console: Console, beforehand: Sequence[Problem] = ()) -> list[Outcome]:
    """Runs every check of a prepared configuration.

    Args:
        config: The configuration.
        console: Where each check prints its line.
        beforehand: Problems that were found while it was composed; they come first.

    Returns:
        The outcomes, in the order of the checks.
    """
    outcomes: list[Outcome] = []
    if beforehand:
        outcomes.append(Outcome("command line", tuple(beforehand)))
        console.print(line(outcomes[0]), highlight=False, soft_wrap=True)
    context = RunContext(config)
    for check in CHECKS:
        with console.status(f"{check.title} …"):
            outcome = run_check(context, check, {found.title for found in outcomes if not found.ok})
        outcomes.append(outcome)
        if outcome.notes or outcome.warnings or not outcome.ok:
            console.print(line(outcome), highlight=False, soft_wrap=True)
    return outcomes


def run_check(context: RunContext, check: Check, failed: AbstractSet[str] = frozenset()) -> Outcome:
    """Runs one check, unless it waits for another.

    Args:
        context: The run.
        check: The check.
        failed: Titles of the checks that found problems.

    Returns:
        The outcome. An exception of the check is its `failure`.
    """
    if waits := [title for title in check.needs if title in failed]:
        return Outcome(check.title, skipped=tuple(waits))
    start = time.monotonic()
    problems: list[Problem] = []
    warnings: list[Caution] = []
    notes: list[str] = []
    failure = ""
    try:
        with _quietly():
            for finding in check.find(context):
                if isinstance(finding, Note):
                    notes.append(finding.text)
                elif isinstance(finding, Caution):
                    warnings.append(finding)
                else:
                    problems.append(finding)
    except Exception as error:  # a check that breaks must not hide what the others find
        failure = f"{type(error).__name__}: {error}"
        log.debug("%s", check.title, exc_info=True)
    seconds = time.monotonic() - start
    return Outcome(check.title, tuple(problems), tuple(notes), failure, (), seconds, warnings=tuple(warnings))


def exit_code(outcomes: Sequence[Outcome]) -> int:
    """Turns outcomes into an exit code.

    Args:
        outcomes: The outcomes of all checks.

    Returns:
        2 for problems, 1 for checks that failed themselves, else 0.
    """
    if any(outcome.problems for outcome in outcomes):
        return 2
    return 1 if any(outcome.failure for outcome in outcomes) else 0


@contextlib.contextmanager
def _quietly() -> Iterator[None]:
    """Sends output and warnings of libraries to the debug log: what matters is in the findings."""
    output, below = io.StringIO(), logging.root.manager.disable
    try:
        with contextlib.redirect_stdout(output), contextlib.redirect_stderr(output):
            if not log.isEnabledFor(logging.DEBUG):
                logging.disable(logging.WARNING)
            yield
    finally:
        logging.disable(below)
        log.debug("%s", output.getvalue())
