"""The whole benchmark, by its commands: a judge is run over pairs, matched, scored and compared."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from pairs import write_pairs

from visual_erm.bench.rows import read_rows

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.long
REFERENCES = 2


def bench(*words: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "visual_erm.cli", "bench", *map(str, words)],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "200"},
        capture_output=True,
        text=True,
        timeout=300,
    )


def results(path: Path) -> dict[str, dict[str, Any]]:
    """What a file says of each pair, but for times."""
    assert path.read_bytes().endswith(b"\n")
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert len({line["id"] for line in lines}) == len(lines), "one line for each pair"
    return {line["id"]: {key: value for key, value in line.items() if key != "seconds"} for line in lines}


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """18 pairs, six of them without a difference."""
    return write_pairs(tmp_path_factory.mktemp("pairs"), REFERENCES)


@pytest.fixture(scope="module")
def answers(rows: Path) -> Path:
    path = rows.parent / "answers.jsonl"
    done = bench("run", rows, "--out", path, cwd=rows.parent)
    assert done.returncode == 0, done.stderr
    assert "18 answered, 0 kept, 0 failed" in done.stderr
    return path


@pytest.fixture(scope="module")
def matches(answers: Path) -> Path:
    path = answers.parent / "matches.jsonl"
    done = bench("match", answers, "--out", path, cwd=answers.parent)
    assert done.returncode == 0, done.stderr
    return path


def test_an_answer_is_the_row_with_the_published_columns_and_what_it_cost(answers: Path) -> None:
    for line in results(answers).values():
        assert set(line["pred_json"]) >= {"errors"}
        assert line["error_parse_failed_reason"] is None
        assert (line["judge"], line["attempts"], line["prompt_tokens"]) == ("local", 0, 0)
        assert {"gt_img_path", "pred_img_path", "category", "human_errors"} <= set(line)


def test_a_pair_without_a_difference_has_no_error_and_the_others_have(answers: Path) -> None:
    for name, line in results(answers).items():
        assert bool(line["pred_json"]["errors"]) == (not name.endswith("-0"))


def test_the_local_judge_finds_most_of_what_was_changed(matches: Path) -> None:
    done = bench("score", matches, "--json", matches.parent / "scores.json", cwd=matches.parent)
    assert done.returncode == 0, done.stderr
    scores = json.loads((matches.parent / "scores.json").read_text())
    assert scores["groups"]["all"]["figures"]["items"] == 18
    assert scores["groups"]["all"]["figures"]["f1_soft"] > 0.6
    assert scores["groups"]["table"]["figures"]["f1_hard"] > 0.8
    assert scores["groups"]["all"]["false_alarms"] == 0
    assert scores["matchers"] == {"offline": 18}
    assert "matched by: offline (18)" in done.stdout


def test_a_judge_agrees_with_itself_and_less_with_its_images_swapped(rows: Path, answers: Path, tmp_path: Path) -> None:
    swapped = tmp_path / "swapped.jsonl"
    done = bench("run", rows, "--swap", "--out", swapped, cwd=rows.parent)
    assert done.returncode == 0, done.stderr
    assert {line["judge"] for line in results(swapped).values()} == {"local (swapped)"}
    found = []
    for other in (answers, swapped):
        done = bench("agree", answers, other, "--json", tmp_path / "agreement.json", cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        found.append(json.loads((tmp_path / "agreement.json").read_text()))
    assert (found[0]["items"], found[0]["f1"], found[0]["same_severity"]) == (18, 1, 1)
    assert found[1]["f1"] < 1


def test_a_judge_is_compared_with_one_that_says_nothing(matches: Path, tmp_path: Path) -> None:
    silent = tmp_path / "silent.jsonl"
    lines = [json.loads(line) for line in matches.read_text().splitlines()]
    empty = {"pred_json": {"errors": []}, "matching": {"matches": []}}
    silent.write_text("".join(json.dumps({**line, **empty}) + "\n" for line in lines))
    done = bench("compare", silent, matches, "--json", tmp_path / "difference.json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    difference = json.loads((tmp_path / "difference.json").read_text())["all"]
    assert difference["intervals"]["f1_hard"][0] > 0
    assert difference["found_by_a_only"] == 0
    assert difference["found_by_b_only"] > 5


def test_ten_kills_at_random_moments_change_no_result(tmp_path: Path) -> None:
    """The whole 300 pairs are part of `make soak`."""
    command = [sys.executable, str(ROOT / "benchmarks" / "bench_kills.py"), "--pairs", "18", "--kills", "10"]
    done = subprocess.run(
        [*command, "--json", str(tmp_path / "figures.json")],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=500,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    figures = json.loads((tmp_path / "figures.json").read_text())
    assert (figures["kills"], figures["differing"]) == ([0, 10], [])
    assert figures["score"]["items"] == 18


def test_the_benchmark_of_the_bench_measures_all_three_ways(tmp_path: Path) -> None:
    few = ["--pairs", "9", "--sample", "4", "--service", "0.2"]
    command = [sys.executable, str(ROOT / "benchmarks" / "bench.py"), *few, "--json", str(tmp_path / "figures.json")]
    environ = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    figures = json.loads((tmp_path / "figures.json").read_text())
    assert (figures["pairs"], figures["failed"], sum(figures["calls"])) == (9, 0, 9), "every pair is asked about"
    assert figures["bound_s"] == pytest.approx(0.2)
    assert figures["seconds"] >= figures["bound_s"]
    assert figures["published_one_address"]["sample"] == figures["published_spread"]["sample"] == 4
    assert figures["published_spread"]["ratio"] > 0


def test_what_cannot_be_judged_is_told_by_line_and_the_rest_goes_on_and_is_asked_again_when_told(
    rows: Path, tmp_path: Path
) -> None:
    lines = rows.read_text().splitlines()[:3]
    shutil.copytree(rows.parent / "images", tmp_path / "images")
    (tmp_path / "images" / "table-0-1.png").unlink()
    (tmp_path / "images" / "table-0-2.png").write_text("no image")
    broken = tmp_path / "rows.jsonl"
    broken.write_text("\n".join([lines[0], "{", lines[1], '{"id": 7, "category": "map"}', lines[2]]))
    done = bench("run", broken, "--out", "answers.jsonl", cwd=tmp_path)
    assert done.returncode == 1
    said = done.stderr
    assert "1 answered, 0 kept, 2 failed" in said
    assert "rows.jsonl:2: not a line of JSON" in said
    assert 'rows.jsonl:4: `category` is "map"; known: table, chart, svg' in said
    assert "rows.jsonl:3: `pred_img_path`: no file" in said
    assert "rows.jsonl:5: " in said
    assert "Traceback" not in said
    shutil.copytree(rows.parent / "images", tmp_path / "images", dirs_exist_ok=True)
    done = bench("run", broken, "--out", "answers.jsonl", cwd=tmp_path)
    assert "0 answered, 3 kept, 0 failed" in done.stderr
    done = bench("run", broken, "--out", "answers.jsonl", "--retry-failed", cwd=tmp_path)
    assert "2 answered, 1 kept, 0 failed" in done.stderr
    read, problems = read_rows(tmp_path / "answers.jsonl")
    assert problems == []
    assert [row.failed for row in read] == ["", "", ""]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["run", "none.jsonl", "--out", "a.jsonl"], "none.jsonl: cannot be read"),
        (["run", "ROWS", "--out", "ROWS"], "is no file of answers"),
        (
            ["run", "ROWS", "--out", "ANSWERS", "--judge", "http://127.0.0.1:9/v1"],
            "holds answers of local, and this judge is http",
        ),
        (["match", "ANSWERS", "--out", "ANSWERS"], "is no file of matches"),
        (["run", "ROWS", "--out", "a.jsonl", "--judge", "loacl"], "no judge `loacl`"),
        (["score", "ROWS"], "no item was matched"),
        (["compare", "ROWS", "ROWS"], "no item was matched in both files"),
    ],
)
def test_wrong_input_is_one_message_and_exit_code_2(
    rows: Path, answers: Path, tmp_path: Path, words: list[str], message: str
) -> None:
    files = {"ROWS": rows, "ANSWERS": answers}
    done = bench(*(files.get(word, word) for word in words), cwd=tmp_path)
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_two_runs_do_not_add_to_one_file(rows: Path, answers: Path, tmp_path: Path) -> None:
    import fcntl

    path = tmp_path / "answers.jsonl"
    shutil.copy(answers, path)
    with path.open("ab") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        done = bench("run", rows, "--out", path, cwd=tmp_path)
    assert done.returncode == 2
    assert "another process adds to it" in done.stderr
