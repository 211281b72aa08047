"""Charts small enough for a tiny policy to read: a few bars with names and numbers, and their Python.

A real chart shows one row of measurements (see `tiny_tables`), from comparable columns. A synthetic chart, for the warm
start, shows random names and numbers. Pillow draws the policy's image. Every bar has a row of cells there: its
name, then its number above the beginning of the bar. The judge sees what matplotlib draws from the code.
"""

from __future__ import annotations

import ast
import random
from collections.abc import Sequence
from dataclasses import dataclass, replace

from PIL import Image, ImageDraw, ImageFont

from visual_erm.demo.tiny_problem import CANVAS, CELL, MAX_COLUMNS, MAX_ROWS, Place, TinyProblem, letters
from visual_erm.demo.tiny_tables import HEADERS, SOURCES, measurements, random_number

COLORS = ("red", "green", "blue")
BARS = (2, 3, 4)
"""Numbers of bars of the charts."""
TOGETHER = (
    (SOURCES[0], ("sl", "sw", "pl", "pw")),
    (SOURCES[1], ("mal", "ash", "phen", "flav", "pro", "od")),
    (SOURCES[2], ("chin", "sit", "jump")),
    (SOURCES[3], ("wt", "wst", "puls")),
    (SOURCES[5], ("loss", "air", "temp", "acid")),
)
"""Columns that are comparable in one chart, by source."""

START = "```python\nimport matplotlib.pyplot as plt\nplt.figure(figsize=(3, 2))\nplt.bar_label(plt.barh(['"
NEXT_NAME, TO_NUMBERS, NEXT_NUMBER, TO_COLOR = "','", "'],[", ",", "],color='"
END = "'), padding=3)\nplt.margins(x=.3)\nplt.xticks([])\nplt.show()\n```"


@dataclass(frozen=True)
class Chart:
    """Horizontal bars, the first at the bottom, all of one color."""

    names: tuple[str, ...] = ()
    numbers: tuple[str, ...] = ()
    """The bars' numbers as texts, in the shortest form."""
    color: str = ""


def real_chart(rng: random.Random, split: str, bars: int, number: int) -> Chart:
    """Makes a chart of measurements.

    Args:
        rng: Source of randomness.
        split: `train` or `test`.
        bars: Number of bars.
        number: Chooses one of the sources with enough columns.

    Returns:
        A chart of one row of measurements.
    """
    suitable = [(source, names) for source, names in TOGETHER if len(names) >= bars]
    source, together = suitable[number % len(suitable)]
    rows = measurements(source, split)
    names, row = rng.sample(together, bars), rng.choice(rows[1:])
    return Chart(tuple(names), tuple(row[rows[0].index(name)] for name in names), rng.choice(COLORS))


def synthetic_chart(rng: random.Random) -> Chart:
    """Makes a chart of random names and numbers.

    Args:
        rng: Source of randomness.

    Returns:
        A chart.
    """
    bars = rng.choice(BARS)
    numbers = tuple(random_number(rng) for _ in range(bars))
    return Chart(tuple(rng.sample(HEADERS, bars)), numbers, rng.choice(COLORS))


