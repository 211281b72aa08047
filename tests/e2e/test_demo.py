"""`make demo`, as a newcomer types it, but for its length and the two minutes of warm start."""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import asdict
from pathlib import Path

import pytest

from visual_erm.verl_cpu.demo import ROLLOUTS
from visual_erm.verl_cpu.tiny_data import BATCH
from visual_erm.verl_cpu.tiny_model import build_tiny_qwen3vl
from visual_erm.verl_cpu.warm_start import WarmStart

ROOT = Path(__file__).parents[2]
STEPS = 3

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]


def test_make_demo_trains_counts_its_rewards_and_shows_what_happened(tmp_path: Path) -> None:
    build_tiny_qwen3vl(tmp_path / "policy")
    # The stage counts as done: a policy that knows nothing stands in for the one that was warm-started.
    (tmp_path / "policy.made.json").write_text(json.dumps({"warm_start": asdict(WarmStart())}))
    command = ["make", "demo", f"STEPS={STEPS}", f"OUT={tmp_path}"]
    environment = {key: value for key, value in os.environ.items() if key not in ("MAKEFLAGS", "MAKELEVEL", "MFLAGS")}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    log = tmp_path / "seed0" / "log"
    assert done.returncode == 0, done.stdout + done.stderr + (log.read_text()[-3000:] if log.exists() else "")

    summary = json.loads((tmp_path / "seed0" / "summary.json").read_text())
    calls = STEPS * BATCH * ROLLOUTS
    assert summary["reward_calls"] == {"expected": calls, "counted": calls, "wrong_prompts": {}, "ok": True}
    assert (tmp_path / "seed0" / "steps.png").stat().st_size > 5000
    for step in ("step01", f"step{STEPS:02d}"):
        shown = list((tmp_path / "seed0" / "rollouts" / step).iterdir())
        assert shown and all((folder / "reference.png").exists() and (folder / "report.json").exists() for folder in shown)
