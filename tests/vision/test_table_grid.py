"""Reading images that the real renderer drew, with real OCR."""

from __future__ import annotations

import random
import time

import numpy as np
import pytest
from markup import table
from PIL import Image, ImageDraw

from visual_erm.vision import table_grid
from visual_erm.vision.images import gray
from visual_erm.vision.ocr import Ocr
from visual_erm.vision.table_cells import UNREADABLE, Reading

SQUARE = [["item", "mean", "share"], ["alpha", "12.5", "40%"], ["beta", "-3.07", "60%"]]


@pytest.fixture(scope="module")
def read():
    ocr = Ocr()
    return lambda image: table_grid.read(gray(image), ocr.lines, ocr.page)


def texts(found: Reading) -> list[list[str]]:
    return [[cell.text for cell in row] for row in found.rows]


def test_a_ruled_table_is_read_cell_by_cell(draw, read):
    found = read(draw(table(SQUARE)))
    assert found.bordered
    assert texts(found) == SQUARE
    assert [(cell.row, cell.column) for cell in found.cells] == [(i, j) for i in (1, 2, 3) for j in (1, 2, 3)]


def test_two_hundred_numbers_are_read_without_a_mistake(draw, read):
    numbers = random.Random(0)
    rows = [[f"{numbers.uniform(-100, 1000):.{numbers.randint(1, 4)}f}" for _ in range(10)] for _ in range(20)]
    assert texts(read(draw(table(rows)))) == rows


def test_spans_are_seen(draw, read):
    markup = (
        "<table><tr><td rowspan=2>name</td><td colspan=2>score</td></tr><tr><td>low</td><td>high</td></tr>"
        "<tr><td>alpha</td><td>12</td><td>34</td></tr></table>"
    )
    found = read(draw(markup))
    assert texts(found) == [["name", "score"], ["low", "high"], ["alpha", "12", "34"]]
    assert [(c.text, c.rows, c.columns) for c in found.cells if (c.rows, c.columns) != (1, 1)] == [
        ("name", 2, 1),
        ("score", 1, 2),
    ]


def test_an_empty_cell_is_a_cell_and_a_place_without_one_is_none(draw, read):
    found = read(draw(table([["one", "two", "three"], ["four", ""], ["five"]])))
    assert texts(found) == [["one", "two", "three"], ["four", ""], ["five"]]


def test_lines_of_one_cell_are_joined(draw, read):
    assert texts(read(draw(table([["mean age<br>in years<br>(SD)", "12.5"]])))) == [["mean age in years (SD)", "12.5"]]


@pytest.mark.parametrize("dash", ["-", "–", "—", "−"])
def test_a_dash_alone_is_a_dash(draw, read, dash):
    assert texts(read(draw(table([[dash, "12"]])))) == [["-", "12"]]


def test_asterisks_alone_are_asterisks(draw, read):
    rows = [["i" * number, "***", "w" * number] for number in range(1, 9)]
    assert [row[1] for row in texts(read(draw(table(rows))))] == ["***"] * 8


def test_text_round_a_table_is_seen(draw, read):
    found = read(draw(f"<p>Here you are</p>{table(SQUARE)}<p>The end</p>"))
    assert texts(found) == [["Here you are"], *SQUARE, ["The end"]]
    assert [cell.bordered for cell in found.cells] == [False, *[True] * 9, False]


def test_several_tables_follow_each_other(draw, read):
    found = read(draw(table(SQUARE) + "<br>" + table([["last", "one"]])))
    assert texts(found) == [*SQUARE, ["last", "one"]]
    assert [cell.row for cell in found.rows[3]] == [4, 4]


@pytest.mark.parametrize(
    "style",
    [
        "border: 1px solid #ccc",
        "border: 3px double black",
        "background: #eee",
        "background: #4caf50; color: white",
        "background: black; color: white",
        "padding: 2px; font-weight: bold",
        "color: #a00",
    ],
)
def test_style_makes_no_difference(draw, read, style):
    assert texts(read(draw(table(SQUARE, f' style="{style}"')))) == SQUARE


@pytest.mark.parametrize(
    "hidden",
    [
        "display: none",
        "visibility: hidden",
        "color: white",
        "color: #f0f0f0",
        "font-size: 0",
        "opacity: 0",
        "opacity: .04",
        "position: absolute; left: -900px",
        "clip-path: inset(50%)",
    ],
)
def test_hidden_text_is_not_read(draw, read, hidden):
    found = read(draw(table([["name", f'<span style="{hidden}">12.5</span>']])))
    assert texts(found) == [["name", ""]]


def test_text_too_small_to_read_says_nothing(draw, read):
    [[name, tiny]] = texts(read(draw(table([["name", '<span style="font-size: 2px">Total of all 12.5</span>']]))))
    assert name == "name"
    assert "12.5" not in tiny
    assert "Total" not in tiny


def test_a_table_without_ruling_is_read_as_lines(draw, read):
    found = read(draw(table(SQUARE, ' style="border: none; padding: 6px 30px"')))
    assert not found.bordered
    assert not any(cell.bordered for cell in found.cells)
    assert texts(found) == SQUARE


