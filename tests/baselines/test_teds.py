"""TEDS: the published figures, and what a table's tree is."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from visual_erm.baselines.teds import MIN_ALLOWED_ELEMENTS, teds

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


@pytest.mark.parametrize(
    "prediction", ["", "no table", "<p>1</p>", "<table></table>", "\x00", "<table>" + "<div>" * 60_000]
)
def test_what_is_no_table_gets_nothing(prediction):
    assert teds(prediction, table(["1", "2"]), header_text=True) == 0


def test_a_table_far_larger_than_its_truth_gets_nothing_at_once():
    huge = table(*([["1"] * 200] * 2000))
    assert teds(huge, table(["1", "2"]), header_text=True) == 0
    small = table(*([["1", "2"]] * (MIN_ALLOWED_ELEMENTS // 4)))
    assert teds(small, table(["1", "2"]), header_text=True) > 0, "a small one is compared"


def test_a_truth_without_a_table_is_an_error():
    with pytest.raises(ValueError, match="no table"):
        teds(table(["1"]), "41", header_text=True)


def test_spans_are_read_as_a_browser_reads_them():
    assert teds('<table><tr><td colspan="x">1</td></tr></table>', table(["1"]), header_text=True) == 1
    assert teds('<table><tr><td colspan="2;">1</td></tr></table>', table(["1"]), header_text=True) < 1
