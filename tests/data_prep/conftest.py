"""The command line of the scripts, in the process of the tests."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

CommandLine = Callable[[ModuleType], Callable[..., tuple[int, str]]]


@pytest.fixture
def command_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> CommandLine:
    """Runs a script of data_prep/ in `tmp_path`: exit code and what it says."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")

    def of(module: ModuleType) -> Callable[..., tuple[int, str]]:
        def run(*words: object) -> tuple[int, str]:
            monkeypatch.setattr(sys, "argv", [module.__name__, *map(str, words)])
            with pytest.raises(SystemExit) as ended:
                module.script.main()
            return int(ended.value.code or 0), capsys.readouterr().err

        return run

    return of
