"""Is every setting there, and are those of task and judge valid?"""

from __future__ import annotations

from collections.abc import Iterator

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from visual_erm.errors import ConfigError
from visual_erm.preflight.context import RunContext
from visual_erm.preflight.findings import Finding, Note, Problem, problems_from
from visual_erm.spec.judge import api_key


def check_values(context: RunContext) -> Iterator[Finding]:
    """Checks that every reference to another key leads somewhere, and that no `???` is left.

    Args:
        context: The run.

    Yields:
        Problems, and a note on what was looked at.
    """
    try:
        OmegaConf.to_container(context.config, resolve=True)
    except OmegaConfBaseException as error:
        yield unresolved(error)
        return
    missing = OmegaConf.missing_keys(context.config)
    if not context.config.reward.reward_model.enable:
        missing = {key for key in missing if not key.startswith("reward.reward_model.")}
    for key in sorted(missing):
        yield Problem(key, "not set", f"give {key}={'vllm' if key.endswith('rollout.name') else '…'}")
    yield Note("all of them")


def unresolved(error: OmegaConfBaseException) -> Problem:
    """Makes a problem of a value that refers to a key that does not exist.

    Args:
        error: The error that OmegaConf raised.

    Returns:
        The problem.
    """
    key = getattr(error, "full_key", None) or "the configuration"
    return Problem(str(key), str(error).splitlines()[0], "give it a value of its own")


def check_task(context: RunContext) -> Iterator[Finding]:
    """Checks the settings of each task.

    Args:
        context: The run.

    Yields:
        Problems, and a note on what was looked at.
    """
    try:
        yield Note(", ".join(context.tasks))
    except ConfigError as error:
        yield from problems_from(error, "task", "see configs/task/")


def check_judge(context: RunContext) -> Iterator[Finding]:
    """Checks that the judge's settings and its key can be read, where the reward asks a judge.

    Args:
        context: The run.

    Yields:
        Problems, and a note on what was looked at.
    """
    if "judge" not in context.needs:
        yield Note("none is asked")
        return
    reward_model = context.config.reward.reward_model
    try:
        judge = context.judge
        api_key(judge)
    except ConfigError as error:
        yield from problems_from(error, "judge", "see configs/judge/, which say what each key is for")
        return
    if judge.kind == "colocated":
        yield Note("the reward model that veRL runs")
        if not reward_model.enable:
            yield Problem(
                "reward.reward_model.enable", "judge=colocated, but veRL runs no reward model",
                "set it to true, and reward.reward_model.model_path=FOLDER",
            )  # fmt: skip
        elif reward_model.get("model_path", "") is None:
            yield Problem(
                "reward.reward_model.model_path", "not set",
                "give reward.reward_model.model_path=FOLDER of the reward model",
            )  # fmt: skip
    elif judge.kind == "local":
        yield Note("local, by OCR on this CPU")
    else:
        yield Note(f"{judge.model} at {judge.endpoints_file or ', '.join(judge.endpoints)}")
