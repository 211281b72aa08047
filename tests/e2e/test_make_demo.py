"""`make demo` from data to report, with real veRL, renderers and OCR: three steps of an untaught policy, in a mixture."""

import json
import os
import subprocess
import tempfile
import uuid
from collections import Counter
from dataclasses import asdict
from pathlib import Path

import pytest
from marked import marked

from visual_erm.demo import run
from visual_erm.demo.tiny_report import read_rollout_log
from visual_erm.demo.tiny_tasks import TASKS
from visual_erm.demo.warm_start import WarmStart, build

PROJECT = Path(__file__).parents[2]
MAKES = {"MAKEFLAGS", "MAKELEVEL", "MFLAGS"}
"""What the `make` that runs the tests would tell the one in here."""
COMMAND = ["make", "demo", "TASK=mixed", "SEED=3", "STEPS=3"]
TINY = TASKS["mixed"]


@pytest.mark.e2e
@pytest.mark.timeout(1500)
def test_the_demo_counts_its_rewards_reports_and_leaves_nothing(tmp_path):
    out, mark = tmp_path / "out", f"VISUAL_ERM_TEST_{uuid.uuid4().hex}"
    # In place of the warm start, which takes minutes: a policy that was never taught.
    taught = {"task": "mixed", "warm_start": asdict(WarmStart(steps=TINY.lessons))}
    run.once("policy", out / "policy", taught, lambda: build(out / "policy", TINY.problems, seed=0))
    with tempfile.TemporaryDirectory(prefix="t", dir="/tmp") as temporary:
        inherited = {key: value for key, value in os.environ.items() if key not in MAKES}
        environment = {**inherited, mark: "1", "TMPDIR": temporary}
        done = subprocess.run(
            [*COMMAND, f"OUT={out}"], env=environment, cwd=PROJECT, capture_output=True, text=True, timeout=1000
        )
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
        assert [process.cmdline() for process in marked(mark)] == []
        assert list(Path(temporary).iterdir()) == []

        summary = json.loads((out / "seed3" / "summary.json").read_text())
        expected = 3 * TINY.batch * run.ROLLOUTS
        assert summary["reward_calls"] == {"expected": expected, "counted": expected, "wrong_prompts": {}, "ok": True}
        assert summary["steps"] == 3
        sources = Counter(call["data_source"] for call in read_rollout_log(out / "seed3" / "rollout_log"))
        assert sources == dict.fromkeys(("table", "chart", "svg"), expected // 3)
        assert {task: after["judged"] for task, after in summary["held_out"]["after"].items()} == (
            dict.fromkeys(sources, TINY.judged)
        )
        made = {"steps.csv", "steps.json", "steps.png", "summary.json", "rollouts", "rollout_log", "log"}
        assert made <= {path.name for path in (out / "seed3").iterdir()}
        assert sorted(path.name for path in (out / "seed3" / "rollouts").iterdir()) == ["step01", "step03"]

        # A second run finds every stage finished.
        log = (out / "seed3" / "log").stat().st_mtime_ns
        again = subprocess.run(
            [*COMMAND, f"OUT={out}"], env=environment, cwd=PROJECT, capture_output=True, text=True, timeout=400
        )
        assert again.returncode == 0, again.stdout[-3000:] + again.stderr[-3000:]
        assert (out / "seed3" / "log").stat().st_mtime_ns == log
        assert list(Path(temporary).iterdir()) == []
