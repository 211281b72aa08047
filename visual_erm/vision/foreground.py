"""What stands out from the background of an image, whatever its colors. The guards look at images this way.

levels = foreground(image)
covered = (levels >= MIN_CONTRAST).mean()
"""

from __future__ import annotations

from typing import Any

import numpy as np
from PIL import Image, ImageChops

from visual_erm.vision.images import on_white

MIN_CONTRAST = 32
"""Levels (of 255) below which a difference from the background is not visible."""
FEW_COLORS = 1 << 16
"""Colors up to which Pillow counts them; with more of them, as in noise, counting in a histogram is faster."""
STRIP_PIXELS = 1 << 18
"""Pixels whose colors are counted at once: NumPy stops all other threads meanwhile, and copies them."""


def foreground(image: Image.Image) -> np.ndarray:
    """Measures how much each pixel stands out.

    Args:
        image: An image of any mode; transparent parts are laid on white.

    Returns:
        The difference from the most frequent color, in the channel where it is largest: shape (height, width), uint8.
    """
    image = on_white(image)
    page = Image.new("RGB", image.size, _most_frequent(image))
    red, green, blue = ImageChops.difference(image, page).split()
    return np.asarray(ImageChops.lighter(ImageChops.lighter(red, green), blue))


def _most_frequent(image: Image.Image) -> tuple[int, int, int]:
    """The most frequent color; the one with the largest channels, red first, where several are as frequent."""
    colors: list[tuple[int, Any]] | None = image.getcolors(FEW_COLORS)
    if colors:
        found: tuple[int, int, int] = max(colors)[1]
        return found
    pixels = np.asarray(image)
    counts = np.zeros(1 << 24, np.uint32)
    for top in range(0, len(pixels), step := max(STRIP_PIXELS // image.width, 1)):
        strip = pixels[top : top + step].astype(np.int32)
        codes, times = np.unique((strip[..., 0] << 16) | (strip[..., 1] << 8) | strip[..., 2], return_counts=True)
        counts[codes] += times.astype(np.uint32)
    code = len(counts) - 1 - int(counts[::-1].argmax())
    return code >> 16, code >> 8 & 255, code & 255
