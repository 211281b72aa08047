"""What stands out from the background of an image."""

from __future__ import annotations

import time

import numpy as np
import pytest
from PIL import Image

from visual_erm.vision import foreground as module
from visual_erm.vision.foreground import foreground


def noise(side: int, levels: int = 256) -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(0, levels, (side, side, 3)).astype(np.uint8))


@pytest.mark.parametrize("image", [noise(40), noise(40, 3), Image.new("RGB", (5, 7), "navy"), noise(1)])
def test_both_ways_to_count_colors_find_the_same_background(image, monkeypatch):
    few = foreground(image)
    monkeypatch.setattr(module, "FEW_COLORS", 0)
    assert (foreground(image) == few).all()


def test_noise_of_sixteen_megapixels_is_counted_in_seconds():
    image = noise(4000)
    start = time.thread_time()
    foreground(image)
    assert time.thread_time() - start < 5
