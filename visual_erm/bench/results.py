"""ResultFile: JSON lines that are added one by one; a run that was killed goes on from them.

    with ResultFile(Path("answers.jsonl")) as results:
        if "7" not in results.rows:
            results.add({"id": 7, "category": "table", "pred_json": {"errors": []}})

`bench run` and `bench match` write their files with it.
"""

from __future__ import annotations

import fcntl
import json
from pathlib import Path
from typing import Any

from visual_erm.bench.rows import Row, read_rows
from visual_erm.errors import ConfigError


class ResultFile:
    """A file of results, open for one process.

    A line is with the operating system when `add` returns: the process may be killed at any moment. The last line may be
    cut off then; the next run removes it.

    Args:
        path: The file. It is created where it is missing, and its folder too.

    Raises:
        ConfigError: The file cannot be opened, another process adds to it, or a line is no result.
    """

    def __init__(self, path: Path) -> None:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = path.open("a+b")
        except OSError as error:
            raise ConfigError(f"{path}: cannot be written: {error.strerror}") from error
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self._file.close()
            raise ConfigError(f"{path}: another process adds to it; wait for it, or choose another file") from None
        try:
            self.rows = self._read(path)
        except ConfigError:
            self._file.close()
            raise

    def add(self, result: dict[str, Any]) -> None:
        """Adds a result.

        Args:
            result: What JSON can hold.

        Raises:
            OSError: The file cannot be written.
        """
        # In ASCII: a judge may write what readers take for the end of a line, or what no file can hold.
        self._file.write((json.dumps(result) + "\n").encode("ascii"))
        self._file.flush()

    def close(self) -> None:
        """Closes the file."""
        self._file.close()

    def __enter__(self) -> ResultFile:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _read(self, path: Path) -> dict[str, Row]:
        """The results by the name of their pair. A last line that is cut off is removed."""
        self._file.seek(0)
        content = self._file.read()
        whole = content.rfind(b"\n") + 1
        if whole < len(content):
            self._file.truncate(whole)
        if not whole:
            return {}
        rows, problems = read_rows(path)
        if problems:
            raise ConfigError(f"{problems[0]}; give a file of this command, or a new one")
        return {row.id: row for row in rows}
