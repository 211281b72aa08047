"""`visual-erm rescore` on the log of the real reward function: the same judge, another scoring, kills and bad input."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from evaluated import ROOT, command, drawing, lines_of, rows_of, save_rows, table, truths, write_lines, write_rows
from ports import free_port

from reward_func.visual_equivalence import close, compute_score
from visual_erm.spec.task import load_task

pytestmark = pytest.mark.long
SCORE = ("score", "severity", "render_ok", "scored_ok", "report", "outcome", "reason")


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_rows(tmp_path_factory.mktemp("rows"), 2, 1)


@pytest.fixture(scope="module")
def log(rows: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A log of two steps: 3 replies to each row, in the second of them the judge failed for the tables."""
    folder = tmp_path_factory.mktemp("log") / "rollout_log"
    task = {"name": "both", "tasks": {name: load_task(name).model_dump() for name in ("table", "svg")}}
    dead = {
        "kind": "remote",
        "model": "x",
        "endpoints": [f"http://127.0.0.1:{free_port()}/v1"],
        "unavailable_timeout_s": 0.1,
        "reuse": {"identical": False},
    }

    async def train() -> None:
        for step, judge in enumerate(({"kind": "local"}, dead)):
            for row, (name, _) in zip(rows_of(rows), truths(2, 1), strict=True):
                index = row["extra_info"]["index"]
                extra = {**row["extra_info"], "split": "test", "validate": False, "global_steps": step}
                for k in range(3):
                    reply = table(index, k) if name == "table" else drawing(2 * k)
                    given = {"kind": "local"} if name == "svg" else judge
                    await compute_score(name, reply, "", extra, task=task, judge=given, rollout_log=str(folder))
        await close()

    asyncio.run(train())
    with next(folder.glob("*.jsonl")).open("a") as file:
        file.write('{"time": 1, "ind')  # A worker that was killed.
    (folder / "judge").mkdir(exist_ok=True)
    (folder / "judge" / "x.jsonl").write_text('{"judgements": 1}\n')
    return folder


def of_log(folder: Path) -> list[dict[str, Any]]:
    """Its whole lines, in the order of the log that they were scored from."""
    (file,) = folder.glob("*.jsonl")
    lines = [json.loads(line) for line in file.read_text().splitlines(keepends=True) if line.endswith("\n")]
    return sorted(lines, key=lambda line: line.get("source_line", 0))


