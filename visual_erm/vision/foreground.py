"""What stands out from a image's background: the image as the guards look at it, whatever its colors."""

from __future__ import annotations

from typing import Any

import numpy as np
from PIL import Image, ImageChops

MIN_CONTRAST = 32
"""Levels (of 255) below which a difference from the background is not seen."""


def ink(image: Image.Image) -> np.ndarray:
    """Levels by which each pixel differs from the most frequent color, in the channel where it differs most: (height,
    width), uint8."""
    image = image.convert("RGB")
    colors: list[tuple[int, Any]] = image.getcolors(image.width * image.height) or []
    page = Image.new("RGB", image.size, max(colors)[1])
    red, green, blue = ImageChops.difference(image, page).split()
    return np.asarray(ImageChops.lighter(ImageChops.lighter(red, green), blue))