def test_a_frame_is_no_ruling(read):
    image = Image.new("RGB", (400, 200), "white")
    pen = ImageDraw.Draw(image)
    pen.rectangle((5, 5, 395, 195), outline="black")
    for number in range(1, 4):
        pen.line((5, 50 * number, 395, 50 * number), fill="black")
        pen.text((30, 50 * number - 30), f"row {number}", fill="black", font_size=20)
        pen.text((250, 50 * number - 30), f"{number}2.5", fill="black", font_size=20)
    found = read(image)
    assert not found.bordered
    assert texts(found) == [["row 1", "12.5"], ["row 2", "22.5"], ["row 3", "32.5"]]


def test_rulings_drawn_by_others_are_seen(read):
    image = Image.new("RGB", (300, 120), "white")
    pen = ImageDraw.Draw(image)
    for y in (10, 60, 110):
        pen.line((10, y, 290, y), fill="black", width=2)
    for x in (10, 150, 290):
        pen.line((x, 10, x, 110), fill="black", width=2)
    for x, y, text in ((30, 25, "north"), (170, 25, "12.5"), (30, 75, "south"), (170, 75, "40")):
        pen.text((x, y), text, fill="black", font_size=18)
    found = read(image)
    assert found.bordered
    assert texts(found) == [["north", "12.5"], ["south", "40"]]


def test_transparency_is_white(draw, read):
    solid = draw(table(SQUARE))
    ink = Image.eval(solid.convert("L"), lambda level: 255 - level)
    clear = Image.merge("RGBA", (*[Image.new("L", solid.size, 0)] * 3, ink))
    assert texts(read(clear))[1][1] == "12.5"


@pytest.mark.parametrize("color", ["white", "black", "#333"])
@pytest.mark.parametrize("size", [(1, 1), (3, 40), (200, 100)])
def test_an_image_of_one_color_holds_nothing(read, color, size):
    assert not read(Image.new("RGB", size, color)).cells


def test_noise_is_read_without_complaint(read):
    levels = np.random.default_rng(0).integers(0, 256, (120, 160), dtype=np.uint8)
    read(Image.fromarray(levels))


def test_a_monster_is_read_up_to_a_limit(draw, read, monkeypatch):
    monkeypatch.setattr(table_grid, "MAX_CELLS", 7)
    monkeypatch.setattr(table_grid, "MAX_PRINT", 120)
    found = read(draw(table(SQUARE)))
    assert len(found.cells) == 7
    assert [found.cells[0].text, found.cells[6].text] == ["item", UNREADABLE]


def checkerboard(side: int) -> np.ndarray:
    return (np.indices((side, side)).sum(axis=0) % 2 * 255).astype(np.uint8)


def lattice(side: int) -> np.ndarray:
    image = np.full((side, side), 255, np.uint8)
    image[::9] = image[:, ::9] = 0
    return image


def noise(side: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (side, side)).astype(np.uint8)


@pytest.mark.parametrize("make", [checkerboard, noise], ids=["checkerboard", "noise"])
def test_an_image_of_too_many_parts_is_unreadable_and_nothing_of_it_is_read(make):
    def never(*_):
        raise AssertionError("text is looked for")

    assert table_grid.find_tables(make(1400)) == []
    found = table_grid.read(make(1400), never, never)
    assert [cell.text for cell in found.cells] == [UNREADABLE]


def test_a_lattice_of_more_cells_than_are_looked_at_is_no_table():
    assert len(table_grid.find_tables(lattice(400))) == 1
    assert table_grid.find_tables(lattice(4000)) == []


def corners(side: int) -> np.ndarray:
    """Many figures that are as large as a cell and hold none."""
    tile = np.full((12, 12), 255, np.uint8)
    tile[0, :10] = tile[:10, 0] = 0
    return np.tile(tile, (side // 12, side // 12))


def nested(side: int) -> np.ndarray:
    """Open shapes inside each other: each one's extent covers all that are inside it."""
    image = np.full((side, side), 255, np.uint8)
    for inset in range(0, side // 2 - 20, 4):
        image[inset : side - inset, [inset, side - 1 - inset]] = 0
        image[side - 1 - inset, inset : side - inset] = 0
    return image


def test_cells_are_looked_for_in_the_largest_figures_only(monkeypatch):
    searched = []
    holes = table_grid._holes
    monkeypatch.setattr(table_grid, "MAX_FIGURES", 20)
    monkeypatch.setattr(table_grid, "_holes", lambda *what: searched.append(what) or holes(*what))
    page = corners(600)
    page[200:400, 200:400] = 255
    page[210:391:60, 210:391] = page[210:391, 210:391:60] = 0
    [found] = table_grid.find_tables(page)
    assert len(found.cells) == 9
    assert len(searched) <= 2 * 20


def test_open_shapes_inside_each_other_are_no_table():
    assert table_grid.find_tables(nested(800)) == []
    assert table_grid.read(nested(800), list, list).cells[0].text == UNREADABLE


@pytest.mark.parametrize("make", [checkerboard, noise, corners, nested, lattice])
def test_sixteen_megapixels_of_anything_take_seconds(make):
    """CPU time of this thread; reading them took minutes."""
    image = make(4000)
    start = time.thread_time()
    table_grid.find_tables(image)
    assert time.thread_time() - start < 15
