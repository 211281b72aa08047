"""The local judge on charts and drawings: as matplotlib and cairosvg drew them, and as parts that are written down."""

from __future__ import annotations

import asyncio
import io
from dataclasses import replace
from itertools import permutations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from images import BARS, BARS_WRONG, Steps, chart, charts, drawing, drawings
from matplotlib.figure import Figure
from PIL import Image

from visual_erm.errors import ConfigError
from visual_erm.guard.omission import missing_parts, scene_parts
from visual_erm.judge.base import make_judge
from visual_erm.judge.local.charts import compare
from visual_erm.kinds import SHIPPED
from visual_erm.reward.report import MAX_SEVERITY, Report
from visual_erm.spec.judge import JudgeSettings
from visual_erm.spec.task import load_task
from visual_erm.vision import readings
from visual_erm.vision.chart_scene import no_ocr, parse_scene
from visual_erm.vision.scene_types import GRID, Box, Mark, Panel, Scene, Text

CHARTS, DRAWINGS = charts(), drawings()
LADDERS = [("chart", steps) for steps in CHARTS] + [("svg", steps) for steps in DRAWINGS]
SHAPES = ['<circle cx="25" cy="25" r="18" fill="#e33"/>', '<rect x="55" y="10" width="35" height="30" fill="#36c"/>']
SHAPES += ['<path d="M10 90 L30 55 L50 90 Z" fill="#3a3"/>', '<text x="55" y="80" font-size="12">Hello</text>']


@pytest.fixture(scope="module")
def judge():
    """(reference, prediction, task) -> Report, by one judge for the tests of a module."""
    made = make_judge(JudgeSettings(kind="local"))
    with asyncio.Runner() as runner:
        yield lambda reference, prediction, kind: runner.run(made.judge(reference, prediction, load_task(kind)))
        runner.run(made.close())


def bars(values: list[tuple[float, str]]) -> Image.Image:
    def draw(figure):
        axes = figure.subplots()
        axes.set(xlim=(0, 5), ylim=(0, 10), title="Sales")
        for place, (value, color) in enumerate(values, 1):
            axes.bar(place, value, color=color)

    return chart(draw)


# --- images --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "steps"), LADDERS, ids=[steps.name for _, steps in LADDERS])
def test_the_more_is_wrong_the_more_it_costs(judge, kind, steps: Steps):
    same, shade, wrong, missing, half, nothing = (judge(steps["reference"], step, kind) for step in steps.ladder)
    assert same == Report()
    assert 0 < shade.severity < wrong.severity < missing.severity < half.severity <= nothing.severity
    assert {d.category for d in shade.discrepancies} == {"style_error"}
    assert {d.category for d in nothing.discrepancies} <= {"structure_error", "style_error"}
    assert all(d.location and 1 <= d.severity <= 3 for report in (wrong, half) for d in report.discrepancies)


@pytest.mark.parametrize(("kind", "steps"), LADDERS, ids=[steps.name for _, steps in LADDERS])
def test_another_image_costs_more_than_the_own_one_with_a_mistake(judge, kind, steps: Steps):
    others = [other for name, other in LADDERS if name == kind and other is not steps]
    own = judge(steps["reference"], steps["wrong"], kind).severity
    assert all(judge(steps["reference"], other["reference"], kind).severity > own for other in others[:4])


def test_a_wrong_bar_is_a_matter_of_data_and_has_a_place(judge):
    [found] = judge(bars(BARS), bars(BARS_WRONG), "chart").discrepancies
    assert (found.category, found.severity, found.location) == ("data_error", 2, "plot area")
    assert found.description.startswith("plot area: the green (#2ca02c) mark has another size")


@pytest.mark.parametrize(
    ("kind", "text", "category"),
    [("chart", "Costs", "text_error"), ("chart", "2031", "data_error"), ("svg", "Costs", "text_symbol_error")],
)
def test_a_wrong_text_is_told_from_a_wrong_number(judge, kind, text, category):
    def titled(words: str) -> Image.Image:
        if kind == "svg":
            return drawing(*SHAPES[:3], f'<text x="55" y="80" font-size="12">{words}</text>')
        return chart(lambda figure: figure.subplots().set_title(words))

    true = "2026" if text.isdigit() else "Coasts"
    report = judge(titled(true), titled(text), kind)
    assert [d.category for d in report.discrepancies] == [category]
    assert report.discrepancies[0].description.endswith(f'reference "{true}", prediction "{text}"')


