"""Charts and drawings in steps from right to nothing, drawn in this process: matplotlib's Agg and cairosvg."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import cairosvg
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

SIZE = 336


LADDER = "copy", "shade", "wrong", "missing", "half", "nothing"


@dataclass(frozen=True, eq=False)
class Steps:
    """An image, the `reference`, and what a policy might make of it, from the least wrong to the most."""

    name: str
    draw: Mapping[str, Callable[[], Image.Image]]

    drawn: dict[str, Image.Image] = field(default_factory=dict)

    def __getitem__(self, step: str) -> Image.Image:
        if step not in self.drawn:
            self.drawn[step] = self.draw[step]()
        return self.drawn[step]

    @property
    def ladder(self) -> list[Image.Image]:
        return [self[step] for step in LADDER]


def chart(draw: Callable[[Figure], object], size: tuple[float, float] = (4, 3)) -> Image.Image:
    """A figure at 100 dots per inch."""
    figure = Figure(size, dpi=100)
    canvas = FigureCanvasAgg(figure)
    draw(figure)
    canvas.draw()
    return Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")


def drawing(*shapes: str, size: int = SIZE) -> Image.Image:
    """An SVG of 100 x 100 units."""
    body = "".join(shapes)
    text = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 100 100">{body}</svg>'
    png = cairosvg.svg2png(text.encode(), output_width=size, output_height=size, background_color="white")
    return Image.open(io.BytesIO(png)).convert("RGB")


def _chart_steps(
    name: str, draw: Callable[..., object], parts: list, shade: list, wrong: list, gone=1, size=(4, 3)
) -> Steps:
    """`parts`: what `draw` gets next to the figure; `shade` and `wrong`: the same with one of them changed,
    or, where a value cannot change alone, with `gone` of them.
    """

    def image(these: list, title: bool = True) -> Image.Image:
        return chart(lambda figure: draw(figure, these, title), size)

    return Steps(
        name,
        {
            "reference": lambda: image(parts),
            "copy": lambda: image(parts),
            "shade": lambda: image(shade),
            "wrong": lambda: image(wrong),
            "missing": lambda: image(parts[:-gone]),
            "half": lambda: image(parts[: len(parts) // 2], title=False),
            "nothing": lambda: chart(lambda figure: None, size),
        },
    )


def _axes(figure: Figure, title: bool, words: str = "Sales by region", x=(0, 6), y=(0, 10)):
    axes = figure.subplots()
    axes.set(xlim=x, ylim=y)
    if title:
        axes.set_title(words)
        axes.set_ylabel("units")
    return axes


def _bars(figure, parts, title, **how):
    axes = _axes(figure, title, **how)
    for place, (value, color) in enumerate(parts, 1):
        axes.bar(place, value, color=color)


def _bars_across(figure, parts, title):
    axes = _axes(figure, title, "Budget", x=(0, 10), y=(0, 6))
    for place, (value, color) in enumerate(parts, 1):
        axes.barh(place, value, color=color)


def _grouped(figure, parts, title):
    axes = _axes(figure, title, "Two years", x=(0, 4))
    axes.grid(axis="y")
    axes.set_axisbelow(True)
    for number, (value, color) in enumerate(parts):
        axes.bar(1 + number // 2 + 0.4 * (number % 2), value, width=0.4, color=color)


def _stacked(figure, parts, title):
    axes = _axes(figure, title, "Stack", x=(0, 4), y=(0, 12))
    bottom = 0
    for number, (value, color) in enumerate(parts):
        bottom = 0 if number % 2 == 0 else bottom
        axes.bar(1 + number // 2, value, bottom=bottom, color=color)
        bottom += value


def _lines(figure, parts, title):
    axes = _axes(figure, title, "Trend")
    axes.grid()
    for values, color in parts:
        axes.plot(range(1, 6), values, color=color)


def _dashes(figure, parts, title):
    axes = _axes(figure, title, "Forecast")
    for number, (values, color) in enumerate(parts):
        axes.plot(range(1, 6), values, ("-", "--", ":")[number % 3], color=color, label=f"case {number}")
    if parts and title:
        axes.legend(loc="upper left")


def _points(figure, parts, title):
    axes = _axes(figure, title, "Sample")
    for x, y, color in parts:
        axes.scatter([x], [y], color=color, s=80)


def _clouds(figure, parts, title):
    axes = _axes(figure, title, "Clusters")
    for seed, (x, y, color) in enumerate(parts):
        chance = np.random.default_rng(seed)
        axes.scatter(chance.normal(x, 0.4, 60), chance.normal(y, 0.7, 60), color=color, s=12)


def _slices(figure, parts, title):
    axes = figure.subplots()
    if title:
        axes.set_title("Shares")
    total = sum(value for value, _ in parts) if parts else 1
    whole = 100 if total < 99 else total
    axes.pie(
        [v / whole for v, _ in parts], colors=[c for _, c in parts], labels=[f"{v}%" for v, _ in parts], normalize=False
    )


def _panels(figure, parts, title):
    grid = figure.add_gridspec(2, 2, hspace=0.5, wspace=0.4)
    for number, (values, color) in enumerate(parts):
        axes = figure.add_subplot(grid[number // 2, number % 2])
        axes.set(ylim=(0, 10), xlim=(0, 4))
        axes.bar(range(1, 4), values, color=color)
        if title:
            axes.set_title(f"Part {number}")


def _areas(figure, parts, title):
    axes = _axes(figure, title, "Area")
    for values, color in parts:
        axes.fill_between(range(1, 6), values, color=color)


def _steps(figure, parts, title):
    axes = _axes(figure, title, "Despined")
    axes.spines[["top", "right"]].set_visible(False)
    for place, (value, color) in enumerate(parts, 1):
        axes.bar(place, value, color=color)
        axes.text(place, value + 0.2, str(value), ha="center")


def _plates(figure, parts, title):
    axes = _axes(figure, title, "On a plate")
    axes.set_facecolor("#eaeaf2")
    axes.grid(color="white")
    axes.set_axisbelow(True)
    axes.spines[:].set_visible(False)
    for place, (value, color) in enumerate(parts, 1):
        axes.bar(place, value, color=color)


BARS = [(3, "#1f77b4"), (8, "#ff7f0e"), (5, "#2ca02c"), (2, "#d62728")]
BARS_SHADE = [(3, "#1f77b4"), (8, "#ff7f0e"), (5, "#34b034"), (2, "#d62728")]
BARS_WRONG = [(3, "#1f77b4"), (8, "#ff7f0e"), (7, "#2ca02c"), (2, "#d62728")]
CURVES = [([2, 4, 3, 6, 5], "#1f77b4"), ([9, 7, 8, 6, 9], "#d62728"), ([1, 1, 2, 1, 2], "#2ca02c")]
CURVES_SHADE = [([2, 4, 3, 6, 5], "#2f87c4"), *CURVES[1:]]
CURVES_WRONG = [([2, 4, 8, 6, 5], "#1f77b4"), *CURVES[1:]]
SLICES = [(30, "#1f77b4"), (25, "#ff7f0e"), (20, "#2ca02c"), (25, "#d62728")]


def charts() -> list[Steps]:
    points = [(1, 2, "#1f77b4"), (2, 7, "#ff7f0e"), (3, 4, "#2ca02c"), (5, 8, "#d62728")]
    many = [(1.5, 2, "#1f77b4"), (3, 7, "#ff7f0e"), (4.5, 3, "#2ca02c")]
    panels = [([3, 5, 8], "#1f77b4"), ([8, 2, 4], "#ff7f0e"), ([5, 5, 1], "#2ca02c"), ([2, 9, 6], "#d62728")]
    areas = [([9, 8, 9, 7, 8], "#9ecae1"), ([6, 5, 4, 5, 5], "#3182bd"), ([2, 3, 1, 2, 3], "#08306b")]
    return [
        _chart_steps("bars", _bars, BARS, BARS_SHADE, BARS_WRONG),
        _chart_steps("bars across", _bars_across, BARS, BARS_SHADE, BARS_WRONG),
        _chart_steps("grouped bars", _grouped, BARS, BARS_SHADE, BARS_WRONG),
        _chart_steps("stacked bars", _stacked, BARS, BARS_SHADE, [*BARS[:3], (4, "#d62728")]),
        _chart_steps("lines", _lines, CURVES, CURVES_SHADE, CURVES_WRONG),
        _chart_steps("dashed lines with a legend", _dashes, CURVES, CURVES_SHADE, CURVES_WRONG),
        _chart_steps("points", _points, points, [(1, 2, "#2f87c4"), *points[1:]], [(2, 3.4, "#1f77b4"), *points[1:]]),
        _chart_steps("clouds", _clouds, many, [(1.5, 2, "#2f87c4"), *many[1:]], [(1.5, 3.4, "#1f77b4"), *many[1:]]),
        _chart_steps(
            "pie",
            _slices,
            SLICES,
            [*SLICES[:2], (20, "#34b034"), SLICES[3]],
            [SLICES[0], (19, "#ff7f0e"), (26, "#2ca02c"), SLICES[3]],
            gone=2,
        ),
        _chart_steps(
            "panels",
            _panels,
            panels,
            [*panels[:3], ([2, 9, 6], "#e03838")],
            [*panels[:3], ([5, 9, 2], "#d62728")],
            size=(6, 4),
        ),
        _chart_steps(
            "areas", _areas, areas, [([9, 8, 9, 7, 8], "#b4dcf0"), *areas[1:]], [*areas[:2], ([2, 3, 3.3, 2, 3], "#08306b")]
        ),
        _chart_steps("bars with values, two spines", _steps, BARS, BARS_SHADE, BARS_WRONG),
        _chart_steps("bars on a plate", _plates, BARS, BARS_SHADE, BARS_WRONG),
    ]


def _svg_steps(name: str, shapes: list[str], shade: tuple[int, str], wrong: tuple[int, str]) -> Steps:
    def changed(where: tuple[int, str]) -> Image.Image:
        return drawing(*(where[1] if place == where[0] else shape for place, shape in enumerate(shapes)))

    return Steps(
        name,
        {
            "reference": lambda: drawing(*shapes),
            "copy": lambda: drawing(*shapes),
            "shade": lambda: changed(shade),
            "wrong": lambda: changed(wrong),
            "missing": lambda: drawing(*shapes[:-1]),
            "half": lambda: drawing(*shapes[: len(shapes) // 2]),
            "nothing": drawing,
        },
    )


def drawings() -> list[Steps]:
    circle = '<circle cx="{}" cy="{}" r="{}" fill="{}"/>'.format
    rect = '<rect x="{}" y="{}" width="{}" height="{}" fill="{}"/>'.format
    path = '<path d="{}" fill="{}" stroke="{}" stroke-width="{}"/>'.format
    text = '<text x="{}" y="{}" font-size="{}" fill="{}">{}</text>'.format
    star = "M25 5 L31 19 L46 19 L34 28 L39 43 L25 34 L11 43 L16 28 L4 19 L19 19 Z"
    return [
        _svg_steps(
            "shapes",
            [
                circle(25, 25, 18, "#e33"),
                rect(55, 10, 35, 30, "#36c"),
                path("M10 90 L30 55 L50 90 Z", "#3a3", "none", 0),
                circle(75, 75, 15, "#fa0"),
            ],
            (0, circle(25, 25, 18, "#d94040")),
            (0, rect(7, 7, 36, 36, "#e33")),
        ),
        _svg_steps(
            "face",
            [
                circle(50, 50, 42, "#fc3"),
                circle(35, 40, 6, "#333"),
                circle(65, 40, 6, "#333"),
                path("M30 62 Q50 82 70 62", "none", "#333", 4),
            ],
            (0, circle(50, 50, 42, "#f5c542")),
            (1, circle(35, 46, 9, "#333")),
        ),
        _svg_steps(
            "flag",
            [
                rect(0, 0, 33, 100, "#0055a4"),
                rect(33, 0, 34, 100, "#eee"),
                rect(67, 0, 33, 100, "#ef4135"),
                circle(50, 50, 10, "#060"),
            ],
            (0, rect(0, 0, 33, 100, "#1060b0")),
            (2, rect(67, 0, 33, 70, "#ef4135")),
        ),
        _svg_steps(
            "words",
            [
                text(5, 20, 12, "#000", "Open"),
                text(5, 45, 12, "#000", "until"),
                rect(55, 10, 35, 35, "#36c"),
                text(5, 75, 12, "#000", "Monday 18:30"),
            ],
            (2, rect(55, 10, 35, 35, "#4070d0")),
            (0, text(5, 20, 12, "#000", "Oven")),
        ),
        _svg_steps(
            "star and ring",
            [
                path(star, "#f80", "none", 0),
                '<circle cx="72" cy="28" r="16" fill="none" stroke="#08c" stroke-width="6"/>',
                rect(10, 60, 30, 30, "#808"),
                rect(55, 60, 35, 12, "#0a8"),
            ],
            (2, rect(10, 60, 30, 30, "#981898")),
            (2, circle(25, 75, 15, "#808")),
        ),
        _svg_steps(
            "on a dark ground",
            [
                rect(0, 0, 100, 100, "#223"),
                circle(30, 50, 20, "#e55"),
                rect(60, 30, 25, 40, "#5ae"),
                path("M10 90 H90", "none", "#fff", 3),
            ],
            (1, circle(30, 50, 20, "#f06464")),
            (2, rect(60, 30, 25, 20, "#5ae")),
        ),
        _svg_steps(
            "outlines",
            [
                path("M10 10 H45 V45 H10 Z", "none", "#000", 3),
                path("M60 45 L75 10 L90 45 Z", "none", "#c00", 3),
                path("M10 60 Q30 95 50 60", "none", "#06c", 3),
                circle(75, 75, 14, "#390"),
            ],
            (3, circle(75, 75, 14, "#46a310")),
            (1, path("M60 10 H90 V45 H60 Z", "none", "#c00", 3)),
        ),
        _svg_steps(
            "dots",
            [
                circle(15 + 23 * (n % 4), 20 + 30 * (n // 4), 7, color)
                for n, color in enumerate(["#c33", "#3c3", "#33c", "#cc3", "#3cc", "#c3c", "#888", "#333"])
            ],
            (1, circle(38, 20, 7, "#44d044")),
            (2, rect(50, 6, 28, 28, "#33c")),
        ),
        _svg_steps(
            "house",
            [
                rect(25, 45, 50, 45, "#c96"),
                path("M15 48 L50 12 L85 48 Z", "#933", "none", 0),
                rect(42, 62, 16, 28, "#531"),
                rect(30, 52, 10, 10, "#aef"),
            ],
            (1, path("M15 48 L50 12 L85 48 Z", "#a04040", "none", 0)),
            (1, path("M15 48 L50 30 L85 48 Z", "#933", "none", 0)),
        ),
        _svg_steps(
            "badge",
            [
                rect(5, 30, 90, 40, "#246"),
                text(14, 56, 16, "#fff", "BUILD"),
                circle(82, 50, 8, "#4c4"),
                rect(5, 78, 50, 6, "#999"),
            ],
            (0, rect(5, 30, 90, 40, "#2c5078")),
            (1, text(14, 56, 16, "#fff", "BOLD")),
        ),
    ]
