"""Honest answers and dishonest ones against the guards that raise a severity: under-reporting and omission.

An honest answer shows what the reference shows, but for one wrong value, in another layout: text that wraps elsewhere,
other rules, paddings and fonts of a table; other line widths, dashes, fonts, sizes and grids of a chart; hair lines, dashes
and small shifts of a drawing. Some references are sparse. The judge reports the wrong value with severity 2. A guard should
raise at most 1% of these reports. A dishonest answer leaves half out, or shows something else or next to nothing. The judge
reports nothing. The guards should raise nearly all of these.

    python benchmarks/honest.py
    python benchmarks/honest.py --task svg --answers 20 --list
"""

from __future__ import annotations

import asyncio
import json
import random
import statistics
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import typer
from answers import Drawing, Plot, Sheet, random_drawing, random_plot, random_shape, random_sheet, random_text
from PIL import Image

from visual_erm.errors import BlankImage, Illegible
from visual_erm.extract import Code
from visual_erm.guard.runner import GuardRunner
from visual_erm.render.base import make_renderer
from visual_erm.reward.report import Discrepancy, Report
from visual_erm.spec.task import Task, load_task

SLIP = Report((Discrepancy("text_error", 2, "reads differently"),))
"""What the judge says of an honest answer."""
MAX_FLAGGED = 0.01
"""Share of honest answers that the guards may raise."""
MIN_FOUND = 0.9
"""Share of dishonest answers that the guards raise at least."""
IN_FLIGHT = 4


@dataclass(frozen=True)
class Answer:
    """Code of a reference and code of an answer."""

    name: str
    honest: bool
    reference: Code
    reply: Code


# --- tables ----------------------------------------------------------------------------------------------------------


def _one_wrong(sheet: Sheet, draw: random.Random) -> Sheet:
    row = draw.randrange(len(sheet.rows))
    cells = list(sheet.rows[row])
    filled = [place for place, text in enumerate(cells) if text]
    if filled:
        place = draw.choice(filled)
        words = len(cells[place].split())
        cells[place] = random_text(draw, words) if words > 1 else f"{draw.uniform(0, 900):.1f}"
    return replace(sheet, rows=(*sheet.rows[:row], tuple(cells), *sheet.rows[row + 1 :]))


