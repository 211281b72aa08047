"""Which files pytest collects. To import every module would cost each process of the tests veRL, torch and Ray."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

NEEDS_VERL = re.compile(
    r"^(import|from) (ray|verl|vllm)\b|^from visual_erm\.training\.(ray|verl)_internals\b|importorskip\(\"(verl|hydra)\"\)"
    r"|pytestmark = .*\bmark\.(e2e|verl)\b|^@pytest\.mark\.e2e$",
    re.MULTILINE,
)
"""What a test file says that as a whole needs veRL, vLLM or Slurm."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Adds `--quick`, which `make quick` gives."""
    parser.addoption("--quick", action="store_true", help="leave out what needs veRL, vLLM or Slurm, and what is long")


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Ignores modules that hold neither tests nor examples; with `--quick` also what needs veRL, without importing it."""
    quick = config.getoption("--quick")
    if collection_path.is_dir():
        shared = collection_path / "conftest.py"
        return (quick and shared.exists() and _needs_verl(shared)) or None
    if collection_path.suffix != ".py":
        return None
    if quick and _needs_verl(collection_path):
        return True
    is_test = collection_path.name.startswith("test_")
    return None if is_test or ">>> " in collection_path.read_text(encoding="utf-8") else True


def _needs_verl(file: Path) -> bool:
    return file != Path(__file__) and NEEDS_VERL.search(file.read_text(encoding="utf-8")) is not None


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """With `--quick`, leaves out single tests that need veRL, and those that are long."""
    if not config.getoption("--quick"):
        return
    slow = [item for item in items if any(item.get_closest_marker(name) for name in ("verl", "e2e", "long"))]
    config.hook.pytest_deselected(items=slow)
    items[:] = [item for item in items if item not in slow]
