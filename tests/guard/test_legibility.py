"""What a model judge cannot read earns nothing, and honest answers of any size are read."""

from __future__ import annotations

import asyncio
from typing import Any

import matplotlib
import pytest
from PIL import Image, ImageDraw, ImageFont

from visual_erm.errors import TooSmall
from visual_erm.guard.runner import GuardRunner
from visual_erm.reward.outcome import Outcome
from visual_erm.spec.task import Task, load_task

FONT = f"{matplotlib.get_data_path()}/fonts/ttf/DejaVuSans.ttf"
WORDS = ("Yearly rain", "Alder 1999", "Birch 2004", "Oak 1987", "12.5", "37.0", "49.25", "January", "Total 613")


def chart(
    width: int = 640, height: int = 480, size: int = 14, words: tuple[str, ...] = WORDS, dots: int = 0, dot: int = 3
) -> Image.Image:
    """A frame with text of that size in pixels, spread over the page, and a pattern of dots."""
    image = Image.new("RGB", (width, height), "white")
    draw, font = ImageDraw.Draw(image), ImageFont.truetype(FONT, size)
    draw.rectangle(
        (width // 20, height // 20, width - width // 20, height - height // 20), outline="black", width=size // 8
    )
    for number, word in enumerate(words):
        draw.text((width * (0.1 + 0.27 * (number % 3)), height * (0.12 + 0.28 * (number // 3))), word, "black", font)
    for number in range(dots):
        left, top = width // 10 + 3 * dot * (number % 60), round(height * 0.25) + 3 * dot * (number // 60)
        draw.rectangle((left, top, left + dot - 1, top + dot - 1), fill="gray")
    return image


def task(name: str = "chart", **settings: Any) -> Task:
    content = load_task(name).model_dump()
    content["guard"]["legibility"] |= settings
    content["guard"]["blank"]["enabled"] = False
    return load_task(content)


def why(reference: Image.Image, prediction: Image.Image, settings: Task | None = None, model_judge: bool = True) -> str:
    """Why the image is illegible; empty where it is not."""

    async def check() -> str:
        guards = GuardRunner(settings or task(), model_judge)
        try:
            await guards.check_image(reference, prediction)
        except TooSmall as fault:
            assert Outcome.of(fault) is Outcome.ILLEGIBLE
            assert guards.flags(fault) == {"legibility"}
            return str(fault)
        finally:
            await guards.close()
        return ""

    return asyncio.run(check())


def beside_a_dot(left: int, top: int) -> Image.Image:
    image = Image.new("RGB", (left + 3, top + 3), "white")
    image.paste(chart())
    image.putpixel((left, top), (90, 90, 90))
    return image


ILLEGIBLE = {
    "25 by 17 inches": lambda: chart(2500, 1700),
    "40 by 5 inches": lambda: chart(4000, 500),
    "as tall as may be": lambda: chart(640, 14000),
    "15000 pixels wide": lambda: chart(15000, 480),
    "a dot far to the right": lambda: beside_a_dot(12000, 700),
    "a dot far below": lambda: beside_a_dot(700, 12000),
    "tiny type": lambda: chart(size=4),
    "tiny type and a legible title": lambda: chart_with_title(2500, 1700),
    "other text, and fewer": lambda: chart(2500, 1700, words=("nothing of it", "at all 123")),
    "beside a pattern": lambda: chart(2500, 1700, dots=600),
}


def chart_with_title(width: int, height: int) -> Image.Image:
    image = chart(width, height)
    ImageDraw.Draw(image).text((300, 100), "Yearly rain", "black", ImageFont.truetype(FONT, 100))
    return image


LEGIBLE = {
    "the same": chart,
    "300 dpi": lambda: chart(1920, 1440, 42),
    "600 dpi": lambda: chart(3840, 2880, 84),
    "50 dpi": lambda: chart(320, 240, 9),
    "twice as large": lambda: chart(1280, 960),
    "16 by 12 inches": lambda: chart(1600, 1200),
    "smaller type": lambda: chart(size=9),
    "larger type": lambda: chart(size=24),
    "one word": lambda: chart(words=WORDS[:1]),
    "no text": lambda: chart(words=()),
    "dotted": lambda: chart(dots=600),
    "dotted at 300 dpi": lambda: chart(1920, 1440, 42, dots=600, dot=9),
    "half of the text, dotted": lambda: chart(words=WORDS[:4], dots=600),
}


@pytest.mark.parametrize("name", ILLEGIBLE)
def test_what_arrives_too_small_is_illegible(name: str) -> None:
    assert "pixels tall" in why(chart(), ILLEGIBLE[name]())


@pytest.mark.parametrize("name", LEGIBLE)
def test_honest_answers_are_legible_whatever_their_size(name: str) -> None:
    assert why(chart(), LEGIBLE[name]()) == ""


@pytest.mark.parametrize("draw", [lambda: chart(2500, 1700), lambda: chart(15000, 480), lambda: chart(size=5)])
def test_no_more_is_asked_than_the_reference_shows(draw: Any) -> None:
    assert why(draw(), draw().resize([side + 1 for side in draw().size])) == ""
    assert why(draw(), chart()) == ""
    assert why(Image.new("RGB", (640, 480), "red"), draw()) == ""


def test_the_setting_decides_and_a_local_judge_reads_the_whole_image() -> None:
    images = chart(), chart(2500, 1700)
    assert why(*images, task(min_print=0.4)) == ""
    assert why(*images, task(enabled=False)) == ""
    assert why(*images, model_judge=False) == ""
    assert why(chart(), chart(1600, 1200), task(min_print=0.9))


def test_the_judge_s_own_size_counts() -> None:
    """A table is sent with 768 pixels, a chart with 1024."""
    images = chart(), chart(1900, 1000)
    assert why(*images, task("chart", min_print=0.5)) == ""
    assert why(*images, task("table", min_print=0.5))


@pytest.mark.parametrize(("width", "height"), [(1100, 344), (1500, 500), (1714, 286)])
def test_a_table_may_be_wider_than_a_scan_with_narrow_columns(width: int, height: int) -> None:
    """Sizes of correct tables for scans whose print is denser."""
    scan = chart(768, 400, 16)
    assert why(scan, chart(width, height), task("table")) == ""
    assert why(scan, chart(4 * width, height), task("table"))
