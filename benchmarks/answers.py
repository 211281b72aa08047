"""Tables, charts and drawings as data, and the code that shows them: what `honest.py` and `hacks.py` make answers of."""

from __future__ import annotations

import random
from dataclasses import dataclass

from visual_erm.extract import Code

WORDS = ("kernel", "violet", "harbour", "signal", "orchard", "metric", "lantern", "pebble", "mean", "of", "the", "in")


@dataclass(frozen=True)
class Sheet:
    """A table with a caption, and how it is set."""

    rows: tuple[tuple[str, ...], ...]
    caption: str = ""
    rules: str = "all"
    padding: str = "6px 10px"
    font: str = "14px Arial"
    width: int = 900
    table_width: str = "auto"

    def code(self) -> Code:
        """The table as HTML."""
        lines = {
            "all": "border:1px solid #333",
            "gray": "border:1px solid #aaa",
            "thick": "border:2px solid #000",
            "none": "border:none",
            "rows": "border:none;border-bottom:1px solid #333",
        }[self.rules]
        cells = "".join(
            "<tr>" + "".join(f'<td style="{lines};padding:{self.padding}">{text}</td>' for text in row) + "</tr>"
            for row in self.rows
        )
        caption = f"<p>{self.caption}</p>" if self.caption else ""
        table = f'<table style="border-collapse:collapse;font:{self.font};width:{self.table_width}">{cells}</table>'
        return Code("html", f'<div style="font:{self.font};width:{self.width}px">{caption}{table}</div>')


def random_text(draw: random.Random, words: int) -> str:
    return " ".join(draw.choice(WORDS) for _ in range(words)).capitalize()


def _value(draw: random.Random, long: bool) -> str:
    if draw.random() < 0.1:
        return ""
    return random_text(draw, draw.randint(1, 9 if long else 2)) if draw.random() < 0.4 else f"{draw.uniform(0, 900):.1f}"


def random_sheet(draw: random.Random) -> Sheet:
    shapes = [(1, 4), (2, 2), (5, 1), (3, 3), (6, 4), (10, 5), (16, 6), (30, 4), (4, 9)]
    rows, columns = draw.choice(shapes)
    long = draw.random() < 0.4
    cells = tuple(tuple(_value(draw, long) for _ in range(columns)) for _ in range(rows))
    cells = (("Name 7", *cells[0][1:]), *cells[1:])
    caption = f"Table {draw.randint(1, 9)}. {random_text(draw, draw.choice([3, 12, 24]))}." if draw.random() < 0.7 else ""
    rules = draw.choice(["all", "all", "gray", "none", "rows"])
    return Sheet(cells, caption, rules)


@dataclass(frozen=True)
class Plot:
    """A chart, and how it is drawn."""

    kind: str
    values: tuple[tuple[float, ...], ...]
    title: str = ""
    style: str = "{}"
    """Parameters of matplotlib."""
    size: tuple[float, float] = (6.4, 4.8)
    line: str = "-"
    finish: str = ""
    """Statements before the end."""

    def code(self) -> Code:
        """The chart as a script."""
        draws = {
            "line": f"for row in V: ax.plot(row, {self.line!r})",
            "bar": "for i, row in enumerate(V): ax.bar([x + i * .8 / len(V) for x in range(len(row))], row, .8 / len(V))",
            "barh": "ax.barh([f'name {i}' for i in range(len(V[0]))], V[0])",
            "scatter": "for row in V: ax.scatter(range(len(row)), row)",
            "step": f"for row in V: ax.step(range(len(row)), row, {self.line!r})",
            "pie": "ax.pie(V[0], labels=[f'part {i}' for i in range(len(V[0]))])",
            "area": "ax.stackplot(range(len(V[0])), *V)",
            "box": "ax.boxplot(V)",
        }[self.kind]
        labels = "" if self.kind == "pie" else "ax.set_xlabel('step'); ax.set_ylabel('value of it')\n"
        text = (
            f"import matplotlib.pyplot as plt\nplt.rcParams.update({self.style})\nV = {self.values}\n"
            f"fig, ax = plt.subplots(figsize={self.size})\n{draws}\n"
            f"ax.set_title({self.title!r})\n{labels}{self.finish}\nplt.show()"
        )
        return Code("python", text)


def random_plot(draw: random.Random) -> Plot:
    kind = draw.choice(["line", "bar", "barh", "scatter", "step", "pie", "area", "box"])
    count, length = draw.choice([1, 1, 2, 3]), draw.choice([4, 6, 9, 15]) if kind != "pie" else 5
    values = tuple(tuple(round(draw.uniform(5, 95), 1) for _ in range(length)) for _ in range(count))
    return Plot(kind, values, random_text(draw, draw.choice([2, 5])))


@dataclass(frozen=True)
class Drawing:
    """Shapes in a square of 24, and how their outlines are drawn."""

    shapes: tuple[str, ...]
    stroke: float = 1.5
    more: str = ""
    move: str = ""
    filled: bool = False

    def code(self) -> Code:
        """The drawing as SVG."""
        paint = 'fill="#444"' if self.filled else f'fill="none" stroke="#000" stroke-width="{self.stroke}"'
        return Code(
            "svg",
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 24 24"><g {paint} {self.more} transform="{self.move}">'
            f"{''.join(self.shapes)}</g></svg>",
        )


def random_shape(draw: random.Random) -> str:
    a, b, c, d = (round(draw.uniform(2, 22), 1) for _ in range(4))
    return draw.choice(
        [
            f'<path d="M{a} {b}L{c} {d}"/>',
            f'<path d="M2 {b}H22"/>',
            f'<path d="M{a} 2V22"/>',
            f'<circle cx="{min(max(a, 7), 17)}" cy="{min(max(b, 7), 17)}" r="{1 + c / 6:.1f}"/>',
            f'<rect x="{min(a, 14)}" y="{min(b, 14)}" width="{2 + c / 4:.1f}" height="{2 + d / 4:.1f}"/>',
            f'<path d="M{a} {b}C{b} {c} {c} {d} {d} {a}"/>',
            f'<path d="M{a} {b}L{c} {d}L{d} {a}Z"/>',
        ]
    )


def random_drawing(draw: random.Random) -> Drawing:
    shapes = tuple(random_shape(draw) for _ in range(draw.choice([1, 1, 2, 3, 5, 8])))
    return Drawing(shapes, draw.choice([0.2, 0.3, 0.6, 1.5, 2]), filled=len(shapes) > 2 and draw.random() < 0.25)
