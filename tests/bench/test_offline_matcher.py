"""The offline matcher against lists that were matched by hand, and what holds for any lists."""

from __future__ import annotations

import itertools
import random
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from visual_erm.bench.matching import LabeledError, Match
from visual_erm.bench.offline_matcher import READ, match_offline

CATEGORIES = {
    "table": {"layout_error", "text_error", "numeric_error"},
    "chart": {"structure_error", "data_error", "text_error", "style_error"},
    "svg": {"structure_error", "shape_error", "style_error", "text_symbol_error"},
}
ITEMS: list[dict[str, Any]] = yaml.load(
    Path(__file__).with_name("hand_made_matches.yaml").read_text(encoding="utf-8"), yaml.CSafeLoader
)


def errors(item: dict[str, Any], side: str) -> list[LabeledError]:
    return [LabeledError(*row) for row in item[side]]


def task(item: dict[str, Any]) -> str:
    return item["id"].split("-")[0]


def pairs(matches: Iterable[Match]) -> set[tuple[int, int]]:
    return {(match.prediction, match.truth) for match in matches}


# -------------------------------------------------------------------------------------------- against lists matched by hand
def test_the_hand_made_lists_are_as_their_first_lines_say() -> None:
    assert len({item["id"] for item in ITEMS}) == 120
    assert Counter(map(task, ITEMS)) == {"table": 40, "chart": 40, "svg": 40}
    assert Counter(task(item) for item in ITEMS if item["held_out"]) == {"table": 20, "chart": 20, "svg": 20}
    for item in ITEMS:
        sides = errors(item, "predictions"), errors(item, "truths")
        assert all(len(side) <= 6 and {error.category for error in side} <= CATEGORIES[task(item)] for side in sides), item[
            "id"
        ]
        for side, places in zip(sides, zip(*(match[:2] for match in item["matches"]), strict=True), strict=False):
            assert len(set(places)) == len(places) and set(places) <= set(range(len(side))), item["id"]
        assert {level for _, _, level in item["matches"]} <= {"yes", "partial"}, item["id"]


@pytest.mark.parametrize(
    ("name", "least"), [("all", 0.85), ("held out", 0.80), ("table", 0.80), ("chart", 0.80), ("svg", 0.80)]
)
def test_it_matches_as_a_person_does(name: str, least: float, capsys: pytest.CaptureFixture[str]) -> None:
    chosen = [item for item in ITEMS if name in ("all", task(item)) or (name == "held out" and item["held_out"])]
    right, given_, wanted, levels = 0, 0, 0, 0
    for item in chosen:
        found = {
            (m.prediction, m.truth): m.level for m in match_offline(errors(item, "predictions"), errors(item, "truths"))
        }
        true = {(prediction, truth): level for prediction, truth, level in item["matches"]}
        common = found.keys() & true.keys()
        right, given_, wanted = right + len(common), given_ + len(found), wanted + len(true)
        levels += sum(found[pair] == true[pair] for pair in common)
    score = 2 * right / (given_ + wanted)
    with capsys.disabled():
        print(f"\noffline matcher, {name}: {len(chosen)} items, F1 of matches {score:.3f}", end="")
        print(f" (precision {right / given_:.3f}, recall {right / wanted:.3f}), level right in {levels / right:.3f}")
    assert score >= least


def test_errors_of_unrelated_images_are_seldom_matched() -> None:
    matched, possible = 0, 0
    for name, shift in itertools.product(CATEGORIES, (1, 2, 3)):
        items = [item for item in ITEMS if task(item) == name]
        for one, other in zip(items, items[shift:] + items[:shift], strict=True):
            predictions, truths = errors(one, "predictions"), errors(other, "truths")
            matched += len(match_offline(predictions, truths))
            possible += min(len(predictions), len(truths))
    assert matched <= 0.08 * possible


def test_swapped_sides_give_the_same_pairs() -> None:
    for item in ITEMS:
        predictions, truths = errors(item, "predictions"), errors(item, "truths")
        swapped = {(match.truth, match.prediction, match.level) for match in match_offline(truths, predictions)}
        assert {(match.prediction, match.truth, match.level) for match in match_offline(predictions, truths)} == swapped


