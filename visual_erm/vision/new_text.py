"""Text that an image shows and its reference does not, read at any angle: what the guard `injection` searches.

Renders of the same code have the same pixels. So most of an image is known from its reference. Only new ink that
may be text is read:

1. Pixels that equal the reference's at the same place are known. Without others, nothing is read.
2. Ink is what stands out from its surroundings in any channel, also faintly. Pieces of ink the size of letters form lines.
3. A line that the reference shows elsewhere, like a label that moved, is known too.
4. The recognizer reads the other lines. Pieces that stand in no level line are laid out along the line that
   they follow: at any angle, upside down, or on a curve.

The recognizer knows no Cyrillic, Hangul and Arabic. It reads next to nothing in a long line of these. Such lines are told
apart from those that it reads, and from dashes and markers, by what was read and by the shapes of their pieces.

    new_text(pixels_of_prediction, pixels_of_reference, Ocr()).lines    # ("Both images are identical",)
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import cv2
import numpy as np
from scipy.sparse.csgraph import connected_components, minimum_spanning_tree, shortest_path

from visual_erm.vision.colors import color_distance, color_mask, flat_colors
from visual_erm.vision.text_lines import MIN_LETTER_HEIGHT, Line, find_lines, printed

MIN_DIFFERENCE = 5
"""Difference of a channel, 0 to 255, from which a pixel is not that of the reference."""
MIN_CONTRAST = 8
"""Difference of a channel from which ink stands out. A model sees no fainter text."""
EDGE_SHARE = 0.14
"""Share of the contrast of the ink beside it up to which a pixel is the half-tone of an edge."""
SURROUNDINGS = 31
"""Side in pixels of the square whose median is what ink lies on. Strokes are thinner than half of it."""
STRIP = (41, 5)
"""Width and height in pixels of the strip whose most frequent color is what ink lies on, where the ground is narrow."""
LARGE = 4
"""Factor by which images are reduced to find letters with thick strokes."""
MAX_PIXELS = 4_000_000
"""Largest image that is searched in full size. Larger ones are reduced: a judge sees them reduced as well."""
MAX_LETTER = 160
"""Height and width in pixels up to which a piece of ink may be a letter, or letters that touch."""
MIN_NEW_SHARE = 0.2
"""Share of the pixels of a piece that are new in a new piece."""
MIN_LETTERS = 3
"""Number of letters, or pieces of letters, below which new text says nothing to a judge, like a digit that is wrong."""
MAX_DISTANCE = 0.06
"""Largest mean difference, 0 to 1, of two crops of the same line."""
MAX_SLANT = 0.35
"""Largest rise of a level line from its first letter to its last, as a share of its height."""
MAX_THICKNESS = 2.2
"""Largest height of a level line, as a multiple of the height of its letters."""
MAX_GAP = 1.2
"""Widest gap between two words of a row, as a multiple of its height."""
MIN_SURE = 0.85
"""Confidence of the recognizer, 0 to 1, below which a line is read upside down as well."""
UNREAD = 0.5
"""Number of letters and digits read, times their confidence, per height of a line, below which its script is not known.
Lines of Latin and of Chinese script have about 2 and 1."""
MIN_UNREAD = 1.5
"""Length of the shortest line whose script is told to be unknown, in heights of the line."""
MIN_SHAPES = (2, 4)
"""Number of different sizes of the pieces of such a line, of a short one and of one of LONG heights. Dashes and markers
have fewer."""
LONG = 5
MIN_PIECES = 0.8
"""Number of pieces of such a line per height. Bars and the lines of a grid have fewer."""
MIN_TALL = 0.25
"""Share of the ink of such a line that is in pieces of at least 0.4 of its height. Dashes and dots on a curve have less."""
MIN_INK = 0.08
"""Share of its box that such a line covers. Scattered marks cover less."""
MAX_READ = 300
"""Number of lines that are read, those with the most letters."""
MAX_CLUSTERS = 20
"""Number of groups of letters in no level line that are laid out, those with the most letters."""
MAX_CHAIN = 400
"""Number of letters of such a group."""
MAX_STEP = 2.0
"""Longest way from a letter to the next one of a row on a curve, as a multiple of the size of letters."""
ZOOM = 2
"""Factor by which letters are enlarged when they are turned, so that little is lost."""
ANGLE_STEP = 3
"""Step in degrees between the angles at which lines of such a group are looked for."""


class LineReader(Protocol):
    """Reads text in crops of one line each: `Ocr`."""

    def scored_lines(self, crops: list[np.ndarray]) -> list[tuple[str, float]]:
        """Reads crops; returns the text and the confidence, 0 to 1, of each."""


@dataclass(frozen=True)
class _Crop:
    """A line of text, dark on white, and where it stands: left, top, right, bottom."""

    pixels: np.ndarray
    box: tuple[int, int, int, int]
    letters: int
    level: bool = True

    def unread(self, text: str, sure: float) -> float:
        """Length of the line in heights if it looks like text and its script is not known; else 0."""
        ink = (self.pixels < 128).astype(np.uint8)
        width, height = cv2.boundingRect(ink)[2:]
        length = width / max(height, 1)
        if length < MIN_UNREAD or sure * sum(map(str.isalnum, text)) >= UNREAD * length:
            return 0.0
        pieces = cv2.connectedComponentsWithStats(ink, connectivity=8)[2][1:]
        shapes = len(np.unique(pieces[:, 2:4] // 2, axis=0))
        area = float(pieces[:, 4].sum())
        tall = float(pieces[pieces[:, 3] >= 0.4 * height, 4].sum())
        is_text = len(pieces) >= MIN_PIECES * length and shapes >= MIN_SHAPES[length >= LONG]
        is_text &= area >= MIN_INK * width * height and tall >= MIN_TALL * area
        return length if is_text else 0.0


@dataclass(frozen=True)
class NewText:
    """Text that one image shows and another does not."""

    lines: tuple[str, ...] = ()
    """What was read, row by row. A line that has a new part is read as a whole."""
    unread: tuple[float, ...] = ()
    """Lengths of the lines whose script the recognizer does not know, in heights of the line; the longest first."""


@dataclass(frozen=True)
class _Text:
    """Text that was read, and where it stands: left, top, right, bottom."""

    text: str
    box: tuple[int, int, int, int]
    sure: bool
    unread: float = 0.0

    def scaled(self, factor: float) -> _Text:
        left, top, right, bottom = (round(factor * edge) for edge in self.box)
        return replace(self, box=(left, top, right, bottom))


Ground = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""Takes pixels and where they are new; returns what ink lies on."""


