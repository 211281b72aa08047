"""`bench match`: pairs the errors that a judge reports with those that a person found.

    summary = match(answers, Path("matches.jsonl"))

It may be stopped at any moment, and goes on from there.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from visual_erm.bench.matching import LabeledError, Matching
from visual_erm.bench.model_matcher import match_by_model
from visual_erm.bench.offline_matcher import match_offline
from visual_erm.bench.rows import MATCH_KEYS, Row, read_row, wire
from visual_erm.errors import ConfigError, InfrastructureError, JudgeUnavailable
from visual_erm.jobs.result_file import ResultFile
from visual_erm.jobs.rows import FAILED, BadRow
from visual_erm.jobs.workers import Summary, ask_all, places
from visual_erm.judge.chat import Chat
from visual_erm.judge.usage import JudgeUsage
from visual_erm.spec.judge import JudgeSettings

OFFLINE = "offline"
"""Name of the matcher that compares categories, places, quoted texts and descriptions, and asks nobody."""


def match(
    rows: Sequence[Row],
    to: Path,
    settings: JudgeSettings | None = None,
    *,
    retry_failed: bool = False,
    console: Console | None = None,
) -> Summary:
    """Matches every item, and adds one line for each to a file: the row with `matching` and `matcher`.

    Args:
        rows: Rows that `bench run` wrote.
        to: The file. Items that it has are not matched again.
        settings: The servers of a model that matches, and its name; None: the offline matcher.
        retry_failed: Match items again whose matching failed.
        console: Shows progress and failures; None: nothing is shown.

    Returns:
        What became of the items.

    Raises:
        JudgeUnavailable: No server answers. What was matched before is in the file.
        ConfigError: The file cannot be written, is none of this command, or holds the matches of another matcher
            or of other errors.
    """
    name = OFFLINE
    if settings is not None:
        if settings.model is None:
            raise ConfigError("the matcher needs `model`, the name that its servers serve: results name it")
        name = settings.model
    with ResultFile(to, read_row) as results:
        waiting = results.waiting(rows, "matcher", name, "matches", retry_failed)
        _check_answers(rows, results, to)
        summary = Summary(kept=len(rows) - len(waiting))
        asyncio.run(_match(waiting, settings, name, results, summary, console or Console(quiet=True)))
    return summary


def _check_answers(rows: Sequence[Row], results: ResultFile[Row], to: Path) -> None:
    """Raises ConfigError where the file has a matching of other errors than those of a row."""
    for row in rows:
        matched = results.rows.get(row.id)
        if matched is not None and not matched.failed and _errors(matched) != _errors(row):
            raise ConfigError(f"{to}: holds a matching of other errors than those of {row.place}; choose another file")


def _errors(row: Row) -> tuple[str, str, list[LabeledError]]:
    # As text: a NaN in it is not equal to itself.
    return row.judge, json.dumps(row.content.get("human_errors")), row.predictions()


async def _match(
    rows: Sequence[Row],
    settings: JudgeSettings | None,
    name: str,
    results: ResultFile[Row],
    summary: Summary,
    console: Console,
) -> None:
    chat = Chat(settings) if settings else None
    in_flight = places(settings) if settings else 1

    async def matching_of(predictions: list[LabeledError], truths: list[LabeledError], usage: JudgeUsage) -> Matching:
        if chat is None or settings is None:
            return Matching(await asyncio.to_thread(match_offline, predictions, truths))
        return await match_by_model(chat, predictions, truths, structured=settings.structured, usage=usage)

    async def ask(row: Row) -> dict[str, Any]:
        if row.failed and not row.is_answered:
            return {FAILED: row.failed}
        if "pred_json" not in row.content:
            return {FAILED: "`pred_json` is missing; run `visual-erm bench run` first"}
        usage = JudgeUsage()
        try:
            matching = await matching_of(row.predictions(), row.truths(), usage)
        except BadRow as error:
            return {FAILED: str(error).removeprefix(f"{row.place}: ")}
        except JudgeUnavailable:
            raise
        except InfrastructureError as error:
            return {FAILED: f"{type(error).__name__}: {error}"}
        return {
            "matching": wire(matching),
            "matcher_tokens": usage.prompt_tokens + usage.reply_tokens,
        }

    try:
        unmatched = [row.without(MATCH_KEYS) for row in rows]
        await ask_all(unmatched, ask, results, in_flight, "matching", console, summary, {"matcher": name})
    finally:
        if chat is not None:
            await chat.close()
