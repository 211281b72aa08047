"""`visual-erm eval` from the policy to the figures: a scripted policy, the local judge, kills, and bad input."""

from __future__ import annotations

import asyncio
import json
import os
import random
import subprocess
import sys
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from evaluated import (
    ROOT,
    by_picture,
    command,
    drawing,
    lines_of,
    replying,
    rows_of,
    save_rows,
    table,
    truths,
    write_lines,
    write_rows,
)
from openai_server import OpenAIServer, serving, slowly, status
from remote_judge import dead_url

pytestmark = pytest.mark.long
TIMED = ("seconds", "time")


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four tables and two drawings."""
    return write_rows(tmp_path_factory.mktemp("rows"))


def answers(wrong: int = 0) -> list[list[str]]:
    """Replies to each row: seed k is wrong in k + `wrong` cells, or draws elsewhere."""
    found = []
    for index, (task, _) in enumerate(truths(4, 2)):
        seeds = range(wrong, wrong + 3)
        codes = [table(index, k) if task == "table" else drawing(index - 4 + (k > 0)) for k in seeds]
        found.append([f"Here:\n```{'html' if task == 'table' else 'svg'}\n{code}\n```" for code in codes])
    found[3] = ["I cannot read it."] * 3 if wrong else found[3]
    return found


def policy_file(folder: Path, url: str, temperature: float = 1.0, in_flight: int = 8) -> Path:
    path = folder / "policy.yaml"
    path.write_text(
        f"endpoints: ['{url}']\nmodel: mine\nunavailable_timeout_s: 1\nretries: 0\n"
        f"max_in_flight: {in_flight}\nsampling: {{temperature: {temperature}, max_tokens: 500}}\n"
    )
    return path


def steady(path: Path) -> dict[str, dict[str, object]]:
    """Lines by id, without times."""
    return {
        line["id"]: {key: value for key, value in line.items() if not key.endswith("_ms") and key not in TIMED}
        for line in lines_of(path)
    }


async def test_a_policy_is_asked_scored_reported_and_compared(rows: Path, tmp_path: Path) -> None:
    async with OpenAIServer(replying(by_picture(rows, answers())), routes=serving("mine")) as server:
        base = ["eval", "run", rows, "--policy", server.url, "--out", tmp_path / "good.jsonl"]
        done = await asyncio.to_thread(command, *base, "--also", "ssim", cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        assert "6 scored, 0 kept, 0 failed" in done.stderr
        again = await asyncio.to_thread(command, *base, "--also", "ssim", cwd=tmp_path)
        assert "0 scored, 6 kept, 0 failed" in again.stderr
        asked = len(server.bodies)
        other = await asyncio.to_thread(command, *base, cwd=tmp_path)
    assert (asked, server.bodies[0]["temperature"], "seed" in server.bodies[0]) == (6, 0, False)
    assert other.returncode == 2 and "choose another file" in other.stderr
    lines = lines_of(tmp_path / "good.jsonl")
    assert sorted(line["id"] for line in lines) == [f"test/{k}-0" for k in range(6)]
    for line in lines:
        assert (line["score"], line["severity"], line["edit_distance"], line["ssim"]) == (2.0, 0.0, 1.0, 1.0)
        assert line["reply"].startswith("Here:") and line["validate"] is True
        assert ("teds" in line) == (line["task"] == "table")

    worse = [{"index": k, "reply": of_row[0]} for k, of_row in enumerate(answers(wrong=2)) if k != 5]
    done = await asyncio.to_thread(
        command,
        *("eval", "run", rows, "--replies", write_lines(tmp_path / "replies.jsonl", worse)),
        *("--out", tmp_path / "worse.jsonl", "--also", "ssim"),
        cwd=tmp_path,
    )
    assert done.returncode == 1 and "row 5: " in done.stderr and "has no reply to it" in done.stderr
    by_index = {line["index"]: line for line in lines_of(tmp_path / "worse.jsonl")}
    assert (by_index[3]["outcome"], by_index[3]["score"], by_index[3]["ssim"], by_index[3]["teds"]) == ("no_code", 0, 0, 0)
    assert by_index[1]["severities"]["numeric_error"] > 0 and 0 < by_index[1]["teds"] < 1

    done = command("eval", "report", tmp_path / "worse.jsonl", "--json", tmp_path / "report.json", cwd=tmp_path)
    assert done.returncode == 0 and "severity: numeric_error" in done.stdout
    groups = json.loads((tmp_path / "report.json").read_text())
    assert groups["table"]["figures"]["rendered"]["mean"] == 0.75
    assert groups["all"]["figures"]["reward"]["mean"] == pytest.approx(sum(x["score"] for x in by_index.values()) / 5)

    done = command(
        *("eval", "compare", tmp_path / "worse.jsonl", tmp_path / "good.jsonl", "--json", tmp_path / "c.json"), cwd=tmp_path
    )
    assert done.returncode == 1 and "left out" in done.stderr and "(index 5)" in done.stderr
    reward = json.loads((tmp_path / "c.json").read_text())["groups"]["table"]["reward"]
    assert reward["rows"] == 4 and reward["interval"][0] > 0


async def test_a_run_that_is_killed_ends_with_the_same_lines_and_asks_nothing_twice(rows: Path, tmp_path: Path) -> None:
    choose = random.Random(3)
    words = [sys.executable, "-m", "visual_erm.cli", "eval", "run", str(rows), "--n", "2"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    results = []
    async with OpenAIServer(slowly(replying(by_picture(rows, answers())), 0.2), routes=serving("mine")) as server:
        policy = policy_file(tmp_path, server.url, in_flight=2)
        for kills in (0, 1):
            path = tmp_path / f"killed-{kills}.jsonl"
            given = [*words, "--policy", str(policy), "--out", str(path)]
            for _ in range(kills):
                process = subprocess.Popen(given, env=environment, cwd=tmp_path, stderr=subprocess.DEVNULL)
                size = path.stat().st_size if path.exists() else 0
                until = time.monotonic() + 60
                while process.poll() is None and time.monotonic() < until:
                    await asyncio.sleep(0.05 * choose.random())
                    if path.exists() and path.stat().st_size > size:
                        break
                assert process.poll() is None, "the run ended before it was killed"
                process.kill()
                process.wait()
            if kills:
                with path.open("a") as file:
                    file.write('{"id": "test/9')
            done = await asyncio.to_thread(command, *given[3:], cwd=tmp_path)
            assert done.returncode == 0, done.stderr
            results.append(steady(path))
    assert len(results[0]) == 12
    assert results[0] == results[1]
    assert {body["seed"] for body in server.bodies} == {0, 1}


async def test_failures_are_left_out_and_a_retry_asks_only_for_what_is_missing(rows: Path, tmp_path: Path) -> None:
    path, dead = tmp_path / "eval.jsonl", tmp_path / "dead.yaml"
    answer = replying(by_picture(rows, answers()))
    async with (
        OpenAIServer(status(400, "no"), answer, routes=serving("mine")) as server,
        OpenAIServer(status(400, "broken"), routes=serving("visual-erm")) as judge,
    ):
        dead.write_text(f"kind: remote\nendpoints: ['{judge.url}']\nreuse: {{identical: false}}\n")
        base = ["eval", "run", rows, "--policy", policy_file(tmp_path, server.url), "--judge", dead, "--out", path]
        done = await asyncio.to_thread(command, *base, cwd=tmp_path)
        assert done.returncode == 1 and "0 scored, 0 kept, 6 failed" in done.stderr
        reasons = [line["failed_reason"] for line in lines_of(path)]
        assert sum(reason.startswith("PolicyUnavailable") for reason in reasons) == 1
        assert sum(reason.startswith("JudgeUnavailable") for reason in reasons) == 5
        asked = len(server.bodies)
        judge.script = [status(400, "broken")]
        done = await asyncio.to_thread(command, *base, "--retry-failed", cwd=tmp_path)
        assert done.returncode == 1
        assert len(server.bodies) == asked + 1, "replies that are known are scored again, not asked for"
    done = command("eval", "report", path, "--json", tmp_path / "report.json", cwd=tmp_path)
    assert done.returncode == 1 and "6 left out" in done.stderr
    assert json.loads((tmp_path / "report.json").read_text())["all"]["left_out"] == 6


def changed(rows: Path, folder: Path, change) -> Path:
    content = rows_of(rows)[:2]
    for row in content:
        change(row)
    return save_rows(folder / "changed.parquet", content)


@pytest.mark.parametrize(
    ("change", "told", "code"),
    [
        (
            lambda row: row.update(data_source="poem"),
            r"row 0: `data_source` is 'poem', no shipped task",
            2,
        ),
        (lambda row: row["extra_info"].update(index=7), r"changed.parquet, row 1: its `extra_info.index` is 7", 2),
        (lambda row: row["extra_info"].update(reference=None), r"changed.parquet, row 0: `extra_info.reference` holds", 1),
        (lambda row: row["extra_info"].update(renderer_version="other 1"), r"row 0: its reference was rendered by", 2),
        (lambda row: row.update(reward_model={"style": "model", "ground_truth": "no table"}), r"0 failed", 0),
        (lambda row: row.update(reward_model={"style": "model", "ground_truth": ""}), r"2 scored", 0),
    ],
)
def test_rows_that_do_not_fit_are_named(rows: Path, tmp_path: Path, change, told: str, code: int) -> None:
    import re

    replies = write_lines(tmp_path / "replies.jsonl", [{"index": k, "reply": table(k)} for k in (0, 1)])
    data = changed(rows, tmp_path, change)
    done = command("eval", "run", data, "--replies", replies, "--out", tmp_path / "eval.jsonl", cwd=tmp_path)
    assert done.returncode == code, done.stderr
    assert re.search(told, done.stderr), done.stderr
    if "no table" in str(rows_of(data)[0]["reward_model"]):
        done = command("eval", "report", tmp_path / "eval.jsonl", cwd=tmp_path)
        assert done.returncode == 1 and "teds: `reward_model.ground_truth` is no table" in done.stderr


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ((), "give --policy URL, or --replies FILE"),
        (("--policy", "http://127.0.0.1:1/v1", "--n", "3"), "--n 3: at temperature 0"),
        (("--policy", "http://127.0.0.1:1/v1", "--also", "lpips"), "--also lpips: no such measure"),
        (("--policy", "http://127.0.0.1:1/v1", "--also", "dino"), "--dino-model"),
        (("--replies", "replies.jsonl"), "replies.jsonl:1: needs `reply`"),
        (("--replies", "others.jsonl"), "others.jsonl:1: the data has no row with the index 77"),
        (("--replies", "nowhere.jsonl"), "nowhere.jsonl: cannot be read"),
    ],
)
def test_wrong_input_is_one_message(rows: Path, tmp_path: Path, words: tuple[str, ...], told: str) -> None:
    write_lines(tmp_path / "replies.jsonl", [{"index": 1}])
    write_lines(tmp_path / "others.jsonl", [{"index": 77, "reply": "x"}])
    done = command("eval", "run", rows, *words, "--out", "eval.jsonl", cwd=tmp_path)
    assert (done.returncode, "Traceback" in done.stderr) == (2, False)
    assert told in done.stderr
    assert not (tmp_path / "eval.jsonl").exists()


@pytest.mark.parametrize(
    ("columns", "told"),
    [
        ({"extra_info": [{"index": 1}]}, "has no column `data_source`"),
        ({"data_source": ["table"]}, "has no column `extra_info`"),
        ({"data_source": ["table"], "extra_info": ["x"]}, "`extra_info` must hold mappings, found string"),
        ({"data_source": [["table"]], "extra_info": [{"index": 1}]}, "`data_source` must hold text"),
        (
            {"data_source": pa.array([], pa.string()), "extra_info": pa.array([], pa.struct([("index", pa.int64())]))},
            "no rows",
        ),
    ],
)
def test_a_file_without_the_columns_of_a_data_set_is_refused(tmp_path: Path, columns, told: str) -> None:
    pq.write_table(pa.table(columns), tmp_path / "odd.parquet")
    done = command("eval", "run", "odd.parquet", "--policy", "http://127.0.0.1:1/v1", "--out", "e.jsonl", cwd=tmp_path)
    assert (done.returncode, told in done.stderr) == (2, True), done.stderr


def test_a_policy_that_is_not_there_ends_the_command(rows: Path, tmp_path: Path) -> None:
    (tmp_path / "policy.yaml").write_text(f"endpoints: ['{dead_url()}']\nunavailable_timeout_s: 0.2\n")
    done = command("eval", "run", rows, "--policy", "policy.yaml", "--out", "eval.jsonl", cwd=tmp_path)
    assert done.returncode == 1 and "PolicyUnavailable: " in done.stderr