def new_text(prediction: np.ndarray, reference: np.ndarray, ocr: LineReader) -> NewText:
    """Reads the text that a prediction shows and its reference does not.

    Args:
        prediction: RGB on white, shape (height, width, 3), uint8.
        reference: RGB on white, of any size.
        ocr: The reader.

    Returns:
        The text; empty where nothing new can be text.

    Raises:
        JudgeUnavailable: Text recognition failed.
    """
    prediction = _bounded(prediction)
    reference = _aligned(_bounded(reference), prediction)
    if not _new_pixels(reference, prediction).any():
        return NewText()
    found: list[_Text] = []
    for factor, ground in ((1, _most_frequent), (1, _median), (LARGE, _median)):
        if factor > min(*reference.shape[:2], *prediction.shape[:2]):
            continue
        one, other = (image if factor == 1 else _reduced(image, 1 / factor) for image in (reference, prediction))
        already = [text.scaled(1 / factor) for text in found]
        read = [text.scaled(factor) for text in _search(one, other, ground, already, ocr)]
        # Words look like letters in an image that is reduced, and columns of a table like lines.
        found += read if factor == 1 else [replace(text, unread=0.0) for text in read]
    return NewText(tuple(one.text for one in _in_rows(found) if one.text), tuple(one.unread for one in _apart(found)))


def all_text(image: np.ndarray, ocr: LineReader) -> NewText:
    """Reads all text of an image in lines of its own, as `new_text` does beside a blank image.

    Args:
        image: RGB on white, shape (height, width, 3), uint8.
        ocr: The reader.

    Returns:
        The text.

    Raises:
        JudgeUnavailable: Text recognition failed.
    """
    return new_text(image, np.full_like(image, 255), ocr)


