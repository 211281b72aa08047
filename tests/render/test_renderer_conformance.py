"""Every renderer of this package keeps the promises of the protocol `Renderer`."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from visual_erm.extract import Code
from visual_erm.kinds.chart import ChartSettings
from visual_erm.kinds.svg import SvgSettings
from visual_erm.kinds.table import TableSettings
from visual_erm.render.base import Renderer
from visual_erm.render.chart import ChartRenderer
from visual_erm.render.svg import SvgRenderer
from visual_erm.render.table import TableRenderer
from visual_erm.testing.renderer_conformance import check_renderer

CHART = "from matplotlib import pyplot; pyplot.plot([1, 2])"
SVG = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 2 2"><path d="M0 0h1v2h-1z"/></svg>'
CASES = {
    "table": (lambda: TableRenderer(TableSettings()), Code("html", "<table><tr><td>1"), Code("html", "<p></p>")),
    "chart": (lambda: ChartRenderer(ChartSettings()), Code("python", CHART), Code("python", "1 / 0")),
    "svg": (lambda: SvgRenderer(SvgSettings()), Code("svg", SVG), Code("svg", "<svg><svg")),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
async def test_a_renderer_keeps_its_promises(
    case: tuple[Callable[[], Renderer], Code, Code], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    await check_renderer(*case)
