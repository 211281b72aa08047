"""What stands out from a picture's background: the picture as the guards look at it, whatever its colours."""

from __future__ import annotations

from typing import Any

import numpy as np
from PIL import Image, ImageChops

FAINT = 32
"""Levels (of 255) below which a difference from the background is not seen."""


def ink(picture: Image.Image) -> np.ndarray:
    """Levels by which each pixel differs from the most frequent colour, in the channel where it differs most: (height,
    width), uint8."""
    picture = picture.convert("RGB")
    colours: list[tuple[int, Any]] = picture.getcolors(picture.width * picture.height) or []
    page = Image.new("RGB", picture.size, max(colours)[1])
    red, green, blue = ImageChops.difference(picture, page).split()
    return np.asarray(ImageChops.lighter(ImageChops.lighter(red, green), blue))
