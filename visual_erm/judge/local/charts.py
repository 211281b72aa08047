"""Two scenes of charts or drawings -> discrepancies, so that leaving out never costs less than getting wrong.

As for tables (tables.py): a part p of the prediction that is paired with a part r of the reference gains g(p, r) >= 0, at
most the mass of the lighter one. With masses w * weight, w = 3, that sum up to N and M in reference and prediction,

    S = max(N, M) - (largest sum of gains over all one-to-one pairings).

S is the least over two layouts (as it is, and its plot areas laid over the reference's) and over a few sizes of print.
Neither depends on parts other than panels, so the theorem holds for each.

Theorem: removing any parts from a prediction that weighs no more than the reference (M <= N) never lowers S. The first
term stays N, and the pairings that remain are among those allowed before, with the same gains, none of them negative. A
panel that is missing costs all that it held, because nothing else gains by it; of a curve or a cloud each piece that is
missing lowers the gain, as does each piece in a wrong place. The discrepancies returned sum to exactly S.

A wrong number is a data_error of a chart and any other wrong text a text_error, because a number is what is read off it;
in a drawing both are text_symbol_errors. What has another height, length or place in a plot is a data_error, in a drawing
a shape_error. What is missing, surplus or elsewhere is a structure_error, another color a style_error.

What it cannot see: fonts and their weight, line styles and widths as such, gradients and textures beyond one color,
transparency, the order of what overlaps, text at an angle, and parts that have the color of what they lie on. Numbers
are what is printed: that the bars do not fit the axis goes unnoticed where both images are wrong in the same way. It is
made for clean print: in an image that was compressed or blurred, shadows along edges pass for marks.

    compare_charts(parse_scene(reference, ocr.lines), parse_scene(prediction, ocr.lines))
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Literal

import cv2
import numpy as np
from scipy.optimize import linear_sum_assignment

from visual_erm.judge.local.elements import Canvas, MarkGroup, Part, classes, lab, parts, weight
from visual_erm.judge.local.text import is_numeric, quote, text_severity
from visual_erm.reward.report import MAX_SEVERITY, Discrepancy
from visual_erm.vision.scene_types import Box, Color, Mark, Panel, Scene, Text

Kind = Literal["chart", "svg"]
PLACES = (0.05, 0.25)
"""Share of a panel, or of the image, by which an edge may be off for severity 1 and 2."""
SLACK = 0.012
"""The same, for no severity at all, and in pixels:"""
SLACK_PIXELS = 1.6
SHAPE = 0.13
"""Share of what two shapes cover together that only one of them covers, up to which severity is 1; over it, 2."""
SHAPE_SLACK = 0.06
"""The same, for no severity at all; thin shapes are granted more, pixel by pixel."""
TINTS = (4.0, 25.0)
"""Distance in Lab up to which a color is the same, and up to which it is a shade off."""
MOVED = 0.08
"""Share of a panel, or of the image, that a text may be away from its place."""
MAX_TEXT_SIZE = 0.34
"""Logarithm of the ratio up to which two texts are of one size."""
TEXT_SIZES = (0.5, -0.5, 1.0, -1.0)
"""Logarithms of the ratios that the size of all text is tried with."""
WHOLE = 0.96
"""Share of a curve or a cloud that must be in place for all of it to count as such."""
MORE = 1.25
"""By how much more a cloud may cover than in the reference, or by how many more marks it may have."""
MORE_OF_CURVE = 1.6
"""How many times as many cells a curve may run through as in the reference; in a small image its line is wide."""
MORE_OF_MARKS = 2.5
"""How many times as much a cloud of as many marks may cover; in a small image its marks are large."""
FADING = 0.5
"""What a piece of a curve is worth for each cell of a group's image that it is away, beyond the first."""


Costs = dict[str, np.ndarray]
"""What differs between each part of the reference and each of the prediction: severities by aspect, (n, m)."""


def compare_charts(reference: Scene, prediction: Scene) -> tuple[Discrepancy, ...]:
    """Compares two charts.

    Args:
        reference: What the reference shows.
        prediction: What the prediction shows.

    Returns:
        What differs, in the categories of charts.
    """
    return compare(reference, prediction, "chart")


