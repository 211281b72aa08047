"""The files of VC-RewardBench: rows as published, in JSON lines or as one JSON list, and what the bench adds to them.

A row as published has

    id or idx        names the pair
    category         table, chart or svg
    gt_img_path      the reference image, relative to the images' root
    pred_img_path    the predicted image
    human_errors     the errors that a person found: a list of objects with `type`, `description` and `severity`

`bench run` adds `pred_json` and `error_parse_failed_reason` as published, `bench match` adds `matching` and `matcher`.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from visual_erm.bench.matching import LabeledError, Match, Matching
from visual_erm.bench.tally import BadMatching, errors_of
from visual_erm.errors import ConfigError
from visual_erm.jobs import rows as job_rows
from visual_erm.jobs.rows import BadRow, JobRow
from visual_erm.spec.task import load_task

CATEGORIES = ("table", "chart", "svg")
"""Categories of pairs; each is the name of a shipped task."""
IMAGES = ("gt_img_path", "pred_img_path")
"""Keys of a row's images: the reference, and the prediction."""
LEVELS = ("yes", "partial")
MATCH_KEYS = ("matching", "matcher", "matcher_tokens")
"""Keys that `bench match` adds to a row."""
RUN_KEYS = (
    "pred_json",
    "error_parse_failed_reason",
    "judge",
    "prompt_tokens",
    "reply_tokens",
    "seconds",
    "attempts",
)
"""Keys that `bench run` adds to a row."""


@dataclass(frozen=True)
class Row(JobRow):
    """One pair of a benchmark, and what was added to it."""

    @property
    def category(self) -> str:
        """The category of the pair. Raises BadRow."""
        found = self.content.get("category")
        if found not in CATEGORIES:
            raise BadRow(f"{self.place}: `category` is {json.dumps(found)}; known: {', '.join(CATEGORIES)}")
        return str(found)

    @property
    def reference(self) -> str:
        """What says which rows share a reference image."""
        return str(self.content.get(IMAGES[0]) or self.id)

    def path(self, key: str, root: Path) -> Path:
        """Finds an image.

        Args:
            key: `gt_img_path` or `pred_img_path`.
            root: The folder that paths are relative to.

        Returns:
            The image's path; the file exists.

        Raises:
            BadRow: The key holds no path, or there is no such file.
        """
        found = self.content.get(key)
        if not isinstance(found, str) or not found:
            raise BadRow(f"{self.place}: `{key}` must be the path of an image")
        path = root / found
        try:
            exists = path.is_file()
        except OSError as error:
            raise BadRow(f"{self.place}: `{key}`: {path} cannot be read: {error.strerror}") from error
        if not exists:
            raise BadRow(f"{self.place}: `{key}`: no file {path}; --root names the folder that paths are relative to")
        return path

    def truths(self, *, as_published: bool = False) -> list[LabeledError]:
        """Reads the errors that a person found.

        Args:
            as_published: Take an error's category from `type` only; else from `type` or `category`.

        Returns:
            The errors of the task's categories.

        Raises:
            BadRow: `human_errors` is no list.
        """
        items = self.content.get("human_errors")
        if not isinstance(items, list):
            raise BadRow(f"{self.place}: `human_errors` must be a list; an empty one says that there is no error")
        return errors_of(items, error_categories(self.category), ("type",) if as_published else ("type", "category"))

    def predictions(self) -> list[LabeledError]:
        """The errors that the judge reports; none where its reply was not read."""
        reply = self.content.get("pred_json")
        items = reply.get("errors") if isinstance(reply, dict) else reply
        return errors_of(items, error_categories(self.category), ("type", "category"))

    @property
    def is_answered(self) -> bool:
        """Whether a judge's answer was read."""
        return self.content.get("pred_json") is not None

    @property
    def judge(self) -> str:
        """The name of the judge that was asked; empty where none was."""
        return str(self.content.get("judge") or "")

    @property
    def matcher(self) -> str:
        """The name of the matcher; empty where the row was not matched."""
        return str(self.content.get("matcher") or "")

    def matching(self) -> Matching:
        """Reads what the matcher says.

        Returns:
            The matching.

        Raises:
            BadMatching: There is none: the row was not matched, or its matching failed.
        """
        found = self.content.get("matching")
        if not isinstance(found, dict):
            raise BadMatching(f"{self.place}: {self.failed or 'not matched; run `visual-erm bench match` on the file'}")
        return matching_of(found)


@cache
def error_categories(category: str) -> tuple[str, ...]:
    """The categories of errors that count for a category of pairs."""
    return tuple(load_task(category).report.categories)


def matching_of(content: dict[str, Any]) -> Matching:
    """Reads a matching in the published form.

    Args:
        content: `matches` with `pred_id`, `gt_id` and `match_level`, and `unmatched_pred` and `unmatched_gt`. Matches of
            another level, or with ids that are no whole numbers, are left out.

    Returns:
        The matching.

    Raises:
        BadMatching: `matches` is no list.
    """
    items = content.get("matches")
    if not isinstance(items, list):
        raise BadMatching("the matcher's reply has no list `matches`")
    matches = []
    for item in items:
        if isinstance(item, dict) and item.get("match_level") in LEVELS:
            ids = item.get("pred_id"), item.get("gt_id")
            if all(isinstance(number, int) for number in ids):
                matches.append(Match(*ids, item["match_level"]))  # type: ignore[arg-type]
    return Matching(tuple(matches), _ids(content, "unmatched_pred"), _ids(content, "unmatched_gt"))


def _ids(content: dict[str, Any], key: str) -> tuple[int, ...] | None:
    found = content.get(key)
    if not isinstance(found, list):
        return None
    if not all(isinstance(number, int) for number in found):
        raise BadMatching(f"`{key}` of the matcher's reply must hold whole numbers")
    return tuple(found)


def wire(matching: Matching) -> dict[str, Any]:
    """Writes a matching in the published form.

    Args:
        matching: The matching.

    Returns:
        What JSON can hold; see `matching_of`.
    """
    matches = [{"pred_id": one.prediction, "gt_id": one.truth, "match_level": one.level} for one in matching.matches]
    lists = {"unmatched_pred": matching.unmatched_predictions, "unmatched_gt": matching.unmatched_truths}
    return {"matches": matches, **{key: list(ids) for key, ids in lists.items() if ids is not None}}


def read_row(place: str, content: dict[str, Any]) -> Row:
    """Makes a row.

    Args:
        place: `file:line`, for messages.
        content: What the line holds.

    Returns:
        The row.

    Raises:
        BadRow: Its category is none of CATEGORIES.
    """
    row = Row(place, content)
    _ = row.category
    return row


def read_rows(path: Path) -> tuple[list[Row], list[str]]:
    """Reads a file of rows.

    Args:
        path: JSON lines, or one JSON list.

    Returns:
        The rows, and one message for each line that is no row. Of rows with one id the first counts that has not failed.

    Raises:
        ConfigError: The file cannot be read, or holds no row.
    """
    rows, problems = job_rows.read_rows(path, read_row)
    if not rows:
        raise ConfigError(f"{path}: holds no row of VC-RewardBench{''.join(f'; {one}' for one in problems[:1])}")
    return rows, problems


def with_truths(rows: Sequence[Row]) -> tuple[list[Row], list[str]]:
    """Finds the rows that say what a person found: without it, an answer counts for nothing.

    Args:
        rows: The benchmark.

    Returns:
        These rows, and one message for each other row.
    """
    found, problems = [], []
    for row in rows:
        try:
            row.truths()
            found.append(row)
        except BadRow as error:
            problems.append(str(error))
    return found, problems
