"""Real data as charts for trials: matplotlib scripts that hold parts of the data sets inside statsmodels and scikit-learn.

A data set is cut into parts, and each part becomes one chart of a kind that suits it. A kind is a function from a part to
the statements that draw it on `ax`. Titles, colors and styles are random. A source of `data_prep/charts.py`.
"""

from __future__ import annotations

import math
import random
import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from visual_erm.data.sources import Item
from visual_erm.demo.package_dataframes import decimals, package_dataframes
from visual_erm.extract import Code

CHARTS_PER_FRAME = 40
"""Largest number of charts of one data set, so that long data sets do not dominate."""
_LONGEST_TEXT = 24
"""Longest title or label in characters; longer ones are left out."""
_TIMES = ("year", "time", "quarter")
"""Names of columns that hold a time, in lower case."""
_PALETTES = (
    ["tab:blue", "tab:orange", "tab:green", "tab:red"],
    ["#264653", "#2a9d8f", "#e9c46a", "#e76f51"],
    ["#003f5c", "#bc5090", "#ff6361", "#ffa600"],
    ["navy", "crimson", "darkgreen", "goldenrod"],
    ["steelblue", "salmon", "mediumseagreen", "slategray"],
)
_SIZES = ("(6, 4)", "(6.4, 4.8)", "(7, 4.5)", "(8, 5)", "(5, 5)")


@dataclass(frozen=True)
class ChartData:
    """A data set or a part of it, sorted into what charts need."""

    name: str
    numbers: Mapping[str, list[float]]
    """Rounded columns of measurements, by title."""
    groups: Mapping[str, list[str]]
    """Columns of a few classes, by title."""
    labels: tuple[str, list[str]] | None
    """Title and values of the column that names a row."""
    time: tuple[str, list[float]] | None
    """Title and values of the column of times, which rises with every row."""

    def cut(self, start: int, stop: int) -> ChartData:
        """Takes some of the rows, with the columns that have no gaps there.

        Args:
            start: First row, from 0.
            stop: Row after the last one.

        Returns:
            The part.
        """
        numbers = {title: values[start:stop] for title, values in self.numbers.items()}
        return ChartData(
            self.name,
            {title: values for title, values in numbers.items() if all(map(math.isfinite, values))},
            {title: values[start:stop] for title, values in self.groups.items()},
            (self.labels[0], self.labels[1][start:stop]) if self.labels else None,
            (self.time[0], self.time[1][start:stop]) if self.time else None,
        )


def charts(seed: int) -> Iterator[Item]:
    """Makes charts of parts that share no row.

    Args:
        seed: Decides parts, kinds and styles.

    Yields:
        One item for each chart, with its script as ground truth.

    Raises:
        ConfigError: Neither package is installed.
    """
    for name, frame in package_dataframes():
        rng = random.Random(f"{seed} {name}")
        for number, (kind, script) in enumerate(_scripts(_table(name, frame, rng), len(frame), rng), 1):
            yield Item(f"{name} chart {number}, {kind}", code=Code("python", script), ground_truth=script)
            if number == CHARTS_PER_FRAME:
                break


def _scripts(table: ChartData, rows: int, rng: random.Random) -> Iterator[tuple[str, str]]:
    """Yields kind and script of one chart after another, until all rows are used."""
    start = 0
    while start < rows:
        for kind in rng.sample(list(KINDS), len(KINDS)):
            size = rng.randint(*ROWS[kind])
            body = KINDS[kind](table.cut(start, start + size), rng) if start + size <= rows else None
            if body:
                yield kind, _script(body, rng)
                start += size
                break
        else:
            start += min(rows for rows, _ in ROWS.values())


def _script(body: Sequence[str], rng: random.Random) -> str:
    figure = (
        [] if any(line.startswith("fig,") for line in body) else [f"fig, ax = plt.subplots(figsize={rng.choice(_SIZES)})"]
    )
    return "\n".join(["import matplotlib.pyplot as plt", "", *figure, *body, "fig.tight_layout()", "plt.show()", ""])


# Data sets


