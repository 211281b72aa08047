"""Near-blank images: a dot, a hair or the faintest gray is no attempt, and some judges find nothing wrong with it.

Exactly blank ones never come this far: renderers raise BlankImage.
"""

from __future__ import annotations

import numpy as np
from PIL import Image

from visual_erm.vision.foreground import MIN_CONTRAST, ink

SPARSER = 10
"""A near-blank image holds less than one in so many of the reference's inked pixels: a sparse reference is no blame."""


def is_near_blank(reference: Image.Image, prediction: Image.Image, share: float) -> bool:
    """Whether what the prediction shows covers less than `share` of the page, and hardly any of what the reference covers.

    The page is the larger of both images: the frame of a image that is cropped to its content says nothing.
    """
    theirs = int(np.count_nonzero(ink(prediction) >= MIN_CONTRAST))
    page = max(reference.width * reference.height, prediction.width * prediction.height)
    return theirs < share * page and theirs * SPARSER < int(np.count_nonzero(ink(reference) >= MIN_CONTRAST))
