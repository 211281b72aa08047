"""TEDS: the published figures, and what a table's tree is."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from visual_erm.baselines.teds import MAX_GAIN, MIN_ALLOWED_NODES, teds, teds_reward

PAIRS = json.loads((Path(__file__).parent / "teds_pairs.json").read_text(encoding="utf-8"))
"""Tables, what became of them, and what ibm-aur-nlp/PubTabNet's src/metric.py (commit 0e0c343) finds for the two."""


def table(*rows: list[str], cell: str = "td") -> str:
    lines = ("".join(f"<{cell}>{text}</{cell}>" for text in row) for row in rows)
    return f"<table>{''.join(f'<tr>{line}</tr>' for line in lines)}</table>"


def test_it_is_the_published_figure_on_fifty_pairs_with_spans_headers_and_markup_in_cells():
    assert len(PAIRS) == 50
    for pair in PAIRS:
        assert teds(pair["prediction"], pair["truth"], header_text=False) == pytest.approx(pair["teds"], abs=1e-12)


def test_the_fifty_pairs_hold_what_tables_are_made_of():
    markup = "".join(pair["prediction"] + pair["truth"] for pair in PAIRS)
    assert all(
        part in markup for part in ("colspan=", "rowspan=", "<th>", "<thead>", "<tbody>", "<b>", "<sup>", "&lt;", "计")
    )
    assert len({round(pair["teds"], 6) for pair in PAIRS}) > 30


def letters(text: str, tag: str = "b") -> str:
    return "".join(f"<{tag}>{letter}</{tag}>" for letter in text)


TRUTH = table(["a", "b"], ["c", "d"])


@pytest.mark.parametrize(
    ("prediction", "truth", "published"),
    [
        (
            table([letters("alpha beta"), letters("gamma")], [letters("delta"), "x"]),
            table(["alpha beta", "gamma"], ["delta", "x"]),
            0.9230769230769231,
        ),
        (
            table([letters("alpha beta gamma delta"), letters("eps")], ["1", "2"]),
            table([letters("alpha beta gamma delto"), letters("eps")], ["1", "3"]),
            0.9672531769305963,
        ),
        (table(["<b></b>" * 100, "y"], ["z", "w"]), TRUTH, 0.9622641509433962),
        (table(["<b>" * 120 + "</b>" * 120, "y"], ["z", "w"]), TRUTH, 0.9682539682539683),
        (table(["<br>" * 100, "y"], ["z", "w"]), TRUTH, 0.9622641509433962),
        (table([letters("." * 100, "unk"), "y"], ["z", "w"]), TRUTH, 0.9622641509433962),
        (table([f"<table><tr>{'<td></td>' * 100}</tr></table>", "y"], ["z", "w"]), TRUTH, 0.962962962962963),
    ],
    ids=["letters", "letters in both", "empty", "nested", "breaks", "unknown", "cells in a cell"],
)
def test_it_is_the_published_figure_where_cells_hold_many_tags(prediction, truth, published):
    assert teds(prediction, truth, header_text=False) == pytest.approx(published, abs=1e-12)


@pytest.mark.parametrize(
    "stuffing",
    ["<b></b>" * 100, "<b>" * 120, "<br>" * 100, letters("." * 100), letters("y" * 100, "span"), "<i><u></u></i>" * 50],
)
@pytest.mark.parametrize("header_text", [True, False])
def test_a_cell_stuffed_with_tags_earns_no_more_than_without_them(stuffing, header_text):
    stuffed, plain = table([stuffing, "y"], ["z", "w"]), table(["", "y"], ["z", "w"])
    assert teds(stuffed, TRUTH, header_text) > 0.9
    found = teds_reward(stuffed, TRUTH, header_text)
    assert found.value <= teds(plain, TRUTH, header_text)
    assert found.flags == {"tag_stuffing"}
    assert "TEDS 0.9" in found.reason


@pytest.mark.parametrize("pair", PAIRS[::5])
def test_a_table_with_other_marks_than_its_truth_is_not_stuffed(pair):
    found = teds_reward(pair["prediction"], pair["truth"], header_text=False)
    assert (found.value, found.flags) == (pytest.approx(pair["teds"], abs=1e-12), frozenset())


