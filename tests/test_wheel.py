"""The wheel, installed where the checkout is out of sight, works from any directory."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The `bin` folder of an environment that holds the wheel alone, over this environment's dependencies."""
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--no-isolation", "-o", folder, ROOT], check=True, capture_output=True
    )
    (wheel,) = folder.glob("*.whl")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder / "env"], check=True)
    site = next((folder / "env" / "lib").glob("python*/site-packages"))
    uv = Path(sys.executable).with_name("uv")
    install = [uv, "pip", "install", "-q", "--offline", "--no-deps", "--python", folder / "env" / "bin" / "python", wheel]
    subprocess.run(install, check=True)
    # The dependencies are this environment's, appended after the wheel; its editable checkout is not among them.
    packages = next(Path(p) for p in sys.path if p.endswith("site-packages"))
    (site / "dependencies.pth").write_text(f"import sys; sys.path.append({str(packages)!r})\n")
    return folder / "env" / "bin"


def run(installed: Path, cwd: Path, *words: object) -> str:
    env = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    done = subprocess.run([*map(str, words)], cwd=cwd, env=env, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_it_holds_its_own_configuration(installed: Path, tmp_path: Path) -> None:
    where = "import visual_erm.spec.base as s; print(s.shipped('configs')); print(s.shipped('reward_func'))"
    configs, rewards = run(installed, tmp_path, installed / "python", "-c", where).split()
    assert Path(configs).is_relative_to(installed.parent)
    for name in ("table", "chart", "svg"):
        assert (Path(configs) / "task" / f"{name}.yaml").is_file()
        assert (Path(configs) / "task" / "prompts" / f"{name}.txt").is_file()
    for name in ("visual_erm", "teds"):
        assert (Path(configs) / "reward" / f"{name}.yaml").is_file()
    assert (Path(rewards) / "visual_equivalence.py").is_file()


def test_it_scores_from_any_directory(installed: Path, tmp_path: Path) -> None:
    example = ROOT / "examples" / "table"
    words = ("score", "table", "--reference", example / "reference.png", "--response", example / "reply.txt", "--json")
    assert json.loads(run(installed, tmp_path, installed / "visual-erm", *words))["score"] == 2.0
