"""The loop of a long job: rows in flight, a line for each result, progress, and a summary.

await ask_all(rows, ask, results, places(settings), "judging", console, summary, {"judge": "gpt"})
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from visual_erm.errors import JudgeUnavailable, printable
from visual_erm.jobs.result_file import ResultFile
from visual_erm.jobs.rows import FAILED, R
from visual_erm.spec.servers import ServerSettings

TOKENS = ("prompt_tokens", "reply_tokens", "matcher_tokens")
"""Keys of a result that count tokens."""
MIN_IN_A_ROW = 8
"""Rows in a row that no server answers before a job ends, or as many as are in flight: one may fail by itself."""
Ask = Callable[[R], Awaitable[dict[str, Any]]]
"""Returns what is added to a row: a result, or FAILED with the reason. Raises JudgeUnavailable where no server answers."""


@dataclass
class Summary:
    """What became of the rows."""

    done: int = 0
    """Rows that got a result."""
    kept: int = 0
    """Rows that a former run has a result of."""
    failed: list[str] = field(default_factory=list)
    """One message for each row without a result."""


def places(settings: ServerSettings) -> int:
    """How many requests the servers of these settings take at once, 1 or more."""
    return settings.max_in_flight * max(1, len(settings.endpoints))


async def ask_all(
    rows: Sequence[R],
    ask: Ask[R],
    results: ResultFile[R],
    in_flight: int,
    title: str,
    console: Console,
    summary: Summary,
    maker: Mapping[str, str],
) -> None:
    """Asks about every row, and adds one line for each to a file.

    A job ends when no server answers any more. The rows that it was not told about then get no line, so that the same
    command asks again about them.

    Args:
        rows: The rows.
        ask: Asks about one of them.
        results: The file.
        in_flight: How many rows are asked about at once, 1 or more.
        title: Says in the progress bar what is done.
        console: Shows progress and failures.
        summary: Counts what becomes of the rows.
        maker: Who makes the results: the key and the name by which `ResultFile.waiting` knows them. Each line has it.

    Raises:
        JudgeUnavailable: No server answered MIN_IN_A_ROW rows in a row, or as many as are in flight; or it answered none.
    """
    bar = Progress(
        TextColumn(title),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]:.1f}/s, {task.fields[tokens]:,} tokens"),
        TimeRemainingColumn(),
        console=console,
        transient=True,
    )
    line = bar.add_task(title, total=len(rows), rate=0.0, tokens=0)
    waiting, begun, tokens = iter(rows), time.monotonic(), 0

    unanswered: list[tuple[R, JudgeUnavailable]] = []
    """The rows since the last answer that no server answered: it may be their own fault, or the servers are gone."""

    def add(row: R, result: dict[str, Any]) -> None:
        nonlocal tokens
        results.add({**row.without((FAILED,)).content, **result})
        if FAILED in result:
            message = f"{row.place}: {result[FAILED]}"
            summary.failed.append(message)
            console.print(printable(message), style="red", markup=False, highlight=False, soft_wrap=True)
        else:
            summary.done += 1
        tokens += sum(result.get(key, 0) for key in TOKENS)
        rate = (summary.done + len(summary.failed)) / (time.monotonic() - begun)
        bar.update(line, advance=1, tokens=tokens, rate=rate)

    def add_unanswered() -> None:
        for row, error in unanswered:
            add(row, {FAILED: f"{type(error).__name__}: {error}", **maker})
        unanswered.clear()

    async def work() -> None:
        for row in waiting:
            try:
                result = await ask(row)
            except JudgeUnavailable as error:
                unanswered.append((row, error))
                if len(unanswered) >= max(in_flight, MIN_IN_A_ROW):
                    raise
                continue
            if FAILED not in result:
                add_unanswered()
            add(row, {**result, **maker})

    workers: list[asyncio.Task[None]] = []
    try:
        with bar:
            workers += [asyncio.create_task(work()) for _ in range(min(in_flight, len(rows)))]
            await asyncio.gather(*workers)
            if unanswered and not summary.done:
                raise unanswered[-1][1]
            add_unanswered()
    except JudgeUnavailable as error:
        kept = f"{summary.done} results are kept" if summary.done else "nothing was done"
        raise JudgeUnavailable(f"{error}; {kept}, and the same command goes on") from error
    finally:
        for worker in workers:
            worker.cancel()
        await asyncio.gather(*workers, return_exceptions=True)