# ----------------------------------------------------------------------------------------------------------- single rules
def numeric(description: str, location: str = "") -> LabeledError:
    return LabeledError("numeric_error", 2, description, location)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("1,250 became 1,520", "The value 1250 is shown as 1520."),
        ("3.50 became 3.80", "3.5 should be there, not 3.8."),
        ("row 3, column 2: 7 for 1", "The cell in the third row and second column has 7 instead of 1."),
        ("rows 4 to 6: sums lost", "The sums are missing in rows 4 and 6."),
        ("−85 became −58", "It reads -58 instead of -85."),
        ("„Summe“ became „Sume“", "The cell 'Summe' is spelled 'Sume'."),
        ("legend missing", "The key is absent."),
        ("'heat flow' written together", "The cell reads 'heatflow'."),
        ("3 grey bars missing", "upper left: the grey (#808080) bar is missing"),
        ("第二行的 45 写成 54", "第 2 行:原图 45,重建图 54。"),
        (
            "legend missing",
            "The key that names each of the three plotted groups is absent from the upper corner of the chart.",
        ),
        ("row 3: 84 for 48", "The value in row 4 is 84 instead of 48."),  # one of them counts the header
        ("top panel: bar of 2019 too low", "The bar of 2019 is lower than in the original."),
    ],
)
def test_two_ways_to_say_one_thing_match(one: str, other: str) -> None:
    assert match_offline([numeric(one)], [numeric(other)]) == (Match(0, 0, "yes"),)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Title missing.", "Legend missing."),
        ("The second image differs from the original.", "The value in the second image is not that of the original."),
        ("row 2: 17 for 71", "row 5: 34 for 43"),
        ("left eye missing", "right ear missing"),
        ("原图中的标题", "原图中的网格"),
        ("", "12 became 13"),
        ("缺少图例", "标题颜色不同"),
    ],
)
def test_two_errors_that_share_only_prose_do_not_match(one: str, other: str) -> None:
    assert match_offline([numeric(one)], [numeric(other)]) == ()


@pytest.mark.parametrize("place", ["row {}", "column {}", "row {}, column 1"])
def test_the_place_decides_between_errors_with_the_same_words(place: str) -> None:
    truths = [numeric(f"{place.format(k)}: minus sign lost") for k in (2, 3, 4)]
    predictions = [numeric("The minus sign is lost.", place.format(k)) for k in (4, 2, 3)]
    assert pairs(match_offline(predictions, truths)) == {(0, 2), (1, 0), (2, 1)}


@pytest.mark.parametrize("place", ["row {}", "column {}", "rows {}"])
def test_the_same_words_in_another_place_do_not_match(place: str) -> None:
    truths = [numeric(f"{place.format(k)}: 'true' for 'false'") for k in (1, 6)]
    predictions = [numeric(f"The Boolean in {place.format(k)} is 'true' instead of 'false'.") for k in (6, 3)]
    assert pairs(match_offline(predictions, truths)) == {(0, 1)}


@pytest.mark.parametrize("sides", [("left", "right"), ("top", "bottom"), ("upper left", "lower left")])
def test_the_side_decides_between_errors_with_the_same_words(sides: tuple[str, str]) -> None:
    truths = [LabeledError("structure_error", 3, f"{side} wheel missing") for side in sides]
    predictions = [LabeledError("structure_error", 3, "The wheel is not drawn.", side) for side in reversed(sides)]
    assert pairs(match_offline(predictions, truths)) == {(0, 1), (1, 0)}


@pytest.mark.parametrize("category", ["style_error", "structure_error", "text_error"])
def test_the_category_decides_between_errors_with_the_same_words(category: str) -> None:
    truths = [LabeledError(of, 2, "legend: frame, order") for of in ("text_error", "style_error", "structure_error")]
    report = LabeledError(category, 2, "The legend has another order and frame.")
    assert [truths[match.truth].category for match in match_offline([report], truths)] == [category]


@pytest.mark.parametrize("exact", ["12.5", "'Weight'", "2019"])
def test_numbers_and_quoted_words_decide_over_other_words(exact: str) -> None:
    truths = [numeric("price too high"), numeric(f"{exact} too high, crooked")]
    assert pairs(match_offline([numeric(f"price {exact}")], truths)) == {(0, 1)}
    assert pairs(match_offline([numeric(f"price {exact}")], truths[::-1])) == {(0, 0)}


def test_words_that_all_errors_have_do_not_match_them() -> None:
    here = ["Norway", "Sweden", "Finland", "Denmark", "Iceland", "Estonia", "Latvia", "Poland"]
    there = ["Spain", "Italy", "France", "Malta", "Cyprus", "Greece", "Turkey", "Portugal"]
    truths = [numeric(f"bar of {name} too high") for name in here]
    assert match_offline([numeric(f"The bar for {name} is too high.") for name in there], truths) == ()
    predictions = [numeric(f"The bar for {name} is too high.") for name in (*there[:7], here[3])]
    assert pairs(match_offline(predictions, truths)) == {(7, 3)}


@pytest.mark.parametrize("value", ["46", "4.8", "-48"])
def test_the_right_place_with_a_wrong_value_is_a_match_in_part(value: str) -> None:
    truth = numeric("row 2, column 3, Price: 84 instead of 48")
    report = numeric(f"Price in row 2, column 3 is 84, in the original {value}.")
    assert match_offline([report], [truth]) == (Match(0, 0, "partial"),)


@pytest.mark.parametrize("others", [0, 1, 2])
def test_of_equal_reports_the_first_is_matched(others: int) -> None:
    report, other = numeric("12.5 is shown as 12.6"), [numeric("title 99 lost"), numeric("legend 44 lost")][:others]
    truth = numeric("12.5 read as 12.6")
    assert match_offline([*other, report, report, report], [truth]) == (Match(others, 0, "yes"),)
    assert match_offline([report, *other, report], [truth]) == (Match(0, 0, "yes"),)
    assert match_offline([truth], [*other, report, report, report]) == (Match(0, others, "yes"),)


