"""The local judge on real images of tables: scans from PubTabNet, in another style than the renderer's."""

from __future__ import annotations

import asyncio
import json
import random
import re
from pathlib import Path

import pytest
from PIL import Image

from visual_erm.judge.base import make_judge
from visual_erm.reward.scoring import reward
from visual_erm.spec.judge import JudgeSettings
from visual_erm.spec.task import load_task

FOLDER = Path(__file__).parents[3] / "shared" / "data" / "pubtabnet"
TASK = load_task("table")
TABLES = 6
WORDS = ["kernel", "violet", "harbour", "signal", "orchard", "metric"]

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(not FOLDER.is_dir(), reason=f"needs the PubTabNet examples in {FOLDER}"),
]


def markup(row: dict) -> str:
    cells = iter(row["html"]["cells"])
    tokens = row["html"]["structure"]["tokens"]
    return "<table>" + "".join("".join(next(cells)["tokens"]) + t if t == "</td>" else t for t in tokens) + "</table>"


def three_wrong(html: str, seed: int) -> str:
    """The table with other digits, or else other words, in three of its cells."""
    chance = random.Random(seed)
    filled = [m for m in re.finditer(r"<td[^>]*>(.*?)</td>", html) if re.search(r"\w", re.sub("<[^>]+>", "", m[1]))]
    for cell in sorted(chance.sample(filled, 3), key=lambda cell: -cell.start()):
        text = re.sub("<[^>]+>", "", cell[1])
        other = re.sub(r"\d", lambda digit: str((int(digit[0]) + chance.randint(1, 9)) % 10), text)
        if other == text:
            other = " ".join(chance.choice(WORDS) for _ in text.split())
        html = html[: cell.start(1)] + other + html[cell.end(1) :]
    return html


async def test_the_true_markup_earns_more_than_a_damaged_one_and_than_another_tables(draw):
    rows = [json.loads(line) for line in (FOLDER / "examples.jsonl").read_text().splitlines()[:TABLES]]
    references = [Image.open(FOLDER / row["filename"]) for row in rows]
    true = [draw(markup(row)) for row in rows]
    damaged = [draw(three_wrong(markup(row), seed=number)) for number, row in enumerate(rows)]
    judge = make_judge(JudgeSettings(kind="local", ocr_workers=2))

    async def earns(reference: Image.Image, image: Image.Image) -> float:
        return reward((await judge.judge(reference, image, TASK)).severity, TASK.scoring)

    better_than_damaged = better_than_another = 0
    for number, reference in enumerate(references):
        answers = true[number], damaged[number], true[number - 1]
        mine, wrong, another = await asyncio.gather(*(earns(reference, answer) for answer in answers))
        better_than_damaged += mine > wrong
        better_than_another += mine > another
    await judge.close()
    assert better_than_damaged >= TABLES - 1
    assert better_than_another == TABLES
