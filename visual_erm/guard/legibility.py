"""The guard `legibility`: images whose print is too small in what a model judge is sent.

Images are scaled down to the judge's `longest_side`. A huge page, or a small table beside a far dot, then shows nothing
that a judge can read, and a kind judge finds no difference. What counts is the height of the print in the image that is
sent, beside that of the reference. The number of pixels does not: the same chart at 300 dpi has print three times as tall.

    prints = [print_of(image, scale_to_fit(image.size, longest_side)) for image in (reference, prediction)]
    is_illegible(*prints, share=0.5)
"""

from __future__ import annotations

import cv2
import numpy as np
from PIL import Image

from visual_erm.vision.foreground import MIN_CONTRAST, foreground

LEGIBLE_HEIGHT = 10.0
"""Height of print that any judge reads, in pixels: digits of 14-pixel type. A reference with larger print asks for no more.
"""
SMALLEST = 2
"""Height of the smallest piece that may be print, in pixels of the image as rendered."""
LARGEST = 0.25
"""Height and width of the largest piece that may be print, as a share of the image's longest side."""
LONGEST = 12
"""Width of the longest piece that may be print, in heights, and the reverse."""
SOLID = 0.8
"""Share of its box that a piece covers if it is no letter, but a dot, a dash, a marker or a bar."""
WORD = 1.5
"""Width of the shortest solid piece that may be a word, in heights. Letters of the smallest type melt into them."""
ENOUGH = 0.5
"""Share of the reference's legible pieces with which an image is legible, whatever smaller pieces it has."""


def print_of(image: Image.Image, scale: float) -> np.ndarray:
    """Measures what looks like letters, or like words where nothing looks like letters.

    Args:
        image: An image of any mode.
        scale: Size of the image that is sent, as a share of this one's.

    Returns:
        The height of each piece in the image that is sent, in pixels: shape (pieces,), float64.
    """
    ink = (foreground(image) >= MIN_CONTRAST).astype(np.uint8)
    stats = cv2.connectedComponentsWithStats(ink, connectivity=8)[2][1:].astype(np.int64)
    width, height, area = stats[:, cv2.CC_STAT_WIDTH], stats[:, cv2.CC_STAT_HEIGHT], stats[:, cv2.CC_STAT_AREA]
    small = (height >= SMALLEST) & (np.maximum(width, height) <= LARGEST * max(image.size))
    small &= (width <= LONGEST * height) & (height <= LONGEST * width)
    letters = small & (area <= SOLID * width * height)
    words = small & (width >= WORD * height)
    return height[letters if letters.any() else words] * scale


def is_illegible(reference: np.ndarray, prediction: np.ndarray, share: float) -> bool:
    """Tells whether a prediction's print is too small to read where the reference's is not.

    Args:
        reference: Heights from `print_of`, of the reference.
        prediction: The same of the prediction.
        share: Height of print that is needed, as a share of the reference's or of LEGIBLE_HEIGHT, whichever is less.

    Returns:
        Whether at least half of the prediction's pieces are smaller than needed, and those that are not are fewer than
        half of the reference's. An image without any print is not called illegible: other guards find what it lacks.

    >>> is_illegible(np.array([10.0] * 9), np.array([3.0] * 9), 0.5)
    True
    >>> is_illegible(np.array([40.0] * 9), np.array([6.0] * 9), 0.5)
    False
    """
    if not reference.size or not prediction.size:
        return False
    needed = share * min(float(np.median(reference)), LEGIBLE_HEIGHT)
    legible = int(np.count_nonzero(prediction >= needed))
    return float(np.median(prediction)) < needed and legible < ENOUGH * int(np.count_nonzero(reference >= needed))