def _table(name: str, frame: Any, rng: random.Random) -> ChartData:
    """Sorts a data set, whose rows are in the order of time; without a time they are shuffled."""
    time = _time(frame)
    order = list(range(len(frame)))
    if time is None:
        rng.shuffle(order)
    numbers: dict[str, list[float]] = {}
    groups: dict[str, list[str]] = {}
    labels = None
    if all(isinstance(label, str) for label in frame.index):
        labels = (str(frame.index.name or ""), [str(frame.index[row]) for row in order])
    for title in map(str, frame.columns):
        column = frame[title].tolist()
        values = [column[row] for row in order]
        if not all(isinstance(value, int | float) for value in values):
            if labels is None and len(set(values)) == len(values):
                labels = title, [str(value).strip() for value in values]
            continue
        known = {value for value in values if math.isfinite(value)}
        if len(known) < 2 or title.lower() in _TIMES or len(title) > _LONGEST_TEXT:
            continue
        if len(known) <= 4:
            groups[title] = [f"{value:g}" for value in values]
        else:
            lowest = min(known)
            shown = decimals([value - lowest for value in known])
            numbers[title] = [round(float(value), shown) for value in values]
    return ChartData(name.split("/")[1], numbers, groups, labels, time)


def _time(frame: Any) -> tuple[str, list[float]] | None:
    """Finds the years of the rows, with fractions where a year has several rows."""
    if frame.index.dtype.kind == "M":
        return "year", [round(day.year + (day.dayofyear - 1) / 366, 2) for day in frame.index]
    title = next((title for title in frame.columns if str(title).lower() in _TIMES), None)
    if title is None:
        return None
    quarters = frame["quarter"].tolist() if "quarter" in frame.columns else [1] * len(frame)
    values = [float(year) + (quarter - 1) / 4 for year, quarter in zip(frame[title].tolist(), quarters, strict=True)]
    return (str(title), values) if all(a < b for a, b in pairwise(values)) else None


# Kinds of charts

ChartKind = Callable[[ChartData, random.Random], "list[str] | None"]
"""Writes statements that draw a part of a data set on `ax`; None where the part does not suit."""


def _line(table: ChartData, rng: random.Random) -> list[str] | None:
    titles = _alike(table, rng, rng.randint(1, 3))
    if not titles or table.time is None:
        return None
    x, years = table.time
    style = rng.choice(['linestyle="-"', 'linestyle="--"', 'marker="o"', 'marker="s", linestyle=":"', "linewidth=2.5"])
    colors = rng.choice(_PALETTES)
    lines = [_assign("x", years)]
    for title, color in zip(titles, colors, strict=False):
        lines += [_assign("y", table.numbers[title]), f"ax.plot(x, y, {style}, color={color!r}, label={title!r})"]
    whole = all(year == int(year) for year in years)
    ticks = [] if whole else ['ax.ticklabel_format(axis="x", useOffset=False)']
    return [*lines, *ticks, *_texts(table, rng, x, titles), *_legend(titles, rng)]


def _bars(table: ChartData, rng: random.Random) -> list[str] | None:
    named = _named(table, rng)
    if named is None:
        return None
    x, labels, y, values = named
    colors = rng.choice(_PALETTES)
    color = repr(colors[0]) if rng.random() < 0.6 else repr([colors[i % len(colors)] for i in range(len(labels))])
    lines = [_assign("labels", labels), _assign("values", values)]
    if rng.random() < 0.4:
        return [*lines, f"ax.barh(labels, values, color={color})", *_texts(table, rng, y, [x])]
    width = rng.choice([0.5, 0.6, 0.8])
    edge = rng.choice(["", ', edgecolor="black"'])
    turned = ['ax.tick_params(axis="x", rotation=45)'] if max(map(len, labels)) > 5 else []
    return [*lines, f"ax.bar(labels, values, width={width}, color={color}{edge})", *_texts(table, rng, x, [y]), *turned]