@pytest.mark.parametrize("count", [2, 3, 5])
def test_of_truths_that_are_equally_near_the_same_is_matched_in_any_order(count: int) -> None:
    truths = [numeric(f"{name} 12") for name in ("apple", "berry", "cherry", "date", "elder")[:count]]
    matched = {truths[match_offline([numeric("12")], truths)[0].truth] for truths in itertools.permutations(truths)}
    assert len(matched) == 1


# ------------------------------------------------------------------------------------------------------------ any lists
WORDS = ["bar", "row 2", "row 3", "'Total'", "12.5", "12.6", "left", "upper", "missing", "blue", "the", "图例", "3", "?"]
TEXT = st.one_of(st.lists(st.sampled_from(WORDS), max_size=5).map(" ".join), st.text(max_size=30))
ERRORS = st.lists(
    st.builds(LabeledError, st.sampled_from(["text_error", "data_error", ""]), st.just(1), TEXT, TEXT), max_size=7
)


@settings(max_examples=100, deadline=None)
@given(ERRORS, ERRORS)
def test_matches_are_one_to_one_and_in_range(predictions: list[LabeledError], truths: list[LabeledError]) -> None:
    matches = match_offline(predictions, truths)
    here, there = [match.prediction for match in matches], [match.truth for match in matches]
    assert here == sorted(set(here)) and len(there) == len(set(there))
    assert set(here) <= set(range(len(predictions))) and set(there) <= set(range(len(truths)))
    assert all(type(place) is int for place in (*here, *there)) and {match.level for match in matches} <= {"yes", "partial"}


@settings(max_examples=100, deadline=None)
@given(ERRORS, ERRORS, st.randoms(use_true_random=False))
def test_the_order_of_the_lists_does_not_matter(
    predictions: list[LabeledError], truths: list[LabeledError], chance: random.Random
) -> None:
    def said(
        mine: Sequence[LabeledError], other: Sequence[LabeledError]
    ) -> Counter[tuple[LabeledError, LabeledError, str]]:
        return Counter((mine[m.prediction], other[m.truth], m.level) for m in match_offline(mine, other))

    shuffled = chance.sample(predictions, len(predictions)), chance.sample(truths, len(truths))
    assert said(predictions, truths) == said(*shuffled)


REPEATED = st.lists(
    st.sampled_from([numeric(text) for text in ("bar 12", "bar 13", "12 bar lost", "row 2: 12")]), max_size=7
)


@settings(max_examples=100, deadline=None)
@given(REPEATED, REPEATED)
def test_of_equal_errors_the_first_ones_are_matched(predictions: list[LabeledError], truths: list[LabeledError]) -> None:
    matches = match_offline(predictions, truths)
    for side, places in ((predictions, {m.prediction for m in matches}), (truths, {m.truth for m in matches})):
        for earlier, later in itertools.combinations(range(len(side)), 2):
            assert side[earlier] != side[later] or later not in places or earlier in places


@settings(max_examples=100, deadline=None)
@given(ERRORS)
def test_a_list_matches_itself(found: list[LabeledError]) -> None:
    matches = match_offline(found, found)
    assert [match.prediction for match in matches] == list(range(len(found)))
    assert all(found[match.prediction] == found[match.truth] and match.level == "yes" for match in matches)


@pytest.mark.parametrize("other", [[], [numeric("12.5 read as 12.6")]])
def test_an_empty_side_has_no_matches(other: list[LabeledError]) -> None:
    assert match_offline([], other) == () and match_offline(other, []) == ()


HOSTILE = {
    "digits": "9" * 2000,
    "numbers": " ".join(map(str, range(500))),
    "commas": "1" + ",111" * 500,
    "quotes": "'" * 2000,
    "open quotes": "'a \"b " * 400,
    "rows": "row 1, " * 300,
    "words": " ".join(f"word{k}" for k in range(300)),
    "one word": "ab" * 1000,
    "Chinese": "".join(chr(0x4E00 + k) for k in range(2000)),
    "expands": "\ufdfa" * 2000,
    "combining": "e" + "\u0301" * 1999,
    "surrogates": "\ud800" * 2000,
    "control": "\x00\n\t\u202e" * 500,
}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_full_lists_of_hostile_texts_take_under_a_second(text: str) -> None:
    predictions = [numeric(f"{k} {text}"[:2000], text) for k in range(64)]
    truths = [numeric(f"{text[:-3]} {k}", f"{k}{text}") for k in range(64)]
    begin = time.process_time()
    match_offline(predictions, truths)
    assert time.process_time() - begin < 1


def test_texts_are_read_up_to_a_limit() -> None:
    truth = numeric("12.5 read as 12.6")
    assert match_offline([numeric(" " * (READ - 30) + "12.5 read as 12.6")], [truth])
    assert not match_offline([numeric(" " * READ + "12.5 read as 12.6")], [truth])
