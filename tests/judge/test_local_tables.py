"""The comparison, on readings that are written down rather than read."""

from __future__ import annotations

import random
from itertools import combinations

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from visual_erm.judge.local.tables import compare
from visual_erm.reward.report import MAX_SEVERITY, Report
from visual_erm.vision.table_cells import Cell, Reading

SQUARE = [["a", "b", "c"], ["1.5", "2.5", "3.5"], ["10", "20", "30"]]


def grid(rows: list[list[str]]) -> Reading:
    return Reading(
        tuple(tuple(Cell(text, i, j) for j, text in enumerate(row, 1)) for i, row in enumerate(rows, 1) if row), True
    )


def lines(*texts: str) -> Reading:
    return Reading(tuple((Cell(text, number, 1, bordered=False),) for number, text in enumerate(texts, 1)))


def severity(reference: Reading, prediction: Reading) -> int:
    return Report(compare(reference, prediction)).severity


def found(reference: Reading, prediction: Reading) -> list[tuple[str, int]]:
    return [(d.category, d.severity) for d in compare(reference, prediction)]


# --- one cell --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("reference", "prediction", "expected"),
    [
        ("12.5", "12.6", ("numeric_error", 2)),
        ("12.5", "125", ("numeric_error", 3)),
        ("12.5", "-12.5", ("numeric_error", 3)),
        ("-12.5", "12.5", ("numeric_error", 3)),
        ("12.5", "99", ("numeric_error", 3)),
        ("12.5", "", ("numeric_error", 3)),
        ("12.5%", "12.5", ("numeric_error", 2)),
        ("1.38 (4.79)", "1.38 (4.97)", ("numeric_error", 2)),
        ("Group 1", "Group 2", ("numeric_error", 2)),
        ("Total", "Totals", ("text_error", 1)),
        ("Total", "total", ("text_error", 1)),
        ("Specificity", "Sensitivity", ("text_error", 2)),
        ("Total", "Fever", ("text_error", 3)),
        ("Total", "", ("text_error", 3)),
        ("", "Total", ("text_error", 3)),
        ("", "12.5", ("numeric_error", 3)),
        ("准确率", "精确率", ("text_error", 2)),
    ],
)
def test_a_wrong_cell_costs_what_it_misleads(reference, prediction, expected):
    assert found(grid([[reference]]), grid([[prediction]])) == [expected]


@pytest.mark.parametrize(
    ("reference", "prediction"),
    [
        ("Mean (SD)", "Mean(SD)"),
        ("−0.5", "-0.5"),
        ("1–2", "1-2"),
        ("95% CI", "95% Cl"),
        ("CO2", "C02"),
        ("O", "0"),
        ("l", "1"),
        ("c", "C"),
        ("H₂O", "H2O"),
        ("—", "一"),
        ("", ""),
    ],
)
def test_what_reads_alike_costs_nothing(reference, prediction):
    assert not compare(grid([[reference]]), grid([[prediction]]))
    assert not compare(grid([[prediction]]), grid([[reference]]))


@pytest.mark.parametrize(
    ("raised", "flat"), [("m²", "m2"), ("10⁶", "106"), ("R² of the fit", "R2 of the fit"), ("s⁻¹", "s-1"), ("x²", "x³")]
)
def test_superscripts_count(raised, flat):
    for one, other in ((raised, flat), (flat, raised)):
        assert severity(grid([[one, "a"]]), grid([[other, "a"]])) > 0
        assert severity(lines(one), lines(other)) > 0
    assert severity(grid([[raised, "a"]]), grid([[raised, "a"]])) == 0


def test_a_discrepancy_names_the_cell_and_both_readings():
    wrong = [SQUARE[0], ["1.5", "2.6", "3.5"], SQUARE[2]]
    [discrepancy] = compare(grid(SQUARE), grid(wrong))
    assert discrepancy.description == 'row 2, column 2: reference "2.5", prediction "2.6"'
    assert discrepancy.location == "row 2, column 2"


def test_long_texts_are_quoted_in_part():
    [discrepancy] = compare(grid([["x" * 5000]]), grid([["y" * 5000]]))
    assert len(discrepancy.description) < 200


# --- layout ----------------------------------------------------------------------------------------------------------


def test_a_missing_row_costs_all_its_cells():
    report = compare(grid(SQUARE), grid(SQUARE[:2]))
    assert [d.category for d in report] == ["layout_error"] * 3
    assert [d.description for d in report] == [
        f'row 3, column {column}: reference "{column}0" is missing' for column in (1, 2, 3)
    ]