def compare_drawings(reference: Scene, prediction: Scene) -> tuple[Discrepancy, ...]:
    """Compares two drawings.

    Args:
        reference: What the reference shows.
        prediction: What the prediction shows.

    Returns:
        What differs, in the categories of SVG.
    """
    return compare(reference, prediction, "svg")


def compare(reference: Scene, prediction: Scene, kind: Kind) -> tuple[Discrepancy, ...]:
    """Compares two scenes.

    Args:
        reference: What the reference shows.
        prediction: What the prediction shows.
        kind: Whose categories are reported.

    Returns:
        What differs, in the categories of the kind's `local_comparison`; the severities sum to S.
    """
    gathered = classes(reference)
    reference_parts = parts(reference, gathered)
    trials: list[_Trial] = []
    for layout, seen in _layouts(reference, prediction, kind):
        sides = _Sides(reference, seen, _paired_panels(reference.panels, seen.panels))
        found_parts = parts(seen, gathered, sides.panels)
        height = _relative_heights(reference, prediction, reference_parts, found_parts)
        trials += _trials(sides, reference_parts, found_parts, height, layout, kind)
    best = min(trials, key=lambda trial: trial.severity)
    prediction, prediction_parts, costs, gain, paired = best.prediction, best.parts, best.costs, best.gain, best.paired
    describe = _Descriptions(reference, prediction, kind)

    found: list[Discrepancy] = []
    for i, part in enumerate(reference_parts):
        if i in paired:
            j = paired[i]
            severities = {aspect: int(cost[i, j]) for aspect, cost in costs.items() if cost[i, j]}
            found += describe.differing(
                part, prediction_parts[j], severities, MAX_SEVERITY * weight(part) - int(gain[i, j])
            )
    missing = [part for i, part in enumerate(reference_parts) if i not in paired]
    surplus = [part for j, part in enumerate(prediction_parts) if j not in set(paired.values())]
    for text in [part for part in missing if isinstance(part, Text)]:
        wrong = _in_place_of(text, [part for part in surplus if isinstance(part, Text)])
        if wrong:
            found += describe.differing(text, wrong, {"text": MAX_SEVERITY}, MAX_SEVERITY)
            missing.remove(text)
            surplus.remove(wrong)
    for part in missing:
        found += describe.missing(part)
    excess = MAX_SEVERITY * (sum(map(weight, prediction_parts)) - sum(map(weight, reference_parts)))
    for part in [*surplus, *(prediction_parts[j] for j in paired.values())]:
        charged = max(min(excess, MAX_SEVERITY * weight(part)), 0)
        found += describe.surplus(part, charged)
        excess -= charged
    return tuple(found)


@dataclass(frozen=True)
class _Trial:
    """A pairing of parts, for one layout and one size of print."""

    prediction: Scene
    parts: list[Part]
    costs: Costs
    gain: np.ndarray
    paired: dict[int, int]
    severity: int


def _layouts(reference: Scene, prediction: Scene, kind: Kind) -> list[tuple[int, Scene]]:
    """The prediction as it is, and laid out as the reference is, each with what the difference costs once.

    A chart that is drawn with other margins is moved and stretched until its plot areas lie where the reference's do.
    """
    found = [(0, prediction)]
    if kind == "chart" and reference.panels and len(reference.panels) == len(prediction.panels):
        frames = [_around([panel.box for panel in scene.panels]) for scene in (reference, prediction)]
        away = float(np.abs(np.diff(_edges(frames), axis=0)).max())
        if away and min(frames[1].width, frames[1].height) > 0:
            found.append((int(_displacement(np.array(away))), _laid_over(prediction, frames[1], frames[0])))
    return found


def _around(boxes: list[Box]) -> Box:
    edges = _edges(boxes)
    return Box(*edges[:, :2].min(axis=0).tolist(), *edges[:, 2:].max(axis=0).tolist())


