"""Pixels as colours: how far they are apart, which are frequent, which is the background."""

from __future__ import annotations

import cv2
import numpy as np
from PIL import Image

from visual_erm.vision.scene_types import Colour

GREY = 24
"""Largest difference between the channels of a colour that counts as grey."""


def on_white(picture: Image.Image) -> Image.Image:
    """The picture as RGB, transparent parts on white."""
    if picture.mode in ("RGBA", "LA", "PA") or "transparency" in picture.info:
        picture = picture.convert("RGBA")
        picture = Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture)
    return picture.convert("RGB")


def apart(ours: np.ndarray, theirs: np.ndarray) -> np.ndarray:
    """Largest difference of a channel between pixels, shape (height, width, 3), uint8: (height, width)."""
    return largest(cv2.absdiff(ours, theirs))


def largest(pixels: np.ndarray) -> np.ndarray:
    """The largest channel of each pixel, shape (height, width, 3), uint8: (height, width)."""
    red, green, blue = cv2.split(pixels)
    return cv2.max(cv2.max(red, green), blue)


def near(one: Colour, other: Colour, within: int) -> bool:
    """Whether no channel of two colours differs by more."""
    return max(abs(ours - theirs) for ours, theirs in zip(one, other, strict=True)) <= within


def is_grey(colour: Colour) -> bool:
    """Black, white or between."""
    return max(colour) - min(colour) <= GREY


def among(pixels: np.ndarray, colour: Colour, within: int) -> np.ndarray:
    """Where pixels are of one colour: uint8, 0 or 1."""
    low, high = (tuple(float(channel + side * within) for channel in colour) for side in (-1, 1))
    return (cv2.inRange(pixels, low, high) > 0).astype(np.uint8)


def flat_colours(pixels: np.ndarray) -> list[tuple[Colour, float]]:
    """The most frequent colours, rounded to five bits a channel, with the share of pixels that have them."""
    red, green, blue = (pixels[..., channel].astype(np.uint16) >> 3 for channel in range(3))
    codes = (red << 10) | (green << 5) | blue
    counts = np.bincount(codes.ravel(), minlength=1 << 15)
    flat = codes.ravel()
    colours = []
    for code in np.argsort(-counts)[:8].tolist():
        if counts[code]:
            place = int((flat == code).argmax())
            one, two, three = pixels.reshape(-1, 3)[place].tolist()
            colours.append(((one, two, three), float(counts[code]) / len(flat)))
    return colours


def along_edge(pixels: np.ndarray) -> tuple[Colour, float]:
    """The most frequent colour along the picture's edge, and its share of it."""
    edge = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
    return flat_colours(np.ascontiguousarray(edge[None]))[0]
