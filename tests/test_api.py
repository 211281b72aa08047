"""The public API: what `from visual_erm import …` gives, at no cost before it is used."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import visual_erm

ROOT = Path(__file__).parents[1]


def test_every_public_name_is_there() -> None:
    assert all(getattr(visual_erm, name) is not None for name in visual_erm.__all__)


def test_importing_the_package_loads_nothing_heavy() -> None:
    heavy = "import sys, visual_erm; print([m for m in ('torch', 'ray', 'verl', 'numpy', 'PIL') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", heavy], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_the_version_has_one_source() -> None:
    command = [sys.executable, "-m", "visual_erm.cli", "--version"]
    said = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT).stdout
    assert said == f"visual-erm {visual_erm.__version__}\n"
    assert f'version="{visual_erm.__version__}"' not in (ROOT / "setup.py").read_text(encoding="utf-8")


def test_its_types_are_marked_for_type_checkers() -> None:
    assert (ROOT / "visual_erm" / "py.typed").is_file()