def _laid_over(scene: Scene, frame: Box, other: Box) -> Scene:
    """A scene moved and stretched so that `frame` becomes `other`."""

    def moved(box: Box) -> Box:
        inside = box.within(frame)
        across = [other.left + place * other.width for place in (inside.left, inside.right)]
        down = [other.top + place * other.height for place in (inside.top, inside.bottom)]
        return Box(across[0], down[0], across[1], down[1])

    return replace(
        scene,
        texts=tuple(replace(text, box=moved(text.box)) for text in scene.texts),
        panels=tuple(replace(panel, box=moved(panel.box)) for panel in scene.panels),
        marks=tuple(replace(mark, box=moved(mark.box)) for mark in scene.marks),
    )


def _trials(
    sides: _Sides, reference_parts: list[Part], prediction_parts: list[Part], height: np.ndarray, layout: int, kind: Kind
) -> Iterator[_Trial]:
    """The best pairing for each size of print.

    The print of a chart may be as large as in the reference in pixels, or in proportion to the image. Any other size that
    all of it has costs 1. The sizes do not depend on the prediction's parts, so leaving one out never pays.
    """
    costs, most = _costs(sides, reference_parts, prediction_parts)
    costs["layout"][0, 0] = layout
    apart = 1e-3 * np.minimum(_apart(reference_parts, prediction_parts), 1)
    mass = MAX_SEVERITY * max(sum(map(weight, reference_parts)), sum(map(weight, prediction_parts)))

    def trial(size: float | None, price: int) -> _Trial:
        own = {aspect: cost.copy() for aspect, cost in costs.items()}
        if size is not None:
            own["colour"] = np.maximum(own["colour"], (np.abs(height - size) > MAX_TEXT_SIZE) & (costs["text"] == 0))
        own["print"][0, 0] = price
        gain = np.maximum(most - sum(own.values()), 0)
        rows, columns = linear_sum_assignment(-gain.astype(float) + apart)
        paired = {int(i): int(j) for i, j in zip(rows, columns, strict=True) if gain[i, j] > 0}
        return _Trial(sides.prediction, prediction_parts, own, gain, paired, mass - int(gain[rows, columns].sum()))

    sizes = [(0.0, 0)]
    if kind == "chart":
        pixels = [scene.width * scene.height for scene in (sides.reference, sides.prediction)]
        sizes += [(0.5 * float(np.log(pixels[1] / pixels[0])), 0)]
        sizes += [(size, 1) for size in TEXT_SIZES]
    least = trial(None, 0).severity
    best = mass + 1
    for size, price in sizes:
        if best > least + price:
            found = trial(size, price)
            best = min(best, found.severity)
            yield found


def _relative_heights(reference: Scene, prediction: Scene, reference_parts: list[Part], parts: list[Part]) -> np.ndarray:
    """Logarithm of how much larger the print of each text of the reference is, as a share of the image: (n, m).

    It is not a number where no two texts meet. `prediction` is as it was drawn, not laid out as the reference is.
    """
    found = np.full((len(reference_parts), len(parts)), np.nan)
    places = [[i for i, part in enumerate(side) if isinstance(part, Text)] for side in (reference_parts, parts)]
    heights = [np.array([_height(text, scene) for text in scene.texts]) for scene in (reference, prediction)]
    found[np.ix_(*places)] = np.log(heights[0][:, None] / heights[1])
    return found


def _paired_panels(reference: tuple[Panel, ...], prediction: tuple[Panel, ...]) -> dict[int, int]:
    """Which panel of the reference each one of the prediction stands for: the nearest, one to one."""
    away = _edges([panel.box for panel in reference])[:, None] - _edges([panel.box for panel in prediction])
    distance = np.abs(away).max(axis=2) if reference and prediction else np.zeros((len(reference), len(prediction)))
    return {int(j): int(i) for i, j in zip(*linear_sum_assignment(distance), strict=True) if distance[i, j] < 0.5}


def _edges(boxes: list[Box]) -> np.ndarray:
    return np.array([(box.left, box.top, box.right, box.bottom) for box in boxes], float).reshape(-1, 4)


def _in_place_of(text: Text, others: list[Text]) -> Text | None:
    """The text that stands where another one should."""
    away = [np.abs(_edges([text.box]) - _edges([other.box])).min(axis=1)[0] for other in others]
    near = [
        other
        for other in others
        if max(abs(a - b) for a, b in zip(text.box.centre, other.box.centre, strict=True)) <= MOVED
    ]
    return min(near, key=lambda other: away[others.index(other)], default=None)


