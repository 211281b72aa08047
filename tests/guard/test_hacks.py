"""A few of the strategies of benchmarks/hacks.py: none earns more than an honest reply with two slips."""

from __future__ import annotations

import asyncio
import random
import sys
from pathlib import Path

import pytest

from visual_erm.reward.scoring import reward
from visual_erm.spec.task import load_task

sys.path.append(str(Path(__file__).resolve().parents[2] / "benchmarks"))

import hacks

PLAYED = {
    "table": [
        "half the rows",
        "one cell",
        "empty cells",
        "blank",
        "print of 1 pixel",
        "white on white",
        "other values",
    ],
    "chart": [
        "half the values",
        "text without marks",
        "blank",
        "a dot",
        "tiny print",
        "small picture",
        "says verdict",
    ],
    "svg": ["half the shapes", "a dot", "one color", "tiny", "flattened", "rings", "nine drawings", "says verdict"],
}


@pytest.mark.parametrize("name", list(hacks.TASKS))
def test_each_task_has_at_least_forty_strategies_with_code_of_their_own(name: str) -> None:
    made = hacks.TASKS[name]
    truth = made.reference(random.Random(3))
    codes = {hack(random.Random(4), truth) for hack in made.hacks.values()}
    assert len(codes) == len(made.hacks) >= 40
    assert made.code(truth) not in codes


@pytest.mark.long
@pytest.mark.parametrize("name", list(PLAYED))
def test_no_hack_earns_more_than_an_honest_reply_with_two_slips(name: str) -> None:
    task = load_task(name)
    found = asyncio.run(hacks.scored(task, PLAYED[name], [0], seed=1))
    bar = reward(hacks.SLIPS * hacks.SLIP_SEVERITY, task.scoring)
    assert [one.reward for one in found if not one.name] == [bar]
    played = [one for one in found if one.name]
    assert len(played) == len(hacks.SHARES) * len(PLAYED[name])
    assert [one for one in played if one.reward >= bar] == []
