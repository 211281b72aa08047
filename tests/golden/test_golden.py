"""No result has changed since `expected.json` was written; README.md says how a deliberate change is told."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent


def test_every_sample_gets_what_it_got(request: pytest.FixtureRequest) -> None:
    """In a process of its own: one event loop for all, and this checkout before any that is installed."""
    part = ["--every", "48"] if request.config.getoption("--quick") else []
    root = HERE.parents[1]
    done = subprocess.run(
        [sys.executable, str(HERE / "run.py"), "--same-engines", *part],
        cwd=root,
        env={**os.environ, "PYTHONPATH": str(root)},
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    if done.returncode == 3:
        pytest.skip(done.stdout)
    assert done.returncode == 0, done.stdout