# --- what pairs of parts differ in -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Sides:
    reference: Scene
    prediction: Scene
    panels: dict[int, int]


def _apart(reference: list[Part], prediction: list[Part]) -> np.ndarray:
    """Distance of the middles of parts: (n, m)."""
    middles = [np.array([_box(part).centre for part in side]) for side in (reference, prediction)]
    return np.abs(middles[0][:, None] - middles[1][None]).max(axis=2)


def _box(part: Part) -> Box:
    return Box(0, 0, 1, 1) if isinstance(part, Canvas) else part.box


def _costs(sides: _Sides, reference: list[Part], prediction: list[Part]) -> tuple[Costs, np.ndarray]:
    """The severities by aspect of every pair, and the most that each can gain: nothing for parts of different kinds."""
    shape = len(reference), len(prediction)
    costs: Costs = {
        aspect: np.zeros(shape, int) for aspect in ("place", "shape", "text", "moved", "colour", "layout", "print")
    }
    most = np.zeros(shape, int)
    for kind in (Canvas, Panel, Text, Mark, MarkGroup):
        here = [[i for i, part in enumerate(side) if isinstance(part, kind)] for side in (reference, prediction)]
        if not all(here):
            continue
        block = _BETWEEN[kind](sides, [reference[i] for i in here[0]], [prediction[j] for j in here[1]])
        pairs = np.ix_(*here)
        for aspect, cost in block.items():
            costs[aspect][pairs] = cost
        weights = [
            np.array([weight(side[i]) for i in places]) for side, places in zip((reference, prediction), here, strict=True)
        ]
        most[pairs] = MAX_SEVERITY * np.minimum(weights[0][:, None], weights[1])
    return costs, most


def _canvases(sides: _Sides, reference: list[Canvas], prediction: list[Canvas]) -> Costs:
    stretched = abs(np.log(reference[0].aspect / prediction[0].aspect)) > 0.15
    color = _colors([canvas.background for canvas in reference], [canvas.background for canvas in prediction])
    return {"colour": color, "place": np.array([[int(stretched)]])}


def _panels(sides: _Sides, reference: list[Panel], prediction: list[Panel]) -> Costs:
    away = np.abs(_edges([panel.box for panel in reference])[:, None] - _edges([panel.box for panel in prediction])).max(
        axis=2
    )
    grids = [[(panel.frame, panel.rows > 0, panel.columns > 0) for panel in side] for side in (reference, prediction)]
    other = np.array([[one != another for another in grids[1]] for one in grids[0]], int)
    color = _colors([panel.color for panel in reference], [panel.color for panel in prediction])
    return {"place": _displacement(away), "colour": np.minimum(color + other, 1)}


def _displacement(away: np.ndarray) -> np.ndarray:
    """How badly plot areas are out of place, whose sides are off by so large a share of the image."""
    return np.select([away <= 0.03, away <= 0.12], [0, 1], 2)


def _texts(sides: _Sides, reference: list[Text], prediction: list[Text]) -> Costs:
    severity = text_severity([text.text for text in reference], [text.text for text in prediction])
    middles = [np.array([text.box.centre for text in side]) for side in (reference, prediction)]
    away = np.abs(middles[0][:, None] - middles[1]).max(axis=2)
    local = [
        np.array([_inside(text, scene).centre for text in side]) for side, scene in _with(sides, reference, prediction)
    ]
    away = np.where(
        _together(sides, reference, prediction), np.minimum(away, np.abs(local[0][:, None] - local[1]).max(axis=2)), away
    )
    color = _colors([text.color for text in reference], [text.color for text in prediction]) > 1
    return {
        "text": severity,
        "moved": (away > MOVED).astype(int),
        "colour": ((severity == 0) & color).astype(int),
    }


def _height(text: Text, scene: Scene) -> float:
    return min(text.box.height * scene.height, text.box.width * scene.width) / (scene.width * scene.height) ** 0.5


