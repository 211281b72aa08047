"""Files of results: what is added, what a killed run leaves, and files that are not of this command."""

from __future__ import annotations

import json
import resource
from pathlib import Path
from typing import Any

import pytest

from visual_erm.bench.match import match
from visual_erm.bench.rows import Row, read_row, read_rows
from visual_erm.bench.run import run
from visual_erm.bench.tally import severity_of
from visual_erm.errors import ConfigError
from visual_erm.jobs.result_file import ResultFile
from visual_erm.jobs.rows import BadRow
from visual_erm.spec.judge import load_judge_settings

TRUTHS = [{"type": "text_error", "severity": 2, "description": "a", "location": "row 1"}]


def row(number: int = 1, **more: Any) -> dict[str, Any]:
    paths = {"gt_img_path": "a.png", "pred_img_path": "b.png"}
    return {"id": number, "category": "table", **paths, "human_errors": TRUTHS, **more}


def rows(*contents: dict[str, Any]) -> list[Row]:
    return [Row(f"rows:{number}", content) for number, content in enumerate(contents, 1)]


@pytest.mark.parametrize(
    "content",
    [
        json.dumps([row(1), row(2)]),
        json.dumps([row(1), row(2)], indent=1),
        json.dumps(row(1)) + "\n" + json.dumps(row(2)),
        json.dumps(row(1)),
        json.dumps(row(1)) + "\n" + json.dumps(row(2))[:-20],
        "notes of mine",
    ],
)
def test_a_file_that_is_not_of_this_command_stays_as_it_is(tmp_path: Path, content: str) -> None:
    path = tmp_path / "mine.json"
    path.write_text(content)
    with pytest.raises(ConfigError):
        run(rows(row(3)), tmp_path, load_judge_settings("local"), path)
    assert path.read_text() == content


@pytest.mark.parametrize("cut", [1, 20, 60])
def test_a_line_that_is_cut_off_is_removed_by_the_next_result(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "answers.jsonl"
    lines = [json.dumps(row(number)) + "\n" for number in (1, 2)]
    path.write_text(lines[0] + lines[1][:cut])
    with ResultFile(path, read_row) as results:
        assert list(results.rows) == ["1"]
        assert path.read_text() == lines[0] + lines[1][:cut]
        results.add(row(2))
        results.add(row(3))
    assert [one.id for one in read_rows(path)[0]] == ["1", "2", "3"]
    assert path.read_text().startswith("".join(lines))


def test_a_full_disk_is_a_message_and_the_next_result_is_a_whole_line(tmp_path: Path) -> None:
    path = tmp_path / "answers.jsonl"
    line = len(json.dumps(row(1))) + 1
    former = resource.getrlimit(resource.RLIMIT_FSIZE)
    with ResultFile(path, read_row) as results:
        try:
            resource.setrlimit(resource.RLIMIT_FSIZE, (line + 30, former[1]))
            results.add(row(1))
            with pytest.raises(ConfigError, match=r"answers\.jsonl: cannot be written: File too large"):
                results.add(row(2))
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, former)
        results.add(row(3))
    assert [one.id for one in read_rows(path)[0]] == ["1", "3"]
    assert read_rows(path)[1] == []


@pytest.mark.parametrize("name", ["/dev/full", "/dev/zero", "folder"])
def test_what_is_no_regular_file_takes_no_results(tmp_path: Path, name: str) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(ConfigError, match="no regular file"):
        ResultFile(tmp_path / name, read_row)


@pytest.mark.parametrize(
    "other",
    [
        {"pred_json": {"errors": []}},
        {"judge": "another"},
        {"human_errors": [], "pred_json": {"errors": TRUTHS}},
    ],
)
def test_a_matching_of_other_errors_is_not_kept(tmp_path: Path, other: dict[str, Any]) -> None:
    path = tmp_path / "m.jsonl"
    answer = row(1, pred_json={"errors": TRUTHS}, judge="one")
    assert match(rows(answer), path).done == 1
    assert match(rows(answer), path).kept == 1
    with pytest.raises(ConfigError, match="holds a matching of other errors than those of rows:1"):
        match(rows({**answer, **other}), path)


def test_rows_of_a_former_run_are_judged_and_matched_as_new(tmp_path: Path) -> None:
    from PIL import Image

    for name in ("a.png", "b.png"):
        Image.new("RGB", (60, 40), "white").save(tmp_path / name)
    old = row(1, failed_reason="no server", judge="old", matching={"matches": []}, matcher="old", matcher_tokens=3)
    assert run(rows(old), tmp_path, load_judge_settings("local"), tmp_path / "a.jsonl").done == 1
    (answer,) = read_rows(tmp_path / "a.jsonl")[0]
    assert (answer.judge, answer.failed, answer.matcher) == ("local", "", "")
    again = rows({**answer.content, "failed_reason": "no matcher", "matcher": "old"})
    assert match(again, tmp_path / "m.jsonl").done == 1
    (matched,) = read_rows(tmp_path / "m.jsonl")[0]
    assert (matched.matcher, matched.failed) == ("offline", "")


@pytest.mark.parametrize("value", [float("nan"), "nan", "inf", float("-inf"), 1e308, -1e300, 10**400])
def test_a_severity_without_sense_is_0(value: object) -> None:
    assert severity_of(value) == 0


@pytest.mark.parametrize("name", [True, False, 1.5, None, [1]])
def test_an_id_is_a_text_or_a_whole_number(name: object) -> None:
    with pytest.raises(BadRow, match="needs `id` or `idx`"):
        _ = Row("rows:1", {"id": name}).id


@pytest.mark.parametrize("nested", ["[" * 100_000, '{"a":' * 100_000, '{"id": 1, "a": ' + "[" * 100_000])
def test_a_line_that_is_nested_too_deeply_is_told_by_its_number(tmp_path: Path, nested: str) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text(json.dumps(row(1)) + "\n" + nested + "\n")
    found, problems = read_rows(path)
    assert len(found) == 1
    assert problems == [f"{path}:2: not a line of JSON: nested too deeply"]


@pytest.mark.parametrize("name", ["x" * 300 + ".png", "a\0.png", "none.png", "."])
def test_a_path_that_is_no_file_is_told(tmp_path: Path, name: str) -> None:
    with pytest.raises(BadRow, match="rows:1: `pred_img_path`"):
        Row("rows:1", {"pred_img_path": name}).path("pred_img_path", tmp_path)
