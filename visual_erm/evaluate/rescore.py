"""`visual-erm rescore`: the replies of a log, scored again with another judge, scoring, guard or version.

    data = DataRows([Path("train.parquet")], tasks=None, root=None)
    done = rescore(Path("outputs/run/rollout_log"), data, load_judge_settings("local"), Path("outputs/again"), name="local")
    done.changes.best_changed

A log is a folder of files of JSON lines, as a run writes it, or one such file: of a run, of `eval run`, or of `refine`.
Each line becomes one of the same form. It may be stopped at any moment, and goes on from there.
"""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console

from visual_erm.errors import ConfigError, InfrastructureError
from visual_erm.evaluate.changes import Changes, Pair, changes_of
from visual_erm.evaluate.lines import RUN, number_of, without_cut_line
from visual_erm.evaluate.rows import DataRows, RowKey
from visual_erm.evaluate.run import LOCAL_IN_FLIGHT
from visual_erm.evaluate.scoring import SEVERITIES, ReplyScorer
from visual_erm.jobs.result_file import ResultFile
from visual_erm.jobs.rows import FAILED, BadRow, JobRow, read_rows
from visual_erm.jobs.workers import Summary, ask_all, places
from visual_erm.spec.judge import JudgeSettings

RESCORED = "rescored_by"
"""Key of a line: what scored it again."""
SOURCE = "source_line"
"""Key of a line: the number of its line in the log, from 1."""
MAX_DIGITS = 19
"""Digits of the number of a row, at most: no file has more rows."""
ROUNDS = "rounds"
"""Key that lines of `refine` have."""


@dataclass(frozen=True)
class LogLine(JobRow):
    """A line of a log, or one that was scored again."""

    @property
    def id(self) -> str:
        """The number of its line in the log."""
        found = self.content.get(SOURCE)
        if not isinstance(found, int):
            raise BadRow(f"{self.place}: is no line of `visual-erm rescore`")
        return str(found)

    @property
    def reward(self) -> float | None:
        """Its reward; None where it could not be scored."""
        if self.failed or not self.content.get("scored_ok", 1):
            return None
        found = number_of(self.content.get("reward" if ROUNDS in self.content else "score"))
        return None if math.isnan(found) else found

    @property
    def group(self) -> str:
        """Says which replies are to one prompt in one step. A run that leaves steps out of the log has groups by row."""
        names = ("id",) if ROUNDS in self.content else ("data_source", "split", "index", "validate", "policy_updates")
        return json.dumps([self.content.get(name) for name in names])


@dataclass
class Rescored:
    """What became of a log."""

    summary: Summary
    changes: Changes
    """Of replies that both scorings could score."""
    problems: list[str] = field(default_factory=list)
    """One message for each line that could not be used."""


def files_of(log: Path) -> list[Path]:
    """Finds the files of a log.

    Args:
        log: A folder with files of JSON lines (those of folders in it are not of the log), or one file.

    Returns:
        The files.

    Raises:
        ConfigError: There is none.
    """
    if log.is_dir():
        found = sorted(file for file in log.glob("*.jsonl") if file.is_file())
        if not found:
            raise ConfigError(f"{log}: has no file *.jsonl; give a run's rollout_log/, or a file of `eval run` or `refine`")
        return found
    if not log.exists():
        raise ConfigError(f"{log}: there is no such file or folder")
    return [log]