def _marks(sides: _Sides, reference: list[Mark], prediction: list[Mark]) -> Costs:
    places, moved = _places(sides, reference, prediction)
    shapes = np.zeros(places.shape, int)
    masks = [np.array([list(mark.mask) for mark in side], np.float32) / 255 for side in (reference, prediction)]
    pixels = [[_least_side(mark, scene) for mark in side] for side, scene in _with(sides, reference, prediction)]
    near = np.argwhere(places < MAX_SEVERITY)
    for start in range(0, len(near), 4096):
        i, j = near[start : start + 4096].T
        one, other = masks[0][i], masks[1][j]
        apart = np.abs(one - other).sum(axis=1) / np.maximum(np.maximum(one, other).sum(axis=1), 1)
        slack = SHAPE_SLACK + 1.5 / np.minimum(np.array(pixels[0])[i], np.array(pixels[1])[j])
        shapes[i, j] = np.select([apart <= slack, apart <= slack + SHAPE], [0, 1], 2)
    color = _colors([mark.color for mark in reference], [mark.color for mark in prediction])
    worse = shapes > places
    return {
        "place": np.where(worse | moved, 0, places),
        "moved": np.where(moved & ~worse, places, 0),
        "shape": np.where(worse, shapes, 0),
        "colour": color,
    }


def _least_side(mark: Mark, scene: Scene) -> float:
    return max(min(mark.box.width * scene.width, mark.box.height * scene.height), 1)


def _places(sides: _Sides, reference: list[Mark], prediction: list[Mark]) -> tuple[np.ndarray, np.ndarray]:
    """How badly marks are out of place or of size, and which are of the right size; in their panel, or in the image."""
    boxes = [_edges([mark.box for mark in side]) for side in (reference, prediction)]
    severity, moved = _displaced(boxes[0], boxes[1], _slack(sides, [None] * len(reference)))
    local = [_edges([_inside(mark, scene) for mark in side]) for side, scene in _with(sides, reference, prediction)]
    inside, moved_inside = _displaced(local[0], local[1], _slack(sides, [mark.panel for mark in reference]))
    better = _together(sides, reference, prediction) & (inside <= severity)
    return np.where(better, inside, severity), np.where(better, moved_inside, moved)


def _slack(sides: _Sides, panels: list[int | None]) -> np.ndarray:
    """How far each edge of each part may be off: (n, 4)."""
    scene = sides.reference
    frames = [scene.panels[panel].box if panel is not None else Box(0, 0, 1, 1) for panel in panels]
    pixels = np.array([(frame.width * scene.width, frame.height * scene.height) for frame in frames]).reshape(-1, 2)
    return np.tile(SLACK + SLACK_PIXELS / np.maximum(pixels, 1), 2)


