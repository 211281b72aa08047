"""Tables of the tests of `refine`: a module says how many as TABLES."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from PIL import Image
from policies import drawn, markup_of, write_rows


@pytest.fixture(scope="module")
def truths(request: pytest.FixtureRequest) -> list[tuple[str, Image.Image]]:
    """The code of each table, and its image."""
    codes = [markup_of(number) for number in range(request.module.TABLES)]
    return list(zip(codes, asyncio.run(drawn(codes)), strict=True))


@pytest.fixture(scope="module")
def rows(truths: list[tuple[str, Image.Image]], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A parquet file of the tables."""
    return write_rows(tmp_path_factory.mktemp("rows") / "test.parquet", [image for _, image in truths])
