"""The guard `blank`: near-blank images. A dot, a thin line or the faintest gray is no attempt, and some judges accept it.

Exactly blank images never come this far: renderers raise BlankImage.
"""

from __future__ import annotations

import numpy as np
from PIL import Image

from visual_erm.vision.foreground import MIN_CONTRAST, foreground

NEAR_BLANK_FACTOR = 10
"""A near-blank image has fewer than 1 / NEAR_BLANK_FACTOR of the reference's foreground pixels. Sparse references stay
allowed."""


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
