"""Seeded images for `perception.py`: of every family that has broken a reader of images, and variants of real ones.

The same seed and number always give the same image. Families follow each other, so a few dozen images hold all of them.

    made = picture(number=7, seed=0, most_pixels=16_000_000)
    made.family, made.image.size
"""

from __future__ import annotations

import functools
import io
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

EXAMPLES = Path(__file__).parents[1] / "examples"
USUAL_SIDE = 300
"""Longest side in pixels of most images; the cost of a run grows with its square."""
LARGE_SHARE = 0.004
"""Share of the images, of each family, that may have as many pixels as a task allows."""
STRAIGHT_MODES = ["1", "L", "P", "RGB", "RGBA", "CMYK", "YCbCr", "HSV", "I", "F", "LA", "RGBX", "I;16"]
"""Modes that Pillow makes of RGB or of gray."""
WORDS = [
    "Total",
    "1,234.5",
    "−0.73",
    "αβγ",
    "中文",
    "km²",
    "q3",
    "[x]",
    "OK;",
    "(12%)",
    "€9",
    "naïve",
    "III",
    "...",
    "---",
    "=",
    ":",
    "i",
    "l",
]

Draw = np.random.Generator


@dataclass(frozen=True)
class Picture:
    """An image and the family that it is of."""

    family: str
    image: Image.Image


def picture(number: int, seed: int, most_pixels: int) -> Picture:
    """Makes one image.

    Args:
        number: Number of the image, from 0. Its family is `number` modulo their count.
        seed: Seed of all images.
        most_pixels: Largest width times height, 1 or more.

    Returns:
        The image and the name of its family.
    """
    draw = np.random.default_rng((seed, number))
    names = list(FAMILIES)
    family = names[number % len(names)]
    return Picture(family, FAMILIES[family](draw, most_pixels))


