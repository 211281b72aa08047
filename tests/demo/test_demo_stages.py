"""The demo's stages: nothing is done twice, nothing is missing from the report, no lost reward goes unnoticed."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path

import pytest
import yaml

from visual_erm.demo import run
from visual_erm.demo.accuracy import Accuracy, Evaluation
from visual_erm.demo.tiny_data import held_out_samples, train_samples, write_data
from visual_erm.demo.tiny_tasks import TASKS
from visual_erm.spec.task import load_tasks

ROOT = Path(__file__).parents[2]
STEPS = 3
TINY = TASKS["table"]
EVALUATION = Evaluation(Accuracy(0.9, 0.9), Accuracy(0.6, 0.8), Accuracy(0.6, 0.1), 1.7, 1.1, 192, 64)


def log_line(index, problem, sample, rollout, step):
    reply = "I cannot" if rollout == 0 else problem.write(sample)
    number = {"score": 0.1 * step if rollout else 0.0, "render_ok": float(rollout > 0), "severity": 1.0, "scored_ok": 1.0}
    report = {"errors": []} if rollout else None
    return {
        "time": index,
        "index": index,
        "split": "train",
        "data_source": problem.task,
        "reply": reply,
        "reason": "",
        "report": report,
        **number,
    }


ASKED = train_samples(TINY, 0, STEPS)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    write_data(folder, run.demo_tasks(TINY.problems), ASKED, held_out_samples(TINY)[:2], judged=2)
    return folder


@pytest.fixture
def out(tmp_path, data):
    """The output folder of a finished run, but for its report."""
    shutil.copytree(data, tmp_path / "data")
    rollout_log = tmp_path / "seed0" / "rollout_log"
    rollout_log.mkdir(parents=True)
    lines = [log_line(i, *sample, k, i // TINY.batch) for i, sample in enumerate(ASKED) for k in range(run.ROLLOUTS)]
    (rollout_log / "host-1.jsonl").write_text("\n".join(json.dumps(line) for line in lines) + "\n")
    for path in (tmp_path / "before.json", tmp_path / "seed0" / "after.json"):
        path.write_text(json.dumps({"table": asdict(EVALUATION)}))
    return tmp_path


def report(out):
    return run.report(out / "seed0", out / "data", out / "before.json", "table", 0, STEPS)


def test_the_report_has_every_step_and_rollouts_to_look_at(out, capsys):
    summary = report(out)
    calls = STEPS * TINY.batch * run.ROLLOUTS
    assert summary["reward_calls"] == {"expected": calls, "counted": calls, "wrong_prompts": {}, "ok": True}
    steps = json.loads((out / "seed0" / "steps.json").read_text())
    assert [step["rollouts"] for step in steps] == [TINY.batch * run.ROLLOUTS] * STEPS
    assert [step["render_ok"] for step in steps] == [0.875] * STEPS
    assert (out / "seed0" / "steps.csv").read_text().startswith("step,rollouts,reward")
    assert (out / "seed0" / "steps.png").stat().st_size > 5000
    assert f"Reward calls: {calls} of {calls}" in " ".join(capsys.readouterr().out.split())

    rollouts = out / "seed0" / "rollouts"
    assert sorted(path.name for path in rollouts.iterdir()) == ["step01", "step03"]
    best, worst = (rollouts / "step01" / f"prompt0000-{which}" for which in ("best", "worst"))
    assert {path.name for path in best.iterdir()} == {"reference.png", "render.png", "reply.txt", "report.json"}
    assert (best / "reference.png").read_bytes()[:4] == (best / "render.png").read_bytes()[:4] == b"\x89PNG"
    assert {path.name for path in worst.iterdir()} == {"reference.png", "reply.txt", "report.json"}


def test_a_lost_reward_is_noticed_and_named(out):
    path = out / "seed0" / "rollout_log" / "host-1.jsonl"
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:-1]))
    calls = report(out)["reward_calls"]
    assert not calls["ok"]
    assert calls["wrong_prompts"] == {STEPS * TINY.batch - 1: run.ROLLOUTS - 1}


def test_a_finished_stage_is_done_again_only_for_other_settings(tmp_path):
    done = []
    folder = tmp_path / "policy"

    def work():
        folder.mkdir()
        done.append("work")

    for settings, times in (({"seed": 0}, 1), ({"seed": 0}, 1), ({"seed": 1}, 2), ({"seed": 0}, 3)):
        run.once("a stage", folder, settings, work)
        assert len(done) == times
    folder.rmdir()
    run.once("a stage", folder, {"seed": 0}, work)
    assert len(done) == 4


def test_a_stage_that_failed_is_not_taken_for_finished(tmp_path):
    folder = tmp_path / "policy"

    def work():
        folder.mkdir()
        raise run.TrainingFailed("no luck")

    for _ in range(2):
        with pytest.raises(run.TrainingFailed):
            run.once("a stage", folder, {}, work)


@pytest.mark.verl
def test_a_training_that_fails_says_why(out):
    with pytest.raises(run.TrainingFailed, match=r"exit code 2: .*problems: .*data\.train_files.*seed0/log"):
        run.train(out / "seed0", out / "nowhere", out / "data", "table", 0, STEPS)


def test_a_demo_that_is_stopped_lets_the_training_clear_up_first(tmp_path):
    training = "trap 'sleep 0.5; echo cleared up; exit 0' TERM; echo started; while :; do sleep 0.05; done"
    code = (
        "import pathlib, sys; from visual_erm.demo.run import run_to_the_end\n"
        "run_to_the_end(['/bin/bash', '-c', sys.argv[1]], {}, pathlib.Path('log'))"
    )
    stopped = subprocess.Popen(
        [sys.executable, "-c", code, training], cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)}
    )
    while not (tmp_path / "log").exists() or "started" not in (tmp_path / "log").read_text():
        time.sleep(0.05)
    stopped.send_signal(signal.SIGINT)
    stopped.wait()
    assert (tmp_path / "log").read_text() == "started\ncleared up\n"


def test_what_libraries_leave_in_the_temporary_folder_is_removed(monkeypatch):
    monkeypatch.setenv("TMPDIR", "/somewhere")
    with run.own_temporary_folder():
        folder = Path(os.environ["TMPDIR"])
        assert tempfile.gettempdir() == str(folder)
        (folder / "cache").mkdir()
    assert not folder.exists()
    assert os.environ["TMPDIR"] == "/somewhere"


@pytest.mark.verl
@pytest.mark.parametrize("name", TASKS)
def test_the_launcher_trains_on_what_the_demo_makes(name):
    launcher = ["bash", ROOT / "rl_scripts" / "run_tiny_cpu.sh", "--cfg", "job"]
    done = subprocess.run(
        launcher, env={**os.environ, "TASK": name, "PYTHON": sys.executable}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    recipe, tiny = yaml.safe_load(done.stdout), TASKS[name]
    assert recipe["tiny_data"] == tiny.out
    assert recipe["data"]["train_batch_size"] == tiny.batch
    assert recipe["actor_rollout_ref"]["rollout"]["max_num_seqs"] >= tiny.batch * run.ROLLOUTS
    tasks = load_tasks(recipe["task"])
    expected = run.demo_tasks(tiny.problems)
    assert {task: settings.scoring for task, settings in tasks.items()} == {
        task: settings.scoring for task, settings in expected.items()
    }
