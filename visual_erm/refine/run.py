"""`visual-erm refine`: refines every row of a data set, and keeps every round.

    summary = run(inputs, policy, judge, Path("refined"), RefineSettings(), policy_name="http://10.0.0.1:8000/v1")

It may be stopped at any moment, and goes on from there. The folder gets

    results.jsonl   one line for each row: its rounds with reply, report, reward and tokens, and which of them wins
    images/         the renders, named by the hash of their content
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from visual_erm.data.images import encode, store_by_hash
from visual_erm.data.row_contract import check_renderer_version
from visual_erm.errors import ConfigError, InfrastructureError
from visual_erm.jobs.result_file import ResultFile
from visual_erm.jobs.rows import FAILED, JobRow
from visual_erm.jobs.workers import Summary, ask_all, places
from visual_erm.pipeline import RewardPipeline, pipelines_of
from visual_erm.policy.client import PolicyClient, messages_of
from visual_erm.refine.inputs import Inputs, Sample
from visual_erm.refine.loop import NO_JUDGE, Refined, RefineSettings, Round, Unjudged, refine, strict
from visual_erm.render.stage import SAMPLES_PER_PAGE
from visual_erm.runtime.files import remove_stale_parts
from visual_erm.spec.judge import JudgeSettings, load_judge_settings
from visual_erm.spec.policy import PolicySettings
from visual_erm.spec.task import Task

RESULTS = "results.jsonl"
IMAGES = "images"
RUN = "run"
"""Key of a result that says how it was made."""
MAX_PAGES = 16
"""Renders at once at most, of each task: fewer on a machine with fewer processors."""


def run(
    inputs: Inputs,
    policy: PolicySettings,
    judge: JudgeSettings | None,
    to: Path,
    settings: RefineSettings,
    *,
    policy_name: str,
    judge_name: str = NO_JUDGE,
    retry_failed: bool = False,
    console: Console | None = None,
) -> Summary:
    """Refines every row, and adds one line for each to `to`/results.jsonl.

    Args:
        inputs: The rows.
        policy: The policy.
        judge: The judge; None: nothing is judged.
        to: The folder. Rows that it has are not asked again.
        settings: When a row is done.
        policy_name: Name of the policy in the file.
        judge_name: Name of the judge in the file.
        retry_failed: Refine rows again whose result says that policy, judge or renderer failed.
        console: Shows progress and failures; None: nothing is shown.

    Returns:
        What became of the rows.

    Raises:
        ConfigError: The settings are wrong, the folder holds results of another run, or its disk is full.
        PolicyUnavailable: The policy did not answer at the start.
        RendererUnavailable: There is nothing here to render with.
    """
    settings_words = " ".join(f"{name} {value}" for name, value in settings.model_dump().items())
    made_by = (
        f"{inputs.name}; task {', '.join(sorted(inputs.tasks))}; policy {policy_name}; judge {judge_name}; {settings_words}"
    )
    with ResultFile(to / RESULTS, JobRow) as results:
        waiting = results.waiting(inputs.rows, RUN, made_by, "refined rows", retry_failed)
        summary = Summary(kept=len(inputs.rows) - len(waiting))
        remove_stale_parts(to / IMAGES)
        if waiting:
            asyncio.run(_refine_all(waiting, inputs, policy, judge, to, settings, made_by, results, summary, console))
    return summary


async def _refine_all(
    waiting: Sequence[JobRow],
    inputs: Inputs,
    policy: PolicySettings,
    judge: JudgeSettings | None,
    to: Path,
    settings: RefineSettings,
    made_by: str,
    results: ResultFile[JobRow],
    summary: Summary,
    console: Console | None,
) -> None:
    pages = max(2, min(MAX_PAGES, len(os.sched_getaffinity(0))))
    asked = strict(judge or load_judge_settings("local"))
    # A row is with the policy, the renderer or the judge: so many keep all of them busy.
    in_flight = places(policy) + (places(asked) if asked.kind == "remote" else SAMPLES_PER_PAGE * pages)
    async with PolicyClient(policy) as client:
        await client.open()
        pipelines = pipelines_of(inputs.tasks, asked, pages, None if judge else Unjudged())
        try:
            _check_renderers(inputs, pipelines)

            async def one(row: JobRow) -> dict[str, Any]:
                task = str(row.content["task"])
                begun = time.perf_counter()
                answer = await _refined(row, inputs, client, pipelines[task], settings, judge is not None, to)
                return {**answer, "seconds": round(time.perf_counter() - begun, 3)}

            shown = console or Console(quiet=True)
            await ask_all(waiting, one, results, in_flight, "refining", shown, summary, {RUN: made_by})
        finally:
            await asyncio.gather(*(pipeline.close() for pipeline in pipelines.values()))


async def _refined(
    row: JobRow,
    inputs: Inputs,
    client: PolicyClient,
    pipeline: RewardPipeline,
    settings: RefineSettings,
    judged: bool,
    to: Path,
) -> dict[str, Any]:
    """What is added to a row: its rounds, or FAILED with the reason."""
    try:
        sample: Sample = await asyncio.to_thread(inputs.load, row)
        prompt = messages_of(sample.prompt, [await client.show(image) for image in sample.images])
    except ConfigError as error:
        return {FAILED: str(error)}
    try:
        found = await refine(client, pipeline, prompt, sample.reference, settings, judged)
    except InfrastructureError as error:
        return {FAILED: f"{type(error).__name__}: {error}"}
    return await asyncio.to_thread(_wire, found, pipeline.task, judged, to)


def _check_renderers(inputs: Inputs, pipelines: dict[str, RewardPipeline]) -> None:
    """Checks the renderers before the policy is asked.

    Raises RendererUnavailable where there is none, and ConfigError where another one made references: every row would be
    told of differences that are none.
    """
    versions = {task: pipeline.renderer_version for task, pipeline in pipelines.items()}
    for (task, rendered_by), place in inputs.renderers.items():
        check_renderer_version(rendered_by, versions[task], inputs.tasks, task, place)


def _wire(found: Refined, task: Task, judged: bool, to: Path) -> dict[str, Any]:
    """Stores the renders, and writes all rounds as JSON can hold them."""
    rounds = [_round(one, task, judged, to) for one in found.rounds]
    best = rounds[found.best_place]
    return {
        **{key: best[key] for key in ("reply", "code", "image", "reward", "severity")},
        "best_round": found.best_place,
        "ended": found.ended.value,
        "prompt_tokens": sum(one["prompt_tokens"] for one in rounds),
        "reply_tokens": sum(one["reply_tokens"] for one in rounds),
        "rounds": rounds,
    }


def _round(one: Round, task: Task, judged: bool, to: Path) -> dict[str, Any]:
    reply, result = one.reply, one.result
    usage = result.judge_usage
    return {
        "reply": reply.text,
        "code": result.code.text if result.code else None,
        "image": _stored(one, to),
        "rendered": result.render_ok,
        "reward": result.reward if judged else None,
        "severity": result.severity if judged else None,
        "report": result.report.wire(task.report) if judged and result.report else None,
        "outcome": result.outcome.value,
        "reason": result.reason,
        "flags": sorted(result.flags),
        "truncated": reply.truncated,
        "prompt_tokens": reply.prompt_tokens,
        "reply_tokens": reply.reply_tokens,
        "judge_prompt_tokens": usage.prompt_tokens,
        "judge_reply_tokens": usage.reply_tokens,
    }


def _stored(one: Round, to: Path) -> str | None:
    if one.result.image is None:
        return None
    try:
        return store_by_hash(to / IMAGES, encode(one.result.image)).relative_to(to).as_posix()
    except OSError as error:
        raise ConfigError(f"{to / IMAGES}: cannot be written: {error.strerror}; the same command goes on") from error
