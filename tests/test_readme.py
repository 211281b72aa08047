"""The README: its length, its commands, its example, its links, and its image, which is drawn again."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

ROOT = Path(__file__).parents[1]
BIN = shlex.quote(str(Path(sys.executable).parent))
README = (ROOT / "README.md").read_text(encoding="utf-8")

ELSEWHERE = {
    ".venv/bin/visual-erm preflight task=table policy=tiny cluster=cpu": ROOT / "tests" / "preflight" / "test_preflight.py",
    "make test": ROOT / ".ci" / "run",
    "make demo": ROOT / "tests" / "e2e" / "test_make_demo.py",
}
"""Command -> the file that runs it, for those that take minutes; the demo is run by its own test."""

COMMANDS = [
    line.strip()
    for block in re.findall(r"^```bash\n(.*?)^```", README, flags=re.DOTALL | re.MULTILINE)
    for line in block.splitlines()
    if line.strip()
]


def test_the_readme_has_at_most_900_words() -> None:
    assert len(README.split()) <= 900


def test_the_readme_has_the_two_commands() -> None:
    assert {"make demo", "make test"} <= set(COMMANDS)


@pytest.mark.parametrize("command", [c for c in COMMANDS if c in ELSEWHERE])
def test_long_commands_are_run_elsewhere(command: str) -> None:
    assert Path(command.split()[1]).name in ELSEWHERE[command].read_text(encoding="utf-8")


def test_short_commands_print_what_the_readme_shows(tmp_path: Path) -> None:
    short = [c for c in COMMANDS if c not in ELSEWHERE]
    assert short
    for command in short:
        here = command.replace(".venv/bin/", f"{BIN}/").replace("outputs/", f"{tmp_path}/")
        done = subprocess.run(["bash", "-c", here], cwd=ROOT, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
        shown = re.search(r"\n\n((?:    .*\n)+)", README[README.index(command) :])
        assert shown is not None
        assert done.stdout.split() == shown[1].split()


def test_the_python_example_is_the_file_and_prints_the_report() -> None:
    (shown,) = re.findall(r"^```python\n(.*?)^```", README, re.DOTALL | re.MULTILINE)
    example = ROOT / "examples" / "score_one_reply.py"
    assert example.read_text(encoding="utf-8").endswith(shown)
    assert shown in (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
    done = subprocess.run([sys.executable, example], cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert "reward 1.94" in done.stdout
    assert "numeric_error" in done.stdout


def test_the_links_lead_somewhere() -> None:
    for target in re.findall(r"\]\((?!https?:)([^)#]+)\)", README):
        assert (ROOT / target).exists(), target


@pytest.mark.long
def test_the_image_is_what_this_version_draws(tmp_path: Path) -> None:
    again = tmp_path / "again.png"
    command = [sys.executable, "docs/scripts/draw_readme_image.py", str(again)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    with Image.open(ROOT / "docs" / "readme.png") as shown, Image.open(again) as drawn:
        assert shown.size == drawn.size
        # The report's text and the version are drawn with a font that comes with matplotlib: they are equal to the pixel.
        difference = np.abs(np.asarray(shown, dtype=int) - np.asarray(drawn, dtype=int))
    assert difference[:, 708:].max() == 0
    assert difference[-24:].max() == 0
    assert difference.mean() < 1
