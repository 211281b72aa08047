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
from visual_erm.sandbox.backends.chart_libraries import LIBRARIES, Library, installed_version
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


@pytest.mark.long
@pytest.mark.parametrize("path", GALLERY, ids=lambda path: path.stem)
async def test_a_script_of_any_kind_draws_the_same_pixels_twice(path: Path, renderer: ChartRenderer) -> None:
    code = Code("python", path.read_text())
    first, second = await asyncio.gather(renderer.render(code), renderer.render(code))
    assert first.size == second.size and first.tobytes() == second.tobytes()
    assert first.mode == "RGB" and len(first.getcolors(1 << 24) or ()) > 10


def cold(script: str, folder: Path) -> Image.Image:
    """The PNG that a script saves in a Python of its own."""
    environment = os.environ | {"MPLBACKEND": "Agg"}
    subprocess.run([sys.executable, "-c", script], cwd=folder, env=environment, check=True)
    (saved,) = folder.glob("*.png")
    return on_white(Image.open(saved))


@pytest.mark.long
@pytest.mark.parametrize("name", COLD)
async def test_pixels_are_those_of_the_script_in_a_python_of_its_own(
    name: str, renderer: ChartRenderer, tmp_path: Path
) -> None:
    code = script(name).read_text()
    expected, image = cold(code, tmp_path), await renderer.render(Code("python", code))
    assert expected.size == image.size and expected.tobytes() == image.tobytes()


@pytest.mark.parametrize("layout", ["tight", "constrained", "compressed"])
async def test_a_second_save_has_the_layout_that_plain_python_gives_it(
    layout: str, renderer: ChartRenderer, tmp_path: Path
) -> None:
    code = f"""
import matplotlib.pyplot as plt
figure, axes = plt.subplots(2, 2, figsize=(4, 3), layout="{layout}")
for ax in axes.flat:
    ax.set_title("A long title")
    ax.set_ylabel("label")
    ax.imshow([[1, 2, 3, 4], [5, 6, 7, 8]])
plt.savefig("a.png", dpi=150)
plt.savefig("a.png", dpi=150)"""
    expected, image = cold(code, tmp_path), await renderer.render(Code("python", code))
    assert expected.size == image.size and expected.tobytes() == image.tobytes()


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


REMOVED = {
    "an argument of a function": ("plt.boxplot([1], labelz=['a'])", ("matplotlib",)),
    "an argument of a method": ("plt.gca().boxplot([1], labelz=['a'])", ("matplotlib",)),
    "an argument by a name of its own": ("from seaborn import despine\ndespine(shadow=1)", ("seaborn",)),
    "a function": ("plt.cm.get_mapp('jet')", ("matplotlib",)),
    "a name that is imported": ("from matplotlib.cm import get_mapp", ("matplotlib",)),
    "a module": ("import mpl_toolkits.basemapp", ("matplotlib",)),
    "a method": ("import pandas as pd\npd.DataFrame().appendd(1)", ("pandas",)),
    "a value": ("import pandas as pd\npd.date_range('2020', periods=3, freq='XQ')", ("pandas",)),
    "a style": ("plt.style.use('seaborn-no')", ("matplotlib",)),
    "through another": ("import seaborn as sns\nsns.barplot(x=['a'], y=[1], colr=1)", ("seaborn", "matplotlib")),
}
"""What the installed versions do not have, in a script, and the libraries whose versions the reason names."""


@pytest.mark.parametrize(("text", "libraries"), REMOVED.values(), ids=REMOVED)
async def test_the_reason_names_the_versions_that_a_script_met(
    text: str, libraries: tuple[str, ...], renderer: ChartRenderer
) -> None:
    with pytest.raises(RenderFailed) as failed:
        await renderer.render(Code("python", f"import matplotlib.pyplot as plt\n{text}"))
    assert str(failed.value).endswith(f"; installed: {', '.join(f'{name} {version(name)}' for name in libraries)}")


