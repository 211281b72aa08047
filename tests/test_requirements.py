"""The libraries that chart scripts import: setup.py's extras, the documentation, and the versions for older scripts."""

from __future__ import annotations

import os
import re
import runpy
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import setuptools
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from visual_erm.sandbox.backends.chart_libraries import LIBRARIES

ROOT = Path(__file__).parents[1]
OLDER = ROOT / "requirements" / "charts-2024.txt"


@pytest.fixture
def declared(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The arguments of setup.py."""
    found: dict[str, Any] = {}
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(setuptools, "setup", lambda **arguments: found.update(arguments))
    runpy.run_path("setup.py")
    return found


def named(requirements: list[str]) -> dict[str, Requirement]:
    return {canonicalize_name(Requirement(line).name): Requirement(line) for line in requirements}


def pins() -> dict[str, Requirement]:
    return named([line for line in OLDER.read_text().splitlines() if line and not line.startswith("#")])


def test_every_library_is_installed_by_what_the_list_says(declared: dict[str, Any]) -> None:
    for library in LIBRARIES:
        requirements = declared["extras_require"][library.extra] if library.extra else declared["install_requires"]
        assert library.distribution in named(requirements), library
    listed = {library.distribution for library in LIBRARIES if library.extra == "charts"}
    assert listed == named(declared["extras_require"]["charts"]).keys() <= named(declared["extras_require"]["dev"]).keys()


def test_the_documentation_lists_what_scripts_may_import() -> None:
    table = re.search(r"^\| a script imports \|.*\n\|[-|]+\|\n((?:\|.*\n)+)", (ROOT / "docs/sandbox.md").read_text(), re.M)
    assert table
    said = {
        module: re.findall(r"visual-erm\[(\w+)\]", installed)
        for modules, installed in re.findall(r"^\|([^|]+)\|([^|]+)\|$", table[1], re.M)
        for module in re.findall(r"`(\w+)`", modules)
    }
    assert said == {library.module: [library.extra] if library.extra else [] for library in LIBRARIES}


def test_versions_for_older_scripts_fit_what_is_declared(declared: dict[str, Any]) -> None:
    bounds = named(declared["install_requires"]) | named(declared["extras_require"]["charts"])
    for name, pin in pins().items():
        (exact,) = pin.specifier
        assert exact.operator == "=="
        assert bounds[name].specifier.contains(exact.version), name
    assert {"matplotlib", "numpy", "pandas", "scipy", "seaborn"} | named(
        declared["extras_require"]["charts"]
    ).keys() == set(pins())
    assert str(pins()["matplotlib"].specifier) == "==3.8.4"
    assert str(pins()["pandas"].specifier).startswith("==2.")


SCRIPTS_OF_2024 = {
    "an argument that was removed": "plt.boxplot([[1, 2], [2, 3]], labels=['a', 'b'])",
    "a function that was removed": "plt.plot([1, 2], color=plt.cm.get_cmap('jet')(0.5))",
    "a name of NumPy that was removed": "plt.plot([1, np.NaN, np.trapz([1, 2])], 'o')",
    "a frequency that was removed": "pd.Series(range(9), pd.date_range('2024', periods=9, freq='M')).plot()",
    "a library of the extra": "import squarify\nsquarify.plot([3, 2, 1])",
    "graphs": "import networkx\nnetworkx.draw_circular(networkx.petersen_graph())",
    "circles": "from matplotlib_venn import venn2\nvenn2([{1, 2}, {2, 3}])",
}
OFFLINE = ("error sending request", "failed to fetch", "dns error", "network connectivity is disabled")
"""What uv says, in small letters, where no index can be reached."""


@pytest.mark.long
def test_older_scripts_are_drawn_with_the_versions_for_them(tmp_path: Path) -> None:
    """Installs these versions in an environment of their own. It is left out where no package index can be reached."""
    python, uv = tmp_path / "env" / "bin" / "python", Path(sys.executable).with_name("uv")
    subprocess.run([uv, "venv", "-q", "--python", sys.executable, tmp_path / "env"], check=True, timeout=60)
    install = [uv, "pip", "install", "-q", "--python", python, "-r", OLDER, "-r", ROOT / "setup.py"]
    done = subprocess.run(install, capture_output=True, text=True, timeout=500)
    if any(word in done.stderr.lower() for word in OFFLINE):
        pytest.skip(done.stderr.splitlines()[0])
    assert done.returncode == 0, done.stderr
    folder = tmp_path / "scripts"
    folder.mkdir()
    for number, text in enumerate(SCRIPTS_OF_2024.values()):
        imports = "import matplotlib.pyplot as plt, numpy as np, pandas as pd"
        (folder / f"{number}.py").write_text(f"{imports}\n{text}\nplt.show()\n")
    render = [python, "-m", "visual_erm.cli", "render", "chart", folder, "--out", tmp_path / "images"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(render, env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(list((tmp_path / "images").glob("*.png"))) == len(SCRIPTS_OF_2024)