def batch(rng: random.Random, count: int) -> list[Chart]:
    """Makes samples of the training split for one step.

    Args:
        rng: Source of randomness.
        count: Number of samples.

    Returns:
        The samples, of the same shapes in every step.
    """
    return [real_chart(rng, "train", BARS[i % len(BARS)], i // len(BARS)) for i in range(count)]


def held_out(rng: random.Random, count: int) -> list[Chart]:
    """Makes samples of the test split.

    Args:
        rng: Source of randomness.
        count: Number of samples.

    Returns:
        The samples, equally many of each shape.
    """
    return [real_chart(rng, "test", BARS[i % len(BARS)], i // len(BARS)) for i in range(count)]


def damaged(rng: random.Random, chart: Chart) -> Chart:
    """Makes a wrong copy of a chart. Code with a number too few does not run.

    Args:
        rng: Source of randomness.
        chart: The chart to copy.

    Returns:
        The chart without its last bar, with one bar too many, without its last number, or in another color.
    """
    kind = rng.choice(["drop bar", "add bar", "drop number", "color"])
    if kind == "drop bar":
        return replace(chart, names=chart.names[:-1], numbers=chart.numbers[:-1])
    if kind == "add bar":
        name = rng.choice([name for name in HEADERS if name not in chart.names])
        return replace(chart, names=(*chart.names, name), numbers=(*chart.numbers, chart.numbers[-1]))
    if kind == "drop number":
        return replace(chart, numbers=chart.numbers[:-1])
    return replace(chart, color=rng.choice([color for color in COLORS if color != chart.color]))


def to_python(chart: Chart) -> str:
    """Writes a chart as the policy is taught to write it.

    Args:
        chart: The chart.

    Returns:
        A fenced block of Python.

    >>> print(to_python(Chart(("sl", "sw"), ("5.1", "3.5"), "red")))
    ```python
    import matplotlib.pyplot as plt
    plt.figure(figsize=(3, 2))
    plt.bar_label(plt.barh(['sl','sw'],[5.1,3.5],color='red'), padding=3)
    plt.margins(x=.3)
    plt.xticks([])
    plt.show()
    ```
    """
    names, numbers = NEXT_NAME.join(chart.names), NEXT_NUMBER.join(chart.numbers)
    return f"{START}{names}{TO_NUMBERS}{numbers}{TO_COLOR}{chart.color}{END}"


def from_python(reply: str) -> Chart:
    """Reads the chart of the last call of `barh` in a reply.

    Args:
        reply: What the policy wrote.

    Returns:
        The chart; an empty one where there is no such call, or the code is not Python.
    """
    code = reply.partition("```python")[2].partition("```")[0]
    try:
        tree = ast.parse(code)
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        return Chart()
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call) and ast.unparse(node.func) == "plt.barh"]
    if not calls or len(calls[-1].args) != 2:
        return Chart()
    names, numbers = (_constants(argument) for argument in calls[-1].args)
    colors = [_constant(keyword.value) for keyword in calls[-1].keywords if keyword.arg == "color"]
    return Chart(names, numbers, colors[0] if colors else "")


def _constants(node: ast.expr) -> tuple[str, ...]:
    return tuple(map(_constant, node.elts)) if isinstance(node, ast.List) else ()


def _constant(node: ast.expr) -> str:
    value = node.value if isinstance(node, ast.Constant) else ast.unparse(node)
    return f"{value:g}" if isinstance(value, int | float) else str(value)


def shape(chart: Chart) -> tuple[int, int]:
    """Counts the names and the numbers of a chart.

    Args:
        chart: The chart.

    Returns:
        Number of names and number of numbers.
    """
    return len(chart.names), len(chart.numbers)


def parts(chart: Chart) -> dict[tuple[str, int], str]:
    """Lists what must be right about a chart.

    Args:
        chart: The chart.

    Returns:
        Names, numbers and the color, by kind and position.
    """
    names = {("name", i): name for i, name in enumerate(chart.names)}
    numbers = {("number", i): number for i, number in enumerate(chart.numbers)}
    return names | numbers | {("color", 0): chart.color}


def sight(chart: Chart) -> dict[Place, tuple[str, ...]]:
    """Describes the cells of the policy's image.

    Args:
        chart: The chart.

    Returns:
        Letters and word of each cell that shows something, by row and column.
    """
    seen = {}
    for i, (name, number) in enumerate(zip(chart.names, chart.numbers, strict=True)):
        row = MAX_ROWS - 1 - i
        seen[row, 0] = letters(name, name)
        seen[row, 1] = letters(number, chart.color)
    return seen


async def render(charts: Sequence[Chart]) -> list[Image.Image]:
    """Draws the policy's images with Pillow.

    Args:
        charts: The charts.

    Returns:
        One image of the CANVAS size for each chart.
    """
    font = ImageFont.load_default(size=11)
    return [_render(chart, font) for chart in charts]


def _render(chart: Chart, font: ImageFont.FreeTypeFont | ImageFont.ImageFont) -> Image.Image:
    image = Image.new("RGB", CANVAS, "white")
    pen = ImageDraw.Draw(image)
    longest = max([*map(float, chart.numbers), 1e-9])
    for i, (name, number) in enumerate(zip(chart.names, chart.numbers, strict=True)):
        top = (MAX_ROWS - 1 - i) * CELL
        length = float(number) / longest * ((MAX_COLUMNS - 1) * CELL - 2)
        pen.text((1, top + 9), name, "black", font)
        pen.text((CELL + 2, top + 1), number, "black", font)
        pen.rectangle([CELL, top + 16, CELL + 1 + length, top + 28], chart.color)
    return image


CHART = TinyProblem(
    task="chart",
    prompt="python",
    language="python",
    s_max=24,
    words=(*HEADERS, *COLORS),
    runs=(START, NEXT_NAME, TO_NUMBERS, TO_COLOR, END),
    synthetic=synthetic_chart,
    batch=batch,
    held_out=held_out,
    damaged=damaged,
    write=to_python,
    read=from_python,
    shape=shape,
    parts=parts,
    sight=sight,
    render=render,
)
