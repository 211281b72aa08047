"""Real Chromium for every test of the renderers."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from visual_erm.kinds.table import TableSettings
from visual_erm.render.table import TableRenderer


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def renderer() -> AsyncIterator[TableRenderer]:
    """One warm renderer for all tests of a module: each must draw right whatever the others drew."""
    shared = TableRenderer(TableSettings(), pages=2)
    yield shared
    await shared.close()


@pytest.fixture
def settings() -> TableSettings:
    return TableSettings()
