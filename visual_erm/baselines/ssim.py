"""SSIM: how alike two images are, pixel neighbourhood by pixel neighbourhood."""

from __future__ import annotations

import numpy as np
from PIL import Image
from skimage.metrics import structural_similarity

from visual_erm.vision.images import on_white

WINDOW = 11
"""Side of a neighborhood in pixels, as in the original; the canvas has at least as many."""


def ssim(prediction: Image.Image, reference: Image.Image, longest_side: int) -> float:
    """The mean structural similarity of two images on one canvas.

    Wang, Bovik, Sheikh and Simoncelli, "Image quality assessment: from error visibility to structural similarity" (2004),
    in the package scikit-image, of gray values, in neighbourhoods of 11 x 11 pixels. The canvas is white and as wide and as
    high as the larger of the two; both stand in its top left corner, and are scaled by the same factor where it is longer
    than `longest_side`: an image that is too small differs by what it lacks.

    Args:
        prediction: The image of the reply's code, any mode.
        reference: The reference image, any mode.
        longest_side: Pixels; a longer canvas is scaled down to it.

    Returns:
        0 to 1; negative similarities count as 0.
    """
    width, height = (max(one, other, 1) for one, other in zip(prediction.size, reference.size, strict=True))
    scale = min(1.0, longest_side / max(width, height))
    size = max(WINDOW, round(width * scale)), max(WINDOW, round(height * scale))
    placed, expected = _placed(prediction, size, scale), _placed(reference, size, scale)
    return max(0.0, float(structural_similarity(placed, expected, win_size=WINDOW, data_range=255)))


def _placed(image: Image.Image, size: tuple[int, int], scale: float) -> np.ndarray:
    """Gray values (height, width), uint8, of an image in the corner of a white canvas of `size`."""
    levels = on_white(image).convert("L")
    if scale < 1:
        smaller = max(1, round(levels.width * scale)), max(1, round(levels.height * scale))
        levels = levels.resize(smaller, Image.Resampling.BOX)
    canvas = Image.new("L", size, 255)
    canvas.paste(levels)
    return np.asarray(canvas)