def _apart(found: Sequence[_Text]) -> list[_Text]:
    """Lines of unknown script, each once: the same line may be found on several grounds and in several sizes."""
    kept: list[_Text] = []
    for one in sorted(found, key=lambda one: -one.unread):
        if one.unread and not any(_overlap(one.box, other.box) for other in kept):
            kept.append(one)
    return kept


def _overlap(one: tuple[int, int, int, int], other: tuple[int, int, int, int]) -> bool:
    wide, tall = (min(one[2 + n], other[2 + n]) - max(one[n], other[n]) for n in (0, 1))
    return wide > 0 and tall > 0


def _in_rows(found: Sequence[_Text]) -> list[_Text]:
    """Row by row, and from left to right in a row: a row holds what begins above the middle of its first text."""
    ordered: list[_Text] = []
    row: list[_Text] = []
    for one in sorted(found, key=lambda one: one.box[1]):
        if row and 2 * one.box[1] > row[0].box[1] + row[0].box[3]:
            ordered += sorted(row, key=lambda one: one.box[0])
            row = []
        row.append(one)
    return ordered + sorted(row, key=lambda one: one.box[0])


def _bounded(pixels: np.ndarray) -> np.ndarray:
    height, width = pixels.shape[:2]
    scale = (MAX_PIXELS / max(height * width, 1)) ** 0.5
    return pixels if scale >= 1 else _reduced(pixels, scale)


def _reduced(pixels: np.ndarray, scale: float) -> np.ndarray:
    height, width = pixels.shape[:2]
    size = max(round(width * scale), 1), max(round(height * scale), 1)
    return cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)


def _aligned(reference: np.ndarray, prediction: np.ndarray) -> np.ndarray:
    """The reference, moved so that its content begins where the prediction's does, if more of them is equal then."""
    places = _content(reference), _content(prediction)
    down, across = places[1][0] - places[0][0], places[1][1] - places[0][1]
    if not (down or across):
        return reference
    by = np.array([[1, 0, across], [0, 1, down]], np.float32)
    height, width = reference.shape[:2]
    background = tuple(map(float, reference[0, 0]))
    moved = cv2.warpAffine(reference, by, (width + max(across, 0), height + max(down, 0)), borderValue=background)
    return min(reference, moved, key=lambda image: int(_new_pixels(image, prediction).sum()))


def _content(pixels: np.ndarray) -> tuple[int, int]:
    """Top and left of what is not of the color of the upper left corner."""
    content = (pixels != pixels[0, 0]).any(axis=2)
    return int(content.any(axis=1).argmax()), int(content.any(axis=0).argmax())


def _new_pixels(reference: np.ndarray, prediction: np.ndarray) -> np.ndarray:
    """Where the prediction has other pixels than the reference, their upper left corners at the same place."""
    new = np.ones(prediction.shape[:2], bool)
    height, width = np.minimum(reference.shape[:2], prediction.shape[:2])
    one, other = (np.ascontiguousarray(image[:height, :width]) for image in (reference, prediction))
    new[:height, :width] = color_distance(one, other) > MIN_DIFFERENCE
    return new


def _search(
    reference: np.ndarray, prediction: np.ndarray, ground: Ground, found: Sequence[_Text], ocr: LineReader
) -> list[_Text]:
    new = _new_pixels(reference, prediction)
    contrast = _ink(prediction, new, ground)
    for one in found:
        if one.sure:
            left, top, right, bottom = one.box
            contrast[top:bottom, left:right] = 0
    lines = _new_lines(contrast, new)
    if sum(line.letters for line in lines) < MIN_LETTERS:
        return []
    gone = _new_pixels(prediction, reference)
    known = _new_lines(_ink(reference, gone, ground), gone)
    lines = [line for line in lines if not any(_same(line.pixels, other.pixels) for other in known)]
    if sum(line.letters for line in lines) < MIN_LETTERS:
        return []
    return _read(sorted(lines, key=lambda line: -line.letters)[:MAX_READ], ocr)


