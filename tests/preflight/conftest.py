"""A run that is as it should be, to make others of."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

pytest.importorskip("verl")


from runs import Run, row, write

from visual_erm.testing.tiny_qwen3vl import build_tiny_qwen3vl


@pytest.fixture(autouse=True, scope="module")
def composed_quickly(hydra_reads_files_once: None) -> None: ...


@pytest.fixture(scope="session")
def good(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Nothing is wrong with it."""
    folder = tmp_path_factory.mktemp("good")
    build_tiny_qwen3vl(folder / "model")
    write(folder / "train.parquet", [row(index) for index in range(8)])
    write(folder / "test.parquet", [row(index, "test") for index in range(2)])
    return Run(folder)


@pytest.fixture
def run_copy(good: Run, tmp_path: Path) -> Run:
    """A copy of the good run, to break."""
    shutil.copytree(good.folder, tmp_path / "mine")
    return Run(tmp_path / "mine")
