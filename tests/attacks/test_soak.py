from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.long
def test_no_result_is_lost_or_crossed_and_nothing_grows(tmp_path: Path) -> None:
    figures = tmp_path / "figures.json"
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    command = [sys.executable, str(ROOT / "benchmarks" / "soak.py"), "--renders", "150", "--json", str(figures)]
    done = subprocess.run(
        command, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": str(temporary)}
    )
    assert figures.exists(), done.stderr
    written = json.loads(figures.read_text())
    fates = written["fates"]
    hostile = sum(written["attacks"].values())
    assert written["lost_or_crossed"] == 0, fates
    assert hostile > 8
    assert fates["right"] == 150 - hostile
    assert fates["stopped"] > hostile / 2
    assert all(written["flat"][what] for what in ("processes", "descriptors", "files")), written["growth"]
    assert list(temporary.iterdir()) == []