@pytest.mark.parametrize(
    "text",
    [
        "def plot(x): pass\nplot(y=1)",
        "[].plot()",
        "raise KeyError('boxplot')",
        "import plotly_of_nobody",
        "import shutil.no",
    ],
)
async def test_the_reason_names_no_version_where_no_library_is_concerned(text: str, renderer: ChartRenderer) -> None:
    with pytest.raises(RenderFailed) as failed:
        await renderer.render(Code("python", f"import matplotlib.pyplot as plt\n{text}"))
    assert "installed:" not in str(failed.value) and "pip install" not in str(failed.value)


@pytest.mark.parametrize("library", [library for library in LIBRARIES if library.extra], ids=lambda library: library.module)
async def test_the_reason_names_the_extra_of_a_library_that_is_missing(library: Library, renderer: ChartRenderer) -> None:
    hidden = f"import sys\nsys.modules['{library.module}'] = None\nimport {library.module}"
    with pytest.raises(
        RenderFailed, match=rf"^ModuleNotFoundError, line 3: .*; pip install 'visual-erm\[{library.extra}\]'$"
    ):
        await renderer.render(Code("python", hidden))


@pytest.mark.parametrize("library", LIBRARIES, ids=lambda library: library.module)
async def test_scripts_can_import_what_is_installed(library: Library, renderer: ChartRenderer) -> None:
    if not installed_version(library):
        pytest.skip(f"{library.distribution} is not installed")
    drawn = f"import {library.module}\nimport matplotlib.pyplot as plt\nplt.plot([1, 2])"
    assert await renderer.render(Code("python", drawn))


OF_THE_EXTRA = {
    "networkx": "networkx.draw_circular(networkx.petersen_graph(), with_labels=True)",
    "squarify": "squarify.plot([4, 3, 2], label=['a', 'b', 'c'], color=['r', 'g', 'b'])",
    "matplotlib_venn": "matplotlib_venn.venn3([{1, 2}, {2, 3}, {1, 3}], ('a', 'b', 'c'))",
}


async def test_libraries_of_the_extra_draw_as_in_a_python_of_their_own(renderer: ChartRenderer, tmp_path: Path) -> None:
    for module, text in OF_THE_EXTRA.items():
        pytest.importorskip(module)
        imports = f"import {module}\nimport matplotlib.pyplot as plt"
        (tmp_path / f"{module}.script").write_text(f"{imports}\n{text}\nplt.savefig('{module}.png')\nplt.close()\n")
    scripts = sorted(tmp_path.glob("*.script"))
    run = [sys.executable, "-c", "import runpy, sys\nfor path in sys.argv[1:]: runpy.run_path(path)", *map(str, scripts)]
    subprocess.run(run, cwd=tmp_path, env=os.environ | {"MPLBACKEND": "Agg"}, check=True)
    assert len(scripts) == len(OF_THE_EXTRA)
    for path in scripts:
        cold, warm = on_white(Image.open(path.with_suffix(".png"))), await renderer.render(Code("python", path.read_text()))
        assert cold.size == warm.size and cold.tobytes() == warm.tobytes(), path.stem


@pytest.mark.parametrize(
    ("text", "program"),
    [
        ("plt.rc('text', usetex=True)\nplt.title('a')", "latex"),
        ("plt.title('a', usetex=True)", "latex"),
        ("from matplotlib.backends.backend_pgf import LatexManager\nLatexManager()", "xelatex"),
    ],
)
async def test_the_reason_names_the_program_that_a_library_needs(text: str, program: str, renderer: ChartRenderer) -> None:
    with pytest.raises(RenderFailed, match=f"it needs the program `{program}`, and scripts cannot start programs$"):
        await renderer.render(Code("python", f"import matplotlib.pyplot as plt\n{text}"))


async def test_settings_of_a_chart_make_this_renderer() -> None:
    renderer = make_renderer(ChartSettings(), 1)
    assert isinstance(renderer, ChartRenderer)
    assert renderer.renderer_version == f"matplotlib {version('matplotlib')}"
    await renderer.close()
