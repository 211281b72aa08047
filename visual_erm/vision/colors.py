"""Colors of pixels: how much they differ, which are frequent, which one is the background."""

from __future__ import annotations

import cv2
import numpy as np

from visual_erm.vision.scene_types import Color

MAX_GRAY_SPREAD = 24
"""Largest difference between the channels of a color that counts as gray."""


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
