"""The demo's charts: real measurements, and which parts of a reply are read."""

import random
from dataclasses import replace

import pytest

from visual_erm.demo.tiny_charts import Chart, batch, damaged, from_python, parts, shape, to_python
from visual_erm.demo.tiny_tables import SOURCES, measurements

CHART = Chart(("sl", "sw", "pl"), ("5.1", "3.5", "1.4"), "red")


def test_a_chart_shows_measurements_of_one_row_of_a_data_file():
    rows = {tuple(row) for source in SOURCES for row in measurements(source, "train")[1:]}
    for chart in batch(random.Random(0), 48):
        assert any(set(chart.numbers) <= set(row) for row in rows)


def test_damage_is_a_bar_too_few_or_too_many_a_number_too_few_or_another_color():
    rng = random.Random(0)
    found = {(shape(chart), chart.color == "red") for chart in (damaged(rng, CHART) for _ in range(100))}
    assert found == {((2, 2), True), ((4, 4), True), ((3, 2), True), ((3, 3), False)}


@pytest.mark.parametrize(
    ("old", "new", "same"),
    [
        ("5.1,3.5", "5.10, 3.5", CHART),
        ("color='red'", "height=.5", replace(CHART, color="")),
        ("['sl','sw','pl']", "names", replace(CHART, names=())),
        ("plt.show()", "print('shown')", CHART),
        ("plt.barh", "plt.bar", Chart()),
    ],
)
def test_a_reply_is_read_as_python_and_not_as_text(old, new, same):
    code = to_python(CHART)
    assert old in code
    assert from_python(code.replace(old, new)) == same


def test_a_wrong_name_number_or_color_is_one_wrong_part():
    truth = parts(CHART)
    for wrong in (
        replace(CHART, names=("sl", "sw", "pw")),
        replace(CHART, numbers=("5.1", "3.5", "1.5")),
        replace(CHART, color="blue"),
    ):
        assert len(truth.items() - parts(wrong).items()) == 1
