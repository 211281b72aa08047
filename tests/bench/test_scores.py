"""Scores of a judge, and the difference of two."""

from __future__ import annotations

import json
import math
import random
from pathlib import Path
from typing import Any

import pytest

from visual_erm.bench.agreement import agree
from visual_erm.bench.report import markdown
from visual_erm.bench.rows import Row, read_rows
from visual_erm.bench.scores import ALL, compare, score
from visual_erm.errors import ConfigError
from visual_erm.jobs.rows import BadRow

TRUE = [
    {"type": "text_error", "severity": 2, "description": "a"},
    {"type": "numeric_error", "severity": 3, "description": "b"},
]


def item(place: int, found: int = 2, invented: int = 0, severity: float = 2, **more: Any) -> dict[str, Any]:
    """A table with two true errors, of which a judge finds some, and invents some."""
    said = [{"type": "text_error", "severity": severity, "description": "x"} for _ in range(found + invented)]
    matches = [{"pred_id": n, "gt_id": n, "match_level": "yes"} for n in range(found)]
    row = {
        "id": place,
        "category": "table",
        "gt_img_path": f"{place}.png",
        "human_errors": TRUE,
        "pred_json": {"errors": said},
    }
    return {**row, "matching": {"matches": matches}, "matcher": "offline", **more}


def rows(*items: dict[str, Any]) -> list[Row]:
    return [Row(f"file:{number}", content) for number, content in enumerate(items, 1)]


def test_found_invented_and_missed_errors_make_the_figures() -> None:
    group = score(rows(item(1, found=2), item(2, found=1, invented=2))).groups["table"]
    assert group.figures.f1_hard == pytest.approx(2 * 3 / (2 * 3 + 2 + 1))
    assert group.figures.items == 2
    low, high = group.intervals["f1_hard"]
    assert low <= group.figures.f1_hard <= high


def test_a_pair_without_errors_shows_false_alarms_and_severities_are_compared() -> None:
    clean = [item(n, found=0, invented=n % 2, human_errors=[]) for n in range(4)]
    group = score(rows(*clean, item(9, found=2, severity=3))).groups["table"]
    assert (group.clean, group.false_alarms) == (4, 2)
    assert group.severity_bias == 0.5
    assert group.severity_agreement == 0.5


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        ({"matching": None}, "not matched; run `visual-erm bench match`"),
        ({"matching": None, "failed_reason": "the matcher answered prose"}, "the matcher answered prose"),
        ({"human_errors": None}, "`human_errors` must be a list"),
        ({"matching": {"matches": "none"}}, "no list `matches`"),
        ({"matching": {"matches": [], "unmatched_pred": ["1"]}}, "must hold whole numbers"),
    ],
)
def test_what_cannot_be_counted_is_left_out_by_line_and_changes_no_figure(broken: dict[str, Any], message: str) -> None:
    right = [item(1), item(2, found=1, invented=1)]
    scores = score(rows(*right, item(3, **broken)))
    assert scores.groups[ALL].figures == score(rows(*right)).groups[ALL].figures
    assert len(scores.left_out) == 1
    assert scores.left_out[0].startswith("file:3: ")
    assert message in scores.left_out[0]


def test_an_answer_that_was_not_read_counts_as_one_without_errors_and_is_counted() -> None:
    unread = item(3, pred_json=None, error_parse_failed_reason="no JSON", matching={"matches": []})
    group = score(rows(item(1), unread)).groups["table"]
    assert group.unreadable == 1
    assert group.figures.f1_hard == pytest.approx(2 * 2 / (2 * 2 + 2))


def test_a_judge_that_finds_more_is_better_by_every_sign() -> None:
    draw = random.Random(1)
    a = rows(*(item(n, found=draw.choice([0, 1]), invented=1) for n in range(60)))
    b = rows(*(item(n, found=2, invented=draw.choice([0, 1])) for n in range(60)))
    found = compare(a, b)
    assert set(found) == {ALL, "table"}
    table = found["table"]
    assert table.difference["f1_hard"] == pytest.approx(table.b["f1_hard"] - table.a["f1_hard"])
    assert table.intervals["f1_hard"][0] > 0
    assert 0 < table.detectable["f1_hard"] < table.difference["f1_hard"]
    assert table.found_by_a_only == 0
    assert table.found_by_b_only > 60
    assert table.p_value < 1e-9
    assert table.adjusted_p_value < 1e-9
    assert math.isnan(found[ALL].adjusted_p_value)


