"""Is every setting there, and are those of task and judge valid?"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from visual_erm.errors import ConfigError
from visual_erm.judge.endpoint import hide_login
from visual_erm.preflight.context import RunContext
from visual_erm.preflight.findings import Caution, Finding, Note, Problem, problems_from
from visual_erm.preflight.overrides import keys
from visual_erm.preflight.quoting import override, pasted
from visual_erm.spec.base import misread_as
from visual_erm.spec.servers import api_key

TEXTS = re.compile(r"(^|[._])(name|path|dir|files?)$")
"""Keys that hold text of one's own: names and paths."""


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


def misread(config: DictConfig, words: Sequence[str]) -> Iterator[Problem]:
    """Finds names, paths and environment variables that are no text, because YAML or Hydra read a number or truth value.

    Args:
        config: The configuration as it was composed.
        words: Overrides that it was composed of. What other variables of `env` were written as is not known.

    Yields:
        A problem for each value.
    """
    written = {word.lstrip("+").partition("=")[0]: word.partition("=")[2] for word in words}
    for key in keys(config):
        if key.startswith(("task.", "judge.")):
            continue  # `check_task` and `check_judge` know what is text there
        above, _, name = key.rpartition(".")
        parent = OmegaConf.select(config, above) if above else config
        if OmegaConf.is_interpolation(parent, name) or OmegaConf.is_missing(parent, name):
            continue
        value = parent[name]
        for part in value if isinstance(value, ListConfig) else [value]:
            kind = misread_as(part)
            lossy = key.startswith("env.") and key in written and str(part) != written[key]
            if kind and (lossy or TEXTS.search(key)):
                text = written.get(key, "…") if part is value else "…"
                yield Problem(key, f"`{text}` is read as the {kind} {part}", f"give {pasted(override(key, text))}")


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
    elif judge.kind == "transformers":
        yield Problem(
            "judge.kind", "transformers judges single pairs, not rollouts",
            f"serve the model (visual-erm serve {judge.model}), and give judge=remote",
        )  # fmt: skip
    else:
        shown = [*map(hide_login, judge.endpoints)]
        yield Note(f"{judge.model} at {judge.endpoints_file or ', '.join(shown)}")
        if tuple(shown) != judge.endpoints:
            yield Caution(
                "judge.endpoints", "a URL holds a password, and veRL prints the whole configuration",
                "write the URLs into a file that only you can read, and give judge.endpoints_file=FILE",
            )  # fmt: skip
