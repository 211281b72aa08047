"""The report of a run: every reward call counted, figures per step, gain against spread."""

import json

import pytest
from PIL import Image

from visual_erm.demo import tiny_report
from visual_erm.demo.tiny_charts import CHART, Chart
from visual_erm.demo.tiny_data import TinyRow
from visual_erm.demo.tiny_tables import TABLE, to_html

ROWS = [TinyRow(TABLE, [["a", "b"], [str(i), "2"]], Image.new("RGB", (1, 1)), None) for i in range(4)]


def call(index, score, reply=None, time=0.0):
    numbers = {"score": score, "render_ok": 1.0, "severity": 2.0, "scored_ok": 1.0}
    return {
        "time": time,
        "index": index,
        "reply": reply or to_html(ROWS[index].sample),
        "reason": "",
        "report": None,
        **numbers,
    }


def test_the_rollout_log_of_several_workers_is_read_in_the_order_of_time(tmp_path):
    for name, times in (("a", (1.0, 3.0)), ("b", (2.0,))):
        lines = [json.dumps(call(0, 1.0, time=time)) for time in times]
        (tmp_path / f"{name}.jsonl").write_text("\n".join(lines) + "\n")
    assert [line["time"] for line in tiny_report.read_rollout_log(tmp_path)] == [1.0, 2.0, 3.0]


def test_every_prompt_must_have_been_rewarded_exactly_n_times():
    calls = [call(index, 1.0) for index in (0, 0, 1, 1, 2, 2, 3, 3)]
    assert tiny_report.miscounts(calls, prompts=4, n=2) == {}
    assert tiny_report.miscounts(calls[1:], prompts=4, n=2) == {0: 1}
    assert tiny_report.miscounts([*calls, call(3, 1.0)], prompts=4, n=2) == {3: 3}
    assert tiny_report.miscounts(calls, prompts=3, n=2) == {3: 2}


def test_a_step_is_the_mean_of_its_rollouts():
    narrow = to_html([["a"], ["1"]])
    calls = [call(0, 2.0), call(1, 1.0, reply=narrow), call(2, 1.5), call(3, 1.7)]
    first, second = tiny_report.step_figures(calls, ROWS, batch=2)
    assert (first.step, first.rollouts, first.reward, first.shape) == (1, 2, 1.5, 0.5)
    assert (second.step, second.reward, second.shape) == (2, pytest.approx(1.6), 1)


def test_a_step_of_a_mixture_has_a_mean_reward_for_each_task(tmp_path):
    chart = TinyRow(CHART, Chart(("a", "b"), ("1", "2"), "red"), Image.new("RGB", (1, 1)), None)
    calls = [call(0, 2.0), call(1, 1.0, reply=CHART.write(chart.sample)), call(0, 1.0), call(1, 0.0)]
    (step,) = tiny_report.step_figures(calls, [ROWS[0], chart], batch=2)
    assert (step.reward, step.shape, step.rewards) == (1.0, 0.75, {"chart": 0.5, "table": 1.5})
    tiny_report.write_steps([step], tmp_path)
    (written,) = json.loads((tmp_path / "steps.json").read_text())
    assert (written["reward"], written["reward_chart"], written["reward_table"]) == (1.0, 0.5, 1.5)


def test_spread_is_the_wobble_around_the_trend():
    straight = tiny_report.trend([0.1 * step for step in range(45)])
    assert straight.spread == pytest.approx(0, abs=1e-9)
    assert straight.gain == pytest.approx(4.0)
    wobbling = tiny_report.trend([0.1 * step + (-1) ** step for step in range(45)])
    assert wobbling.spread == pytest.approx(1, rel=0.05)
    assert wobbling.spread_with_trend > wobbling.spread
