"""Images of every mode are read as a viewer shows them: 8 bits, upright, transparent parts on white."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from visual_erm.data.images import read_image
from visual_erm.errors import ConfigError, ReferenceUnavailable
from visual_erm.vision.images import ReferenceCache, digest_of, gray, load_image, on_white

RAMP = np.linspace(0, 1, 256)[None].repeat(8, axis=0)


def stored(image: Image.Image, form: str = "PNG", **more: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, form, **more)
    return buffer.getvalue()


def assert_ramp(image: Image.Image) -> None:
    assert image.mode == "RGB"
    levels = np.asarray(image.convert("L")).astype(int)
    assert abs(levels - np.arange(256)).max() <= 1


@pytest.mark.parametrize(
    "image",
    [
        Image.fromarray((RAMP * 65535).astype(np.uint16)),
        Image.fromarray((RAMP * 65535).astype(np.int32)),
        Image.fromarray((RAMP * 255).astype(np.int32)),
        Image.fromarray(RAMP.astype(np.float32)),
        Image.fromarray((RAMP * 255).astype(np.float32)),
        Image.fromarray((RAMP * 4000).astype(np.float32)),
        Image.fromarray((RAMP * 255).round().astype(np.uint8)),
    ],
    ids=["I;16", "I of 16 bits", "I of 8 bits", "F to 1", "F to 255", "F to 4000", "L"],
)
def test_gray_levels_of_every_depth_keep_their_ramp(image: Image.Image) -> None:
    assert_ramp(on_white(image))
    assert abs(gray(image).astype(int) - np.arange(256)).max() <= 1


def test_a_gray_file_of_16_bits_is_no_white_image(tmp_path: Path) -> None:
    content = stored(Image.fromarray((RAMP * 65535).astype(np.uint16)))
    assert_ramp(load_image(content))
    (tmp_path / "deep.png").write_bytes(content)
    kept, image = read_image(tmp_path / "deep.png")
    assert_ramp(image)
    assert_ramp(load_image(kept))


def test_levels_that_are_no_number_are_black() -> None:
    levels = np.array([[np.nan, np.inf, -np.inf, 1.0]], np.float32).repeat(8, axis=0)
    assert gray(Image.fromarray(levels))[0].tolist() == [0, 0, 0, 255]


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_what_is_transparent_is_white(mode: str) -> None:
    image = Image.new("RGBA", (4, 4), (0, 0, 0, 0))
    image.paste((0, 0, 0, 255), (0, 0, 2, 4))
    if mode == "P":
        image = image.quantize()
        image = Image.open(io.BytesIO(stored(image)))
    else:
        image = image.convert(mode)
    assert gray(image)[0].tolist() == [0, 0, 255, 255]


def test_cmyk_and_one_bit_are_read() -> None:
    cmyk = load_image(stored(Image.new("RGB", (16, 16), (250, 20, 20)).convert("CMYK"), "JPEG", quality=95))
    red, green, blue = cmyk.getpixel((8, 8))
    assert red > 200
    assert max(green, blue) < 60
    assert load_image(stored(Image.new("1", (3, 3), 1))).getpixel((1, 1)) == (255, 255, 255)


def test_a_turned_photograph_is_upright() -> None:
    image = Image.new("RGB", (32, 16), "white")
    image.paste("black", (0, 0, 16, 16))
    exif = image.getexif()
    exif[0x0112] = 6
    upright = load_image(stored(image, "JPEG", quality=95, exif=exif))
    assert upright.size == (16, 32)
    assert gray(upright)[4, 8] < 50
    assert gray(upright)[28, 8] > 200


def test_a_file_that_is_no_image_is_our_failure(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"no image")
    with pytest.raises(ReferenceUnavailable, match="cannot be read"):
        load_image(tmp_path / "a.png")
    with pytest.raises(ReferenceUnavailable, match="does not exist"):
        load_image(tmp_path / "b.png")


@pytest.mark.parametrize("content", [b"not an image", b"<svg/>", b"\x89PNG\r\n\x1a\n", b"GIF89a"])
def test_why_an_image_cannot_be_read_names_no_object_of_python(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "reference.png").write_bytes(content)
    for load in (lambda: load_image(content), lambda: load_image(tmp_path / "reference.png")):
        with pytest.raises(ReferenceUnavailable) as caught:
            load()
        assert " object at " not in str(caught.value)
        assert str(caught.value).endswith("cannot be read: it is no image that Pillow reads")
    with pytest.raises(ConfigError, match=r"not a readable image \(it is no image that Pillow reads\)"):
        read_image(tmp_path / "reference.png")


@pytest.mark.parametrize("orientation", [2, 3, 6, 8])
@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "TIFF"])
async def test_an_opened_image_that_is_shown_turned_is_turned(form: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    content = stored(Image.linear_gradient("L").resize((40, 20)).convert("RGB"), form, exif=exif)
    expected = load_image(content)
    for opened in (Image.open(io.BytesIO(content)), Image.open(io.BytesIO(content)).convert("RGB")):
        assert (await ReferenceCache().load(opened)).tobytes() == expected.tobytes()
    assert await ReferenceCache().load(expected) is expected


async def test_a_group_decodes_its_reference_once(tmp_path: Path) -> None:
    Image.new("RGB", (3, 3), "red").save(tmp_path / "a.png")
    cache = ReferenceCache()
    first = await cache.load(tmp_path / "a.png")
    assert await cache.load(tmp_path / "a.png") is first


def test_equal_images_have_equal_digests_whatever_object_they_are() -> None:
    one, other = Image.new("RGB", (3, 3), "red"), Image.new("RGB", (3, 3), "red")
    assert digest_of(one) == digest_of(other) != digest_of(Image.new("RGB", (3, 3), "blue"))
