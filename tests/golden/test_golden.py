"""No result has changed since `expected.json` was written; README.md says how a deliberate change is told."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent


@pytest.mark.long
def test_every_sample_gets_what_it_got() -> None:
    """In a process of its own: one event loop for all, and this checkout before any that is installed."""
    root = HERE.parents[1]
    done = subprocess.run(
        [sys.executable, str(HERE / "run.py"), "--same-engines"],
        cwd=root,
        env={**os.environ, "PYTHONPATH": str(root)},
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    if done.returncode == 3:
        pytest.skip(done.stdout)
    assert done.returncode == 0, done.stdout