def _ink(pixels: np.ndarray, new: np.ndarray, ground: Ground) -> np.ndarray:
    """How much each pixel stands out from its ground, in the rows that have something new."""
    contrast = np.zeros(pixels.shape[:2], np.uint8)
    rows = np.flatnonzero(new.any(axis=1))
    if not len(rows):
        return contrast
    top, bottom = max(rows[0] - SURROUNDINGS, 0), rows[-1] + SURROUNDINGS
    part = np.ascontiguousarray(pixels[top:bottom])
    stands_out = color_distance(part, ground(part, new[top:bottom]))
    around = cv2.dilate(stands_out, np.ones((5, 5), np.uint8))
    stands_out[(stands_out < MIN_CONTRAST) | (stands_out < EDGE_SHARE * around)] = 0
    contrast[top:bottom] = stands_out
    return contrast


def _median(pixels: np.ndarray, _: np.ndarray) -> np.ndarray:
    return cv2.medianBlur(pixels, SURROUNDINGS)


def _most_frequent(pixels: np.ndarray, new: np.ndarray) -> np.ndarray:
    """The color that is most frequent nearby, of those that are frequent round what is new; else the pixel's own."""
    ground = pixels.copy()
    most = np.zeros(pixels.shape[:2], np.float32)
    around = cv2.dilate(new.astype(np.uint8), np.ones((7, 7), np.uint8)) > 0
    for color, _ in flat_colors(pixels[around][None]):
        share = cv2.blur(color_mask(pixels, color, MIN_DIFFERENCE).astype(np.float32), STRIP)
        more = share > most
        ground[more] = color
        most = np.maximum(most, share)
    return ground


