"""Rows of long jobs: what is read from files of JSON lines or from one JSON list, and what a job added to them.

rows, problems = read_rows(Path("answers.jsonl"), JobRow)
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from typing_extensions import Self

from visual_erm.errors import ConfigError
from visual_erm.spec.text import json_of_line, jsonl_lines, read_text

FAILED = "failed_reason"
"""Key of a result that says why there is none. Such a result counts for nothing. A later one of the same row takes its
place."""


class BadRow(ConfigError):
    """A row cannot be used. The message names the file, the line, the key and the fix."""


@dataclass(frozen=True)
class JobRow:
    """One row of a file."""

    place: str
    """`file:line`, for messages."""
    content: dict[str, Any]

    @property
    def id(self) -> str:
        """The name of the row. Raises BadRow."""
        found = next((self.content[key] for key in ("id", "idx") if self.content.get(key) is not None), None)
        if not isinstance(found, str | int) or isinstance(found, bool):
            raise BadRow(f"{self.place}: needs `id` or `idx`, a text or a whole number")
        return str(found)

    @property
    def failed(self) -> str:
        """Why there is no result; empty where there is one."""
        return str(self.content.get(FAILED) or "")

    def without(self, keys: Collection[str]) -> Self:
        """The row without some of its keys."""
        return type(self)(self.place, {key: value for key, value in self.content.items() if key not in keys})


R = TypeVar("R", bound=JobRow)


def read_rows(path: Path, make: Callable[[str, dict[str, Any]], R]) -> tuple[list[R], list[str]]:
    """Reads a file of rows.

    Args:
        path: JSON lines, or one JSON list.
        make: Makes a row of its place and its content. Raises BadRow.

    Returns:
        The rows, and one message for each line that is no row. Of rows with one id the first counts that has not failed.

    Raises:
        ConfigError: The file cannot be read.
    """
    rows: dict[str, R] = {}
    problems: list[str] = []
    for place, content in _contents(path):
        try:
            if isinstance(content, ValueError):
                raise BadRow(f"{place}: not a line of JSON: {content}")
            if not isinstance(content, dict):
                raise BadRow(f"{place}: not a JSON object")
            row = make(place, content)
            former = rows.get(row.id)
            if former is not None and not former.failed:
                raise BadRow(f"{place}: the id {row.id} is that of {former.place} too")
            rows[row.id] = row
        except BadRow as error:
            problems.append(str(error))
    return list(rows.values()), problems


def _contents(path: Path) -> Iterator[tuple[str, Any]]:
    try:
        with path.open("rb") as file:
            is_list = file.read(512).lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"[")
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error
    if is_list:
        try:
            items: Sequence[Any] = json_of_line(read_text(path).encode(errors="replace"))
        except ValueError as error:
            raise ConfigError(f"{path}: not a JSON list: {error}") from error
        yield from ((f"{path}: item {number}", item) for number, item in enumerate(items, 1))
        return
    for number, line in enumerate(jsonl_lines(path), 1):
        if line.strip():
            try:
                content = json_of_line(line)
            except ValueError as error:
                content = error
            yield f"{path}:{number}", content