def test_a_missing_panel_costs_what_it_held(judge):
    panels = next(steps for steps in CHARTS if steps.name == "panels")
    found = judge(panels["reference"], panels["missing"], "chart").discrepancies
    assert {d.category for d in found} == {"structure_error"}
    held = "the panel", '"Part 3"', "the red (#d62728) mark"
    assert all(any(what in d.description for d in found) for what in held)
    assert sum(d.location == "lower right panel" for d in found) >= 4


def test_a_change_of_shape_is_a_shape_error(judge):
    square = '<rect x="7" y="7" width="36" height="36" fill="#e33"/>'
    report = judge(drawing(*SHAPES), drawing(square, *SHAPES[1:]), "svg")
    assert [(d.category, d.severity, d.location) for d in report.discrepancies] == [("shape_error", 2, "upper left")]


def test_leaving_out_never_pays_in_images(judge):
    """As drawn: what is left out changes what else is seen."""
    answer = [(3, "#1f77b4"), (6, "#ff7f0e"), (7, "#2ca02c"), (2, "#e377c2")]
    drawn = [(judge(bars(BARS), bars(answer), "chart"), bars(BARS), bars, answer, "chart")]
    wrong = [
        SHAPES[0].replace("18", "12"),
        SHAPES[1].replace("#36c", "#c63"),
        SHAPES[2],
        SHAPES[3].replace("Hello", "Help"),
    ]
    truth = drawing(*SHAPES)
    drawn.append((judge(truth, drawing(*wrong), "svg"), truth, lambda shapes: drawing(*shapes), wrong, "svg"))
    for whole, reference, draw, parts, kind in drawn:
        assert whole.severity > 0
        for gone in range(len(parts)):
            less = judge(reference, draw(parts[:gone] + parts[gone + 1 :]), kind)
            assert less.severity >= whole.severity


@pytest.mark.parametrize("angle", [1, 1.5, 2, 2.5])
def test_a_shape_whose_edges_are_nearly_level_is_missed(judge, angle):
    turned = [*SHAPES[:1], f'<rect x="45" y="50" width="50" height="30" fill="#377eb8" transform="rotate({angle} 70 65)"/>']
    other = [turned[0], turned[1].replace(f"rotate({angle}", "rotate(8")]
    empty, wrong = (judge(drawing(*turned), drawing(*shapes), "svg").severity for shapes in (turned[:1], other))
    assert empty == MAX_SEVERITY > wrong > 0
    guard = [scene_parts(parse_scene(drawing(*shapes), no_ocr)) for shapes in (turned, turned[:1])]
    assert missing_parts(*guard, slack=0) == {"part": 1}


def drawn(draw, size=(6, 4), **saving) -> Image.Image:
    figure = Figure(size, dpi=100)
    axes = figure.subplots()
    draw(axes)
    file = io.BytesIO()
    figure.savefig(file, **saving)
    return Image.open(file).convert("RGB")


def columns(axes) -> None:
    axes.bar(list("ABCD"), [30, 55, 20, 70])
    axes.set(title="Sales by region", xlabel="Region", ylabel="Units", ylim=(0, 80), yticks=range(0, 81, 20))


def curves(axes, noise=0.0) -> None:
    axes.plot([3 + noise, 5 - noise, 4 + noise, 8 - noise, 9 + noise, 7 - noise, 12 + noise])
    axes.plot([12, 10, 11, 7, 6, 6, 3])
    axes.set(title="Trend", ylim=(0, 16), xticks=range(0, 7, 2), yticks=range(0, 16, 5))


def points(axes) -> None:
    chance = np.random.default_rng(0)
    axes.scatter(chance.normal(3, 1, 60), chance.normal(4, 1, 60), s=20)
    axes.set(title="Sample", xlim=(0, 6), ylim=(0, 8), xticks=range(0, 7, 2), yticks=range(0, 9, 2))


@pytest.mark.parametrize("draw", [columns, curves, points])
def test_the_same_chart_in_another_size_of_figure_is_about_the_same_chart(judge, draw):
    """The print, the lines and the margins are as many pixels as before, so each label has another size and place."""
    reference = drawn(draw)
    for size in ((9, 6), (12, 8)):
        assert judge(reference, drawn(draw, size), "chart").severity <= 6
    assert judge(reference, drawn(draw, bbox_inches="tight"), "chart").severity <= 7