def test_an_extra_row_costs_all_its_cells():
    report = compare(grid(SQUARE[:2]), grid(SQUARE))
    assert [(d.category, d.severity) for d in report] == [("layout_error", 3)] * 3
    assert report[0].description == 'row 3, column 1 of the prediction: "10" is not in the reference'


def test_swapped_columns_are_moved_cells():
    report = compare(grid(SQUARE), grid([[b, a, c] for a, b, c in SQUARE]))
    assert [(d.category, d.severity) for d in report] == [("layout_error", 3)] * 3
    assert report[0].description == 'row 1, column 2: reference "b" has moved to row 1, column 1 in the prediction'


def test_a_moved_row_is_moved_cells():
    report = compare(grid(SQUARE), grid([SQUARE[0], SQUARE[2], SQUARE[1]]))
    assert [(d.category, d.severity) for d in report] == [("layout_error", 3)] * 3
    assert all("has moved to" in d.description for d in report)


def test_a_lost_merged_cell_is_reported_as_such():
    merged = Reading(((Cell("Head", 1, 1, columns=2),), (Cell("1", 2, 1), Cell("2", 2, 2))), True)
    split = grid([["Head", ""], ["1", "2"]])
    report = compare(merged, split)
    assert [(d.category, d.severity) for d in report] == [("layout_error", 1), ("layout_error", 3)]
    assert "spans 1 row(s) and 2 column(s) in the reference, 1 row(s) and 1 column(s)" in report[0].description


def test_cells_swallowed_by_a_merged_one_are_missing():
    swallowed = Reading(((Cell("a", 1, 1, columns=2), Cell("c", 1, 3)), *grid(SQUARE).rows[1:]), True)
    assert found(grid(SQUARE), swallowed) == [("layout_error", 3)]


def test_a_wrong_text_in_a_wrong_span_is_two_findings():
    merged, plain = Cell("Total", 1, 1, columns=2), Cell("Totals", 1, 1)
    assert found(Reading(((merged,),), True), Reading(((plain,),), True)) == [("text_error", 1), ("layout_error", 1)]


def test_text_without_ruling_pays_for_the_ruling_it_lacks():
    bare = Reading(tuple(tuple(Cell(c.text, c.row, c.column, bordered=False) for c in row) for row in grid(SQUARE).rows))
    assert found(grid(SQUARE), bare) == [("layout_error", 1)] * 9


def test_a_blank_prediction_loses_every_cell():
    assert found(grid(SQUARE), Reading()) == [("layout_error", 3)] * 9


def test_nothing_against_nothing_is_no_discrepancy():
    assert compare(Reading(), Reading()) == ()


# --- words -----------------------------------------------------------------------------------------------------------


def test_words_are_found_wherever_lines_wrap():
    assert not compare(lines("Mean age 12.5", "Total (n = 80)"), grid([["mean", "12.5"], ["AGE", "total N=80"]]))


@pytest.mark.parametrize("rows", [4, 8, 20])
def test_cells_of_an_unruled_table_in_another_order_cost(rows):
    names = [f"name{number} {10 * number}" for number in range(rows)]
    shuffled = random.Random(rows).sample(names, rows)
    for other in (names[::-1], shuffled):
        assert {one.severity for one in compare(lines(*names), lines(*other))} == {1}
    one_row_lower = [*names[1:], names[0]]
    assert not compare(lines(*names), lines(*one_row_lower))


def test_a_wrong_word_is_named():
    [discrepancy] = compare(lines("Mean age", "12.5"), grid([["Mean age", "12.6"]]))
    assert (discrepancy.category, discrepancy.severity) == ("numeric_error", 2)
    assert discrepancy.description == 'line 2: reference "12.5", prediction "12.6" (row 1, column 2)'


def test_missing_and_extra_words_are_layout():
    assert found(lines("one two"), lines("one")) == [("layout_error", 3)]
    assert found(lines("one"), lines("one two")) == [("layout_error", 3)]


@pytest.mark.parametrize(("scan", "true"), [("1S57", "1557"), ("S66", "566"), ("Cl", "CI"), ("SpO2", "SPO2")])
def test_what_small_print_confuses_costs_nothing(scan, true):
    assert not compare(lines(scan), grid([[true]]))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Alder 12 345 1 204", "Alder 12345 1204"),
        ("7 020 980 12 000", "7020 980 12000"),
        ("3 400 100 in 2024", "3400 100 in 2024"),
        ("Cedar 345 900 10 050", "Cedar 345900 10 050"),
    ],
)
def test_a_blank_between_thousands_that_is_lost_costs_nothing(one, other):
    assert severity(lines(one), lines(other)) == severity(lines(other), lines(one)) == 0


