"""Which modules are looked at for examples: to import all would cost every process of the tests veRL, torch and Ray."""

from __future__ import annotations

from pathlib import Path


def pytest_ignore_collect(collection_path: Path) -> bool | None:
    """Those that are no tests and show none."""
    if collection_path.suffix != ".py" or collection_path.name.startswith("test_"):
        return None
    return ">>> " not in collection_path.read_text() or None
