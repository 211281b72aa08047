"""The samples of one step of training: prompts of three tasks, and for each a group of replies as a policy under training
writes.

References are drawn beforehand by the project's own renderers, as data_prep/ does. Replies are the true code with what
a policy gets wrong: one part or two, parts left out or added, code that draws nothing or does not run; and some are
right. In a group some replies are equal, letter by letter, as they are at the end of training; more are equal as
images.

Of 64 prompts 55 are drawings, 8 are tables and one is a chart. That is for two cores, on which a drawing takes 13 ms of
a processor, a table 31 and a chart 130, from reply to image: with these shares, some 1,300 calls and 4 endpoints of 32
slots, which answer in 2.27 s on average, a step of 2,048 samples keeps the endpoints busier than the renderers. With
more tables and charts the renderers alone would take longer than all of the judging.
"""

from __future__ import annotations

import asyncio
import io
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from PIL import Image

from visual_erm.demo.tiny_charts import Chart
from visual_erm.demo.tiny_problem import TinyProblem
from visual_erm.demo.tiny_svgs import COLORS, Drawing
from visual_erm.demo.tiny_tables import Rows, random_number
from visual_erm.demo.tiny_tasks import TASKS
from visual_erm.extract import extract
from visual_erm.render.base import make_renderer
from visual_erm.spec.task import Task

ROLLOUTS = 8
"""Replies per prompt."""
SHARES = {"table": 8, "svg": 55, "chart": 1}
"""Prompts of each task among 64 that follow each other."""
EQUAL = 0.2
"""Share of a group's replies, but for the first, that repeat another one of the group."""
REPLIES = {"right": 2, "one wrong": 8, "two wrong": 6, "parts": 5, "parts and one wrong": 5, "empty": 1, "broken": 1}
"""How often replies are right, have one or two wrong values, parts too many or too few, nothing in them, or do not run."""
EMPTY = {
    "table": "<table></table>",
    "svg": '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 9 9"></svg>',
    "chart": "```python\nimport matplotlib.pyplot as plt\nplt.figure(figsize=(3, 2))\nplt.show()\n```",
}
PROBLEMS: dict[str, TinyProblem] = {problem.task: problem for problem in TASKS["mixed"].problems}


@dataclass(frozen=True)
class Sample:
    """One reply to one prompt."""

    task: str
    prompt: int
    kind: str
    """One of REPLIES."""
    reply: str
    reference: bytes
    """PNG."""


def _wrong_table(draw: random.Random, rows: Rows) -> Rows:
    """One cell of the body is wrong."""
    row, column = draw.randrange(1, len(rows)), draw.randrange(len(rows[0]))
    changed = [list(line) for line in rows]
    changed[row][column] = random_number(draw)
    return changed


def _wrong_chart(draw: random.Random, chart: Chart) -> Chart:
    """One number is wrong."""
    number = draw.randrange(len(chart.numbers))
    return replace(chart, numbers=(*chart.numbers[:number], random_number(draw), *chart.numbers[number + 1 :]))


def _wrong_drawing(draw: random.Random, drawing: Drawing) -> Drawing:
    """One shape has another color."""
    number = draw.randrange(len(drawing))
    others = [color for color in COLORS if color != drawing[number].color]
    shape = replace(drawing[number], color=draw.choice(others))
    return (*drawing[:number], shape, *drawing[number + 1 :])


WRONG: dict[str, Callable[[random.Random, Any], Any]] = {
    "table": _wrong_table,
    "chart": _wrong_chart,
    "svg": _wrong_drawing,
}


def reply_of(task: str, kind: str, truth: Any, draw: random.Random) -> str:
    """What a policy writes that gets a table, a chart or a drawing wrong in this way."""
    problem, wrong = PROBLEMS[task], WRONG[task]
    if kind == "empty":
        return EMPTY[task]
    if kind == "broken":
        code = problem.write(truth)
        return "I cannot read this table." if task == "table" else code[: len(code) * 2 // 3].replace("</g>", "</b>")
    if kind in ("one wrong", "two wrong"):
        truth = wrong(draw, truth)
    if kind == "two wrong":
        truth = wrong(draw, truth)
    if kind == "parts and one wrong":
        truth = wrong(draw, truth)
    if kind.startswith("parts"):
        truth = problem.damaged(draw, truth)
    return problem.write(truth)


def group(task: str, truth: Any, draw: random.Random) -> list[tuple[str, str]]:
    """Kind and text of the replies to one prompt."""
    replies: list[tuple[str, str]] = []
    for _ in range(ROLLOUTS):
        if replies and draw.random() < EQUAL * ROLLOUTS / (ROLLOUTS - 1):
            replies.append(draw.choice(replies))
            continue
        kind = draw.choices(list(REPLIES), list(REPLIES.values()))[0]
        replies.append((kind, reply_of(task, kind, truth, draw)))
    return replies


async def references(truths: Sequence[tuple[str, Any]], tasks: dict[str, Task]) -> list[bytes]:
    """The images of right replies, as PNG."""
    renderers = {name: make_renderer(tasks[name].render) for name in {name for name, _ in truths}}

    async def one(name: str, truth: Any) -> bytes:
        image = await renderers[name].render(extract(PROBLEMS[name].write(truth), tasks[name].code_languages))
        return await asyncio.to_thread(png, image)

    try:
        return list(await asyncio.gather(*(one(*truth) for truth in truths)))
    finally:
        await asyncio.gather(*(renderer.close() for renderer in renderers.values()))


def png(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


async def samples(count: int, tasks: dict[str, Task], seed: int = 0) -> list[Sample]:
    """So many samples, group by group, tasks mixed; the same ones for the same seed."""
    draw = random.Random(f"step {seed}")
    prompts = -(-count // ROLLOUTS)
    names: list[str] = []
    while len(names) < prompts:
        names += draw.sample(list(SHARES), sum(SHARES.values()), counts=SHARES.values())
    truths = [(name, PROBLEMS[name].batch(draw, 1)[0]) for name in names[:prompts]]
    drawn = await references(truths, tasks)
    mixed = [
        Sample(name, prompt, kind, reply, reference)
        for prompt, ((name, truth), reference) in enumerate(zip(truths, drawn, strict=True))
        for kind, reply in group(name, truth, draw)
    ]
    return mixed[:count]


def unlike(sample: Sample, count: int) -> list[Sample]:
    """Samples of the same task whose replies no step holds, to warm up with."""
    problem = PROBLEMS[sample.task]
    truths = problem.held_out(random.Random("warm"), count)
    return [replace(sample, kind="other", reply=problem.write(truth)) for truth in truths]