def test_other_digits_between_blanks_cost_what_they_cost_without():
    assert severity(lines("Alder 12 345"), lines("Alder 12345")) == 0
    assert severity(lines("Alder 12 345"), lines("Alder 12 845")) == severity(lines("345"), lines("845"))
    assert severity(lines("Alder 12 345"), lines("Alder 12")) == 3
    assert severity(lines("1204 and 98"), lines("1 204")) == 6


def test_a_decimal_point_lost_in_small_print_costs_little():
    assert found(lines("152"), grid([["15.2"]])) == [("numeric_error", 1)]


# --- properties ------------------------------------------------------------------------------------------------------

TEXTS = st.sampled_from(["", "a", "ab", "abc", "total", "totals", "1", "12", "1.2", "12.5", "12.6", "-12.5", "99"])
GRIDS = st.lists(st.lists(TEXTS, min_size=1, max_size=4), min_size=1, max_size=5)


def spanned(rows: list[list[tuple[str, int]]]) -> Reading:
    return Reading(
        tuple(tuple(Cell(t, i, j, columns=n) for j, (t, n) in enumerate(row, 1)) for i, row in enumerate(rows, 1) if row),
        True,
    )


SPANNED = st.lists(st.lists(st.tuples(TEXTS, st.sampled_from([1, 1, 2])), min_size=1, max_size=4), min_size=1, max_size=5)


@st.composite
def answers(draw_value):
    """A reference and an answer to it: the reference itself, damaged in a few places, or something else altogether."""
    reference = draw_value(SPANNED)
    if draw_value(st.booleans()):
        return reference, draw_value(SPANNED)
    answer = [list(row) for row in reference]
    for _ in range(draw_value(st.integers(0, 4))):
        row = draw_value(st.sampled_from(answer))
        place = draw_value(st.integers(0, len(row) - 1))
        row[place] = draw_value(st.tuples(TEXTS, st.sampled_from([1, 2])))
    return reference, answer


def without(rows: list[list]) -> list[list[list]]:
    """The table with every one of its rows, columns and cells left out in turn."""
    fewer = [rows[:i] + rows[i + 1 :] for i in range(len(rows))]
    fewer += [[row[:j] + row[j + 1 :] for row in rows] for j in range(max(map(len, rows)))]
    for i, row in enumerate(rows):
        fewer += [[*rows[:i], row[:j] + row[j + 1 :], *rows[i + 1 :]] for j in range(len(row))]
    return fewer


def size(rows: list[list]) -> int:
    return sum(map(len, rows))


@settings(max_examples=150)
@given(answers())
def test_leaving_out_a_row_column_or_cell_never_pays(pair):
    reference, answer = pair
    assume(size(answer) <= size(reference))
    whole = severity(spanned(reference), spanned(answer))
    for less in without(answer):
        assert severity(spanned(reference), spanned(less)) >= whole


@settings(max_examples=150)
@given(st.lists(TEXTS.filter(bool), min_size=1, max_size=8), st.lists(TEXTS.filter(bool), max_size=8))
def test_leaving_out_a_word_never_pays(reference, answer):
    assume(len(answer) <= len(reference))
    whole = severity(lines(*reference), lines(*answer))
    for less in range(len(answer)):
        assert severity(lines(*reference), lines(*answer[:less], *answer[less + 1 :])) >= whole


@given(GRIDS)
def test_a_table_equals_itself(rows):
    assert not compare(grid(rows), grid(rows))


@given(GRIDS, GRIDS)
def test_no_answer_costs_more_than_its_mass(reference, answer):
    assert severity(grid(reference), grid(answer)) <= MAX_SEVERITY * max(size(reference), size(answer))


@settings(max_examples=60)
@given(
    st.lists(st.lists(TEXTS, min_size=1, max_size=3), min_size=1, max_size=3),
    st.lists(st.lists(TEXTS, min_size=1, max_size=3), min_size=1, max_size=3),
)
def test_the_severities_sum_to_the_least_that_any_alignment_costs(reference, answer):
    def gain(wanted: str, offered: str) -> int:
        return MAX_SEVERITY - severity(grid([[wanted]]), grid([[offered]]))

    def best(wanted: list, offered: list, of_pair) -> int:
        """Over all ways to keep order, by enumeration."""
        return max(
            sum(of_pair(wanted[i], offered[j]) for i, j in zip(left, right, strict=True))
            for k in range(min(len(wanted), len(offered)) + 1)
            for left in combinations(range(len(wanted)), k)
            for right in combinations(range(len(offered)), k)
        )

    most = best(reference, answer, lambda wanted, offered: best(wanted, offered, gain))
    assert severity(grid(reference), grid(answer)) == MAX_SEVERITY * max(size(reference), size(answer)) - most