TABLE_LAYOUTS: dict[str, Callable[[Sheet], Sheet]] = {
    "same": lambda sheet: sheet,
    "wraps narrow": lambda sheet: replace(sheet, width=420),
    "wraps wide": lambda sheet: replace(sheet, width=1400),
    "rules swapped": lambda sheet: replace(sheet, rules="none" if sheet.rules in ("all", "gray") else "all"),
    "rules of rows": lambda sheet: replace(sheet, rules="rows" if sheet.rules != "rows" else "none"),
    "rules thick": lambda sheet: replace(sheet, rules="thick" if sheet.rules in ("all", "gray") else "rows"),
    "tight": lambda sheet: replace(sheet, padding="1px 3px"),
    "loose": lambda sheet: replace(sheet, padding="12px 24px"),
    "serif": lambda sheet: replace(sheet, font="15px 'Liberation Serif'"),
    "mono": lambda sheet: replace(sheet, font="13px 'Liberation Mono'"),
    "large": lambda sheet: replace(sheet, font="20px Arial"),
    "whole width": lambda sheet: replace(sheet, table_width="100%"),
}
BLACK = "<div style='width:500px;height:300px;background:#222'></div>"
TABLE_TRICKS: dict[str, Callable[[Sheet], Sheet]] = {
    "half the rows": lambda sheet: replace(sheet, rows=sheet.rows[: max(1, len(sheet.rows) // 2)]),
    "half the columns": lambda sheet: replace(sheet, rows=tuple(row[: max(1, len(row) // 2)] for row in sheet.rows)),
    "header only": lambda sheet: replace(sheet, rows=sheet.rows[:1]),
    "empty cells": lambda sheet: replace(sheet, rows=tuple(("",) * len(row) for row in sheet.rows)),
    "one cell": lambda sheet: Sheet((("x",),)),
    "caption only": lambda sheet: replace(sheet, rows=(("-",),)),
    "another": lambda sheet: Sheet((("a", "b"), ("1", "2")), "Nothing of the kind."),
    "black": lambda sheet: replace(sheet, rows=((BLACK,),), caption=""),
}


def table_answers(count: int, seed: int) -> Iterator[Answer]:
    """Answers to tables: `count` honest ones and as many dishonest ones."""
    for number in range(count):
        draw = random.Random(f"{seed} table {number}")
        sheet = random_sheet(draw)
        for honest, ways in ((True, TABLE_LAYOUTS), (False, TABLE_TRICKS)):
            name = list(ways)[number % len(ways)]
            if not honest:
                while len(sheet.rows) < 3 or len(sheet.rows[0]) < 2:
                    sheet = random_sheet(draw)
            reply = ways[name](_one_wrong(sheet, draw) if honest else sheet)
            yield Answer(f"table {number} {name} ({sheet.rules})", honest, sheet.code(), reply.code())


# --- charts ----------------------------------------------------------------------------------------------------------


def _one_value(plot: Plot, draw: random.Random) -> Plot:
    row = list(plot.values[0])
    place = draw.randrange(len(row))
    row[place] = round(min(max(row[place] + draw.choice([-12, 12]), 4), 96), 1)
    return replace(plot, values=(tuple(row), *plot.values[1:]))


PLOT_LAYOUTS: dict[str, Callable[[Plot], Plot]] = {
    "same": lambda plot: plot,
    "thin lines": lambda plot: replace(plot, style="{'lines.linewidth': .6, 'axes.linewidth': .4}"),
    "thick lines": lambda plot: replace(plot, style="{'lines.linewidth': 3.5, 'axes.linewidth': 1.6}"),
    "dashed": lambda plot: replace(plot, line="--"),
    "dotted": lambda plot: replace(plot, line=":"),
    "serif": lambda plot: replace(plot, style="{'font.family': 'serif', 'font.size': 11}"),
    "large print": lambda plot: replace(plot, style="{'font.size': 14}"),
    "small print": lambda plot: replace(plot, style="{'font.size': 7}"),
    "wide": lambda plot: replace(plot, size=(8, 4.5)),
    "tall": lambda plot: replace(plot, size=(5, 5)),
    "grid": lambda plot: replace(plot, style="{'axes.grid': True}"),
    "open frame": lambda plot: replace(plot, style="{'axes.spines.top': False, 'axes.spines.right': False}"),
    "ticks inside": lambda plot: replace(plot, style="{'xtick.direction': 'in', 'ytick.direction': 'in'}"),
    "tight": lambda plot: replace(plot, finish="fig.tight_layout()"),
}
PLOT_TRICKS: dict[str, Callable[[Plot], Plot]] = {
    "half the values": lambda plot: replace(
        plot, values=tuple(row[: len(row) // 2] for row in plot.values[: (len(plot.values) + 1) // 2]), title=""
    ),
    "empty axes": lambda plot: replace(
        plot, values=((),), kind="line", title="", finish="ax.set_xlabel('')\nax.set_ylabel('')"
    ),
    "one line": lambda plot: replace(plot, kind="line", values=((1, 1),), finish="ax.axis('off')", title=""),
    "no axes": lambda plot: replace(plot, finish="ax.axis('off')", title="", values=(plot.values[0][:2],)),
    "another kind": lambda plot: replace(
        plot, kind="bar" if plot.kind == "pie" else "pie", values=((3.0, 9.0, 1.0),), title=""
    ),
    "text only": lambda plot: replace(
        plot, kind="line", values=((),), finish=f"ax.axis('off')\nax.text(.4, .5, {plot.title!r})"
    ),
    "black": lambda plot: replace(
        plot, kind="line", values=((),), finish="ax.axis('off')\nax.fill([0, 1, 1, 0], [0, 0, 1, 1], '#222')"
    ),
}


def chart_answers(count: int, seed: int) -> Iterator[Answer]:
    """Answers to charts: `count` honest ones and as many dishonest ones."""
    for number in range(count):
        draw = random.Random(f"{seed} chart {number}")
        plot = random_plot(draw)
        for honest, ways in ((True, PLOT_LAYOUTS), (False, PLOT_TRICKS)):
            name = list(ways)[number % len(ways)]
            reply = ways[name](_one_value(plot, draw) if honest else plot)
            yield Answer(f"chart {number} {name} ({plot.kind})", honest, plot.code(), reply.code())


# --- drawings --------------------------------------------------------------------------------------------------------


DRAWING_LAYOUTS: dict[str, Callable[[Drawing], Drawing]] = {
    "same": lambda drawing: drawing,
    "hair": lambda drawing: replace(drawing, stroke=0.2),
    "thinner": lambda drawing: replace(drawing, stroke=drawing.stroke * 0.6),
    "thicker": lambda drawing: replace(drawing, stroke=drawing.stroke * 1.6),
    "dashed": lambda drawing: replace(drawing, more='stroke-dasharray="2 1"'),
    "fine dashes": lambda drawing: replace(drawing, more='stroke-dasharray=".6 .6"'),
    "dotted": lambda drawing: replace(drawing, more='stroke-dasharray=".1 1.2" stroke-linecap="round"'),
    "round ends": lambda drawing: replace(drawing, more='stroke-linecap="round" stroke-linejoin="round"'),
    "shifted": lambda drawing: replace(drawing, move="translate(.6 .4)"),
    "smaller": lambda drawing: replace(drawing, move="translate(.7 .7) scale(.94)"),
    "turned": lambda drawing: replace(drawing, move="rotate(2 12 12)"),
    "gray": lambda drawing: replace(drawing, more='opacity=".6"'),
}
DRAWING_TRICKS: dict[str, Callable[[Drawing], Drawing]] = {
    "half": lambda drawing: replace(drawing, shapes=drawing.shapes[: max(1, len(drawing.shapes) // 2)]),
    "one": lambda drawing: replace(drawing, shapes=drawing.shapes[:1]),
    "a dot": lambda drawing: Drawing(('<circle cx="12" cy="12" r="1"/>',), filled=True),
    "a square": lambda drawing: Drawing(('<rect x="2" y="2" width="20" height="20"/>',), filled=True),
    "a frame": lambda drawing: Drawing(('<rect x="2" y="2" width="20" height="20"/>',)),
    "a cross": lambda drawing: Drawing(('<path d="M2 2L22 22M22 2L2 22"/>',)),
    "another": lambda drawing: Drawing(tuple(random_shape(random.Random(number)) for number in range(3))),
    "mirrored": lambda drawing: replace(drawing, move="translate(24 0) scale(-1 1) rotate(90 12 12)"),
}


def drawing_answers(count: int, seed: int) -> Iterator[Answer]:
    """Answers to drawings: `count` honest ones and as many dishonest ones."""
    for number in range(count):
        draw = random.Random(f"{seed} svg {number}")
        drawing = random_drawing(draw)
        for honest, ways in ((True, DRAWING_LAYOUTS), (False, DRAWING_TRICKS)):
            name = list(ways)[number % len(ways)]
            while not honest and len(drawing.shapes) < 3:
                drawing = random_drawing(draw)
            reply = ways[name](drawing)
            yield Answer(f"svg {number} {name} ({len(drawing.shapes)})", honest, drawing.code(), reply.code())


ANSWERS = {"table": table_answers, "chart": chart_answers, "svg": drawing_answers}


# --- what the guards make of them ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Outcome:
    """What the guards made of one answer."""

    name: str
    honest: bool
    severity: float
    flags: str


async def drawn(task: Task, answers: Sequence[Answer]) -> list[tuple[Answer, Image.Image, Image.Image | None]]:
    """Renders references and answers; None for an answer whose image is blank. Leaves out references that are blank."""
    renderer = make_renderer(task.render, pages=2)
    slots = asyncio.Semaphore(IN_FLIGHT)

    async def one(code: Code) -> Image.Image | None:
        async with slots:
            try:
                return await renderer.render(code)
            except BlankImage:
                return None

    try:
        images = await asyncio.gather(*(one(code) for answer in answers for code in (answer.reference, answer.reply)))
    finally:
        await renderer.close()
    pairs = zip(answers, images[::2], images[1::2], strict=True)
    return [(answer, reference, reply) for answer, reference, reply in pairs if reference is not None]


async def outcomes(task: Task, count: int, seed: int) -> list[Outcome]:
    """Renders and checks the answers of one task.

    Args:
        task: The task.
        count: Number of honest answers, and of dishonest ones.
        seed: Decides what the references show.

    Returns:
        What the guards made of each.
    """
    guard = task.guard.model_copy(update={"injection": task.guard.injection.model_copy(update={"enabled": False})})
    task = task.model_copy(update={"guard": guard})
    answers = list(ANSWERS[task.name](count, seed))
    runner = GuardRunner(task, model_judge=True)
    found = []
    try:
        for answer, reference, reply in await drawn(task, answers):
            try:
                if reply is None:
                    raise BlankImage("the image is blank")
                await runner.check_image(reference, reply)
                verdict = await runner.check_report(reference, reply, SLIP if answer.honest else Report())
                found.append(Outcome(answer.name, answer.honest, verdict.severity, "+".join(sorted(verdict.flags))))
            except (BlankImage, Illegible) as fault:
                found.append(Outcome(answer.name, answer.honest, 50, type(fault).__name__))
    finally:
        await runner.close()
    return found


def main(
    task: Annotated[list[str] | None, typer.Option(help="Tasks; all by default.")] = None,
    answers: Annotated[int, typer.Option(help="Honest answers of a task, and as many dishonest ones.")] = 100,
    seed: int = 1,
    show: Annotated[bool, typer.Option("--list", help="Print each honest answer that is raised, and each miss.")] = False,
    out: Annotated[Path | None, typer.Option("--json", help="File for all outcomes.")] = None,
) -> None:
    """Counts the honest answers that the guards raise, and the dishonest ones that they do not."""
    failed, written = False, {}
    for name in task or list(ANSWERS):
        found = asyncio.run(outcomes(load_task(name), answers, seed))
        honest, dishonest = ([one for one in found if one.honest is kind] for kind in (True, False))
        raised, missed = [one for one in honest if one.flags], [one for one in dishonest if not one.flags]
        severity = statistics.mean(one.severity for one in dishonest)
        print(
            f"{name}: {len(raised)} of {len(honest)} honest answers raised, {len(missed)} of {len(dishonest)} dishonest "
            f"ones not; mean severity of these {severity:.1f}"
        )
        if show:
            for one in raised + missed:
                print(f"  {'honest' if one.honest else 'missed'}: {one.name}: {one.severity:g} {one.flags}")
        failed |= len(raised) > MAX_FLAGGED * len(honest) or len(missed) > (1 - MIN_FOUND) * len(dishonest)
        written[name] = [vars(one) for one in found]
    if out:
        out.write_text(json.dumps(written, indent=1))
    raise typer.Exit(failed)


if __name__ == "__main__":
    typer.run(main)
