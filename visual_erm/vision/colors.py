"""Pixels as colors: how far they are apart, which are frequent, which is the background."""

from __future__ import annotations

import cv2
import numpy as np

from visual_erm.vision.scene_types import Color

GRAY = 24
"""Largest difference between the channels of a color that counts as gray."""


def apart(ours: np.ndarray, theirs: np.ndarray) -> np.ndarray:
    """Largest difference of a channel between pixels, shape (height, width, 3), uint8: (height, width)."""
    return largest(cv2.absdiff(ours, theirs))


def largest(pixels: np.ndarray) -> np.ndarray:
    """The largest channel of each pixel, shape (height, width, 3), uint8: (height, width)."""
    red, green, blue = cv2.split(pixels)
    return cv2.max(cv2.max(red, green), blue)


def near(one: Color, other: Color, within: int) -> bool:
    """Whether no channel of two colors differs by more."""
    return max(abs(ours - theirs) for ours, theirs in zip(one, other, strict=True)) <= within


def is_gray(color: Color) -> bool:
    """Black, white or between."""
    return max(color) - min(color) <= GRAY


def among(pixels: np.ndarray, color: Color, within: int) -> np.ndarray:
    """Where pixels are of one color: uint8, 0 or 1."""
    low, high = (tuple(float(channel + side * within) for channel in color) for side in (-1, 1))
    return (cv2.inRange(pixels, low, high) > 0).astype(np.uint8)


def flat_colors(pixels: np.ndarray) -> list[tuple[Color, float]]:
    """The most frequent colors, rounded to five bits a channel, with the share of pixels that have them."""
    red, green, blue = (pixels[..., channel].astype(np.uint16) >> 3 for channel in range(3))
    codes = (red << 10) | (green << 5) | blue
    counts = np.bincount(codes.ravel(), minlength=1 << 15)
    flat = codes.ravel()
    colors = []
    for code in np.argsort(-counts)[:8].tolist():
        if counts[code]:
            place = int((flat == code).argmax())
            one, two, three = pixels.reshape(-1, 3)[place].tolist()
            colors.append(((one, two, three), float(counts[code]) / len(flat)))
    return colors


def along_edge(pixels: np.ndarray) -> tuple[Color, float]:
    """The most frequent color along the image's edge, and its share of it."""
    edge = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
    return flat_colors(np.ascontiguousarray(edge[None]))[0]