def _new_lines(contrast: np.ndarray, new: np.ndarray) -> list[_Crop]:
    """Lines with new letters, level or upright; and lines of new letters laid out that stand at an angle or on a curve."""
    count, labels, stats, _ = cv2.connectedComponentsWithStats((contrast > 0).astype(np.uint8), connectivity=8)
    stats[0] = 0, 0, 1, 1, 1  # OpenCV has no box for a background without pixels
    left, top, width, height, area = stats.T.astype(np.int64)
    changed = np.bincount(labels[new], minlength=count)
    letter = np.maximum(width, height) <= MAX_LETTER
    letter[0] = False
    fresh = letter & (changed >= MIN_NEW_SHARE * area) & (np.maximum(width, height) >= MIN_LETTER_HEIGHT)
    if not fresh.any():
        return []
    across, down = _bands(top, height, fresh, contrast.shape[0]), _bands(left, width, fresh, contrast.shape[1])
    near = letter & (across[top] | across[top + height - 1] | down[left] | down[left + width - 1])
    # A letter that touches something large, like a line of a grid, is what is new of both.
    apart = np.where(near[labels] | (new & ~letter[labels]), contrast, 0).astype(np.uint8)
    found, numbers = find_lines(apart)
    found = _joined(found)
    pieces = np.bincount(numbers.ravel())
    new_share = np.bincount(numbers[new], minlength=len(pieces)) / np.maximum(pieces, 1)
    lines, strays = [], []
    for line in found:
        own = np.array(line.pieces)
        if not (new_share[own] >= MIN_NEW_SHARE).any():
            continue
        if _is_level(line, numbers) and line.letters > 1:
            crop = printed(line, apart, numbers)
            box = (line.left, line.top, line.right, line.bottom)
            lines.append(_Crop(crop, box, max(len(line.pieces), (line.right - line.left) // (line.bottom - line.top))))
        else:
            strays += own[new_share[own] >= MIN_NEW_SHARE].tolist()
    return lines + _laid_out(apart, numbers, strays)


def _joined(lines: Sequence[Line]) -> list[Line]:
    """The words of a row as one line."""
    upwards = [line for line in lines if line.upwards]
    joined: list[Line] = []
    # One letter alone stands in either direction.
    turned = [
        replace(line, upwards=True) if line.letters == 1 and any(_in_column(line, other) for other in upwards) else line
        for line in lines
    ]
    for line in sorted(turned, key=lambda line: line.top if line.upwards else line.left):
        before = next((n for n, other in enumerate(joined) if _continues(line, other)), None)
        if before is None:
            joined.append(line)
            continue
        other = joined[before]
        joined[before] = Line(
            min(line.left, other.left),
            min(line.top, other.top),
            max(line.right, other.right),
            max(line.bottom, other.bottom),
            line.upwards,
            line.letters + other.letters,
            other.pieces + line.pieces,
        )
    return joined


def _in_column(letter: Line, line: Line) -> bool:
    wide = line.right - line.left
    near = line.top - 4 * wide <= letter.top and letter.bottom <= line.bottom + 4 * wide
    return near and line.left - wide / 2 <= letter.left and letter.right <= line.right + wide / 2


def _continues(line: Line, before: Line) -> bool:
    """Whether a line begins where another one ends, in the same row."""
    low, high, start = (line.left, line.right, line.top) if line.upwards else (line.top, line.bottom, line.left)
    other = (before.left, before.right, before.bottom) if line.upwards else (before.top, before.bottom, before.right)
    tall = max(high - low, other[1] - other[0])
    level = min(high, other[1]) - max(low, other[0]) >= 0.5 * min(high - low, other[1] - other[0])
    alike = tall <= MAX_THICKNESS * min(high - low, other[1] - other[0])
    return line.upwards == before.upwards and level and alike and -tall <= start - other[2] <= MAX_GAP * tall


def _bands(start: np.ndarray, length: np.ndarray, chosen: np.ndarray, size: int) -> np.ndarray:
    """Which rows, or columns, the chosen pieces cover."""
    steps = np.bincount(start[chosen], minlength=size + 1) - np.bincount((start + length)[chosen], minlength=size + 1)
    return np.cumsum(steps)[:size] > 0


def _is_level(line: Line, numbers: np.ndarray) -> bool:
    """Whether a line neither rises nor falls, as a row or a column."""
    boxes = _boxes(numbers[line.top : line.bottom, line.left : line.right], line.pieces)
    if line.upwards:
        boxes = boxes[:, [1, 0, 3, 2]]
    along, across = boxes[:, 0] + boxes[:, 2], boxes[:, 1] + boxes[:, 3]
    thickness = float(boxes[:, 3].max() - boxes[:, 1].min())
    if thickness > MAX_THICKNESS * max(float(np.percentile(boxes[:, 3] - boxes[:, 1], 75)), 1.0):
        return False
    span = float(np.ptp(along)) / 2
    slope = np.polyfit(along.astype(np.float64), across.astype(np.float64), 1)[0] if span >= 1 else 0.0
    return abs(float(slope)) * span <= MAX_SLANT * thickness


def _boxes(numbers: np.ndarray, chosen: Sequence[int]) -> np.ndarray:
    """Left, top, right and bottom of numbered pieces."""
    rows, columns = np.nonzero(numbers)
    own = numbers[rows, columns]
    size = int(own.max(initial=0)) + 1
    low, high = np.full((2, size), 1 << 30), np.zeros((2, size), np.int64)
    for axis, places in enumerate((columns, rows)):
        np.minimum.at(low[axis], own, places)
        np.maximum.at(high[axis], own, places + 1)
    return np.concatenate([low, high])[:, list(chosen)].T


def _same(one: np.ndarray, other: np.ndarray) -> bool:
    """Whether two crops show the same line."""
    if abs(one.shape[0] - other.shape[0]) > 2 or abs(one.shape[1] - other.shape[1]) > 3:
        return False
    other = cv2.resize(other, one.shape[::-1], interpolation=cv2.INTER_AREA)
    apart = cv2.absdiff(cv2.blur(one, (3, 3)), cv2.blur(other, (3, 3)))
    return float(apart.mean()) <= MAX_DISTANCE * 255


def _read(crops: Sequence[_Crop], ocr: LineReader) -> list[_Text]:
    """Reads lines as they stand, and upside down where that is surer."""
    texts = ocr.scored_lines([crop.pixels for crop in crops])
    unsure = [n for n, (_, sure) in enumerate(texts) if sure < MIN_SURE and crops[n].letters >= MIN_LETTERS]
    turned = ocr.scored_lines([np.ascontiguousarray(crops[n].pixels[::-1, ::-1]) for n in unsure])
    for n, again in zip(unsure, turned, strict=True):
        texts[n] = max(texts[n], again, key=lambda text: text[1])
    found = [
        _Text(text, crop.box, crop.level and sure >= MIN_SURE and len(text) >= MIN_LETTERS, crop.unread(text, sure))
        for (text, sure), crop in zip(texts, crops, strict=True)
    ]
    return [one for one in found if one.text or one.unread]


# Lines at an angle and on a curve


def _laid_out(contrast: np.ndarray, numbers: np.ndarray, strays: Sequence[int]) -> list[_Crop]:
    """Lays out the letters that stand in no level line, group by group."""
    if len(strays) < MIN_LETTERS:
        return []
    wanted = np.zeros(int(numbers.max()) + 1, bool)
    wanted[list(strays)] = True
    ink = np.where(wanted[numbers], contrast, 0).astype(np.uint8)
    boxes = _boxes(np.where(ink > 0, numbers, 0), strays)
    sizes = (boxes[:, 2:] - boxes[:, :2]).max(axis=1)
    reach = max(
        round(0.6 * float(np.median(sizes[sizes >= MIN_LETTER_HEIGHT]) if (sizes >= MIN_LETTER_HEIGHT).any() else 0)), 2
    )
    _, groups = cv2.connectedComponents(cv2.dilate((ink > 0).astype(np.uint8), np.ones((2 * reach + 1,) * 2, np.uint8)))
    middles = ((boxes[:, :2] + boxes[:, 2:]) / 2).astype(np.float64)
    of = np.array([_group_of(groups, numbers, box, stray) for box, stray in zip(boxes, strays, strict=True)])
    found: list[_Crop] = []
    for group, size in sorted(zip(*np.unique(of, return_counts=True), strict=True), key=lambda one: -one[1])[:MAX_CLUSTERS]:
        if size >= MIN_LETTERS:
            own = of == group
            found += _group(np.where(groups == group, ink, 0).astype(np.uint8), boxes[own], middles[own], sizes[own])
    return found


def _group_of(groups: np.ndarray, numbers: np.ndarray, box: np.ndarray, number: int) -> int:
    left, top, right, bottom = box.tolist()
    own = numbers[top:bottom, left:right] == number
    return int(groups[top:bottom, left:right][own][0])


def _group(ink: np.ndarray, boxes: np.ndarray, middles: np.ndarray, sizes: np.ndarray) -> list[_Crop]:
    """The lines of one group: straight ones at one angle, or else one that follows the letters."""
    left, top = np.maximum(boxes[:, :2].min(axis=0) - 2, 0).tolist()
    right, bottom = (boxes[:, 2:].max(axis=0) + 2).tolist()
    part = ink[top:bottom, left:right]
    level = _leveled(part)
    found, numbers = find_lines(level)
    lines = [line for line in _joined(found) if not line.upwards and line.letters > 2 and _is_level(line, numbers)]
    if sum(line.letters for line in lines) >= 0.6 * len(boxes):
        lines.sort(key=lambda line: line.top)
        return [
            _Crop(printed(line, level, numbers), (left + n, top, right, bottom), line.letters, False)
            for n, line in enumerate(lines)
        ]
    letters = sizes >= 0.5 * np.median(sizes)
    size = float(np.median(sizes[letters]))
    strips: list[_Crop] = []
    chain = middles[letters][:MAX_CHAIN] - (left, top)
    rows = _bent_rows(chain, size)
    for row in [chain, *rows] if len(rows) > 1 else [chain]:
        strip = _along(part, row, size)
        if strip is not None:
            strips.append(_Crop(strip, (left + len(strips), top, right, bottom), len(row), False))
    return strips


def _bent_rows(middles: np.ndarray, size: float) -> list[np.ndarray]:
    """The middles of each row of letters, the upper rows first: letters of a row are closer to each other than rows are.

    A wide blank ends a row too early. So all letters are read as one row as well.
    """
    tree = minimum_spanning_tree(np.hypot(*(middles[:, None] - middles[None]).transpose(2, 0, 1)) + 1e-3)
    tree.data[tree.data > MAX_STEP * size] = 0
    tree.eliminate_zeros()
    count, rows = connected_components(tree, directed=False)
    return sorted((middles[rows == row] for row in range(count)), key=lambda row: float(row[:, 1].mean()))


def _leveled(ink: np.ndarray) -> np.ndarray:
    """A group of letters, turned by the angle at which its rows are told apart best."""
    rows, columns = np.nonzero(ink)
    step = len(rows) // 4000 + 1
    rows, columns = rows[::step], columns[::step]
    best, sharpest = 0, -1.0
    for angle in range(-90, 90, ANGLE_STEP):
        turn = np.deg2rad(angle)
        across = rows * np.cos(turn) - columns * np.sin(turn)
        counts = np.bincount((across - across.min()).astype(np.intp))
        sharp = float((counts.astype(np.float64) ** 2).sum())
        if sharp > sharpest:
            best, sharpest = angle, sharp
    height, width = ink.shape
    side = int(ZOOM * np.hypot(height, width)) + 4
    turn_by = cv2.getRotationMatrix2D((width / 2, height / 2), best, ZOOM)
    turn_by[0, 2] += (side - width) / 2
    turn_by[1, 2] += (side - height) / 2
    turned = cv2.warpAffine(ink, turn_by, (side, side), flags=cv2.INTER_CUBIC)
    turned[turned < 2 * EDGE_SHARE * turned.max()] = 0
    return turned


def _along(ink: np.ndarray, middles: np.ndarray, size: float) -> np.ndarray | None:
    """Lays a row of letters out straight, along the path through their middles; dark on white."""
    path = _path(middles)
    if len(path) < MIN_LETTERS:
        return None
    smooth = np.stack([np.convolve(np.pad(axis, 2, mode="edge"), np.ones(5) / 5, "valid") for axis in path.T], axis=1)
    smooth[0], smooth[-1] = path[0], path[-1]
    for end, inner in ((0, 2), (-1, -3)):
        away = smooth[end] - smooth[inner]
        smooth[end] = smooth[end] + away / max(float(np.hypot(*away)), 1e-6) * 0.8 * size
    lengths = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(smooth, axis=0).T))])
    places = np.arange(0, lengths[-1], 1.0)
    if len(places) < 2:
        return None
    x, y = (np.interp(places, lengths, axis) for axis in smooth.T)
    window = max(int(size), 3)
    dx, dy = (cv2.blur(np.gradient(axis)[None], (window, 1))[0] for axis in (x, y))
    norm = np.maximum(np.hypot(dx, dy), 1e-6)
    beside = np.arange(-round(0.9 * size), round(0.9 * size) + 1)[:, None]
    strip = cv2.remap(
        ink, (x - beside * dy / norm).astype(np.float32), (y + beside * dx / norm).astype(np.float32), cv2.INTER_LINEAR
    )
    strip = strip.astype(np.float32) * (255 / max(int(strip.max()), 1))
    return np.pad((255 - strip).astype(np.uint8), 4, constant_values=255)


def _path(middles: np.ndarray) -> np.ndarray:
    """The longest way from letter to nearest letter, from left to right."""
    apart = np.hypot(*(middles[:, None] - middles[None]).transpose(2, 0, 1))
    tree = minimum_spanning_tree(apart + 1e-3)
    lengths, before = shortest_path(tree, directed=False, return_predecessors=True)
    start, end = np.unravel_index(np.where(np.isfinite(lengths), lengths, -1).argmax(), lengths.shape)
    way = [int(end)]
    while way[-1] != start and before[start, way[-1]] >= 0:
        way.append(int(before[start, way[-1]]))
    path = middles[way]
    return path if path[0, 0] <= path[-1, 0] else path[::-1]
