"""Pairs with known differences: one reference, and predictions in which values were changed on purpose.

The columns are those of VC-RewardBench.
"""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from visual_erm.extract import Code
from visual_erm.render.base import make_renderer
from visual_erm.spec.task import load_task

NAMES = ("north", "south", "river", "harbour", "meadow", "lantern", "signal", "pebble")
COLORS = ("navy", "teal", "crimson", "orange", "purple", "black")
PREDICTIONS = 3
"""Predictions of one reference: one without a difference, and two with one or more."""


@dataclass
class Values:
    """What a picture shows: names, each with a number."""

    names: list[str]
    numbers: list[int]

    def changed(self, draw: random.Random, changes: int) -> tuple[Values, list[tuple[str, int, str]]]:
        """Other values, and what was changed: `number` or `name`, its place, and a description."""
        other, done = Values([*self.names], [*self.numbers]), []
        for place in sorted(draw.sample(range(len(self.names)), changes)):
            if draw.random() < 0.5:
                other.numbers[place] = self.numbers[place] + draw.choice([-17, 13, 25, 31])
                what = f"the value of {self.names[place]} is {other.numbers[place]} instead of {self.numbers[place]}"
                done.append(("number", place, what))
            else:
                other.names[place] = draw.choice([name for name in NAMES if name not in other.names])
                done.append(("name", place, f"{self.names[place]} reads {other.names[place]}"))
        return other, done


def table(values: Values) -> Code:
    rows = "".join(
        f"<tr><td>{name}</td><td>{value}</td></tr>" for name, value in zip(values.names, values.numbers, strict=True)
    )
    return Code("html", f"<table><tr><th>place</th><th>total</th></tr>{rows}</table>")


def chart(values: Values) -> Code:
    return Code(
        "python",
        "import matplotlib.pyplot as plt\n"
        f"bars = plt.bar({values.names!r}, {values.numbers!r}, color='teal')\n"
        "plt.bar_label(bars)\nplt.ylim(0, 200)\nplt.show()",
    )


def drawing(values: Values) -> Code:
    shapes = "".join(
        f'<rect x="10" y="{60 * row + 10}" width="{value}" height="30" fill="{COLORS[row]}"/>'
        f'<text x="200" y="{60 * row + 32}" font-size="24">{name}</text>'
        for row, (name, value) in enumerate(zip(values.names, values.numbers, strict=True))
    )
    return Code("svg", f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 336 336">{shapes}</svg>')


KINDS: dict[str, tuple[Callable[[Values], Code], dict[str, str]]] = {
    "table": (table, {"number": "numeric_error", "name": "text_error"}),
    "chart": (chart, {"number": "data_error", "name": "text_error"}),
    "svg": (drawing, {"number": "shape_error", "name": "text_symbol_error"}),
}


def write_pairs(folder: Path, references: int, seed: int = 0) -> Path:
    """Renders the pairs of so many references for each category, and writes `rows.jsonl`, whose path it returns."""
    rows: list[dict[str, Any]] = []
    for category, (code, types) in KINDS.items():
        draw = random.Random(f"{seed} {category}")
        codes: dict[str, Code] = {}
        for number in range(references):
            values = Values(draw.sample(NAMES, 5), [draw.randint(40, 130) for _ in range(5)])
            reference = f"images/{category}-{number}.png"
            codes[reference] = code(values)
            for prediction in range(PREDICTIONS):
                other, done = values.changed(draw, prediction)
                name = f"{category}-{number}-{prediction}"
                codes[f"images/{name}.png"] = code(other)
                errors = [
                    {"type": types[what], "severity": 3 if what == "number" else 2, "description": text}
                    for what, _, text in done
                ]
                paths = {"gt_img_path": reference, "pred_img_path": f"images/{name}.png"}
                rows.append({"id": name, "category": category, **paths, "human_errors": errors})
        asyncio.run(_render(category, codes, folder))
    path = folder / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


async def _render(category: str, codes: dict[str, Code], folder: Path) -> None:
    renderer = make_renderer(load_task(category).render, pages=2)
    (folder / "images").mkdir(parents=True, exist_ok=True)
    try:
        for path, code in codes.items():
            (await renderer.render(code)).save(folder / path)
    finally:
        await renderer.close()
