"""Real Chromium for every test of the renderers."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from visual_erm.render.table import TableRenderer
from visual_erm.task import RenderSettings


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def renderer() -> AsyncIterator[TableRenderer]:
    """One warm renderer for all tests of a module: each must draw right whatever the others drew."""
    shared = TableRenderer(RenderSettings(renderer="table"), pages=2)
    yield shared
    await shared.close()


@pytest.fixture
def settings() -> RenderSettings:
    return RenderSettings(renderer="table")
