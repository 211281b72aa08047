"""The guard `blank`: images of one color, and near-blank ones. A dot, a thin line or the faintest gray is no attempt.

Some judges accept such images. Code that paints nothing at all never comes this far: its renderer raises BlankImage. An
image of one color may be right, for a reference of one color.
"""

from __future__ import annotations

import numpy as np
from PIL import Image

from visual_erm.vision.foreground import MIN_CONTRAST, foreground

NEAR_BLANK_FACTOR = 10
"""A near-blank image has fewer than 1 / NEAR_BLANK_FACTOR of the reference's foreground pixels. Sparse references stay
allowed."""


def is_blank(reference: Image.Image, prediction: Image.Image) -> bool:
    """Tells whether a prediction is of one color and its reference is not.

    Args:
        reference: The reference image, RGB.
        prediction: The image that the policy's code rendered, RGB.

    Returns:
        Whether the prediction has one color, and the reference more.

    >>> red, blue = (Image.new("RGB", (9, 9), color) for color in ("red", "blue"))
    >>> is_blank(red, blue)
    False
    """
    return bool(prediction.getcolors(1)) and not reference.getcolors(1)


def is_near_blank(reference: Image.Image, prediction: Image.Image, share: float) -> bool:
    """Tells whether a prediction shows next to nothing where the reference shows something.

    Args:
        reference: The reference image.
        prediction: The image that the policy's code rendered.
        share: Share of the page, 0 to 1, that a prediction must cover with foreground. The page is the larger of both
            images, because an image may be cropped to its content.

    Returns:
        Whether the prediction covers less than `share` of the page, and hardly any of what the reference covers.
    """
    covered = int(np.count_nonzero(foreground(prediction) >= MIN_CONTRAST))
    page = max(reference.width * reference.height, prediction.width * prediction.height)
    return covered < share * page and covered * NEAR_BLANK_FACTOR < int(
        np.count_nonzero(foreground(reference) >= MIN_CONTRAST)
    )
