"""Every command in the README is run: here, by an end-to-end test, or by `.ci/run`."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")

ELSEWHERE = {
    ".venv/bin/visual-erm preflight task=table policy=tiny cluster=cpu": ROOT / "tests" / "preflight" / "test_preflight.py",
    "make test": ROOT / ".ci" / "run",
    "make demo": ROOT / "tests" / "e2e" / "test_make_demo.py",
    "bash rl_scripts/run_tiny_cpu.sh run_dir=outputs/tiny/again": ROOT / "visual_erm" / "demo" / "run.py",
}
"""Command -> the file that runs it, for those that take minutes; the demo is run by its own test."""

COMMANDS = [
    line.strip()
    for block in re.findall(r"^```bash\n(.*?)^```", README, flags=re.DOTALL | re.MULTILINE)
    for line in block.splitlines()
    if line.strip()
]


def test_the_readme_has_the_two_commands() -> None:
    assert {"make demo", "make test"} <= set(COMMANDS)


@pytest.mark.parametrize("command", [c for c in COMMANDS if c in ELSEWHERE])
def test_long_commands_are_run_elsewhere(command: str) -> None:
    assert Path(command.split()[1]).name in ELSEWHERE[command].read_text(encoding="utf-8")


def test_short_commands_do_what_they_say(tmp_path: Path) -> None:
    short = [c for c in COMMANDS if c not in ELSEWHERE]
    assert len(short) >= 4
    for command in short:
        here = command.replace(".venv/bin/", f"{Path(sys.executable).parent}/").replace("outputs/", f"{tmp_path}/")
        done = subprocess.run(["bash", "-c", here], cwd=ROOT, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"


def test_the_links_lead_somewhere() -> None:
    for target in re.findall(r"\]\((?!https?:)([^)#]+)\)", README):
        assert (ROOT / target).exists(), target
