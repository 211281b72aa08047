"""The demo's tables: real values, disjoint splits, HTML that comes back, images that show what they should."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageChops

from visual_erm.demo import tiny_tables
from visual_erm.demo.tiny_problem import CELL, MAX_COLUMNS, MAX_ROWS, MAX_TEXT
from visual_erm.demo.tiny_tables import HEADERS, SOURCES

TEXT = st.text("0123456789.abc<>&\"'", max_size=6)
ROWS = st.lists(st.lists(TEXT, min_size=1, max_size=4), min_size=1, max_size=5)


@given(ROWS)
def test_html_comes_back_as_the_table_it_was_made_from(rows):
    assert tiny_tables.from_html(f"Here: {tiny_tables.to_html(rows)}") == rows


@pytest.mark.parametrize("text", ["", "no table", "<tr><td>1</td></tr>", "<table>"])
def test_text_without_a_table_has_no_rows(text):
    assert tiny_tables.from_html(text) == []


@pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.file)
def test_no_row_is_in_both_splits(source):
    train, test = (tiny_tables.measurements(source, split) for split in ("train", "test"))
    assert train[0] == test[0]
    assert not {tuple(row) for row in train[1:]} & {tuple(row) for row in test[1:]}
    assert len(train) > len(test) >= 4
    assert all(0 < len(text) <= MAX_TEXT for row in train + test for text in row)


def test_known_values_are_there():
    wine = tiny_tables.measurements(SOURCES[1], "test")
    assert wine[1][:5] == ["14.2", "1.71", "2.43", "15.6", "127"]


def test_synthetic_tables_fit_the_canvas_and_the_alphabet():
    rng = random.Random(0)
    for rows in (tiny_tables.synthetic_table(rng) for _ in range(300)):
        assert len(rows) <= MAX_ROWS
        assert all(len(row) == len(rows[0]) <= MAX_COLUMNS for row in rows)
        assert set(rows[0]) <= set(HEADERS)
        assert all(0 < len(text) <= MAX_TEXT and float(text) >= 0 for row in rows[1:] for text in row)


def test_a_damaged_table_has_one_row_or_column_more_or_less():
    rng = random.Random(0)
    rows = [["alc", "ash", "mg"], ["1", "2", "3"], ["4", "5", "6"]]
    shapes = {(len(table), len(table[0])) for table in (tiny_tables.damaged(rng, rows) for _ in range(100))}
    assert shapes == {(2, 3), (4, 3), (3, 2), (3, 4)}


async def test_a_image_shows_its_own_table_whatever_else_is_drawn_with_it():
    rng = random.Random(0)
    tables = [tiny_tables.synthetic_table(rng) for _ in range(45)]
    images = await tiny_tables.render(tables)
    assert {image.size for image in images} == {(MAX_COLUMNS * CELL, MAX_ROWS * CELL)}
    for i in (0, 21, 44):
        alone = await tiny_tables.render([tables[i]])
        assert ImageChops.difference(alone[0], images[i]).getbbox() is None


async def test_a_image_has_one_cell_per_square_and_nothing_around():
    (image,) = await tiny_tables.render([[["alc", "ash"], ["1.5", "2"]]])
    blank = Image.new("RGB", image.size, "white")
    assert ImageChops.difference(image, blank).getbbox() == (0, 0, 2 * CELL, 2 * CELL)
    cells = [image.crop((c * CELL, r * CELL, (c + 1) * CELL, (r + 1) * CELL)) for r in (0, 1) for c in (0, 1)]
    assert len({cell.tobytes() for cell in cells}) == 4


async def test_two_different_texts_never_look_the_same():
    texts = [f"{n / 10:g}" for n in range(1, 200)]
    images = await tiny_tables.render([[["alc"], [text]] for text in texts])
    assert len({image.tobytes() for image in images}) == len(texts)