def test_the_same_judge_gives_the_same_rewards_and_the_failed_get_theirs(log: Path, rows: Path, tmp_path: Path) -> None:
    before = of_log(log)
    assert [line["scored_ok"] for line in before] == [1] * 9 + [0] * 6 + [1] * 3
    done = command("rescore", log, "--data", rows, "--out", tmp_path / "again", "--json", tmp_path / "c.json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "18 written, 0 kept, 0 failed" in done.stderr
    after = of_log(tmp_path / "again")
    assert [line["source_line"] for line in after] == list(range(1, 19))
    assert all(set(line) == {*old, "source_line", "rescored_by"} for line, old in zip(after, before, strict=True))
    for line, old in zip(after, before, strict=True):
        if old["scored_ok"]:
            assert {key: line[key] for key in SCORE} == {key: old[key] for key in SCORE}
    # Both steps have the same replies, so those that failed have the rewards of the first step.
    assert [line["score"] for line in after[9:]] == [line["score"] for line in after[:9]]
    changes = json.loads((tmp_path / "c.json").read_text())
    assert (changes["replies"], changes["changed"], changes["groups"], changes["kendall"]) == (12, 0, 4, 1)
    assert "best changed       0 of 4 (0.0 %)" in done.stdout
    # What it wrote is a log: it can be scored again.
    done = command("rescore", tmp_path / "again", "--data", rows, "--out", tmp_path / "third", cwd=tmp_path)
    assert done.returncode == 0 and "18 written" in done.stderr


def test_failed_only_changes_only_those(log: Path, rows: Path, tmp_path: Path) -> None:
    before = of_log(log)
    words = ["rescore", log, "--data", rows, "--out", tmp_path / "again", "--failed-only"]
    done = command(*words, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    after = of_log(tmp_path / "again")
    for line, old in zip(after, before, strict=True):
        if old["scored_ok"]:
            assert {key: line[key] for key in old} == old
        else:
            assert line["scored_ok"] == 1 and line["outcome"] == "scored"
    assert "0 written, 18 kept" in command(*words, cwd=tmp_path).stderr
    other = command(*words[:-1], cwd=tmp_path)
    assert other.returncode == 2 and "choose another file" in other.stderr


def test_another_scoring_changes_rewards_and_a_coarse_one_ranks(log: Path, rows: Path, tmp_path: Path) -> None:
    kinder = tmp_path / "table.yaml"
    content = yaml.safe_load((ROOT / "configs" / "task" / "table.yaml").read_text())
    content["scoring"]["s_max"] = 1
    kinder.write_text(yaml.safe_dump(content))
    done = command(
        *("rescore", log, "--data", rows, "--task", kinder, "--task", "svg", "--out", tmp_path / "again"),
        *("--json", tmp_path / "c.json"),
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    changes = json.loads((tmp_path / "c.json").read_text())
    # The two damaged replies to each table were worth less and less; now both are worth the same.
    assert changes["changed"] == 4 and 0 < changes["kendall"] < 1 and changes["best_changed"] == 0
    assert changes["after"] < changes["before"] and changes["advantage_change"] > 0


def test_a_file_of_eval_run_is_scored_again_in_its_own_form(rows: Path, tmp_path: Path) -> None:
    replies = [{"index": k, "reply": table(k, 1)} for k in range(2)]
    words = ("eval", "run", rows, "--replies", write_lines(tmp_path / "r.jsonl", replies), "--out", tmp_path / "e.jsonl")
    assert command(*words, cwd=tmp_path).returncode == 1  # The drawing has no reply.
    done = command("rescore", "e.jsonl", "--data", rows, "--out", "again.jsonl", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    done = command("eval", "compare", "e.jsonl", "again.jsonl", "--json", "c.json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    reward = json.loads((tmp_path / "c.json").read_text())["groups"]["table"]["reward"]
    assert (reward["rows"], reward["difference"]) == (2, 0)


def test_lines_of_refine_name_their_row_by_its_place(rows: Path, tmp_path: Path) -> None:
    line = {"id": "1", "task": "table", "run": "x", "reply": table(1), "reward": 0.5, "severity": 3, "rounds": []}
    write_lines(tmp_path / "results.jsonl", [line, {**line, "id": "7"}])
    done = command("rescore", "results.jsonl", "--data", rows, "--out", "again.jsonl", cwd=tmp_path)
    assert done.returncode == 1 and "results.jsonl:2: the data has no row 7" in done.stderr
    (again,) = lines_of(tmp_path / "again.jsonl")
    assert (again["reward"], again["severity"], again["rounds"], again["run"]) == (2, 0, [], "x")


def test_a_run_that_is_killed_goes_on_from_there(log: Path, rows: Path, tmp_path: Path) -> None:
    words = ["rescore", str(log), "--data", str(rows), "--out", str(tmp_path / "again")]
    process = subprocess.Popen(
        [sys.executable, "-m", "visual_erm.cli", *words],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        cwd=tmp_path,
        stderr=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    )
    until = time.monotonic() + 120
    while not any(file.stat().st_size for file in tmp_path.glob("again/*.jsonl")) and time.monotonic() < until:
        time.sleep(0.005)
    process.kill()
    process.wait()
    done = command(*words, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    calm = command(*words[:-1], tmp_path / "calm", cwd=tmp_path)
    assert calm.returncode == 0
    kept = [[{key: line[key] for key in SCORE} for line in of_log(tmp_path / name)] for name in ("again", "calm")]
    assert len(kept[0]) == 18 and kept[0] == kept[1]


WHOLE = {"index": 0, "split": "test", "data_source": "table", "reply": "x", "score": 0.0, "scored_ok": 1}


@pytest.mark.parametrize(
    ("lines", "told", "code"),
    [
        ([{key: value for key, value in WHOLE.items() if key != "reply"}], "log.jsonl:1: has no `reply`", 2),
        ([{**WHOLE, "index": 9}], "log.jsonl:1: the data has no row with `data_source` 'table'", 2),
        ([{**WHOLE, "split": "train"}], "`extra_info.split` 'train'", 2),
        ([], "holds no line", 2),
        ([{**WHOLE, "index": [1]}, {**WHOLE, "split": {}}], "log.jsonl:1: the data has no row", 2),
        ([{**WHOLE, "validate": [1], "policy_updates": {}}], "1 written", 0),
        ([{"id": "1" * 5000, "rounds": [], "reply": "x"}], "log.jsonl:1: the data has no row 1", 2),
        (["broken"], "log.jsonl:1: not a line of JSON", 2),
        ([WHOLE, "broken", WHOLE], "log.jsonl:2: not a line of JSON", 1),
    ],
)
def test_lines_that_cannot_be_used_are_named(rows: Path, tmp_path: Path, lines: list[Any], told: str, code: int) -> None:
    text = "".join((line if isinstance(line, str) else json.dumps(line)) + "\n" for line in lines)
    (tmp_path / "log.jsonl").write_text(text)
    done = command("rescore", "log.jsonl", "--data", rows, "--out", "again.jsonl", cwd=tmp_path)
    assert (done.returncode, told in done.stderr) == (code, True), done.stderr


def test_a_place_that_is_no_log_or_the_log_itself_is_refused(log: Path, rows: Path, tmp_path: Path) -> None:
    for given, to, told in (
        (tmp_path, "again", "has no file *.jsonl"),
        (tmp_path / "nowhere", "again", "no such file or folder"),
        (log, log, "is the log itself"),
    ):
        done = command("rescore", given, "--data", rows, "--out", to, cwd=tmp_path)
        assert done.returncode == 2 and told in done.stderr
    poem = save_rows(tmp_path / "poem.parquet", [{**row, "data_source": "poem"} for row in rows_of(rows)])
    done = command("rescore", log, "--data", poem, "--out", "again", cwd=tmp_path)
    assert done.returncode == 2 and "poem.parquet, row 0" in done.stderr
    shutil.rmtree(tmp_path / "again", ignore_errors=True)