def _grouped_bars(table: ChartData, rng: random.Random) -> list[str] | None:
    titles = _alike(table, rng, rng.randint(2, 3))
    labels = _row_names(table)
    if len(titles) < 2 or labels is None or min(min(table.numbers[title]) for title in titles) < 0:
        return None
    colors = rng.choice(_PALETTES)
    lines = [_assign("labels", labels[1]), "x = range(len(labels))"]
    if rng.random() < 0.5:
        width = round(0.8 / len(titles), 2)
        for number, (title, color) in enumerate(zip(titles, colors, strict=False)):
            place = f"[i + {round(number * width, 2)} for i in x]"
            bars = f"ax.bar({place}, y, width={width}, color={color!r}, label={title!r})"
            lines += [_assign("y", table.numbers[title]), bars]
        middle = round((len(titles) - 1) * width / 2, 2)
        lines.append(f"ax.set_xticks([i + {middle} for i in x], labels, rotation={rng.choice([0, 30])})")
    else:
        lines.append("below = [0] * len(labels)")
        for title, color in zip(titles, colors, strict=False):
            bars = f"ax.bar(x, y, bottom=below, width=0.7, color={color!r}, label={title!r})"
            lines += [_assign("y", table.numbers[title]), bars, "below = [a + b for a, b in zip(below, y)]"]
        lines.append("ax.set_xticks(x, labels, rotation=30)")
    return [*lines, *_texts(table, rng, labels[0], titles), *_legend(titles, rng)]


