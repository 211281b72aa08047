"""`bench run`: asks a judge about every pair of a benchmark.

    summary = run(rows, root, load_judge_settings("local"), Path("answers.jsonl"))

It may be stopped at any moment, and goes on from there.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from visual_erm.bench.rows import IMAGES, MATCH_KEYS, RUN_KEYS, Row, read_row
from visual_erm.errors import Illegible, InfrastructureError, JudgeUnreadable, ReferenceUnavailable
from visual_erm.jobs.result_file import ResultFile
from visual_erm.jobs.rows import FAILED, BadRow
from visual_erm.jobs.workers import Summary, ask_all, places
from visual_erm.judge.base import Judge, make_judge
from visual_erm.judge.usage import JudgeUsage
from visual_erm.spec.judge import JudgeSettings
from visual_erm.spec.task import Task, load_task
from visual_erm.vision.images import load_image

LOCAL_IN_FLIGHT = 4
"""Pairs in flight at the local judge, which reads one after the other: the next ones are loaded meanwhile."""


def run(
    rows: Sequence[Row],
    root: Path,
    settings: JudgeSettings,
    to: Path,
    *,
    tasks: Sequence[Task] = (),
    name: str = "local",
    retry_failed: bool = False,
    swapped: bool = False,
    console: Console | None = None,
) -> Summary:
    """Asks a judge about every pair, and adds one line for each to a file.

    A line is the row with `pred_json` and `error_parse_failed_reason` as published, and `judge`, `prompt_tokens`,
    `reply_tokens`, `seconds` and `attempts`. Prompt, images and sampling are those of training.

    Args:
        rows: The benchmark.
        root: The folder that images' paths are relative to.
        settings: The judge.
        to: The file. Pairs that it has are not asked again.
        tasks: Tasks that say how pairs of their kind are judged; the shipped task for other kinds.
        name: Name of the judge in the file.
        retry_failed: Ask again about pairs whose result says that the judge failed.
        swapped: Give the judge the predicted image as the reference, and the reference as the predicted image.
        console: Shows progress and failures; None: nothing is shown.

    Returns:
        What became of the run.

    Raises:
        ConfigError: The judge's settings are wrong, or the file holds another judge's answers.
    """
    with ResultFile(to, read_row) as results:
        waiting = results.waiting(rows, "judge", name, "answers", retry_failed)
        summary = Summary(kept=len(rows) - len(waiting))
        own = {task.kind.name: task for task in tasks}
        of_category = {row.category: own.get(row.category) or load_task(row.category) for row in waiting}
        in_flight = LOCAL_IN_FLIGHT if settings.kind == "local" else places(settings)

        async def ask_judge() -> None:
            judge = make_judge(settings)

            async def answer(row: Row) -> dict[str, Any]:
                return {**await ask(judge, row, root, of_category[row.category], swapped), "judge": name}

            try:
                unjudged = [row.without((FAILED, *RUN_KEYS, *MATCH_KEYS)) for row in waiting]
                await ask_all(unjudged, answer, results, in_flight, "judging", console or Console(quiet=True), summary)
            finally:
                await judge.close()

        asyncio.run(ask_judge())
    return summary


async def ask(judge: Judge, row: Row, root: Path, task: Task, swapped: bool = False) -> dict[str, Any]:
    """Asks about one pair.

    Args:
        judge: The judge.
        row: The pair.
        root: The folder that images' paths are relative to.
        task: The task of the pair.
        swapped: Exchange the images.

    Returns:
        What is added to the row: an answer, or FAILED with the reason.
    """
    usage, begun = JudgeUsage(), time.perf_counter()
    answer: dict[str, Any] | None = None
    unread = ""
    try:
        paths = [row.path(key, root) for key in (IMAGES[::-1] if swapped else IMAGES)]
        reference, prediction = [await asyncio.to_thread(load_image, path) for path in paths]
        answer = (await judge.judge(reference, prediction, task, usage)).wire(task.report)
    except (JudgeUnreadable, Illegible) as error:
        unread = str(error)
    except BadRow as error:
        return {FAILED: str(error).removeprefix(f"{row.place}: ")}
    except ReferenceUnavailable as error:
        # It calls any image that was loaded the reference.
        return {FAILED: str(error).removeprefix("reference ")}
    except InfrastructureError as error:
        return {FAILED: f"{type(error).__name__}: {error}"}
    return {
        "pred_json": answer,
        "error_parse_failed_reason": unread or None,
        "prompt_tokens": usage.prompt_tokens,
        "reply_tokens": usage.reply_tokens,
        "seconds": round(time.perf_counter() - begun, 3),
        "attempts": usage.calls,
    }