def test_right_text_in_many_tags_is_not_stuffed():
    words = ["alpha beta", "gamma"], ["delta", "x"]
    prediction = table(*([letters(word, "span") for word in row] for row in words))
    found = teds_reward(prediction, table(*map(list, words)), header_text=True)
    assert (found.value, found.flags) == (teds(prediction, table(*map(list, words)), header_text=True), frozenset())


CELL = st.sampled_from(["", "1", "ab", "<b>1</b>", "<br>", "<i></i>" * 9, "<b>" * 30, letters("abcd")])
CELLS = st.lists(CELL, min_size=2)


@given(st.lists(CELLS, min_size=1, max_size=3), st.lists(CELLS, min_size=1, max_size=3))
@settings(max_examples=60)
def test_the_reward_is_the_published_figure_or_a_smaller_one_with_a_flag(predicted, expected):
    prediction, truth = table(*predicted), table(*expected)
    figure, found = teds(prediction, truth, header_text=True), teds_reward(prediction, truth, header_text=True)
    assert 0 <= found.value <= figure <= 1
    assert found.value < figure - MAX_GAIN if found.flags else found.value == figure


@pytest.mark.parametrize(
    "prediction",
    [
        table(["<b></b>" * 100_000, "1"]),
        table(["<b>" * 100_000]),
        table(["x" * 800_000]),
        table(*([["<b></b>" * 50] * 10] * 300)),
        "<table>" + "<tr><td>1" * 20_000,
    ],
    ids=["empty tags", "nested tags", "text", "tags in many cells", "cells"],
)
def test_a_hostile_table_is_compared_in_bounded_time(prediction):
    truth = table(*([[f"<b>{'word ' * 5}</b>"] * 8] * 12))
    begun = time.process_time()
    assert teds_reward(prediction, truth, header_text=True).value < 0.5
    assert time.process_time() - begun < 5


@given(st.lists(st.lists(st.text("ab<&1 é", max_size=4), min_size=1, max_size=3), min_size=1, max_size=3))
@settings(max_examples=30)
def test_a_table_is_like_itself_and_no_table_is_out_of_range(rows):
    escaped = [[text.replace("&", "&amp;").replace("<", "&lt;") for text in row] for row in rows]
    assert teds(table(*escaped), table(*escaped), header_text=True) == 1
    assert 0 <= teds(table(["x", "y"]), table(*escaped), header_text=True) <= 1


def test_the_text_of_header_cells_counts_where_it_is_asked_for():
    truth, wrong = table(["Year", "Sales"], cell="th"), table(["Fear", "Males"], cell="th")
    assert teds(wrong, truth, header_text=True) < 1
    assert teds(wrong, truth, header_text=False) > teds(wrong, truth, header_text=True)
    assert teds(table(["Year", "Sales"]), truth, header_text=True) == 1, "a header cell looks like any other"


@pytest.mark.parametrize("prediction", ["", "no table", "<p>1</p>", "<table></table>", "\x00", "<table>" + "<div>" * 300])
def test_what_is_no_table_gets_nothing(prediction):
    assert teds(prediction, table(["1", "2"]), header_text=True) == 0


def test_a_table_far_larger_than_its_truth_gets_nothing_at_once():
    huge = table(*([["1"] * 200] * 2000))
    assert teds(huge, table(["1", "2"]), header_text=True) == 0
    small = table(*([["1", "2"]] * (MIN_ALLOWED_NODES // 4)))
    assert teds(small, table(["1", "2"]), header_text=True) > 0, "a small one is compared"


def test_a_truth_without_a_table_is_an_error():
    with pytest.raises(ValueError, match="no table"):
        teds(table(["1"]), "41", header_text=True)


def test_spans_are_read_as_a_browser_reads_them():
    assert teds('<table><tr><td colspan="x">1</td></tr></table>', table(["1"]), header_text=True) == 1
    assert teds('<table><tr><td colspan="2;">1</td></tr></table>', table(["1"]), header_text=True) < 1
