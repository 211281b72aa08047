"""Tables are cut to what can be seen."""

from __future__ import annotations

import pytest
from PIL import Image, ImageDraw

from visual_erm.errors import BlankImage
from visual_erm.render.table import CROP, crop

BOX = (40, 30, 240, 150)
"""The content of every page here: left, top, right, bottom."""


def page(*marks: tuple[tuple[int, int, int, int], str], width: int = 3000, height: int = 2000) -> Image.Image:
    image = Image.new("RGB", (width, height), "white")
    draw = ImageDraw.Draw(image)
    for (left, top, right, bottom), color in marks:
        draw.rectangle((left, top, right - 1, bottom - 1), fill=color)
    return image


def size(left: int, top: int, right: int, bottom: int) -> tuple[int, int]:
    return right - left + 2 * CROP, bottom - top + 2 * CROP


@pytest.mark.parametrize(
    "mark",
    [
        ((2900, 1000, 2902, 1002), "#f0f0f0"),
        ((2900, 100, 2901, 101), "#fefefe"),
        ((100, 1900, 130, 1910), "#fffff0"),
        ((2000, 1500, 2900, 1501), "#eeeeee"),
    ],
)
def test_faint_marks_far_away_are_cut_off(mark: tuple[tuple[int, int, int, int], str]) -> None:
    assert crop(page((BOX, "black"), mark)).size == size(*BOX)


@pytest.mark.parametrize(
    ("marks", "box"),
    [
        ([((2900, 1000, 2902, 1002), "#808080")], (40, 30, 2902, 1002)),  # a dot that can be seen
        ([((240, 30, 2000, 150), "#f0f0f0")], (40, 30, 2000, 150)),  # the background of an empty cell
        ([((40, 150, 1000, 151), "#eeeeee"), ((999, 30, 1000, 151), "#eeeeee")], (40, 30, 1000, 151)),  # its border
        ([((240, 90, 250, 91), "#f8f8f8")], (40, 30, 250, 150)),  # a faint mark beside the content
    ],
)
def test_what_can_be_seen_stays(marks: list[tuple[tuple[int, int, int, int], str]], box: tuple[int, ...]) -> None:
    assert crop(page((BOX, "black"), *marks)).size == size(*box)


def test_a_page_that_is_all_faint_is_cut_to_it_and_an_empty_one_is_blank() -> None:
    assert crop(page((BOX, "#f8f8f8"))).size == size(*BOX)
    assert crop(page((BOX, "white"), ((0, 0, 3000, 2000), "#eee"), (BOX, "black")), "#eee").size == size(*BOX)
    with pytest.raises(BlankImage):
        crop(page())