def _scatter(table: ChartData, rng: random.Random) -> list[str] | None:
    spread = [title for title, values in table.numbers.items() if len(set(values)) > len(values) // 2]
    if len(spread) < 2:
        return None
    x, y = rng.sample(spread, 2)
    classes = _classes(table, rng)
    marks, colors = rng.choice([["o"], ["o", "^", "s", "D"]]), rng.choice(_PALETTES)
    size, alpha = rng.choice([20, 36, 60]), rng.choice([0.6, 0.8, 1])
    lines = []
    for number, (label, rows) in enumerate(classes):
        lines += [
            _assign("x", [table.numbers[x][row] for row in rows]),
            _assign("y", [table.numbers[y][row] for row in rows]),
        ]
        named = f", label={label!r}" if label else ""
        style = f"s={size}, alpha={alpha}, marker={marks[number % len(marks)]!r}, color={colors[number]!r}"
        lines.append(f"ax.scatter(x, y, {style}{named})")
    return [*lines, *_texts(table, rng, x, [y]), *_legend([label for label, _ in classes], rng)]


def _histogram(table: ChartData, rng: random.Random) -> list[str] | None:
    titles = [title for title, values in table.numbers.items() if len(set(values)) >= 5]
    if not titles:
        return None
    title = rng.choice(titles)
    style = f"bins={rng.randint(5, 12)}, color={rng.choice(_PALETTES)[0]!r}, edgecolor={rng.choice(['white', 'black'])!r}"
    return [_assign("values", table.numbers[title]), f"ax.hist(values, {style})", *_texts(table, rng, title, ["count"])]


def _box(table: ChartData, rng: random.Random) -> list[str] | None:
    classes = [(label, rows) for label, rows in _classes(table, rng) if len(rows) >= 4]
    titles = _alike(table, rng, 4)
    if len(classes) >= 2:
        y = rng.choice(list(table.numbers))
        values = {label: [table.numbers[y][row] for row in rows] for label, rows in classes}
    elif len(titles) >= 2:
        y, values = "", {title: table.numbers[title] for title in titles}
    else:
        return None
    filled = f', patch_artist=True, boxprops={{"facecolor": {rng.choice(_PALETTES)[1]!r}}}'
    lines = ["groups = {", *(f"    {label!r}: {_list(numbers)}," for label, numbers in values.items()), "}"]
    lines.append(f"ax.boxplot(list(groups.values()){rng.choice(['', filled])})")
    lines.append("ax.set_xticks(range(1, len(groups) + 1), list(groups))")
    return [*lines, f"ax.set_title({f'{table.name}: {y}' if y else table.name!r})"]


def _pie(table: ChartData, rng: random.Random) -> list[str] | None:
    named = _named(table, rng)
    if named is None or min(named[3]) <= 0:
        return None
    _, labels, title, values = named
    shares = rng.choice(["", ', autopct="%.0f%%"', ', autopct="%.1f%%"'])
    hole = rng.choice(["", "", ', wedgeprops={"width": 0.4}'])
    lines = [_assign("labels", labels), _assign("values", values)]
    pie = f"ax.pie(values, labels=labels, startangle={rng.choice([0, 90])}{shares}{hole})"
    return [*lines, pie, f"ax.set_title({f'{table.name}: {title}'!r})"]


def _panels(table: ChartData, rng: random.Random) -> list[str] | None:
    """Writes two charts of the same rows, side by side or one above the other."""
    bodies = [body for kind in rng.sample(_IN_PANELS, len(_IN_PANELS)) if (body := kind(table, rng))][:2]
    if len(bodies) < 2:
        return None
    grid = rng.choice(["1, 2, figsize=(10, 4)", "2, 1, figsize=(6, 8)"])
    return [f"fig, axes = plt.subplots({grid})", "ax = axes[0]", *bodies[0], "ax = axes[1]", *bodies[1]]


_IN_PANELS: list[ChartKind] = [_line, _scatter, _histogram, _box]
KINDS: dict[str, ChartKind] = {
    "line": _line,
    "bars": _bars,
    "grouped bars": _grouped_bars,
    "scatter": _scatter,
    "histogram": _histogram,
    "box": _box,
    "pie": _pie,
    "panels": _panels,
}
ROWS = {
    "line": (8, 24),
    "bars": (3, 9),
    "grouped bars": (3, 6),
    "scatter": (12, 30),
    "histogram": (25, 60),
    "box": (12, 30),
    "pie": (3, 6),
    "panels": (14, 24),
}
"""Smallest and largest number of rows of a chart, by kind."""


# Parts of charts


def _alike(table: ChartData, rng: random.Random, most: int) -> list[str]:
    """Chooses at most `most` columns of similar size, which can share an axis."""
    if not table.numbers:
        return []
    first = rng.choice(list(table.numbers))
    size = {title: max(map(abs, values)) for title, values in table.numbers.items()}
    others = [title for title in table.numbers if title != first and size[first] / 3 <= size[title] <= size[first] * 3]
    return [first, *rng.sample(others, min(len(others), most - 1))]


def _row_names(table: ChartData) -> tuple[str, list[str]] | None:
    """Finds title and names of the rows, where these have names that fit under a bar."""
    if table.labels and max(map(len, table.labels[1])) <= _LONGEST_TEXT:
        return table.labels
    if table.time and all(year == int(year) for year in table.time[1]):
        return table.time[0], [str(int(year)) for year in table.time[1]]
    return None


def _named(table: ChartData, rng: random.Random) -> tuple[str, list[str], str, list[float]] | None:
    """Finds title and names, title and values: a column by the names of its rows, or else the means of columns."""
    rows = _row_names(table)
    titles = _alike(table, rng, rng.randint(3, 6))
    if rows and titles:
        return *rows, titles[0], table.numbers[titles[0]]
    if len(titles) < 3:
        return None
    means = [sum(table.numbers[title]) / len(table.numbers[title]) for title in titles]
    shown = decimals(means)
    return "", titles, "mean", [round(mean, shown) for mean in means]


def _classes(table: ChartData, rng: random.Random) -> list[tuple[str, list[int]]]:
    """Finds label and rows of each class of a column; without such a column, all rows are one class without a label."""
    rows = range(len(next(iter(table.numbers.values()), [])))
    if not table.groups or rng.random() < 0.2:
        return [("", list(rows))]
    title, values = rng.choice(list(table.groups.items()))
    return [(f"{title} {value}", [row for row in rows if values[row] == value]) for value in sorted(set(values))]


def _texts(table: ChartData, rng: random.Random, x: str, y: Sequence[str]) -> list[str]:
    """Writes title, axis labels and grid."""
    shown = " and ".join(y)
    title = rng.choice([f"{table.name}: {shown}", f"{shown} by {x}" if x and shown else table.name, table.name.title()])
    lines = [f"ax.set_title({title!r})"]
    lines += [f"ax.set_xlabel({x!r})"] if x else []
    lines += [f"ax.set_ylabel({y[0]!r})"] if len(y) == 1 and y[0] else []
    grid = rng.choice(["", "", "ax.grid(True, alpha=0.4)", 'ax.grid(axis="y", linestyle="--")'])
    return [*lines, *([grid] if grid else [])]


def _legend(labels: Sequence[str], rng: random.Random) -> list[str]:
    place = rng.choice(["", 'loc="upper left"', "frameon=False"])
    return [f"ax.legend({place})"] if len(labels) > 1 else []


def _assign(name: str, values: Sequence[Any]) -> str:
    line = f"{name} = {_list(values)}"
    return line if isinstance(values[0], str) else textwrap.fill(line, 100, subsequent_indent="    ")


def _list(values: Sequence[Any]) -> str:
    return f"[{', '.join(map(_literal, values))}]"


def _literal(value: Any) -> str:
    return str(int(value)) if isinstance(value, float) and value == int(value) else repr(value)
