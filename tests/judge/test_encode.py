"""What judgements of one group share must not fall with one of them."""

import asyncio
import threading

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
