"""ResultFile: JSON lines that are added one by one; a run that was killed goes on from them.

    with ResultFile(Path("answers.jsonl"), JobRow) as results:
        if "7" not in results.rows:
            results.add({"id": 7, "reply": "<table></table>"})

Commands that may be stopped at any moment write their files with it.
"""

from __future__ import annotations

import fcntl
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Generic

from typing_extensions import Self

from visual_erm.errors import ConfigError
from visual_erm.jobs.rows import R, read_rows
from visual_erm.spec.text import json_of_line


class ResultFile(Generic[R]):
    """A file of results, open for one process.

    A line is with the operating system when `add` returns: the process may be killed at any moment. The last line may be
    cut off then; the first `add` of the next run removes it. Nothing of a file changes before that.

    Args:
        path: The file. It is created where it is missing, and its folder too.
        make: Makes a row of the place and the content of a line. Raises BadRow.

    Raises:
        ConfigError: The file cannot be opened, another process adds to it, or a line is no result.
    """

    def __init__(self, path: Path, make: Callable[[str, dict[str, Any]], R]) -> None:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            if path.exists() and not path.is_file():
                raise ConfigError(f"{path}: cannot be written: it is no regular file")
            self._file = path.open("a+b", buffering=0)
        except OSError as error:
            raise ConfigError(f"{path}: cannot be written: {error.strerror}") from error
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self._file.close()
            raise ConfigError(f"{path}: another process adds to it; wait for it, or choose another file") from None
        self._path = path
        self._make = make
        self._whole = 0
        """Bytes of whole lines. What follows is a line that is cut off."""
        self._is_cut = False
        try:
            self.rows = self._read()
        except ConfigError:
            self._file.close()
            raise

    def waiting(self, rows: Sequence[R], key: str, name: str, results: str, retry_failed: bool) -> list[R]:
        """Finds the rows that have no result yet.

        Args:
            rows: The rows.
            key: Key of a result that names who made it, for example `judge`.
            name: Who makes results now.
            results: What the results are called in messages, for example `answers`.
            retry_failed: Whether a row whose result says that it failed waits again.

        Returns:
            The rows in their order.

        Raises:
            ConfigError: The file holds something else than such results, or those of another name.
        """
        makers = {str(row.content.get(key) or "") for row in self.rows.values()}
        if "" in makers:
            raise ConfigError(f"{self._path}: is no file of {results}; choose another file")
        if others := sorted(makers - {name}):
            raise ConfigError(
                f"{self._path}: holds {results} of {others[0]}, and this {key} is {name}; choose another file"
            )
        done = {name for name, row in self.rows.items() if not (retry_failed and row.failed)}
        return [row for row in rows if row.id not in done]

    def add(self, result: dict[str, Any]) -> None:
        """Adds a result.

        Args:
            result: What JSON can hold.

        Raises:
            ConfigError: The file cannot be written, for example because the disk is full.
        """
        # In ASCII: a judge may write what readers take for the end of a line, or what no file can hold.
        line = (json.dumps(result) + "\n").encode("ascii")
        try:
            if self._is_cut:
                self._file.truncate(self._whole)
            self._is_cut = True
            written = 0
            while written < len(line):
                written += self._file.write(line[written:])
        except OSError as error:
            raise ConfigError(
                f"{self._path}: cannot be written: {error.strerror}; the same command goes on from the file"
            ) from error
        self._whole += len(line)
        self._is_cut = False

    def close(self) -> None:
        """Closes the file."""
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _read(self) -> dict[str, R]:
        """The results by the id of their row."""
        self._file.seek(0)
        content = self._file.read()
        self._whole = content.rfind(b"\n") + 1
        rest = content[self._whole :]
        self._is_cut = bool(rest)
        if self._is_cut and (not rest.startswith(b"{") or _is_json(rest)):
            raise ConfigError(f"{self._path}: its last line is none of this command; choose another file")
        if not self._whole:
            return {}
        rows, problems = read_rows(self._path, self._make)
        if self._is_cut:
            problems = problems[:-1]
        if problems:
            raise ConfigError(f"{problems[0]}; give a file of this command, or a new one")
        return {row.id: row for row in rows}


def _is_json(line: bytes) -> bool:
    try:
        json_of_line(line)
    except ValueError:
        return False
    return True