def test_a_judge_does_not_differ_from_itself() -> None:
    one = rows(*(item(n, found=n % 3) for n in range(20)))
    table = compare(one, one)["table"]
    assert table.intervals["f1_hard"] == (0, 0)
    assert table.p_value == 1


def test_judges_of_other_benchmarks_are_not_compared() -> None:
    with pytest.raises(BadRow, match="no item was matched in both"):
        compare(rows(item(1)), rows(item(2)))
    with pytest.raises(BadRow, match="other true errors"):
        compare(rows(item(1)), rows(item(1, human_errors=[])))


class TestFiles:
    def write(self, folder: Path, text: str) -> Path:
        path = folder / "rows.jsonl"
        path.write_text(text)
        return path

    @pytest.mark.parametrize("mark", ["", "\ufeff"])
    def test_a_json_list_and_lines_are_the_same(self, tmp_path: Path, mark: str) -> None:
        items = [item(1), item(2, idx=7)]
        lines, _ = read_rows(self.write(tmp_path, mark + "\n".join(map(json.dumps, items))))
        listed, _ = read_rows(self.write(tmp_path, mark + json.dumps(items, indent=1)))
        assert [row.content for row in lines] == [row.content for row in listed] == items
        assert listed[1].place.endswith("item 2")

    @pytest.mark.parametrize(
        ("line", "message"),
        [
            ("{", r"rows.jsonl:2: not a line of JSON"),
            ("7", r"rows.jsonl:2: not a JSON object"),
            ('{"category": "table"}', r"rows.jsonl:2: needs `id` or `idx`"),
            ('{"id": 1, "category": "table"}', r"rows.jsonl:2: the id 1 is that of .*rows.jsonl:1 too"),
            ('{"id": 5, "category": "map"}', r'rows.jsonl:2: `category` is "map"; known: table, chart, svg'),
            ('{"id": 5}', r"rows.jsonl:2: `category` is null"),
        ],
    )
    def test_a_bad_line_is_named_and_the_rest_is_read(self, tmp_path: Path, line: str, message: str) -> None:
        found, problems = read_rows(self.write(tmp_path, f"{json.dumps(item(1))}\n{line}\n\n{json.dumps(item(3))}\n"))
        assert [row.id for row in found] == ["1", "3"]
        assert len(problems) == 1
        with pytest.raises(ConfigError, match=message):
            raise ConfigError(problems[0])

    @pytest.mark.parametrize("text", ["", "[]", "[1, 2]", "\n\n", '{"a": 1}'])
    def test_a_file_without_rows_is_refused(self, tmp_path: Path, text: str) -> None:
        with pytest.raises(ConfigError, match="holds no row"):
            read_rows(self.write(tmp_path, text))

    def test_a_file_that_is_no_json_is_refused_by_name(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigError, match=r"rows\.jsonl: not a JSON list"):
            read_rows(self.write(tmp_path, "[{]"))
        with pytest.raises(ConfigError, match="cannot be read"):
            read_rows(tmp_path / "none.jsonl")

    @pytest.mark.parametrize("value", [None, 5, "", "none.png"])
    def test_an_image_that_is_missing_is_named_with_its_key(self, tmp_path: Path, value: Any) -> None:
        row = Row("file:3", item(1, gt_img_path=value))
        with pytest.raises(BadRow, match="file:3: `gt_img_path`"):
            row.path("gt_img_path", tmp_path)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_order_of_a_file_changes_no_figure(seed: int) -> None:
    """Servers answer in any order, and a run that was stopped goes on in another one."""
    draw = random.Random(seed)
    contents = [
        item(
            n, found=n % 3, invented=draw.choice([0, 1]), gt_img_path=f"{n % 7}.png", category=draw.choice(["table", "svg"])
        )
        for n in range(40)
    ]
    one = rows(*contents)
    other = rows(*(item(n, found=2, **{key: contents[n][key] for key in ("gt_img_path", "category")}) for n in range(40)))

    def everything() -> str:
        scores = score(one)
        return repr((scores.wire(), compare(one, other), agree([one, other]), markdown({"a": one}, {"a": scores})))

    expected = everything()
    draw.shuffle(one)
    draw.shuffle(other)
    assert everything() == expected