def rescore(
    log: Path,
    data: DataRows,
    judge: JudgeSettings,
    to: Path,
    *,
    name: str,
    judge_name: str = "local",
    failed_only: bool = False,
    retry_failed: bool = False,
    console: Console | None = None,
) -> Rescored:
    """Scores the replies of a log again.

    Args:
        log: A folder or a file, see `files_of`.
        data: The rows that the replies are to, with the tasks to score by.
        judge: The judge.
        to: Where the new log goes: a folder for a folder, a file for a file. Lines that it has are kept.
        name: Says what scores again: lines of another name do not belong into the same log.
        judge_name: Name of the judge in lines of `eval run`.
        failed_only: Score only lines that could not be scored; the others are copied.
        retry_failed: Score lines again that this command could not score.
        console: Shows progress and failures; None: nothing is shown.

    Returns:
        What became of the log.

    Raises:
        ConfigError: There is no log, no line of it can be used, or `to` holds something else.
    """
    files = files_of(log)
    targets = [to / file.name for file in files] if log.is_dir() else [to]
    if any(target.exists() and target.samefile(file) for file, target in zip(files, targets, strict=True)):
        raise ConfigError(f"--out {to}: is the log itself; choose another place")
    done = Rescored(Summary(), changes_of([]))
    read: list[list[LogLine]] = []
    keys: dict[str, RowKey] = {}
    for file in files:
        lines, problems = read_rows(file, _numbered)
        done.problems += without_cut_line(file, problems)
        read.append([line for line in lines if _is_usable(line, data, keys, done.problems)])
    if not any(read):
        raise ConfigError(done.problems[0] if done.problems else f"{log}: holds no line")
    in_flight = LOCAL_IN_FLIGHT if judge.kind == "local" else places(judge)
    shown = console or Console(quiet=True)

    async def score_all() -> list[Pair]:
        pairs: list[Pair] = []
        async with ReplyScorer(data.tasks, judge, measured=False) as scorer:

            async def again(line: LogLine) -> dict[str, Any]:
                if failed_only and line.reward is not None:
                    return {}
                return await _again(line, data, keys[line.place], scorer, judge_name)

            for lines, target in zip(read, targets, strict=True):
                with ResultFile(target, LogLine) as results:
                    waiting = results.waiting(lines, RESCORED, name, "replies", retry_failed)
                    done.summary.kept += len(lines) - len(waiting)
                    title, maker = f"scoring {target.name}", {RESCORED: name}
                    await ask_all(waiting, again, results, in_flight, title, shown, done.summary, maker)
                pairs += _pairs(lines, target)
        return pairs

    done.changes = changes_of(asyncio.run(score_all()))
    return done


def _numbered(place: str, content: dict[str, Any]) -> LogLine:
    return LogLine(place, {**content, SOURCE: int(place.rpartition(":")[2])})


def _is_usable(line: LogLine, data: DataRows, keys: dict[str, RowKey], problems: list[str]) -> bool:
    """Whether a line has a reply and a row; the row is noted, or the problem."""
    content = line.content
    if not isinstance(content.get("reply"), str):
        problems.append(f"{line.place}: has no `reply`, so that it cannot be scored again")
        return False
    if ROUNDS in content:
        number = str(content.get("id"))
        key = data.at(int(number)) if number.isdecimal() and len(number) < MAX_DIGITS else None
        wanted = f"row {number}"
    else:
        index, split, source = (content.get(name) for name in ("index", "split", "data_source"))
        key = data.find(index, split, source)
        wanted = f"row with `data_source` {source!r}, `extra_info.split` {split!r} and `extra_info.index` {index!r}"
    if key is None:
        problems.append(f"{line.place}: the data has no {wanted}; give all files of the run as --data")
        return False
    keys[line.place] = key
    return True


async def _again(line: LogLine, data: DataRows, key: RowKey, scorer: ReplyScorer, judge_name: str) -> dict[str, Any]:
    """What replaces the former judgement of a line."""
    try:
        row = await asyncio.to_thread(data.load, key)
        found = await scorer.score(key.task, line.content["reply"], row.reference(), "")
    except BadRow as error:
        return {"scored_ok": 0.0, FAILED: str(error)}
    except InfrastructureError as error:
        return {"scored_ok": 0.0, FAILED: f"{type(error).__name__}: {error}"}
    former = line.content
    if SEVERITIES not in former:
        found.pop(SEVERITIES)
    if RUN in former and ROUNDS not in former:
        policy, _, judged = str(former[RUN]).rpartition(" judged by ")
        found[RUN] = f"{policy} judged by {judge_name}{''.join(judged.partition(', with ')[1:])}"
    return {**found, **({"reward": found["score"]} if ROUNDS in former else {})}


def _pairs(lines: Sequence[LogLine], target: Path) -> list[Pair]:
    """The replies that both logs could score."""
    again: Mapping[str, LogLine] = {line.id: line for line in read_rows(target, LogLine)[0]}
    found = []
    for line in lines:
        after = again[line.id].reward
        if line.reward is not None and after is not None:
            found.append(Pair(line.group, line.reward, after))
    return found
