"""Colors of pixels: how much they differ, which are frequent, which one is the background."""

from __future__ import annotations

import cv2
import numpy as np

from visual_erm.vision.scene_types import Color

MAX_GRAY_SPREAD = 24
"""Largest difference between the channels of a color that counts as gray."""
MIN_CHANNEL_EDGE = 96
"""Smallest step between two pixels of a row, 0 to 255, that makes text in one channel legible."""
MAX_GRAY_EDGE = 48
"""Largest step of the gray levels at such a place for which text reading in gray misses it."""
MIN_HIDDEN_EDGES = 40
"""Number of such places that a few letters have."""
MARGIN = 8
"""Pixels round a part that is cut out."""


def color_distance(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Computes by how much pixels of two images differ.

    Args:
        one: Pixels, shape (height, width, 3), uint8.
        other: Pixels of the same shape.

    Returns:
        The largest difference of a channel, shape (height, width), uint8.
    """
    return largest(cv2.absdiff(one, other)) if one.size else np.zeros(one.shape[:2], np.uint8)


def largest(pixels: np.ndarray) -> np.ndarray:
    """Returns the largest channel of each pixel.

    Args:
        pixels: Shape (height, width, 3), uint8.

    Returns:
        Shape (height, width), uint8.
    """
    red, green, blue = cv2.split(pixels)
    return cv2.max(cv2.max(red, green), blue)


def near(one: Color, other: Color, within: int) -> bool:
    """Tells whether two colors are nearly the same.

    Args:
        one: A color.
        other: Another color.
        within: Largest difference of a channel, 0 to 255.

    Returns:
        Whether no channel differs by more.
    """
    return max(abs(first - second) for first, second in zip(one, other, strict=True)) <= within


def is_gray(color: Color) -> bool:
    """Tells whether a color is black, white or between.

    Args:
        color: The color.

    Returns:
        Whether its channels differ by at most MAX_GRAY_SPREAD.
    """
    return max(color) - min(color) <= MAX_GRAY_SPREAD


def color_mask(pixels: np.ndarray, color: Color, within: int) -> np.ndarray:
    """Finds the pixels of one color.

    Args:
        pixels: Shape (height, width, 3), uint8.
        color: The color.
        within: Largest difference of a channel, 0 to 255.

    Returns:
        1 where a pixel is of that color, else 0: shape (height, width), uint8.
    """
    low, high = (tuple(float(channel + side * within) for channel in color) for side in (-1, 1))
    return (cv2.inRange(pixels, low, high) > 0).astype(np.uint8)


def flat_colors(pixels: np.ndarray) -> list[tuple[Color, float]]:
    """Finds the most frequent colors.

    Args:
        pixels: Shape (height, width, 3), uint8.

    Returns:
        Up to eight colors, the most frequent first, each with the share of pixels that equal it in the upper five bits of
        every channel.
    """
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
    """Finds the most frequent color along the edge of an image.

    Args:
        pixels: Shape (height, width, 3), uint8.

    Returns:
        The color, and the share of the edge that has it.
    """
    edge = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
    return flat_colors(np.ascontiguousarray(edge[None]))[0]


def hidden_in_gray(pixels: np.ndarray) -> list[np.ndarray]:
    """Cuts out what a channel of color shows and gray levels do not: yellow on white, or red on a green as dark.

    Args:
        pixels: RGB on white, shape (height, width, 3), uint8.

    Returns:
        At most one part for each of red, green and blue: its levels, shape (height, width), uint8.
    """
    gray_steps = _steps_along_rows(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY))
    found = []
    for channel in cv2.split(pixels):
        rows, columns = np.nonzero((_steps_along_rows(channel) >= MIN_CHANNEL_EDGE) & (gray_steps <= MAX_GRAY_EDGE))
        if len(rows) >= MIN_HIDDEN_EDGES:
            top, left = max(rows.min() - MARGIN, 0), max(columns.min() - MARGIN, 0)
            found.append(channel[top : rows.max() + MARGIN, left : columns.max() + MARGIN])
    return found


def _steps_along_rows(levels: np.ndarray) -> np.ndarray:
    return cv2.absdiff(levels[:, 1:], levels[:, :-1]) if levels.shape[1] > 1 else np.zeros((len(levels), 0), np.uint8)
