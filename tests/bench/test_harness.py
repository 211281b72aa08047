"""What the adapters for other projects ask, and their figures."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from visual_erm.bench.harness import figures_of, question
from visual_erm.bench.match import match
from visual_erm.bench.published import read_reply
from visual_erm.bench.rows import Row, read_rows
from visual_erm.bench.scores import score
from visual_erm.spec.prompts import Found, evaluation_prompt, save_imported
from visual_erm.spec.task import load_task

TRUTH = {"type": "text_error", "severity": 2, "description": "harbour reads river", "location": "row 1"}
RIGHT = json.dumps({"errors": [TRUTH]})


def row(number: int, *truths: dict[str, object]) -> dict[str, object]:
    return {"id": number, "category": "table", "gt_img_path": "a.png", "human_errors": list(truths)}


@pytest.mark.parametrize(
    ("replies", "hard", "unreadable"),
    [
        ([(row(1, TRUTH), RIGHT), (row(2), '{"errors": []}')], 1.0, 0),
        ([(row(1, TRUTH), f"```json\n{RIGHT}\n```"), (row(2, TRUTH), "prose")], 2 / 3, 1),
        ([(row(1), RIGHT)], 0.0, 0),
        ([(row(1), "")], 1.0, 1),
    ],
)
def test_the_figures_are_those_of_match_and_score(
    tmp_path: Path, replies: list[tuple[dict[str, object], str]], hard: float, unreadable: int
) -> None:
    found = figures_of(replies, "mine")
    assert found["table"]["f1_hard"] == pytest.approx(hard)
    assert found["table"]["unreadable"] == unreadable
    answers = [
        Row(f"r:{place}", {**one, "pred_json": read_reply(reply)[0], "judge": "mine"})
        for place, (one, reply) in enumerate(replies)
    ]
    match(answers, tmp_path / "m.jsonl")
    group = score(read_rows(tmp_path / "m.jsonl")[0]).groups["all"]
    assert found["all"]["f1_soft"] == group.figures.f1_soft
    assert found["all"]["items"] == group.figures.items


def test_the_question_is_the_imported_one_or_that_of_the_task(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    assert question("chart") == load_task("chart").judge.prompt
    save_imported({evaluation_prompt("chart"): Found("What differs?", Path("api_judge.py"), 1)})
    assert question("chart") == "What differs?"
    assert question("svg") == load_task("svg").judge.prompt
