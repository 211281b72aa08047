"""The loop of a long job: rows in flight, a line for each result, progress, and a summary.

await ask_all(rows, ask, results, places(settings), "judging", console, summary)
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from visual_erm.errors import printable
from visual_erm.jobs.result_file import ResultFile
from visual_erm.jobs.rows import FAILED, R
from visual_erm.spec.servers import ServerSettings

TOKENS = ("prompt_tokens", "reply_tokens", "matcher_tokens")
"""Keys of a result that count tokens."""
Ask = Callable[[R], Awaitable[dict[str, Any]]]
"""Returns what is added to a row: a result, or FAILED with the reason."""


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
    rows: Sequence[R], ask: Ask[R], results: ResultFile[R], in_flight: int, title: str, console: Console, summary: Summary
) -> None:
    """Asks about every row, and adds one line for each to a file.

    Args:
        rows: The rows.
        ask: Asks about one of them.
        results: The file.
        in_flight: How many rows are asked about at once, 1 or more.
        title: Says in the progress bar what is done.
        console: Shows progress and failures.
        summary: Counts what becomes of the rows.
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

    async def work() -> None:
        nonlocal tokens
        for row in waiting:
            result = await ask(row)
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

    workers: list[asyncio.Task[None]] = []
    try:
        with bar:
            workers += [asyncio.create_task(work()) for _ in range(min(in_flight, len(rows)))]
            await asyncio.gather(*workers)
    finally:
        for worker in workers:
            worker.cancel()
        await asyncio.gather(*workers, return_exceptions=True)