def _size(draw: Draw, most: int, least: int = 1) -> tuple[int, int]:
    """Width and height; a quarter of the images is small or long."""
    longest = math.isqrt(most) if draw.random() < LARGE_SHARE else min(USUAL_SIDE, math.isqrt(most))
    low = min(least, longest)
    if draw.random() < 0.25:
        width, height = np.exp(draw.uniform(math.log(low), math.log(longest), 2)).round().astype(int).tolist()
    else:
        width, height = draw.integers(max(low, longest // 4), longest + 1, 2).tolist()
    return width, height


def _color(draw: Draw) -> tuple[int, int, int]:
    """Often one of those with which charts and tables are drawn."""
    usual = [(255, 255, 255), (0, 0, 0), (51, 51, 51), (234, 234, 242), (241, 241, 241), (31, 119, 180), (255, 127, 14)]
    if draw.random() < 0.6:
        return usual[int(draw.integers(len(usual)))]
    red, green, blue = draw.integers(0, 256, 3).tolist()
    return red, green, blue


def _pixels(array: np.ndarray) -> Image.Image:
    return Image.fromarray(np.ascontiguousarray(np.clip(array, 0, 255).astype(np.uint8)))


def _blank(draw: Draw, most: int, least: int = 1) -> tuple[Image.Image, ImageDraw.ImageDraw]:
    image = Image.new("RGB", _size(draw, most, least), _color(draw))
    return image, ImageDraw.Draw(image)


# --- families --------------------------------------------------------------------------------------------------------


def tiny(draw: Draw, most: int) -> Image.Image:
    """1 to 16 pixels along each side."""
    width, height = draw.integers(1, 17, 2).tolist()
    return _pixels(draw.integers(0, 256, (height, width, 3)))


def flat(draw: Draw, most: int) -> Image.Image:
    """One color."""
    return Image.new("RGB", _size(draw, most), _color(draw))


def two_colors(draw: Draw, most: int) -> Image.Image:
    """Pixels, or large fields, of two colors."""
    width, height = _size(draw, most)
    field = int(draw.choice([1, 2, 3, 8, 40]))
    share = draw.choice([0.001, 0.02, 0.2, 0.5])
    small = draw.random((-(-height // field), -(-width // field))) < share
    colors = np.array([_color(draw), _color(draw)], np.uint8)
    return _pixels(colors[np.kron(small, np.ones((field, field), int)).astype(int)][:height, :width])


def noise(draw: Draw, most: int) -> Image.Image:
    """Noise of any amplitude, in color or gray, in fields of one or more pixels."""
    width, height = _size(draw, most)
    field = int(draw.choice([1, 1, 2, 5, 20]))
    low, high = sorted(draw.integers(0, 256, 2).tolist())
    shape = (-(-height // field), -(-width // field), int(draw.choice([1, 3])))
    small = np.broadcast_to(draw.integers(low, high + 1, shape), (*shape[:2], 3))
    return _pixels(small.repeat(field, 0).repeat(field, 1)[:height, :width])


def sliver(draw: Draw, most: int) -> Image.Image:
    """1 to 14 pixels thick and up to all allowed pixels long, lying or standing."""
    thick = int(draw.choice([1, 1, 2, 3, 11, 12, 13, 14]))
    longest = most // thick if draw.random() < 4 * LARGE_SHARE else min(4000, most // thick)
    long = round(math.exp(draw.uniform(0, math.log(max(longest, 2)))))
    shape = (thick, long, 3) if draw.random() < 0.5 else (long, thick, 3)
    if draw.random() < 0.5:
        return _pixels(draw.integers(0, 256, shape))
    array = np.full(shape, _color(draw), np.uint8)
    array[:: int(draw.integers(1, 9)), :: int(draw.integers(1, 30))] = _color(draw)
    return _pixels(array)


def checkerboard(draw: Draw, most: int) -> Image.Image:
    """Fields of 1 to 40 pixels in two colors, not always square."""
    width, height = _size(draw, most)
    tall, wide = (int(draw.choice([1, 2, 3, 5, 9, 10, 12, 25, 40])) for _ in range(2))
    place = np.indices((height, width))
    return _pixels(np.array([_color(draw), _color(draw)])[(place[0] // tall + place[1] // wide) % 2])


def gradient(draw: Draw, most: int) -> Image.Image:
    """Smooth, in steps, or round, with noise or without."""
    width, height = _size(draw, most)
    y, x = np.indices((height, width)) / max(height, width)
    angle = draw.uniform(0, 2 * math.pi)
    level = np.hypot(x - 0.4, y - 0.4) if draw.random() < 0.3 else x * math.cos(angle) + y * math.sin(angle)
    level = level * draw.uniform(0.2, 6)
    if draw.random() < 0.4:
        steps = draw.integers(2, 60)
        level = np.round(level * steps) / steps
    one, other = np.array(_color(draw)), np.array(_color(draw))
    array = one + (other - one) * (0.5 + 0.5 * np.sin(2 * math.pi * level))[..., None]
    return _pixels(array + draw.normal(0, draw.choice([0, 0, 2, 9]), array.shape))


def thin_lines(draw: Draw, most: int) -> Image.Image:
    """Lines at any angle, many of them nearly level or upright."""
    image, pen = _blank(draw, most)
    for _ in range(int(draw.choice([1, 3, 12, 80]))):
        angle = draw.uniform(0, math.pi) if draw.random() < 0.4 else draw.choice([0, math.pi / 2]) + draw.normal(0, 0.03)
        x, y, reach = draw.uniform(0, image.width), draw.uniform(0, image.height), draw.uniform(1, 2 * max(image.size))
        ends = [(x + side * reach * math.cos(angle), y + side * reach * math.sin(angle)) for side in (-1, 1)]
        pen.line(ends, _color(draw), int(draw.integers(1, 8)))
    return image


def dense_text(draw: Draw, most: int) -> Image.Image:
    """Words in lines from edge to edge, turned upright now and then."""
    image, pen = _blank(draw, most, 8)
    size = int(draw.choice([5, 7, 9, 11, 14, 20, 33]))
    font, color = ImageFont.load_default(size), _color(draw)
    for top in range(int(draw.integers(-4, 9)), image.height, max(int(size * draw.uniform(0.8, 2)), 4)):
        words = draw.choice(WORDS, max(image.width // (3 * size), 1))
        pen.text((int(draw.integers(-9, 9)), top), draw.choice([" ", "  ", ""]).join(words), color, font)
    return image.transpose(Image.Transpose.ROTATE_90) if draw.random() < 0.2 else image


def ruled_table(draw: Draw, most: int) -> Image.Image:
    """Rulings of odd distances, thickness and colors; broken, doubled, merged and touching the image's edge."""
    image, pen = _blank(draw, most, 12)
    width, height = image.size
    color = _color(draw) if draw.random() < 0.5 else (51, 51, 51)
    gap = int(draw.choice([4, 9, 11, 18, 30, 70]))
    for upright in (False, True):
        across, along = (width, height) if upright else (height, width)
        at = int(draw.integers(0, 6))
        while at < across:
            start, stop = (0, along) if draw.random() < 0.8 else sorted(draw.integers(0, along + 1, 2).tolist())
            thick = int(draw.choice([1, 1, 1, 2, 5]))
            for piece in range(start, stop, 7) if draw.random() < 0.05 else [start]:
                end = stop if piece == start else piece + 4
                pen.rectangle((at, piece, at + thick - 1, end) if upright else (piece, at, end, at + thick - 1), color)
            at += max(int(gap * draw.choice([0.3, 1, 1, 1, 1.3, 3])), 1)
    for _ in range(int(draw.integers(0, 30))):
        place = int(draw.integers(0, width)), int(draw.integers(0, height))
        pen.text(place, str(draw.choice(WORDS)), _color(draw), ImageFont.load_default(int(draw.integers(7, 15))))
    return image


def close_rules(draw: Draw, most: int) -> Image.Image:
    """A few parallel lines 2 to 12 pixels apart in a low image, with a line across them now and then."""
    width, height = int(draw.integers(30, 500)), int(draw.integers(20, 130))
    image, color = Image.new("RGB", (width, height), _color(draw)), _color(draw)
    pen = ImageDraw.Draw(image)
    at, gap, inset = int(draw.integers(0, height)), int(draw.integers(2, 13)), int(draw.integers(0, 30))
    for _ in range(int(draw.integers(2, 9))):
        start, stop = (inset, width - inset) if draw.random() < 0.9 else sorted(draw.integers(0, width, 2).tolist())
        pen.line((start, at, stop, at), color, int(draw.choice([1, 1, 1, 2])))
        at += gap if draw.random() < 0.8 else int(draw.integers(2, 13))
    for _ in range(int(draw.choice([0, 0, 1, 3]))):
        place = int(draw.integers(0, width))
        pen.line((place, at - 40, place, at), color)
    return image.transpose(Image.Transpose.TRANSPOSE) if draw.random() < 0.3 else image


def figure(draw: Draw, most: int) -> Image.Image:
    """Frames, plates, grids, ticks, bars, curves and points, from a few pixels in size."""
    image, pen = _blank(draw, most, 3)
    width, height = image.size
    for _ in range(int(draw.choice([1, 1, 2, 4]))):
        left, right = sorted(draw.integers(0, width + 1, 2).tolist())
        top, bottom = sorted(draw.integers(0, height + 1, 2).tolist())
        pen.rectangle((left, top, right, bottom), _color(draw) if draw.random() < 0.5 else None, _color(draw))
        for _ in range(int(draw.integers(0, 8))):
            at = draw.uniform(top, bottom + 1)
            pen.line((left, at, right, at), _color(draw))
            at = draw.uniform(left, right + 1)
            pen.line((at, top, at, bottom + draw.integers(0, 6)), _color(draw))
        kind = int(draw.integers(4))
        places = np.sort(draw.uniform(left, right + 1, int(draw.choice([1, 4, 30]))))
        levels = draw.uniform(top, bottom + 1, len(places))
        if kind == 0:
            for x, y in zip(places, levels, strict=True):
                pen.rectangle((x, y, x + draw.integers(1, 30), max(y, bottom)), _color(draw), _color(draw))
        elif kind == 1:
            pen.line(list(zip(places.tolist(), levels.tolist(), strict=True)), _color(draw), int(draw.integers(1, 5)))
        elif kind == 2:
            for x, y in zip(places, levels, strict=True):
                pen.ellipse((x - 2, y - 2, x + draw.integers(2, 9), y + 3), _color(draw))
        else:
            pen.polygon(
                [*zip(places.tolist(), levels.tolist(), strict=True), (right, bottom), (left, bottom)], _color(draw)
            )
    return image


def nested(draw: Draw, most: int) -> Image.Image:
    """Frames inside frames, open and closed, rings and spirals: shapes whose boxes overlap."""
    image, pen = _blank(draw, most, 12)
    step, color = int(draw.integers(2, 12)), _color(draw)
    shape = pen.rectangle if draw.random() < 0.5 else pen.ellipse
    for inset in range(0, min(image.size) // 2, step):
        shape((inset, inset, image.width - 1 - inset, image.height - 1 - inset), None, color)
        if draw.random() < 0.5:
            pen.line((inset, inset, inset + step, inset + int(draw.integers(0, step + 1))), _color(draw))
    return image


def modes(draw: Draw, most: int) -> Image.Image:
    """A small image of another family in any mode of Pillow."""
    other = [family for name, family in FAMILIES.items() if name not in ("modes", "variant")]
    made = other[int(draw.integers(len(other)))](draw, min(most, 90_000))
    extra = ["LAB", "PA", "La", "RGBa", "I;16B", "I;16L", "transparent", "levels", "numbers"]
    mode = str(draw.choice(STRAIGHT_MODES + extra))
    return _in_mode(made, mode, draw)


def _in_mode(image: Image.Image, mode: str, draw: Draw) -> Image.Image:
    alpha = Image.fromarray(draw.integers(0, 256, image.size[::-1]).astype(np.uint8))
    if mode == "LAB":
        return Image.frombytes("LAB", image.size, image.tobytes())
    if mode == "PA":
        return image.quantize(16).convert("PA")
    if mode in ("La", "RGBa", "LA", "RGBA"):
        clear = image.convert("RGB")
        clear.putalpha(alpha)
        return clear.convert("LA" if mode in ("LA", "La") else "RGBA").convert(mode)
    if mode == "transparent":
        indexed = image.quantize(8)
        indexed.info["transparency"] = int(draw.integers(8))
        return indexed
    if mode.startswith("I;16"):
        levels = np.asarray(image.convert("L")).astype(np.uint16) * int(draw.choice([1, 16, 257]))
        return Image.frombytes(mode, image.size, levels.astype(">u2" if mode == "I;16B" else "<u2").tobytes())
    if mode == "levels":
        return Image.fromarray(draw.integers(-(2**31), 2**31, image.size[::-1]).astype(np.int32))
    if mode == "numbers":
        levels = np.asarray(image.convert("F")).copy()
        odd = [np.nan, np.inf, -np.inf, -1.0, 0.0, 1e-40, 1e38, 3e5]
        levels[draw.random(levels.shape) < 0.1] = odd[int(draw.integers(len(odd)))]
        return Image.fromarray(levels.astype(np.float32))
    return image.convert(mode)


def variant(draw: Draw, most: int) -> Image.Image:
    """An image of the shipped examples: cropped, scaled, turned, compressed, in other colors."""
    image = _example(str(draw.choice(["chart", "svg", "table"])))
    for _ in range(int(draw.integers(0, 4))):
        image = _changed(image, draw)
        if image.width * image.height > most:
            image = image.crop((0, 0, min(image.width, math.isqrt(most)), min(image.height, math.isqrt(most))))
    return image


@functools.cache
def _example(name: str) -> Image.Image:
    with Image.open(EXAMPLES / name / "reference.png") as image:
        return image.convert("RGB")


def _changed(image: Image.Image, draw: Draw) -> Image.Image:
    how = int(draw.integers(7))
    width, height = image.size
    if how == 0:
        left, right = sorted(draw.integers(0, width, 2).tolist())
        top, bottom = sorted(draw.integers(0, height, 2).tolist())
        return image.crop((left, top, right + 1, bottom + 1))
    if how == 1:
        scale = np.exp(draw.uniform(-3, 0.7, 2) if draw.random() < 0.3 else np.repeat(draw.uniform(-2, 0.7), 2))
        size = max(round(width * scale[0]), 1), max(round(height * scale[1]), 1)
        return image.resize(size, Image.Resampling(int(draw.integers(6))))
    if how == 2:
        angle = float(draw.choice([90, 180, 270, draw.normal(0, 2), draw.uniform(0, 360)]))
        return image.rotate(angle, Image.Resampling.BICUBIC, expand=bool(draw.integers(2)), fillcolor=_color(draw))
    if how == 3:
        buffer = io.BytesIO()
        image.save(buffer, "JPEG", quality=int(draw.choice([3, 20, 50, 75, 95])))
        return Image.open(buffer).convert("RGB")
    if how == 4:
        return Image.fromarray(255 - np.asarray(image))
    if how == 5:
        return image.quantize(int(draw.integers(2, 17))).convert("RGB")
    return _pixels(
        np.asarray(image) * draw.uniform(0.02, 1.2) + draw.normal(0, draw.choice([1, 8, 30]), (height, width, 3))
    )


FAMILIES: dict[str, Callable[[Draw, int], Image.Image]] = {
    family.__name__: family
    for family in (
        tiny,
        flat,
        two_colors,
        noise,
        sliver,
        checkerboard,
        gradient,
        thin_lines,
        dense_text,
        ruled_table,
        close_rules,
        figure,
        nested,
        modes,
        variant,
    )
}
