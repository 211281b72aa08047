"""How far several runs agree."""

from __future__ import annotations

from typing import Any

import pytest

from visual_erm.bench.agreement import agree
from visual_erm.bench.rows import Row
from visual_erm.jobs.rows import BadRow


def rows(*items: list[tuple[str, float]] | None) -> list[Row]:
    """One row for each list of errors, given by description and severity; None for an answer that was not read."""
    found = []
    for number, errors in enumerate(items):
        said = {
            "errors": [{"type": "text_error", "severity": severity, "description": text} for text, severity in errors or []]
        }
        content: dict[str, Any] = {"id": number, "category": "table", "pred_json": None if errors is None else said}
        found.append(Row(f"a:{number}", content))
    return found


SOME = ("the word river reads harbour", 2.0), ("the total is 17 instead of 71", 3.0)


def test_a_run_agrees_with_itself() -> None:
    one = rows([SOME[0]], [], [*SOME])
    found = agree([one, one, one])
    assert (found.items, found.f1, found.same_severity, found.severity_difference) == (3, 1, 1, 0)
    assert found.severity_correlation == pytest.approx(1)
    assert found.f1_interval == (1, 1)


def test_runs_that_find_nothing_agree() -> None:
    assert agree([rows([], []), rows([], [])]).f1 == 1


def test_other_errors_and_severities_are_no_agreement() -> None:
    found = agree([rows([SOME[0]], [SOME[1]]), rows([SOME[1]], [(SOME[1][0], 1.0)])])
    assert found.f1 == 0.5
    assert found.same_severity == 0
    assert found.severity_difference == 1.5


def test_items_without_an_answer_in_one_run_are_left_out() -> None:
    assert agree([rows([SOME[0]], None, []), rows([SOME[0]], [SOME[1]])]).items == 1


@pytest.mark.parametrize("runs", [[], [rows([])], [rows(None), rows([])]])
def test_nothing_to_compare_is_told(runs: list[list[Row]]) -> None:
    with pytest.raises(BadRow, match="two runs or more"):
        agree(runs)
