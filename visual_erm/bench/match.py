"""`bench match`: pairs the errors that a judge reports with those that a person found.

    summary = match(answers, Path("matches.jsonl"))

It may be stopped at any moment, and goes on from there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import track

from visual_erm.bench.matching import Matching
from visual_erm.bench.offline_matcher import match_offline
from visual_erm.bench.results import ResultFile
from visual_erm.bench.rows import FAILED, BadRow, Row, wire
from visual_erm.errors import ConfigError

OFFLINE = "offline"
"""Name of the matcher that compares categories, places, quoted texts and descriptions, and asks nobody."""


@dataclass
class MatchSummary:
    """What became of the items."""

    matched: int = 0
    """Items that were matched in this run."""
    kept: int = 0
    """Items that a former run has matched."""
    failed: list[str] = field(default_factory=list)
    """One message for each item without a matching."""


def match(rows: Sequence[Row], to: Path, *, console: Console | None = None) -> MatchSummary:
    """Matches every item, and adds one line for each to a file: the row with `matching` and `matcher`.

    Args:
        rows: Rows that `bench run` wrote.
        to: The file. Items that it has are not matched again.
        console: Shows progress; None: nothing is shown.

    Returns:
        What became of the items.

    Raises:
        ConfigError: The file cannot be written, or is none of this command.
    """
    with ResultFile(to) as results:
        if any("matcher" not in row.content for row in results.rows.values()):
            raise ConfigError(f"{to}: is no file of matches; choose another file")
        waiting = [row for row in rows if row.id not in results.rows or results.rows[row.id].failed]
        summary = MatchSummary(kept=len(rows) - len(waiting))
        shown = console or Console(quiet=True)
        for row in track(waiting, "matching", console=shown, transient=True):
            result = match_one(row)
            results.add({**row.content, **result, "matcher": OFFLINE})
            if FAILED in result:
                summary.failed.append(f"{row.place}: {result[FAILED]}")
            else:
                summary.matched += 1
    return summary


def match_one(row: Row) -> dict[str, Any]:
    """Matches the errors of one item.

    Args:
        row: The item.

    Returns:
        What is added to the row: `matching`, or FAILED with the reason.
    """
    if row.failed:
        return {FAILED: f"the judge gave no answer: {row.failed}"}
    if "pred_json" not in row.content:
        return {FAILED: "`pred_json` is missing; run `visual-erm bench run` first"}
    try:
        truths = row.truths()
    except BadRow as error:
        return {FAILED: str(error).removeprefix(f"{row.place}: ")}
    return {"matching": wire(Matching(match_offline(row.predictions(), truths)))}
