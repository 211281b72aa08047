"""ChartRenderer with its sandbox: scripts of every kind."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from importlib.metadata import version
from pathlib import Path

import pytest
import pytest_asyncio
from PIL import Image

from visual_erm.errors import BlankImage, RenderFailed, RenderLimit, Tampering
from visual_erm.extract import Code
from visual_erm.kinds.chart import ChartSettings
from visual_erm.render.base import make_renderer
from visual_erm.render.chart import ChartRenderer
from visual_erm.vision.images import on_white

pytestmark = pytest.mark.asyncio(loop_scope="module")

GALLERY = sorted(Path(__file__).with_name("gallery").glob("*.py"))
COLD = ("legend_outside", "seaborn_heatmap", "surface_3d")
"""Scripts that save a PNG and draw nothing at random."""


def script(name: str) -> Path:
    return Path(__file__).with_name("gallery") / f"{name}.py"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def renderer() -> AsyncIterator[ChartRenderer]:
    """Two workers for all tests of the module."""
    shared = ChartRenderer(ChartSettings(timeout_s=60), workers=2)
    yield shared
    await shared.close()


@pytest.mark.parametrize("path", GALLERY, ids=lambda path: path.stem)
async def test_a_script_of_any_kind_draws_the_same_pixels_twice(path: Path, renderer: ChartRenderer) -> None:
    code = Code("python", path.read_text())
    first, second = await asyncio.gather(renderer.render(code), renderer.render(code))
    assert first.size == second.size and first.tobytes() == second.tobytes()
    assert first.mode == "RGB" and len(first.getcolors(1 << 24) or ()) > 10


@pytest.mark.parametrize("name", COLD)
async def test_pixels_are_those_of_the_script_in_a_python_of_its_own(
    name: str, renderer: ChartRenderer, tmp_path: Path
) -> None:
    environment = os.environ | {"MPLBACKEND": "Agg"}
    subprocess.run([sys.executable, str(script(name))], cwd=tmp_path, env=environment, check=True)
    (saved,) = tmp_path.glob("*.png")
    cold, warm = on_white(Image.open(saved)), await renderer.render(Code("python", script(name).read_text()))
    assert cold.size == warm.size and cold.tobytes() == warm.tobytes()


@pytest.mark.parametrize(
    "text, fault, reason",
    [
        ("import matplotlib.pyplot as plt\nplt.plot([1], [1, 2])", RenderFailed, "ValueError, line 2: x and y must"),
        ("import matplotlib.pyplot as plt\nplt.figure()", BlankImage, "nothing is drawn"),
        ("import numpy\nnumpy.ones(10**10)", RenderLimit, "memory|allocate"),
        ("import matplotlib.pyplot as plt\nplt.figure(figsize=(99, 99)).text(0, 0, 'a')", RenderLimit, "9900x9900 pixels"),
        ("open('/data/reference.png')", Tampering, "reference.png"),
    ],
)
async def test_the_code_is_told_why_it_has_no_image(
    text: str, fault: type[Exception], reason: str, renderer: ChartRenderer
) -> None:
    with pytest.raises(fault, match=reason):
        await renderer.render(Code("python", text))


async def test_settings_of_a_chart_make_this_renderer() -> None:
    renderer = make_renderer(ChartSettings(), 1)
    assert isinstance(renderer, ChartRenderer)
    assert renderer.renderer_version == f"matplotlib {version('matplotlib')}"
    await renderer.close()
