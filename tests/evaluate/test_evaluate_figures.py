"""Figures of a policy on made-up lines whose answers are known: means, what is left out, and paired differences."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from evaluated import command, write_lines

from visual_erm.errors import ConfigError
from visual_erm.evaluate.figures import ALL, compare, summarize
from visual_erm.evaluate.lines import ReplyLine, read_lines


def line(index: int, reward: float, sample: int = 0, **more: Any) -> ReplyLine:
    content = {
        "id": f"{index}-{sample}",
        "index": index,
        "split": None,
        "sample": sample,
        "task": "table",
        "reference": f"r{index}",
        "run": "p judged by local",
        "score": reward,
        "render_ok": 1.0,
        "severity": 10 - reward,
        "severities": {"text_error": 10 - reward},
    }
    return ReplyLine(f"eval.jsonl:{index + 1}", {**content, **more})


def test_means_are_over_replies_and_failures_are_no_zeros():
    failed = line(3, 0.0, failed_reason="JudgeUnavailable: gone")
    unrendered = line(2, 0.0, render_ok=0.0, severity=50, severities=None)
    (group,) = summarize([line(0, 1.0, teds=0.5), line(1, 3.0), unrendered, failed]).values()
    assert (group.replies, group.rows, group.references, group.left_out) == (3, 3, 3, 1)
    assert group.figures["reward"].mean == pytest.approx(4 / 3)
    assert group.figures["rendered"].mean == pytest.approx(2 / 3)
    assert (group.figures["teds"].mean, group.figures["teds"].replies) == (0.5, 1)
    # Of replies with a report: what has no image has no severity.
    assert (group.figures["severity"].mean, group.figures["severity"].replies) == (8.0, 2)
    assert group.figures["severity: text_error"].mean == 8.0
    assert "ssim" not in group.figures


def test_all_tasks_come_first_and_without_the_categories_of_one():
    groups = summarize([line(0, 1.0), line(1, 2.0, task="svg", severities={"shape_error": 1.0})])
    assert list(groups) == [ALL, "svg", "table"]
    assert not [name for name in groups[ALL].figures if name.startswith("severity: ")]
    assert "severity: shape_error" in groups["svg"].figures and "severity: text_error" not in groups["svg"].figures


def test_a_file_of_failures_has_figures_of_nothing():
    (group,) = summarize([line(0, 0.0, failed_reason="x")]).values()
    assert (group.replies, group.left_out, group.figures) == (0, 1, {})


def test_replies_to_one_reference_are_not_independent():
    apart = summarize([line(k, float(k % 2), reference=f"r{k}") for k in range(40)])["table"]
    together = summarize([line(k, float(k % 2), reference=f"r{k % 2}") for k in range(40)])["table"]
    widths = [np.diff(one.figures["reward"].interval)[0] for one in (apart, together)]
    assert widths[0] < 0.4 and widths[1] == 1.0


def test_differences_are_paired_by_row_and_rows_of_one_side_are_named():
    # Row k has the reward k before and k + 1 after: unpaired the spread of rewards would hide it.
    before = [line(k, float(k)) for k in range(30)]
    after = [line(k, float(k) + 1) for k in range(1, 31)]
    found = compare(before, after)
    one = found.groups["table"]["reward"]
    assert (one.rows, one.difference, one.interval, one.detectable) == (29, 1.0, (1.0, 1.0), pytest.approx(0, abs=1e-9))
    assert (one.before, one.after) == (15.0, 16.0)
    assert found.only_before == ["eval.jsonl:1 (index 0)"]
    assert found.only_after == ["eval.jsonl:31 (index 30)"]


def test_several_replies_to_a_row_count_by_their_mean():
    before = [line(0, 1.0), line(0, 3.0, sample=1), line(1, 5.0)]
    after = [line(0, 4.0), line(1, 5.0)]
    one = compare(before, after).groups["table"]["reward"]
    assert (one.before, one.after, one.difference) == (3.5, 4.5, 1.0)


def test_an_interval_of_a_difference_is_that_of_the_bootstrap():
    random = np.random.default_rng(1)
    moved = random.normal(0.5, 1, 400)
    before = [line(k, 0.0) for k in range(400)]
    after = [line(k, float(value)) for k, value in enumerate(moved)]
    one = compare(before, after).groups["table"]["reward"]
    error = moved.std() / math.sqrt(400)
    assert one.interval == pytest.approx((moved.mean() - 1.96 * error, moved.mean() + 1.96 * error), abs=0.1 * error * 3)
    assert one.detectable == pytest.approx(2.8 * error, rel=0.1)


def test_a_figure_that_one_side_lacks_is_not_compared():
    found = compare([line(0, 1.0, teds=0.5), line(1, 1.0)], [line(0, 1.0), line(1, 1.0, teds=0.5)])
    assert "teds" not in found.groups["table"]
    assert found.groups["table"]["reward"].rows == 2


@pytest.mark.parametrize(
    ("after", "told"),
    [
        ([line(0, 1.0, reference="other")], "other references"),
        ([line(0, 1.0, task="svg")], "other references or tasks"),
        ([line(9, 1.0)], "no row was scored in both"),
        ([line(0, 1.0, failed_reason="x")], "no row was scored in both"),
    ],
)
def test_files_of_other_data_are_refused(after, told):
    with pytest.raises(ConfigError, match=told):
        compare([line(0, 1.0)], after)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("", "holds no line"),
        ('{"id": "1", "pred_json": null}\n', ":1: is no line of `visual-erm eval run`"),
        ("no JSON\n", ":1: not a line of JSON"),
        ('{"id": "1-0", "run": 7, "sample": 0, "task": "table"}\n', ":1: is no line of `visual-erm eval run`"),
        ('{"id": "1-0", "run": "x", "sample": 0, "task": "table", "severities": [1]}\n', ":1: `severities` and"),
        ('{"id": "1-0", "run": "x", "sa', "holds no line"),
    ],
)
def test_a_file_that_is_none_of_eval_run_is_refused(tmp_path, content, told):
    path = tmp_path / "eval.jsonl"
    path.write_text(content)
    with pytest.raises(ConfigError, match=told):
        read_lines(path)
    with pytest.raises(ConfigError, match="cannot be read"):
        read_lines(tmp_path / "nowhere.jsonl")


def test_a_last_line_that_was_cut_off_is_passed_over_and_another_is_named(tmp_path):
    path = tmp_path / "eval.jsonl"
    whole = '{"id": "1-0", "run": "x", "task": "table", "sample": 0, "index": 1, "score": 1.0}\n'
    path.write_text(whole + '{"id": "2-0", "run": "x", "sam')
    assert [[one.id for one in read_lines(path)[0]], read_lines(path)[1]] == [["1-0"], []]
    path.write_text("{broken\n" + whole)
    assert "eval.jsonl:1: not a line of JSON" in read_lines(path)[1][0]


@pytest.mark.parametrize("value", ["2", None, [1], float("inf"), float("nan"), 10**400])
def test_what_is_no_number_is_no_figure(value):
    odd = line(0, 1.0, score=value, severities={"text_error": value})
    (group,) = summarize([odd, line(1, 3.0)]).values()
    assert (group.figures["reward"].mean, group.figures["reward"].replies) == (3.0, 1)
    assert group.figures["severity: text_error"].mean == 7.0


def test_names_of_a_file_do_not_control_the_terminal(tmp_path):
    odd = "[bold\x1b[2J"
    path = write_lines(tmp_path / "eval.jsonl", [line(0, 1.0, task=odd, severities={"[/red]": 1.0}).content])
    for words in (("report", path), ("compare", path, path)):
        done = command("eval", *words, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        assert "[/red]" in done.stdout and "\x1b[2J" not in done.stdout