def _displaced(reference: np.ndarray, prediction: np.ndarray, slack: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    apart = reference[:, None] - prediction[None]
    off = np.maximum(np.abs(apart) - slack[:, None], 0)
    away = off.max(axis=2)
    width = np.minimum(reference[:, None, 2:], prediction[None, :, 2:]) - np.maximum(
        reference[:, None, :2], prediction[None, :, :2]
    )
    common = np.maximum(width, 0).prod(axis=2)
    areas = [np.maximum(boxes[:, 2:] - boxes[:, :2], 1e-9).prod(axis=1) for boxes in (reference, prediction)]
    overlap = common / (areas[0][:, None] + areas[1] - common)
    severity = np.select([away == 0, away <= PLACES[0], (away <= PLACES[1]) | (overlap > 0.3)], [0, 1, 2], MAX_SEVERITY)
    sizes = np.abs(apart[..., 2:] - apart[..., :2])
    return severity, (sizes <= slack[:, None, :2]).all(axis=2)


def _mark_groups(sides: _Sides, reference: list[MarkGroup], prediction: list[MarkGroup]) -> Costs:
    place = np.zeros((len(reference), len(prediction)), int)
    together = _together(sides, reference, prediction)
    for j, other in enumerate(prediction):
        away = cv2.distanceTransform((other.raster <= 0).astype(np.uint8), cv2.DIST_C, 3)
        for i, one in enumerate(reference):
            near = FADING ** np.maximum(away - 1, 0) if one.curve else away <= 1
            total = max(float(one.raster.sum()), 1e-6)
            kept = float((one.raster * near).sum()) / total / max(_surplus(one, other, total), 1)
            mass = MAX_SEVERITY * min(one.weight, other.weight)
            place[i, j] = 0 if kept >= WHOLE and together[i, j] else mass - int(mass * kept * together[i, j])
    return {"place": place, "colour": _colors([group.color for group in reference], [group.color for group in prediction])}


def _surplus(reference: MarkGroup, prediction: MarkGroup, total: float) -> float:
    """By how many times a group covers more than it may; what is missing never raises it."""
    covered = float(prediction.raster.sum()) / total
    if reference.curve:
        return covered / MORE_OF_CURVE
    return max(min(covered, prediction.count / reference.count) / MORE, covered / MORE_OF_MARKS)


def _colors(reference: list[Color], prediction: list[Color]) -> np.ndarray:
    """0: the same, 1: a shade off, 2: another: (n, m)."""
    away = np.linalg.norm(lab(reference)[:, None] - lab(prediction), axis=2)
    return np.select([away <= TINTS[0], away <= TINTS[1]], [0, 1], 2)


_BETWEEN: dict[type, Callable[[_Sides, list, list], Costs]] = {
    Canvas: _canvases,
    Panel: _panels,
    Text: _texts,
    Mark: _marks,
    MarkGroup: _mark_groups,
}


def _with(sides: _Sides, reference: list, prediction: list) -> tuple[tuple[list, Scene], tuple[list, Scene]]:
    return (reference, sides.reference), (prediction, sides.prediction)


def _inside(part: Text | Mark | MarkGroup, scene: Scene) -> Box:
    """A part's box as seen from its panel."""
    return part.box if part.panel is None else part.box.within(scene.panels[part.panel].box)


def _together(sides: _Sides, reference: list, prediction: list) -> np.ndarray:
    """Which parts stand in panels that stand for each other, or both in none: (n, m)."""
    here = np.array([-1 if part.panel is None else part.panel for part in reference])
    there = np.array([-1 if part.panel is None else sides.panels.get(part.panel, -2) for part in prediction])
    return here[:, None] == there


# --- in words --------------------------------------------------------------------------------------------------------

_NAMED: dict[str, Color] = {
    "black": (0, 0, 0), "white": (255, 255, 255), "grey": (128, 128, 128), "red": (214, 39, 40), "green": (44, 160, 44),
    "blue": (31, 119, 180), "orange": (255, 127, 14), "purple": (148, 103, 189), "brown": (140, 86, 75),
    "pink": (227, 119, 194), "yellow": (250, 220, 40), "cyan": (23, 190, 207),
}  # fmt: skip


class _Descriptions:
    """Discrepancies in the categories of one kind of image."""

    def __init__(self, reference: Scene, prediction: Scene, kind: Kind) -> None:
        self._reference = reference
        self._prediction = prediction
        self._chart = kind == "chart"

    def differing(self, reference: Part, prediction: Part, severities: dict[str, int], total: int) -> list[Discrepancy]:
        """Describes what differs in a pair of parts.

        Args:
            reference: The part of the reference.
            prediction: The part of the prediction.
            severities: Severity by aspect.
            total: What the discrepancies sum to; what the aspects do not explain is a part that is missing.

        Returns:
            One discrepancy or more for each aspect.
        """
        where = self._where(reference, self._reference)
        found = []
        for aspect, severity in severities.items():
            what = f"{where}: {self._aspect(aspect, reference, prediction)}"
            found += _entries(self._category(aspect, reference, prediction), min(severity, total), what, where)
            total -= min(severity, total)
        return found + _entries("structure_error", total, f"{where}: part of {_name(reference)} is missing", where)

    def missing(self, part: Part) -> list[Discrepancy]:
        """Describes a part that only the reference has.

        Args:
            part: The part.

        Returns:
            Discrepancies that sum to what it weighs.
        """
        where = self._where(part, self._reference)
        return _entries("structure_error", MAX_SEVERITY * weight(part), f"{where}: {_name(part)} is missing", where)

    def surplus(self, part: Part, severity: int) -> list[Discrepancy]:
        """Describes a part that only the prediction has.

        Args:
            part: The part.
            severity: What the discrepancies sum to.

        Returns:
            The discrepancies; none for a severity of 0.
        """
        where = self._where(part, self._prediction)
        return _entries("structure_error", severity, f"{where}: {_name(part)} is not in the reference", where)

    def _category(self, aspect: str, reference: Part, prediction: Part) -> str:
        if aspect in ("colour", "print"):
            return "style_error"
        if aspect == "text" and isinstance(reference, Text) and isinstance(prediction, Text):
            if not self._chart:
                return "text_symbol_error"
            return "data_error" if is_numeric(reference.text, prediction.text) else "text_error"
        if isinstance(reference, Canvas | Panel | Text):
            return "structure_error"
        if self._chart:
            return "data_error"
        return "structure_error" if aspect == "moved" else "shape_error"

    def _aspect(self, aspect: str, reference: Part, prediction: Part) -> str:
        if aspect == "text" and isinstance(reference, Text) and isinstance(prediction, Text):
            return f"reference {quote(reference.text)}, prediction {quote(prediction.text)}"
        if aspect == "colour":
            looks = f"{_look(reference)} in the reference, {_look(prediction)} in the prediction"
            return f"{_name(reference)} has another look: {looks}"
        if aspect == "shape":
            return f"{_name(reference)} has another shape"
        if aspect == "print":
            return "all text has another size"
        if aspect == "layout":
            return "the margins round what is plotted are others"
        if isinstance(reference, MarkGroup):
            return f"{_name(reference)} runs elsewhere in part"
        if aspect == "moved":
            return f"{_name(reference)} is in another place"
        size = f"{_size(reference)} in the reference, {_size(prediction)} in the prediction"
        return f"{_name(reference)} has another size: {size}"

    def _where(self, part: Part, scene: Scene) -> str:
        if isinstance(part, Canvas):
            return "whole picture"
        if isinstance(part, Panel):
            return self._panel(scene, scene.panels.index(part))
        if part.panel is not None:
            return self._panel(scene, part.panel)
        return _region(part.box)

    def _panel(self, scene: Scene, number: int) -> str:
        return "plot area" if len(scene.panels) == 1 else f"{_region(scene.panels[number].box)} panel"


def _entries(category: str, severity: int, what: str, where: str) -> list[Discrepancy]:
    """One discrepancy, or as many as it takes where it weighs more than one may."""
    full, rest = divmod(severity, MAX_SEVERITY)
    return [Discrepancy(category, part, what, where) for part in [MAX_SEVERITY] * full + [rest] * (rest > 0)]


def _region(box: Box) -> str:
    x, y = box.centre
    across = "left" if x < 0.4 else "right" if x > 0.6 else ""
    down = "upper" if y < 0.4 else "lower" if y > 0.6 else ""
    return " ".join(filter(None, (down, across))) or "centre"


def _name(part: Part) -> str:
    if isinstance(part, Text):
        return quote(part.text)
    if isinstance(part, MarkGroup):
        return f"the {_look(part)} curve or points"
    if isinstance(part, Mark):
        return f"the {_look(part)} mark"
    return "the panel" if isinstance(part, Panel) else "the picture"


def _look(part: Part) -> str:
    if isinstance(part, Panel):
        sides = ", ".join(name for name, drawn in zip(("left", "top", "right", "bottom"), part.frame, strict=True) if drawn)
        grid = "with" if part.rows or part.columns else "without"
        return f"{_color(part.color)} ground, frame {sides or 'absent'}, {grid} grid"
    return _color(part.background if isinstance(part, Canvas) else part.color)


def _color(color: Color) -> str:
    away = np.linalg.norm(lab(list(_NAMED.values())) - lab([color]), axis=1)
    return f"{list(_NAMED)[int(away.argmin())]} (#{color[0]:02x}{color[1]:02x}{color[2]:02x})"


def _size(part: Part) -> str:
    if isinstance(part, Canvas):
        return f"{part.aspect:.2f} times as wide as high"
    return f"{part.box.width:.2f} x {part.box.height:.2f}"