def waves(axes) -> None:
    axes.plot([-1, 0.5, 1, 0.25, -0.75], label="one")
    axes.set(title="Height over time", ylim=(-1.1, 1.1), yticks=[-1, -0.5, 0, 0.5, 1], xticks=range(5))
    axes.legend(loc="lower center")


def panels(axes) -> None:
    figure = axes.figure
    axes.remove()
    for number, part in enumerate(figure.subplots(2, 2).flat):
        part.bar([1, 2, 3], [number + 1, 2, 3])
        part.set_title(f"Part {number + 1}")


@pytest.mark.long
@pytest.mark.parametrize("draw", [columns, waves, points, panels])
def test_the_same_chart_with_more_pixels_is_about_the_same_chart(judge, draw):
    """A frame has half-tones on one side at 150 dpi and on the other at 200; the minus of a label has another width."""
    reference = drawn(draw)
    for dpi in (120, 150, 200, 300):
        assert judge(reference, drawn(draw, dpi=dpi), "chart").severity <= 7


def test_the_size_of_all_print_counts_once_and_that_of_one_text_as_before(judge):
    def large(axes, labels: int, title: int) -> None:
        columns(axes)
        axes.tick_params(labelsize=labels)
        axes.title.set_size(title)
        axes.xaxis.label.set_size(labels)
        axes.yaxis.label.set_size(labels)

    reference = drawn(lambda axes: large(axes, 8, 9))
    whole, one = (judge(reference, drawn(lambda axes, how=how: large(axes, *how)), "chart") for how in ((14, 16), (8, 18)))
    assert [(d.category, d.severity) for d in one.discrepancies] == [("style_error", 1)]
    print_size = [d.severity for d in whole.discrepancies if "all text has another size" in d.description]
    assert print_size == [1]


def test_more_noise_on_a_curve_never_costs_less(judge):
    reference = drawn(curves)
    costs = [judge(reference, drawn(lambda axes, n=n: curves(axes, n)), "chart").severity for n in (0, 0.2, 0.5, 1, 2, 3)]
    assert costs[0] == 0 < costs[-1] and costs == sorted(costs)


def test_a_size_of_its_own_costs_nothing(judge):
    """Images are laid over each other: the same drawing in more pixels is the same drawing."""
    assert judge(drawing(*SHAPES), drawing(*SHAPES, size=500), "svg") == Report()


def test_equal_images_are_equal_without_a_look(judge, monkeypatch):
    monkeypatch.setattr(readings, "parse_scene", None)
    assert judge(bars(BARS), bars(BARS), "chart") == Report()


def test_a_group_shares_the_look_at_its_reference(monkeypatch):
    looked = []
    parse_scene = readings.parse_scene
    monkeypatch.setattr(readings, "parse_scene", lambda *what: looked.append(what) or parse_scene(*what))
    made = make_judge(JudgeSettings(kind="local"))

    async def group() -> None:
        answers = [drawing(*SHAPES[:count]) for count in (1, 2, 3)]
        await asyncio.gather(*(made.judge(drawing(*SHAPES), answer, load_task("svg")) for answer in answers))
        await made.close()

    asyncio.run(group())
    assert len(looked) == 4


def test_only_known_categories_are_judged(judge):
    for kind in SHIPPED.values():
        assert set(kind.local_comparison.categories) <= set(load_task(kind.name).report.categories)
    task = load_task("svg")
    other = task.model_copy(update={"report": task.report.model_copy(update={"categories": ["taste"]})})
    with pytest.raises(ConfigError, match=r"knows the categories of table.*chart.*svg"):
        asyncio.run(make_judge(JudgeSettings(kind="local")).judge(bars(BARS), bars(BARS), other))


# --- parts -----------------------------------------------------------------------------------------------------------

COLORS = st.sampled_from([(214, 39, 40), (220, 50, 50), (31, 119, 180), (44, 160, 44)])
PLACE = st.integers(0, 8).map(lambda tenth: tenth / 10)
SIZE = st.sampled_from([0.08, 0.1, 0.2])
FULL = bytes([255]) * GRID**2
ROUND = bytes(255 * (np.hypot(*(np.indices((GRID, GRID)) - GRID / 2 + 0.5)) <= GRID / 2).astype(np.uint8))


