"""A judge that has nothing to say about images that plainly differ: how alike they are, and the severity that follows.

Likeness is structural similarity (SSIM) of thumbnails of what stands out from the background, cut to it and laid over each
other at their best. It is blind to size, margins, small shifts, anti-aliasing, compression and single characters: for
those there is the judge. What it sees is whether ink lies where ink should lie.
"""

from __future__ import annotations

import numpy as np
from PIL import Image
from scipy import ndimage

from visual_erm.vision.foreground import MIN_CONTRAST, ink

SIDE = 32
"""Pixels of the longer side of a thumbnail: lines of text become gray, cells and bars stay apart."""
SHIFT = 2
"""Pixels of a thumbnail by which it may be moved to fit better."""
WINDOW = 1.0
"""Standard deviation, in pixels of a thumbnail, of the neighbourhood that is compared."""
BARE = 0.02
"""Share of full ink up to which a neighbourhood is bare."""
LUMINANCE, CONTRAST = 0.01**2, 0.03**2
"""The constants of SSIM."""


def severity_floor(likeness: float, floor: float, worst: float) -> float:
    """The least severity of two pictures: 0 from `floor` on, and from there in proportion up to half of `worst`.

    >>> severity_floor(0.3, floor=0.4, worst=50)
    6.25
    """
    return round(max(0.0, 1 - max(likeness, 0.0) / floor) * worst / 2, 2)


def likeness(reference: Image.Image, prediction: Image.Image) -> float:
    """How alike two images look from afar: 1 for the same, about 0 for nothing in common."""
    ours, theirs = _standing_out(reference), _standing_out(prediction)
    scale = SIDE / max(ours.size)
    size = (max(4, round(ours.width * scale)), max(4, round(ours.height * scale)))
    still = _thumbnail(ours, size)
    moving = np.pad(_thumbnail(theirs, size), SHIFT)
    height, width = still.shape
    moves = [(down, right) for down in range(2 * SHIFT + 1) for right in range(2 * SHIFT + 1)]
    return max(_ssim(still, moving[down : down + height, right : right + width]) for down, right in moves)


def _standing_out(image: Image.Image) -> Image.Image:
    levels = ink(image)
    seen = levels >= MIN_CONTRAST
    rows, columns = np.flatnonzero(seen.any(axis=1)), np.flatnonzero(seen.any(axis=0))
    if len(rows):
        levels = levels[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    return Image.fromarray(levels)


def _thumbnail(image: Image.Image, size: tuple[int, int]) -> np.ndarray:
    return np.asarray(image.resize(size, Image.Resampling.BOX), dtype=float) / 255


def _ssim(a: np.ndarray, b: np.ndarray) -> float:
    """Mean structural similarity (Wang et al., 2004) where either shows something: bare ground is alike in all images."""

    def near(values: np.ndarray) -> np.ndarray:
        return ndimage.gaussian_filter(values, WINDOW)

    mean_a, mean_b = near(a), near(b)
    spread = near(a * a) - mean_a**2 + near(b * b) - mean_b**2
    together = near(a * b) - mean_a * mean_b
    light = (2 * mean_a * mean_b + LUMINANCE) / (mean_a**2 + mean_b**2 + LUMINANCE)
    inked = np.maximum(mean_a, mean_b) > BARE
    return float(np.mean((light * (2 * together + CONTRAST) / (spread + CONTRAST))[inked])) if inked.any() else 1.0
