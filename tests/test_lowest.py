"""The lower bounds of setup.py are those that requirements/lowest.sh tested."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_every_lower_bound_is_a_version_that_was_tested() -> None:
    setup = (ROOT / "setup.py").read_text(encoding="utf-8")
    bounds = dict(re.findall(r'"([A-Za-z][\w.-]*)(?:\[\w+\])?>=([\d.]+)', setup))
    lines = (ROOT / "requirements" / "lowest.txt").read_text(encoding="utf-8").splitlines()
    tested = dict(line.split("==") for line in lines if not line.startswith("#"))
    assert len(bounds) > 30
    assert bounds == tested, "run requirements/lowest.sh"
