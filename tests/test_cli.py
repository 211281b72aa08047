"""The command line, as a user types it: real processes, real Chromium, the local judge."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image
from typer.testing import CliRunner

from visual_erm import __version__
from visual_erm.cli import app
from visual_erm.preflight import doctor
from visual_erm.spec import base

EXAMPLES = Path(__file__).parents[1] / "examples" / "table"
OTHERS = EXAMPLES.parent


def visual_erm(*words: object, check: bool = True, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "visual_erm.cli", *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, input=stdin)
    assert not check or done.returncode == 0, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done


def score(reply: str, *more: str) -> dict:
    said = visual_erm(
        "score", "table", "--reference", EXAMPLES / "reference.png", "--response", EXAMPLES / reply, "--json", *more
    )
    return json.loads(said.stdout)


def test_a_correct_table_scores_the_maximum() -> None:
    numbers = score("reply.txt")
    assert (numbers["score"], numbers["severity"], numbers["report"]["errors"]) == (2.0, 0.0, [])


def test_a_wrong_number_is_named() -> None:
    numbers = score("reply_wrong.txt")
    (error,) = numbers["report"]["errors"]
    assert error["type"] == "numeric_error" and "79.5" in error["description"] and "19.5" in error["description"]
    assert 1 < numbers["score"] < 2
    assert list(numbers["report"])[:3] == ["layout_error_count", "text_error_count", "numeric_error_count"]


def test_score_speaks_to_people_too_and_says_which_judge() -> None:
    words = ["score", "table", "--reference", EXAMPLES / "reference.png", "--response", "-"]
    said = visual_erm(*words, stdin="no table in here")
    assert "reward 0" in said.stdout and "NoCodeError" in said.stdout
    assert "judged locally" in said.stderr


def test_one_reply_of_a_task_that_is_scored_by_the_batch_is_scored_by_its_constant_and_told_so(tmp_path: Path) -> None:
    text = (base.shipped("configs") / "task" / "table.yaml").read_text(encoding="utf-8")
    (tmp_path / "mine.yaml").write_text(text.replace("mode: fixed", "mode: batch"), encoding="utf-8")
    words = ["--reference", EXAMPLES / "reference.png", "--response", EXAMPLES / "reply_wrong.txt", "--json"]
    said = visual_erm("score", tmp_path / "mine.yaml", *words)
    assert json.loads(said.stdout)["score"] == 1.94
    assert "one reply is no batch; s_max is the task's, 50" in said.stderr


@pytest.mark.parametrize(("task", "source"), [("chart", "reference.py"), ("svg", "reference.svg")])
def test_the_right_reply_of_an_example_draws_its_reference_and_the_wrong_one_does_not(
    tmp_path: Path, task: str, source: str
) -> None:
    visual_erm("render", task, OTHERS / task, "-o", tmp_path)
    drawn = {file.stem: Image.open(file).tobytes() for file in tmp_path.glob("*.png")}
    assert drawn["reply"] == drawn["reference"] != drawn["reply_wrong"]
    assert (OTHERS / task / source).is_file()


def test_judge_lists_what_differs(tmp_path: Path) -> None:
    for name in ("reply.txt", "reply_wrong.txt"):
        (tmp_path / "in").mkdir(exist_ok=True)
        (tmp_path / "in" / name).write_text((EXAMPLES / name).read_text())
    visual_erm("render", "table", tmp_path / "in", "-o", tmp_path / "out")
    right, wrong = tmp_path / "out" / "reply.png", tmp_path / "out" / "reply_wrong.png"
    assert json.loads(visual_erm("judge", "table", EXAMPLES / "reference.png", right, "--json").stdout)["severity"] == 0
    said = visual_erm("judge", "table", EXAMPLES / "reference.png", wrong).stdout
    assert "numeric_error" in said and "severity" in said


def test_the_shipped_reference_is_what_this_renderer_draws(tmp_path: Path) -> None:
    visual_erm("render", "table", EXAMPLES / "reference.html", "-o", tmp_path)
    drawn, shipped = Image.open(tmp_path / "reference.png"), Image.open(EXAMPLES / "reference.png")
    assert drawn.size == shipped.size


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["score", "tabel", "--reference", "x.png", "--response", "y"], "no task `tabel`; known: chart, mixed, svg, table"),
        (["score", "mixed", "--reference", "x.png", "--response", "y"], "several tasks; choose one of table, chart, svg"),
        (["score", "table", "--reference", "x.png", "--response", "y"], "reference image x.png does not exist"),
        (["judge", "table", "x.png", "y.png", "--judge", "remotte"], "no judge `remotte`; known: colocated, local, remote"),
        (["judge", "table", "x.png", "y.png", "--judge", "remote"], "needs `endpoints`"),
    ],
)
def test_wrong_input_is_one_clear_message(words: list[str], complaint: str) -> None:
    said = visual_erm(*words, check=False)
    assert said.returncode in (1, 2)
    assert complaint in said.stderr


def test_a_judge_that_does_not_answer_is_an_exit_code(tmp_path) -> None:
    judge = tmp_path / "judge.yaml"
    judge.write_text(
        "{kind: remote, endpoints: [http://127.0.0.1:9/v1], unavailable_timeout_s: 0.5, reuse: {identical: false}}"
    )
    words = ["judge", "table", EXAMPLES / "reference.png", EXAMPLES / "reference.png", "--judge", judge]
    said = visual_erm(*words, check=False)
    assert said.returncode == 1 and "JudgeUnavailable" in said.stderr


@pytest.mark.long
def test_doctor_finds_what_the_tests_need() -> None:
    findings = {f["what"]: f for f in json.loads(visual_erm("doctor", "--json").stdout)}
    assert findings["Chromium"]["state"] == "ok"
    assert findings["font for Arial"]["state"] == "ok"
    assert findings["scripts import matplotlib"]["state"] == "ok"
    assert {"Python", "text in charts", "landlock", "seccomp", "bubblewrap", "sandbox", "verl", "judge"} <= set(findings)


def test_doctor_says_what_is_wrong_with_an_endpoint(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "rendering", list)  # it takes seconds
    said = CliRunner().invoke(app, ["doctor", "--judge", "http://127.0.0.1:9/v1"])
    assert said.exit_code == 1
    assert "missing" in said.stdout and "visual-erm serve" in said.stdout


def test_the_version_is_that_of_the_package() -> None:
    assert visual_erm("--version").stdout == f"visual-erm {__version__}\n"
