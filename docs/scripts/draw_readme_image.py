"""Draws docs/readme.png: reference, render and report of the two examples side by side.

Every part comes from the real path: the replies in examples/ are extracted, rendered and judged by the local judge.

    python docs/scripts/draw_readme_image.py
"""

from __future__ import annotations

import asyncio
import sys
import textwrap
from pathlib import Path

import matplotlib
from PIL import Image, ImageDraw, ImageFont

from visual_erm import RewardPipeline, RewardResult, __version__, load_judge_settings, load_task

ROOT = Path(__file__).parents[2]
OUT = ROOT / "docs" / "readme.png"
TASKS = ("table", "chart")
PANEL, HEIGHT, GAP, HEAD = 330, 215, 16, 34
"""Width and height of a panel, and the spaces between panels and above them, in pixels."""
FONTS = Path(matplotlib.get_data_path()) / "fonts" / "ttf"


def font(size: int, bold: bool = False) -> ImageFont.FreeTypeFont:
    """The font of all text, which comes with matplotlib."""
    return ImageFont.truetype(str(FONTS / ("DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf")), size)


async def score(task: str) -> tuple[Image.Image, RewardResult]:
    """The reference of an example, and the result of its wrong reply."""
    folder = ROOT / "examples" / task
    async with RewardPipeline(load_task(task), load_judge_settings("local")) as pipeline:
        result = await pipeline.score((folder / "reply_wrong.txt").read_text("utf-8"), folder / "reference.png")
    with Image.open(folder / "reference.png") as reference:
        return reference.convert("RGB"), result


def paste(canvas: Image.Image, image: Image.Image, left: int, top: int) -> None:
    """Scales an image down into a panel and frames the panel."""
    copy = image.copy()
    copy.thumbnail((PANEL - 12, HEIGHT - 12), Image.Resampling.LANCZOS)
    canvas.paste(copy, (left + (PANEL - copy.width) // 2, top + (HEIGHT - copy.height) // 2))
    ImageDraw.Draw(canvas).rectangle((left, top, left + PANEL, top + HEIGHT), outline="#b0b7c0")


def write_report(canvas: Image.Image, result: RewardResult, left: int, top: int) -> None:
    """Writes the reward and the report into a panel."""
    pen = ImageDraw.Draw(canvas)
    pen.rectangle((left, top, left + PANEL, top + HEIGHT), outline="#b0b7c0")
    pen.text((left + 14, top + 14), f"reward {result.reward:.2f}", font=font(19, bold=True), fill="#1b5e20")
    pen.text((left + 14, top + 44), f"severity {result.severity:g}", font=font(14), fill="#333333")
    y = top + 76
    for found in result.report.discrepancies if result.report else ():
        pen.text((left + 14, y), f"{found.severity}  {found.category}", font=font(14, bold=True), fill="#a61b1b")
        y += 22
        for line in textwrap.wrap(found.description, 42):
            pen.text((left + 14, y), line, font=font(12), fill="#333333")
            y += 17
        y += 8


def main(out: Path = OUT) -> None:
    """Scores the examples and saves the image.

    Args:
        out: File to write.
    """
    width = 3 * PANEL + 4 * GAP
    canvas = Image.new("RGB", (width, HEAD + len(TASKS) * (HEIGHT + GAP) + 24), "white")
    pen = ImageDraw.Draw(canvas)
    columns = [GAP + number * (PANEL + GAP) for number in range(3)]
    for left, title in zip(columns, ("reference", "render of the reply", "report of the local judge"), strict=True):
        pen.text((left, 9), title, font=font(15, bold=True), fill="#333333")
    for row, task in enumerate(TASKS):
        reference, result = asyncio.run(score(task))
        assert result.image is not None, result.reason
        top = HEAD + row * (HEIGHT + GAP)
        paste(canvas, reference, columns[0], top)
        paste(canvas, result.image, columns[1], top)
        write_report(canvas, result, columns[2], top)
    pen.text((GAP, canvas.height - 24), f"visual-erm {__version__}", font=font(12), fill="#777777")
    canvas.save(out, optimize=True)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
