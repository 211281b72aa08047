"""The report of a run: every reward call counted, figures per step, gain against spread."""

import json

import pytest

from visual_erm.verl_cpu import tiny_report
from visual_erm.verl_cpu.tiny_tables import to_html

TABLES = [[["a", "b"], [str(i), "2"]] for i in range(4)]


def call(index, score, reply=None, time=0.0):
    numbers = {"score": score, "render_ok": 1.0, "severity": 2.0, "judge_ok": 1.0}
    return {"time": time, "index": index, "reply": reply or to_html(TABLES[index]), "reason": "", "report": None, **numbers}


def test_the_journal_of_several_workers_is_read_in_the_order_of_time(tmp_path):
    for name, times in (("a", (1.0, 3.0)), ("b", (2.0,))):
        lines = [json.dumps(call(0, 1.0, time=time)) for time in times]
        (tmp_path / f"{name}.jsonl").write_text("\n".join(lines) + "\n")
    assert [line["time"] for line in tiny_report.read_journal(tmp_path)] == [1.0, 2.0, 3.0]


def test_every_prompt_must_have_been_rewarded_exactly_n_times():
    calls = [call(index, 1.0) for index in (0, 0, 1, 1, 2, 2, 3, 3)]
    assert tiny_report.miscounts(calls, prompts=4, n=2) == {}
    assert tiny_report.miscounts(calls[1:], prompts=4, n=2) == {0: 1}
    assert tiny_report.miscounts([*calls, call(3, 1.0)], prompts=4, n=2) == {3: 3}
    assert tiny_report.miscounts(calls, prompts=3, n=2) == {3: 2}


def test_a_step_is_the_mean_of_its_rollouts():
    narrow = to_html([["a"], ["1"]])
    calls = [call(0, 2.0), call(1, 1.0, reply=narrow), call(2, 1.5), call(3, 1.7)]
    first, second = tiny_report.step_figures(calls, TABLES, batch=2)
    assert (first.step, first.rollouts, first.reward, first.shape) == (1, 2, 1.5, 0.5)
    assert (second.step, second.reward, second.shape) == (2, pytest.approx(1.6), 1)


def test_spread_is_the_wobble_around_the_trend():
    straight = tiny_report.trend([0.1 * step for step in range(45)])
    assert straight.spread == pytest.approx(0, abs=1e-9)
    assert straight.gain == pytest.approx(4.0)
    wobbling = tiny_report.trend([0.1 * step + (-1) ** step for step in range(45)])
    assert wobbling.spread == pytest.approx(1, rel=0.05)
    assert wobbling.spread_with_trend > wobbling.spread
