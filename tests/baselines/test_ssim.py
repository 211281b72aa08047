"""SSIM of images of any two sizes."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, ImageDraw
from skimage.metrics import structural_similarity

from visual_erm.baselines.ssim import ssim


def picture(bars: int, size: tuple[int, int] = (200, 100)) -> Image.Image:
    image = Image.new("RGB", size, "white")
    for bar in range(bars):
        ImageDraw.Draw(image).rectangle((10 + 20 * bar, 90 - 7 * bar, 22 + 20 * bar, 90), fill=(31, 119, 180))
    return image


def test_it_is_the_librarys_figure_for_images_of_the_same_size():
    one, other = picture(5), picture(9)
    gray = [np.asarray(image.convert("L")) for image in (one, other)]
    assert ssim(one, other, 1024) == pytest.approx(structural_similarity(*gray, win_size=11, data_range=255))
    assert ssim(one, one, 1024) == 1


def test_it_falls_with_what_is_missing():
    found = [ssim(picture(bars), picture(9), 1024) for bars in (9, 8, 5, 0)]
    assert found == sorted(found, reverse=True) and found[0] == 1 > found[1]


@pytest.mark.parametrize("size", [(1, 1), (3, 900), (400, 300), (9000, 20)])
def test_images_of_any_two_sizes_share_a_canvas(size):
    assert 0 <= ssim(picture(0, size), picture(9), 256) < 1


def test_large_images_are_compared_at_the_size_that_is_asked_for():
    large, larger = picture(9, (800, 400)), picture(9, (1000, 500))
    assert ssim(large, large, 128) == 1
    assert ssim(large, larger, 128) == pytest.approx(ssim(larger, large, 128))


def test_opposites_have_nothing_in_common():
    board = Image.fromarray(np.indices((64, 64)).sum(axis=0).astype(np.uint8) % 2 * 255)
    assert ssim(board, Image.eval(board, lambda value: 255 - value), 1024) == 0
