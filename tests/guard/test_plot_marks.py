"""Charts with equal axes and other values are told apart; other widths, dashes, grids and fonts are not."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, ImageDraw

from visual_erm.guard.plot_marks import marks_of, similarity
from visual_erm.guard.under_reporting import similarity as similarity_from_afar
from visual_erm.guard.under_reporting import text_floor, wrong_words

VALUES = (80, 20, 150, 60, 190, 110, 40)
MIN_SIMILARITY = 0.4
"""That of the task `chart`."""


def _chart(values: tuple[int, ...], kind: str = "bars", grid: bool = False, width: int = 2, size: int = 1) -> np.ndarray:
    """A plot area with a frame and ticks."""
    image = Image.new("RGB", (420, 300), "white")
    pen = ImageDraw.Draw(image)
    if grid:
        for y in range(60, 250, 40):
            pen.line((50, y, 390, y), fill="#bbbbbb")
    points = [(75 + 48 * place, 260 - value) for place, value in enumerate(values)]
    if kind == "bars":
        for x, y in points:
            pen.rectangle((x - 16, y, x + 16, 260), fill="#1f77b4")
    elif kind == "line":
        pen.line(points, fill="#1f77b4", width=width)
    else:
        for x, y in points:
            pen.ellipse((x - 2 - width, y - 2 - width, x + 2 + width, y + 2 + width), fill="#1f77b4")
    pen.rectangle((50, 40, 390, 260), outline="black")
    for place in range(7):
        pen.text((70 + 48 * place, 268), str(place), fill="black", font_size=10)
    return np.asarray(image.resize((420 * size, 300 * size)))


@pytest.mark.parametrize("kind", ["bars", "line", "points"])
@pytest.mark.parametrize("values", [(190, 150, 40, 180, 30, 20, 160), (30,) * 7, tuple(210 - value for value in VALUES)])
def test_other_values_are_unlike(kind: str, values: tuple[int, ...]) -> None:
    assert similarity(marks_of(_chart(VALUES, kind)), marks_of(_chart(values, kind))) < MIN_SIMILARITY


@pytest.mark.parametrize("kind", ["bars", "line", "points"])
def test_one_slip_and_another_layout_are_alike(kind: str) -> None:
    slip = (*VALUES[:3], VALUES[3] + 15, *VALUES[4:])
    for other in (
        _chart(slip, kind),
        _chart(slip, kind, grid=True),
        _chart(slip, kind, width=5),
        _chart(slip, kind, size=3),
    ):
        assert similarity(marks_of(_chart(VALUES, kind)), marks_of(other)) >= MIN_SIMILARITY


@pytest.mark.parametrize("shape", [(1, 1), (3, 500), (500, 3), (40, 40)])
def test_any_image_has_marks(shape: tuple[int, int]) -> None:
    plain = marks_of(np.full((*shape, 3), 255, np.uint8))
    assert similarity(plain, marks_of(_chart(VALUES))) == 1.0
    assert similarity(marks_of(_chart(VALUES)), plain) < MIN_SIMILARITY


@pytest.mark.parametrize("box", [(160, 160, 180, 180), (20, 160, 316, 180), (160, 20, 180, 316)])
def test_a_foreground_that_is_far_smaller_flatter_or_narrower_is_unlike(box: tuple[int, int, int, int]) -> None:
    reference, prediction = (Image.new("RGB", (336, 336), "white") for _ in range(2))
    drawing = Image.new("RGB", (296, 296), "white")
    pen = ImageDraw.Draw(drawing)
    pen.ellipse((0, 0, 140, 140), outline="black", width=9)
    pen.rectangle((150, 150, 290, 290), fill="#2980b9")
    reference.paste(drawing, (20, 20))
    prediction.paste(drawing.resize((box[2] - box[0], box[3] - box[1])), box)
    assert similarity_from_afar(reference, prediction) < 0.25


@pytest.mark.parametrize(
    ("prediction", "wrong"),
    [
        (["a 1", "b 2.5", "c 3"], 0),
        (["a 1", "b 2.6", "c 3"], 1),
        (["c 3", "b 2.5", "a 1"], 4),
        (["a 1", "b 2.5", "c 3"] * 2, 6),
        (["a 1"], 4),
        ([], 6),
    ],
)
def test_wrong_missing_surplus_and_moved_words_count(prediction: list[str], wrong: int) -> None:
    assert wrong_words(["a 1", "b 2.5", "c 3"], prediction) == (wrong, 6)


def test_the_floor_of_a_text_grows_with_wrong_words_and_ends_at_half_of_the_scale() -> None:
    floors = [text_floor(wrong, 60, max_severity=50) for wrong in range(90)]
    assert floors[:19] == [0] * 19
    assert floors == sorted(floors)
    assert floors[-1] == 25
    assert text_floor(8, 5, max_severity=50) == 0
