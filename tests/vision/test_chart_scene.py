"""What is seen in images whose content is known, and in images that are made to exhaust whoever looks."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image, ImageDraw

from visual_erm.vision.chart_scene import MAX_MARKS, no_ocr, parse_scene
from visual_erm.vision.ocr import Ocr
from visual_erm.vision.scene_types import Scene
from visual_erm.vision.text_lines import MAX_LINES


@pytest.fixture(scope="module")
def read():
    return Ocr().lines


def figure(draw, size=(4, 3), **how) -> Image.Image:
    made = Figure(size, dpi=100)
    canvas = FigureCanvasAgg(made)
    draw(made.subplots(**how))
    canvas.draw()
    return Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")


def shapes(*parts: tuple) -> Image.Image:
    """Shapes without half-tones: (kind, box, color)."""
    image = Image.new("RGB", (300, 300), "white")
    pen = ImageDraw.Draw(image)
    for kind, box, color in parts:
        getattr(pen, kind)(box, fill=color)
    return image


def test_bars_texts_and_the_plot_area_of_a_chart(read):
    def draw(axes):
        axes.bar(["A", "B"], [3, 7], color=["red", "blue"])
        axes.set(title="Sales by region", ylabel="Units", yticks=[0, 5])
        axes.grid(axis="y")

    scene = parse_scene(figure(draw), read)
    assert {text.text for text in scene.texts} == {"Sales by region", "Units", "0", "5", "A", "B"}
    assert [mark.color for mark in scene.marks] == [(0, 0, 255), (255, 0, 0)]
    assert all(mark.fill == 1 and mark.panel == 0 for mark in scene.marks)
    [panel] = scene.panels
    assert panel.frame == (True, True, True, True)
    assert (panel.rows, panel.columns) == (1, 0)
    blue, red = scene.marks
    assert red.box.height / blue.box.height == pytest.approx(3 / 7, abs=0.02)


@pytest.mark.parametrize("style", ["frame", "grid", "two spines", "plate"])
def test_frames_ticks_and_grids_are_no_marks(style):
    def draw(axes):
        axes.plot([0, 1, 2, 3], [0, 4, 1, 9], color="green", linewidth=3)
        if style == "grid":
            axes.grid()
        if style == "two spines":
            axes.spines[["top", "right"]].set_visible(False)
        if style == "plate":
            axes.set_facecolor("#eaeaf2")
            axes.grid(color="white")
            axes.spines[:].set_visible(False)

    scene = parse_scene(figure(draw), no_ocr)
    assert len(scene.panels) == 1
    assert [mark.color for mark in scene.marks] == [(0, 128, 0)]


@pytest.mark.parametrize("upper", [98.2, 98.4, 98.6])
def test_a_curve_that_runs_close_along_a_frame_does_not_hide_it(upper):
    def draw(axes):
        axes.plot([99, 99, 90.3, 46.9, 94.5, 97.7, 90.7, upper, upper, 53.7, 48.7, 99])
        axes.set(ylim=(0, 100), xticks=[])

    scene = parse_scene(figure(draw, (6, 4)), no_ocr)
    assert [panel.frame for panel in scene.panels] == [(True, True, True, True)]
    assert {mark.color for mark in scene.marks} == {(0x1F, 0x77, 0xB4)}


def test_panels_come_in_reading_order_and_hold_their_marks():
    def draw(grid):
        for place, axes in enumerate(grid.flat):
            axes.set(xticks=[], yticks=[])
            axes.bar([1], [1 + place], color=["red", "blue", "green", "orange"][place])

    scene = parse_scene(figure(draw, nrows=2, ncols=2), no_ocr)
    assert [panel.box.centre[0] < 0.5 for panel in scene.panels] == [True, False, True, False]
    assert [panel.box.centre[1] < 0.5 for panel in scene.panels] == [True, True, False, False]
    colors = {mark.panel: mark.color for mark in scene.marks}
    assert colors == {0: (255, 0, 0), 1: (0, 0, 255), 2: (0, 128, 0), 3: (255, 165, 0)}


def test_a_shape_has_its_color_place_and_form():
    scene = parse_scene(
        shapes(("rectangle", (30, 60, 89, 89), "#336699"), ("ellipse", (150, 150, 249, 249), "#cc0000")), no_ocr
    )
    disc, plate = scene.marks
    assert (plate.color, disc.color) == ((0x33, 0x66, 0x99), (0xCC, 0, 0))
    box = plate.box
    assert (box.left, box.top, box.right, box.bottom) == pytest.approx((0.1, 0.2, 0.3, 0.3))
    assert (plate.fill, disc.fill) == pytest.approx((1, 0.785), abs=0.01)
    assert disc.centre == pytest.approx((2 / 3, 2 / 3), abs=0.01)
    assert disc.mask[0] == 0
    assert set(plate.mask) == {255}


def test_half_tones_along_an_edge_are_no_marks():
    big = shapes(("ellipse", (20, 20, 280, 200), "#cc0000"), ("ellipse", (100, 60, 260, 290), "#0000cc")).resize((203, 207))
    assert {tuple(mark.color) for mark in parse_scene(big, no_ocr).marks} == {(0xCC, 0, 0), (0, 0, 0xCC)}


@pytest.mark.parametrize("ground", ["white", "#222222"])
@pytest.mark.parametrize("color", ["#377eb8", "#dd8452", "#808080"])
@pytest.mark.parametrize("angle", [0.5, 1, 1.5, 2.5, 4, 88.5, 91])
def test_a_shape_whose_edges_are_nearly_level_is_a_mark(angle, color, ground):
    turn = np.exp(1j * np.deg2rad(angle))
    corners = [(1000 + turn * corner) for corner in (-600 - 350j, 600 - 350j, 600 + 350j, -600 + 350j)]
    image = Image.new("RGB", (2000, 2000), ground)
    ImageDraw.Draw(image).polygon([(z.real, z.imag + 1000) for z in corners], fill=color)
    (mark,) = parse_scene(image.resize((250, 250), Image.Resampling.BOX), no_ocr).marks
    assert mark.area == pytest.approx(0.21, abs=0.01)


@pytest.mark.parametrize("heights", [(5, 5.3, 5.1, 5.6), (5, 4.8, 4.6, 4.4), (5, 5.02, 5, 5.04)])
def test_areas_whose_edges_are_nearly_level_are_marks(heights):
    def draw(axes):
        x = range(4)
        axes.fill_between(x, 0, heights, color="#4c72b0")
        axes.fill_between(x, heights, [height + 4 for height in heights], color="#dd8452")
        axes.set(xlim=(0, 3), ylim=(0, 20))

    assert {mark.color for mark in parse_scene(figure(draw), no_ocr).marks} == {(0x4C, 0x72, 0xB0), (0xDD, 0x84, 0x52)}


@pytest.mark.parametrize(
    "colors", [("#1f77b4", "#ff7f0e"), ("#d62728", "#2ca02c"), ("#ff7f0e", "#d62728"), ("#1f77b4", "#17becf")]
)
def test_lines_that_cross_keep_their_colors(colors):
    def draw(axes):
        for color, heights in zip(colors, ([1, 9, 1, 9], [9, 1, 9, 1]), strict=True):
            axes.plot(range(4), heights, color=color)
        axes.set(xticks=[], yticks=[])

    scene = parse_scene(figure(draw), no_ocr)
    areas = {color: sum(mark.area for mark in scene.marks if f"#{bytes(mark.color).hex()}" == color) for color in colors}
    assert sum(areas.values()) > 0.95 * sum(mark.area for mark in scene.marks)
    assert max(areas.values()) < 1.4 * min(areas.values())


def test_a_stroke_whose_colors_run_into_each_other_is_one_mark():
    image = Image.new("RGB", (300, 300), "white")
    pen = ImageDraw.Draw(image)
    for step in range(240):
        pen.line((30 + step, 150, 30 + step, 155), fill=(step, 40, 240 - step))
    assert len(parse_scene(image, no_ocr).marks) == 1


@pytest.mark.parametrize("dpi", [70, 100, 180, 200])
def test_ticks_of_a_chart_are_no_marks_in_any_resolution(dpi):
    made = Figure((6, 4), dpi=dpi)
    canvas = FigureCanvasAgg(made)
    made.subplots().scatter([0.5], [0.5], s=400, color="#1f77b4")
    canvas.draw()
    scene = parse_scene(Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB"), no_ocr)
    assert [mark.color for mark in scene.marks] == [(31, 119, 180)]


def test_what_shows_through_a_hole_is_no_mark_and_what_lies_on_top_leaves_none():
    ring = shapes(("ellipse", (50, 50, 250, 250), "#cc0000"), ("ellipse", (65, 65, 235, 235), "white"))
    covered = shapes(("ellipse", (50, 50, 250, 250), "#cc0000"), ("ellipse", (120, 120, 180, 180), "#0000cc"))
    assert [mark.fill for mark in parse_scene(ring, no_ocr).marks] == pytest.approx([0.22], abs=0.02)
    assert [mark.fill for mark in parse_scene(covered, no_ocr).marks] == pytest.approx([0.785, 0.785], abs=0.02)


def test_text_turned_to_read_upwards_is_read(read):
    scene = parse_scene(figure(lambda axes: axes.set_ylabel("Revenue")), read)
    assert "Revenue" in [text.text for text in scene.texts]


def test_text_without_ocr_is_no_mark_either():
    scene = parse_scene(figure(lambda axes: axes.set_title("A long title of a chart")), no_ocr)
    assert {text.text for text in scene.texts} == {""}
    assert any(text.box.width > 0.3 for text in scene.texts)
    assert not scene.marks


def test_a_blank_image_shows_nothing():
    assert parse_scene(Image.new("RGB", (300, 200), "navy"), no_ocr) == Scene(300, 200, (0, 0, 128))


def test_seeing_is_repeatable():
    image = figure(lambda axes: axes.scatter(range(30), range(30)))
    assert parse_scene(image, no_ocr) == parse_scene(image, no_ocr)


def noise(height: int, width: int, field: int = 1) -> np.ndarray:
    chance = np.random.default_rng(0)
    small = chance.integers(0, 256, (-(-height // field), -(-width // field), 3), dtype=np.uint8)
    return small.repeat(field, 0).repeat(field, 1)[:height, :width]


def letters() -> np.ndarray:
    page = np.full((1200, 1200, 3), 255, np.uint8)
    for row in range(3, 1190, 12):
        page[row : row + 9, row % 7 :: 12] = 0
    return page


@pytest.mark.parametrize(
    "pixels",
    [
        pytest.param(noise(1200, 1200), id="noise"),
        pytest.param(noise(900, 900, 20), id="fields"),
        pytest.param(letters(), id="letters"),
        pytest.param(noise(3, 4000), id="strip"),
        pytest.param(noise(1, 1), id="pixel"),
        pytest.param(noise(13, 13), id="stamp"),
        pytest.param(noise(700, 9000, 7), id="wide"),
        pytest.param(noise(4000, 4000), id="16 megapixels"),
        pytest.param((np.indices((1200, 1200)).sum(0) % 2 * 255).astype(np.uint8), id="checkerboard"),
    ],
)
def test_hostile_images_are_seen_within_bounds(pixels):
    scene = parse_scene(Image.fromarray(pixels), no_ocr)
    assert len(scene.marks) <= MAX_MARKS
    assert len(scene.texts) <= MAX_LINES


def test_fields_of_a_map_are_marks_and_those_beyond_the_bound_are_counted():
    scene = parse_scene(Image.fromarray(noise(400, 400, 50)), no_ocr)
    assert len(scene.marks) >= 56
    assert parse_scene(Image.fromarray(letters()), no_ocr).uncounted_marks > 5000


def test_a_sliver_of_a_plots_light_gray_is_no_plot_area():
    image = Image.new("RGB", (336, 336), "white")
    pen = ImageDraw.Draw(image)
    pen.rectangle((24, 24, 167, 167), fill="#f1f1f1")
    pen.polygon([(192, 192), (282, 192), (282, 195), (195, 195), (195, 252), (192, 252)], fill="#f1f1f1")
    pen.ellipse((60, 240, 120, 300), fill="#c03030")
    assert len(parse_scene(image, no_ocr).panels) <= 1


def test_the_panes_of_a_3d_chart_are_read(read):
    def draw(axes):
        x, y = np.meshgrid(np.linspace(-5, 5, 50), np.linspace(-5, 5, 50))
        surface = axes.plot_surface(x, y, np.sin(np.sqrt(x**2 + y**2)), cmap="coolwarm")
        axes.figure.colorbar(surface, shrink=0.5, aspect=10)

    made = Figure((10, 7), dpi=100)
    canvas = FigureCanvasAgg(made)
    draw(made.add_subplot(111, projection="3d"))
    canvas.draw()
    assert parse_scene(Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB"), read).texts
