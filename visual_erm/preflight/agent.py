"""Does a rollout of several answers work? Its settings, the room for its answers, and what each row asks for."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq

from visual_erm.errors import ConfigError
from visual_erm.preflight.context import KEYS, RunContext
from visual_erm.preflight.findings import Caution, Finding, Note, Problem, problems_from
from visual_erm.spec.agent import AgentSettings, load_agent_settings
from visual_erm.spec.base import plain

ROLLOUT = "actor_rollout_ref.rollout"
RESPONSE = "data.max_response_length"
AROUND_CODE = 16
"""Tokens of a fence round the code, and of the end of the answer."""
FIX = "give reward=visual_erm, or agent=none"


def check_agent(context: RunContext) -> Iterator[Finding]:
    """Checks the settings of the agent loop, and that what it needs is there.

    Args:
        context: The run.

    Yields:
        Problems, and a note on what was looked at.
    """
    if not _refines(context):
        yield Note("one answer per rollout")
        return
    try:
        settings = load_agent_settings(plain(context.config.agent))
    except ConfigError as error:
        yield from problems_from(error, "agent", "see configs/agent/")
        return
    yield Note(f"{settings.turns} answers per rollout, rewarded by the {settings.reward}")
    if "judge" not in context.needs:
        yield Problem("agent", "agent=refine shows the policy a report, and this reward makes none", FIX)
    if (mode := context.get(f"{ROLLOUT}.mode")) != "async":
        yield Problem(f"{ROLLOUT}.mode", f"is {mode!r}, and an agent loop asks a rollout server", "give async")
    if (loop := context.get(f"{ROLLOUT}.agent.default_agent_loop")) != settings.name:
        yield Problem(f"{ROLLOUT}.agent.default_agent_loop", f"is {loop!r}, and no answer would be revised", "give refine")
    file = context.get(f"{ROLLOUT}.agent.agent_loop_config_path")
    if not file or not Path(str(file)).is_file():
        yield Problem(
            f"{ROLLOUT}.agent.agent_loop_config_path", f"is {file!r}, which names no file", "give configs/agent_loops.yaml"
        )
    images = context.get(f"{ROLLOUT}.limit_images")
    if images is not None and images < settings.turns:
        yield Problem(
            f"{ROLLOUT}.limit_images", f"{images}, but a rollout has a reference and {settings.turns - 1} renders",
            f"give {settings.turns} or more, or null",
        )  # fmt: skip
    for key in KEYS:
        for named in context.readable(key):
            if "agent_name" in pq.read_schema(named).names:
                yield Problem(
                    f"data.{key}", f"{named} has a column `agent_name`, by which veRL takes another loop",
                    "write it again without this column, or give agent=none",
                )  # fmt: skip
    response = int(context.get(f"{ROLLOUT}.response_length"))
    if settings.answer_length(response) < 1:
        yield _too_short(settings, response, 1, f"{settings.turns} answers")


def check_answers(context: RunContext) -> Iterator[Finding]:
    """Checks that an answer may be as long as the ground truths, and that a render is seen as large as its reference.

    Args:
        context: The run.

    Yields:
        Problems, and a note on what was looked at.
    """
    if not _refines(context):
        return
    settings = load_agent_settings(plain(context.config.agent))
    response = int(context.get(f"{ROLLOUT}.response_length"))
    answer = settings.answer_length(response)
    yield Note(f"{answer} tokens each, {settings.feedback_length} between them")
    truths = [
        (context.verl_check.count_tokens(str(truth)) + AROUND_CODE, row)
        for row in context.rows["train_files"]
        if (truth := (row.content.get("reward_model") or {}).get("ground_truth"))
    ]
    if truths and (longest := max(truths, key=lambda found: found[0]))[0] > answer:
        length, row = longest
        yield _too_short(settings, response, length, f"{settings.turns} answers like the ground truth of {row.where}")
    images = [image for loaded in context.loaded("train_files") for image in loaded.images]
    if images:
        largest = max(images, key=lambda image: image.width * image.height)
        tokens = context.verl_check.count_image_tokens(largest)
        # A report may take the other half.
        if (needed := 2 * tokens - settings.feedback_length) > 0:
            yield Caution(
                "agent.feedback_length",
                f"{settings.feedback_length} tokens may not hold a report and a render as large as the largest image, with "
                f"{tokens} tokens: the policy would see it smaller than its reference",
                f"give {2 * tokens}, and raise {RESPONSE} by {(settings.turns - 1) * needed}",
            )  # fmt: skip


def _refines(context: RunContext) -> bool:
    return context.get("agent.name") not in (None, "none")


def _too_short(settings: AgentSettings, response: int, answer: int, what: str) -> Problem:
    between = f"{settings.turns - 1} x agent.feedback_length={settings.feedback_length} between them"
    return Problem(
        RESPONSE, f"{response} tokens do not hold {what}, and {between}",
        f"give {settings.response_length(answer)} or more, or lower agent.feedback_length or agent.turns",
    )  # fmt: skip
