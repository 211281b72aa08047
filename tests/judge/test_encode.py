"""What judgements of one group share must not fall with one of them."""

import asyncio
import base64
import io
import threading

import pytest
from PIL import Image

from visual_erm.judge import encode
from visual_erm.judge.encode import Encoder, data_url
from visual_erm.spec.task import ImageSettings
from visual_erm.vision import images
from visual_erm.vision.images import digest_of

PNG = ImageSettings(longest_side=100, format="png")


async def test_a_cancelled_judgement_leaves_the_encoding_to_the_rest_of_its_group(monkeypatch):
    go_on = threading.Event()
    monkeypatch.setattr(encode, "data_url", lambda image, form: go_on.wait(30) and data_url(image, form))
    encoder = Encoder()
    busy = [Image.new("RGB", (40, 40), (shade, 0, 0)) for shade in range(encode.THREADS)]
    shared = Image.new("RGB", (40, 40), "white")
    try:
        *others, cancelled, last = (
            asyncio.create_task(encoder.reference(image, PNG)) for image in (*busy, shared, shared.copy())
        )
        while (digest_of(shared), PNG) not in encoder._encoding:
            await asyncio.sleep(0.01)
        cancelled.cancel()
        await asyncio.gather(cancelled, return_exceptions=True)
        go_on.set()
        assert await last == data_url(shared, PNG)
        await asyncio.gather(*others)
    finally:
        go_on.set()
        encoder.close()


def test_a_digest_tells_images_apart_and_goes_with_its_image():
    white, gray = Image.new("RGB", (40, 40), "white"), Image.new("RGB", (40, 40), "grey")
    assert digest_of(white) == digest_of(white) == digest_of(white.copy()) != digest_of(gray)
    assert digest_of(white.resize((20, 80))) != digest_of(white) != digest_of(white.convert("L"))
    held = len(images._digests)
    assert all(digest_of(Image.new("RGB", (4, 4), (shade, 0, 0))) for shade in range(100))
    assert len(images._digests) <= held + 1, "of images that are gone nothing is kept"
    again = {digest_of(Image.new("RGB", (4, 4), (shade, 0, 0))) for shade in range(100)}
    assert len(again) == 100, "an image in the place of one that is gone has its own digest"


def noise(width: int, height: int) -> Image.Image:
    return Image.effect_noise((width, height), 90).convert("RGB")


def decoded(url: str) -> bytes:
    return base64.b64decode(url.partition(",")[2])


@pytest.mark.parametrize("image_format", ["png", "jpeg"])
@pytest.mark.parametrize("size", [(1536, 500), (333, 1001), (2000, 1999), (300, 200)])
def test_published_images_are_pillows_thumbnails(size, image_format):
    """The published code calls `thumbnail` and `save` of Pillow without further arguments."""
    image, expected = noise(*size), io.BytesIO()
    before, small = image.copy(), image.copy()
    small.thumbnail((768, 768))
    small.save(expected, "JPEG")
    form = ImageSettings(longest_side=768, format=image_format, encoding="published")
    found = decoded(data_url(image, form))
    if image_format == "jpeg":
        assert found == expected.getvalue()
    with Image.open(io.BytesIO(found)) as opened:
        assert opened.size == small.size
        assert image_format == "jpeg" or opened.tobytes() == small.tobytes()
    assert image.tobytes() == before.tobytes(), "the image itself stays as it is"


def test_images_differ_by_encoding_only_where_they_are_scaled_or_jpeg():
    large, small = noise(900, 400), noise(90, 40)
    urls = {
        (side, image_format): {
            data_url(image, ImageSettings(longest_side=768, format=image_format, encoding=encoding))
            for encoding in ("default", "published")
        }
        for side, image in (("large", large), ("small", small))
        for image_format in ("png", "jpeg")
    }
    assert {case: len(found) for case, found in urls.items()} == {
        ("large", "png"): 2,
        ("large", "jpeg"): 2,
        ("small", "png"): 1,
        ("small", "jpeg"): 2,
    }
