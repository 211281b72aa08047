"""`bench run`: asks a judge about every pair of a benchmark.

    summary = run(rows, root, load_judge_settings("local"), Path("answers.jsonl"))

It may be stopped at any moment, and goes on from there.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from visual_erm.bench.judges import make_any_judge
from visual_erm.bench.published import asking_as_published, lines_beside, published_prompts, write_list
from visual_erm.bench.rows import IMAGES, MATCH_KEYS, RUN_KEYS, Row, read_row
from visual_erm.errors import (
    ConfigError,
    Illegible,
    InfrastructureError,
    JudgeUnavailable,
    JudgeUnreadable,
    ReferenceUnavailable,
)
from visual_erm.jobs.result_file import ResultFile
from visual_erm.jobs.rows import FAILED, BadRow
from visual_erm.jobs.workers import Summary, ask_all, places
from visual_erm.judge.usage import JudgeUsage
from visual_erm.spec.judge import JudgeSettings
from visual_erm.spec.task import Task, load_task
from visual_erm.vision.images import load_image

Answer = Callable[[Row, JudgeUsage], Awaitable[tuple[Any, str]]]
"""Returns `pred_json` for a pair, and why the judge's reply was not read."""
LOCAL_IN_FLIGHT = 4
"""Pairs in flight at a judge of this process, which reads one after the other: the next ones are loaded meanwhile."""


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
    published: bool = False,
    console: Console | None = None,
) -> Summary:
    """Asks a judge about every pair, and adds one line for each to a file.

    A line is the row with `pred_json` and `error_parse_failed_reason` as published, and `judge`, `prompt_tokens`,
    `reply_tokens`, `seconds` and `attempts`. Prompt, images and sampling are those of training, unless `published` is set.

    Args:
        rows: The benchmark.
        root: The folder that images' paths are relative to.
        settings: The judge.
        to: The file. Pairs that it has are not asked again.
        tasks: Tasks that say how pairs of their kind are judged; the shipped task for other kinds.
        name: Name of the judge in the file.
        retry_failed: Ask again about pairs whose result says that the judge failed.
        swapped: Give the judge the predicted image as the reference, and the reference as the predicted image.
        published: Ask exactly as the published evaluation does, and write one JSON list when all pairs are done. Until then
            the answers are lines of the file `<to>.lines`, which stays.
        console: Shows progress and failures; None: nothing is shown.

    Returns:
        What became of the run.

    Raises:
        JudgeUnavailable: No server answers. What was answered before is in the file.
        ConfigError: The judge's settings are wrong, the file holds another judge's answers, or the prompts of the published
            evaluation were not imported.
    """
    if published and (settings.kind != "remote" or tasks):
        raise ConfigError(
            "--published asks servers with prompts of its own: it takes no --task, and a judge of `kind: remote`"
        )
    lines = lines_beside(to) if published else to
    with ResultFile(lines, read_row) as results:
        waiting = results.waiting(rows, "judge", name, "answers", retry_failed)
        summary = Summary(kept=len(rows) - len(waiting))
        categories = {row.category for row in waiting}

        def images(row: Row) -> list[Path]:
            return [row.path(key, root) for key in (IMAGES[::-1] if swapped else IMAGES)]

        if published:
            asking = asking_as_published(settings, published_prompts(sorted(categories)), images)
        else:
            own = {task.kind.name: task for task in tasks}
            asking = _asking_as_trained(settings, {one: own.get(one) or load_task(one) for one in categories}, images)

        async def ask_judge() -> None:
            async with asking as answer:

                async def ask(row: Row) -> dict[str, Any]:
                    return await _result(row, answer)

                unjudged = [row.without((FAILED, *RUN_KEYS, *MATCH_KEYS)) for row in waiting]
                shown = console or Console(quiet=True)
                await ask_all(unjudged, ask, results, _in_flight(settings), "judging", shown, summary, {"judge": name})

        asyncio.run(ask_judge())
    if published:
        write_list(rows, lines, to)
    return summary


def _in_flight(settings: JudgeSettings) -> int:
    return places(settings) if settings.kind == "remote" else LOCAL_IN_FLIGHT


@contextlib.asynccontextmanager
async def _asking_as_trained(
    settings: JudgeSettings, tasks: Mapping[str, Task], images: Callable[[Row], Sequence[Path]]
) -> AsyncIterator[Answer]:
    """Opens what asks about pairs as training does, see `asking_as_published`."""
    judge = make_any_judge(settings)

    async def answer(row: Row, usage: JudgeUsage) -> tuple[Any, str]:
        reference, prediction = [await asyncio.to_thread(load_image, path) for path in images(row)]
        task = tasks[row.category]
        try:
            return (await judge.judge(reference, prediction, task, usage)).wire(task.report), ""
        except (JudgeUnreadable, Illegible) as error:
            return None, str(error)

    try:
        yield answer
    finally:
        await judge.close()


async def _result(row: Row, answer: Answer) -> dict[str, Any]:
    """What is added to a row: an answer, or FAILED with the reason. Raises JudgeUnavailable."""
    usage, begun = JudgeUsage(), time.perf_counter()
    try:
        report, unread = await answer(row, usage)
    except BadRow as error:
        return {FAILED: str(error).removeprefix(f"{row.place}: ")}
    except ReferenceUnavailable as error:
        # It calls any image that was loaded the reference.
        return {FAILED: str(error).removeprefix("reference ")}
    except JudgeUnavailable:
        raise
    except InfrastructureError as error:
        return {FAILED: f"{type(error).__name__}: {error}"}
    return {
        "pred_json": report,
        "error_parse_failed_reason": unread or None,
        "prompt_tokens": usage.prompt_tokens,
        "reply_tokens": usage.reply_tokens,
        "seconds": round(time.perf_counter() - begun, 3),
        "attempts": usage.calls,
    }
