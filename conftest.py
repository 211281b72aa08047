"""Which files pytest collects. To import every module would cost each process of the tests veRL, torch and Ray."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

NEEDS_VERL = re.compile(
    r"importorskip\(\"(verl|hydra)\"\)|pytestmark = .*\bmark\.(e2e|verl)\b|^@pytest\.mark\.e2e$", re.MULTILINE
)
"""What a test file says that as a whole needs veRL, vLLM or Slurm."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Adds `--quick`, which `make quick` gives."""
    parser.addoption("--quick", action="store_true", help="leave out the tests that need veRL, vLLM or Slurm")


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Ignores modules that hold neither tests nor examples; with `--quick` also test files that need veRL, unread."""
    if collection_path.suffix != ".py":
        return None
    text = collection_path.read_text(encoding="utf-8")
    if collection_path.name.startswith("test_"):
        shared = collection_path.with_name("conftest.py")
        texts = [text, shared.read_text(encoding="utf-8") if shared.exists() else ""]
        return (config.getoption("--quick") and any(map(NEEDS_VERL.search, texts))) or None
    return ">>> " not in text or None


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """With `--quick`, leaves out single tests that need veRL."""
    if not config.getoption("--quick"):
        return
    slow = [item for item in items if item.get_closest_marker("verl") or item.get_closest_marker("e2e")]
    config.hook.pytest_deselected(items=slow)
    items[:] = [item for item in items if item not in slow]
