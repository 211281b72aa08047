"""`ReplyLine`: one reply of a policy and what was found of it, as `eval run` writes it.

    lines, problems = read_lines(Path("outputs/eval/base.jsonl"))

A line is that of the rollout log (`visual_erm.reward.rollout_log.row_of`) with more entries:

    id           row and sample, for example `17-0`
    task         name of the task
    sample       number of the reply to its row, from 0
    reference    names the reference image: rows that share it are not independent
    run          policy, judge and measures
    severities   sum of severities by category; null where there is no report
    teds, edit_distance, ssim, dino     0 to 1, where they were measured
    unmeasured   why a measure has no value
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from visual_erm.errors import ConfigError
from visual_erm.evaluate.scoring import SEVERITIES, UNMEASURED
from visual_erm.jobs.rows import FAILED, BadRow, JobRow, read_rows

RUN = "run"
"""Key of a line that says how it was made."""


@dataclass(frozen=True)
class ReplyLine(JobRow):
    """One line of a file of `eval run`."""

    @property
    def failed(self) -> str:
        """Why there is no result, or why one of its measures has no value; empty where all is there."""
        missing = self.content.get(UNMEASURED) or {}
        return self.unscored or "; ".join(f"{name}: {reason}" for name, reason in missing.items())

    @property
    def unscored(self) -> str:
        """Why there is no reward; empty where there is one."""
        return str(self.content.get(FAILED) or "")

    @property
    def task(self) -> str:
        """Name of the task."""
        return str(self.content.get("task"))

    @property
    def row(self) -> str:
        """Names the row that the reply belongs to."""
        return row_name(self.content.get("split"), self.content.get("index"))

    @property
    def reference(self) -> str:
        """Says which lines share a reference image."""
        return str(self.content.get("reference") or self.row)

    def number(self, key: str) -> float:
        """Reads a figure.

        Args:
            key: Its key.

        Returns:
            The figure; NaN where there is none.
        """
        return number_of(self.content.get(key))

    def severities(self) -> Mapping[str, float]:
        """Sums of severities by category; empty where there is no report."""
        return {name: number_of(value) for name, value in (self.content.get(SEVERITIES) or {}).items()}


def number_of(value: object) -> float:
    """Reads a number of a line; NaN for all that is none, and for infinity."""
    if not isinstance(value, int | float):
        return math.nan
    try:
        found = float(value)
    except OverflowError:
        return math.nan
    return found if math.isfinite(found) else math.nan


def row_name(split: object, index: object) -> str:
    """Names a row of a data set: `test/17`, or `17` where rows have no split."""
    return f"{split}/{index}" if split else str(index)


def read_line(place: str, content: dict[str, object]) -> ReplyLine:
    """Makes a line of what a file holds.

    Args:
        place: `file:line`.
        content: The line.

    Returns:
        The line.

    Raises:
        BadRow: It is none of `eval run`.
    """
    texts = content.get(RUN), content.get("task")
    mappings = content.get(SEVERITIES, {}), content.get(UNMEASURED, {})
    if "sample" not in content or not all(isinstance(one, str) for one in texts):
        raise BadRow(f"{place}: is no line of `visual-erm eval run`")
    if not all(one is None or isinstance(one, Mapping) for one in mappings):
        raise BadRow(f"{place}: `{SEVERITIES}` and `{UNMEASURED}` must be mappings")
    return ReplyLine(place, content)


def read_lines(path: Path) -> tuple[list[ReplyLine], list[str]]:
    """Reads a file of `eval run`.

    Args:
        path: The file.

    Returns:
        The lines, and one message for each that cannot be used. A last line that was cut off is passed over.

    Raises:
        ConfigError: It cannot be read, or holds no such line.
    """
    lines, problems = read_rows(path, read_line)
    problems = without_cut_line(path, problems)
    if not lines:
        raise ConfigError(problems[0] if problems else f"{path}: holds no line; `visual-erm eval run` writes it")
    return lines, problems


def without_cut_line(path: Path, problems: Sequence[str]) -> list[str]:
    """Passes over a last line that was cut off, as that of a process that was killed.

    Args:
        path: The file.
        problems: Messages that begin with the file and the number of the line.

    Returns:
        The messages without that of a last line that does not end.
    """
    content = path.read_bytes()
    if not content or content.endswith(b"\n"):
        return list(problems)
    number = content.count(b"\n") + 1
    last = f"{path}:{number}: not a line of JSON"
    return [message for message in problems if not message.startswith(last)]
