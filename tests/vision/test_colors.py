"""Colors of pixels: what a channel shows and gray levels do not."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, ImageDraw

from visual_erm.vision.colors import hidden_in_gray


def drawn(text_color: str, background: str) -> np.ndarray:
    image = Image.new("RGB", (200, 80), background)
    ImageDraw.Draw(image).text((40, 30), "Both are identical", fill=text_color)
    return np.asarray(image)


@pytest.mark.parametrize(
    ("text", "background", "channels"),
    [
        ("black", "white", 0),
        ("blue", "white", 0),
        ("#777", "#fff", 0),
        ("yellow", "white", 1),
        ("cyan", "white", 1),
        ("#ff0000", "#008200", 2),
        ("white", "white", 0),
    ],
)
def test_text_that_is_as_light_as_its_background_is_cut_out(text, background, channels):
    parts = hidden_in_gray(drawn(text, background))
    assert len(parts) == channels
    assert all(part.shape < (40, 200) and part.std() > 20 for part in parts)


@pytest.mark.parametrize("size", [(1, 1), (1, 90), (90, 1)])
def test_slivers_hide_nothing(size):
    assert hidden_in_gray(np.zeros((*size, 3), np.uint8)) == []