def mark(color, left, top, width=0.1, height=0.1, mask=FULL, panel=None) -> Mark:
    box = Box(left, top, left + width, top + height)
    return Mark(color, box, box.centre, width * height, 1 if mask == FULL else 0.785, mask, panel)


def image(*found: Mark | Text, panels: tuple[Panel, ...] = ()) -> Scene:
    texts = tuple(part for part in found if isinstance(part, Text))
    return Scene(400, 400, (255, 255, 255), texts, panels, tuple(part for part in found if isinstance(part, Mark)))


def severity(reference: Scene, prediction: Scene) -> int:
    return Report(compare(reference, prediction, "svg")).severity


MARKS = st.builds(mark, COLORS, PLACE, PLACE, SIZE, SIZE, st.sampled_from([FULL, ROUND]))
TEXTS = st.builds(
    lambda text, left, top: Text(text, Box(left, top, left + 0.1, top + 0.04), (0, 0, 0)),
    st.sampled_from(["total", "totals", "12", "12.5", "99", "north"]),
    PLACE,
    PLACE,
)
PARTS = st.lists(MARKS | TEXTS, max_size=6)


@st.composite
def answers(draw):
    """A reference and an answer to it: itself with a few parts exchanged, or anything else."""
    reference = draw(st.lists(MARKS | TEXTS, min_size=1, max_size=6))
    answer = list(reference) if draw(st.booleans()) else draw(PARTS)
    for _ in range(draw(st.integers(0, 3)) if answer else 0):
        answer[draw(st.integers(0, len(answer) - 1))] = draw(MARKS | TEXTS)
    return reference, answer


@settings(max_examples=40)
@given(answers())
def test_leaving_out_a_part_never_pays(pair):
    reference, answer = pair
    assume(len(answer) <= len(reference))
    whole = severity(image(*reference), image(*answer))
    for gone in range(len(answer)):
        assert severity(image(*reference), image(*answer[:gone], *answer[gone + 1 :])) >= whole


@given(PARTS)
def test_an_image_equals_itself(parts):
    assert not compare(image(*parts), image(*parts), "chart")


@settings(max_examples=20)
@given(st.lists(MARKS | TEXTS, min_size=1, max_size=3), st.lists(MARKS | TEXTS, max_size=3))
def test_the_severities_sum_to_the_least_that_any_pairing_costs(reference, answer):
    def gain(wanted, found) -> int:
        return MAX_SEVERITY - min(severity(image(wanted), image(found)), MAX_SEVERITY)

    size = max(len(reference), len(answer))
    padded = [*answer, *[None] * (size - len(answer))]
    best = max(
        sum(gain(wanted, found) for wanted, found in zip(reference, order, strict=False) if found is not None)
        for order in permutations(padded)
    )
    assert severity(image(*reference), image(*answer)) == MAX_SEVERITY * size - best


@settings(max_examples=10)
@given(st.integers(20, 40), st.randoms(use_true_random=False))
def test_leaving_out_points_of_a_cloud_never_pays(count, chance):
    def point(x: float, y: float) -> Mark:
        return mark((31, 119, 180), x, y, 0.01, 0.01, panel=0)

    plot = (Panel(Box(0.1, 0.1, 0.9, 0.9), (255, 255, 255)),)
    places = [(chance.uniform(0.1, 0.88), chance.uniform(0.1, 0.88)) for _ in range(count)]
    off = [(x, y) if chance.random() < 0.6 else (chance.uniform(0.1, 0.88), chance.uniform(0.1, 0.88)) for x, y in places]
    truth = image(*(point(*place) for place in places), panels=plot)
    assert severity(truth, truth) == 0
    costs = [severity(truth, image(*(point(*place) for place in off[:kept]), panels=plot)) for kept in range(count, -1, -9)]
    assert costs == sorted(costs)


def test_a_mark_in_another_color_costs_by_how_far_the_color_is_off():
    red = mark((214, 39, 40), 0.1, 0.1)
    costs = [
        severity(image(red), image(replace(red, color=color))) for color in ((214, 39, 42), (225, 60, 60), (0, 0, 255))
    ]
    assert costs == [0, 1, 2]


def test_what_is_too_much_costs_what_it_weighs():
    one, more = mark((214, 39, 40), 0.1, 0.1), mark((31, 119, 180), 0.5, 0.5)
    [found] = compare(image(one), image(one, more), "svg")
    assert (found.category, found.severity) == ("structure_error", 3)
    assert found.description.endswith("is not in the reference")
