"""The benchmark of the scales: what it counts, and that it runs."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest

pytest.importorskip("sklearn")

ROOT = Path(__file__).parents[2]
sys.path.append(str(ROOT / "benchmarks"))

import scales  # noqa: E402

from visual_erm.pipeline import RewardResult  # noqa: E402
from visual_erm.reward.outcome import Outcome  # noqa: E402
from visual_erm.reward.report import Discrepancy, Report  # noqa: E402

MARKUP = "<table><tr><th>City</th><th></th></tr><tr><td><b>Rain</b></td><td>12.5</td></tr></table>"


def test_answers_have_one_wrong_cell_more_each_and_keep_those_that_are_wrong():
    made = scales.answers(MARKUP, "seed")
    assert made[0] == MARKUP and len(made) == 4
    cells = [[match[1] for match in scales.CELL.finditer(answer)] for answer in made]
    wrong = [{place for place in range(4) if cells[count][place] != cells[0][place]} for count in range(4)]
    assert [len(found) for found in wrong] == [0, 1, 2, 3] and all(a < b for a, b in pairwise(wrong))
    assert re.fullmatch(r"\d\d\.\d", cells[3][3]) and cells[3][1] == "", "a number stays one, an empty cell is left alone"


@pytest.mark.parametrize(
    ("wrong", "parts", "fixed", "relative", "model"),
    [(40, 100, 544, 820, 820), (16, 100, 136, 136, 136), (40, 20, 544, 610, 610), (80, 100, 1224, 3240, 3104)],
)
def test_a_scale_tells_answers_apart_up_to_its_end(wrong, parts, fixed, relative, model):
    """Under `fixed`, all answers with 17 and more wrong cells earn the same; on a model's report the 64 severest count."""
    results = [
        RewardResult(
            *(1.0, 3.0 * count, 3.0 * parts, 3.0 * count, Outcome.SCORED, True, True),
            report=Report((Discrepancy("text_error", 3, "x"),) * count),
        )
        for count in range(wrong + 1)
    ]
    found = scales.figures_of("table", results, 64)
    assert (found.fixed, found.relative, found.relative_model, found.reversed) == (fixed, relative, model, 0)
    assert (found.parts, found.pairs) == (parts, (wrong + 1) * wrong // 2)


@pytest.mark.long
def test_the_benchmark_writes_its_figures(tmp_path: Path) -> None:
    figures = tmp_path / "figures.json"
    command = [sys.executable, str(ROOT / "benchmarks" / "scales.py"), "--tables", "1", "--json", str(figures)]
    run = subprocess.run(command, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    (found,) = json.loads(figures.read_text())["packages"]
    assert found["fixed"] <= found["relative"] == found["pairs"] > 0 and "pairs of answers" in run.stdout
