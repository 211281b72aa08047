"""Under `scoring.mode: relative`, an image that shows nothing of its reference has the severity of the whole scale."""

from __future__ import annotations

import random
from collections.abc import Callable

import matplotlib
import pytest
from PIL import Image, ImageDraw, ImageFont

from visual_erm.guard.runner import GuardRunner
from visual_erm.judge.base import make_judge
from visual_erm.reward.report import Report
from visual_erm.reward.scoring import reward
from visual_erm.spec.judge import JudgeSettings
from visual_erm.spec.task import load_task

FONT = ImageFont.truetype(f"{matplotlib.get_data_path()}/fonts/ttf/DejaVuSans.ttf", 16)


def canvas(draw: Callable[[ImageDraw.ImageDraw], None]) -> Image.Image:
    image = Image.new("RGB", (420, 300), "white")
    draw(ImageDraw.Draw(image))
    return image


def bordered(draw: ImageDraw.ImageDraw) -> None:
    for number in range(15):
        left, top = 20 + 120 * (number % 3), 20 + 40 * (number // 3)
        draw.rectangle((left, top, left + 120, top + 40), outline="black")
        draw.text((left + 10, top + 10), str(17 * number + 31), "black", FONT)


def borderless(draw: ImageDraw.ImageDraw) -> None:
    for number, word in enumerate(["City", "Rain", "Days", "Lima", "13", "60", "Oslo", "763", "113"]):
        draw.text((30 + 120 * (number % 3), 30 + 60 * (number // 3)), word, "black", FONT)


def bars(draw: ImageDraw.ImageDraw) -> None:
    for number in range(7):
        draw.rectangle((30 + 50 * number, 250 - 25 * number, 60 + 50 * number, 270), fill=(30, 60, 90 + 20 * number))


def cloud(draw: ImageDraw.ImageDraw) -> None:
    chance = random.Random(3)
    for place in chance.sample(range(24 * 17), 150):
        left, top = 20 + 16 * (place % 24), 20 + 16 * (place // 24)
        draw.ellipse((left, top, left + 6, top + 6), fill="navy")


@pytest.mark.parametrize(
    ("task", "draw", "parts"),
    [("table", bordered, 15), ("table", borderless, 9), ("svg", bars, 7), ("svg", cloud, 8), ("chart", bars, 7)],
)
async def test_an_image_that_shows_nothing_of_its_reference_has_the_whole_scale(task, draw, parts):
    """A cloud of 150 points weighs 8: it is compared as a whole."""
    settings = load_task(task)
    settings = settings.model_copy(update={"scoring": settings.scoring.model_copy(update={"mode": "relative"})})
    reference, nothing = canvas(draw), canvas(lambda _: None)
    judge, guards = make_judge(JudgeSettings(kind="local")), GuardRunner(settings, model_judge=False)
    report = await judge.judge(reference, nothing, settings)
    scale = (await guards.check_report(reference, nothing, Report())).scale
    await judge.close()
    await guards.close()
    assert report.severity == scale == 3 * parts
    assert reward(report.severity, settings.scoring, scale) == settings.scoring.render_reward
