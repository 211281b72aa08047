"""Honest answers in another layout are left alone; a judge that reports nothing does not hide what is wrong with others."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

HONEST = Path(__file__).resolve().parents[2] / "benchmarks" / "honest.py"


@pytest.mark.long
def test_honest_drawings_are_left_alone_and_most_others_are_not() -> None:
    command = [sys.executable, str(HONEST), "--task", "svg", "--answers", "30", "--seed", "7"]
    said = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False).stdout
    assert "svg: 0 of 30 honest answers raised" in said
    missed = int(said.split("honest answers raised, ")[1].split()[0])
    assert missed <= 6
