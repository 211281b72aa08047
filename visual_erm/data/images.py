"""Image files of a data set: read strictly, scaled for the policy, and stored beside the parquet under their hash.

`rows` reads every reference through this module before it writes a row.

    content, image = read_image(Path("scan.png"))
    path = store_by_hash(Path("data/images"), content)
"""

from __future__ import annotations

import io
from hashlib import blake2b
from pathlib import Path

from PIL import Image

from visual_erm.errors import ConfigError
from visual_erm.runtime.files import open_regular, write_atomic
from visual_erm.vision.images import UNREADABLE, is_upright, upright_on_white, why_unreadable

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff")
"""Suffixes of the files that count as images in a folder, in lower case."""
MAX_RATIO = 200
"""Largest ratio of the longer to the shorter side; the processor of Qwen-VL models accepts no more."""


def read_image(path: Path) -> tuple[bytes, Image.Image]:
    """Reads an image as it is to be stored: upright, RGB, and on white where it was transparent.

    Args:
        path: An image file that Pillow reads.

    Returns:
        The content to store and the decoded image. The content is the file's own, byte for byte, where the file already is
        an upright, opaque PNG or JPEG of 8 bits per channel. Otherwise the content is a new PNG.

    Raises:
        ConfigError: The file is missing, is no regular file or readable image, or is too long and narrow for vision models.
    """
    try:
        with open_regular(path) as file:
            content = file.read()
        with Image.open(io.BytesIO(content)) as opened:
            opened.load()
            is_plain = (
                opened.format in ("PNG", "JPEG") and opened.mode in ("RGB", "L") and "transparency" not in opened.info
            )
            stored_upright = is_upright(opened)
            image = upright_on_white(opened)
    except FileNotFoundError:
        raise ConfigError(f"{path}: there is no such image") from None
    except UNREADABLE as error:
        raise ConfigError(f"{path}: not a readable image ({why_unreadable(error)}); save it again, or remove it") from error
    if max(image.size) > MAX_RATIO * min(image.size):
        raise ConfigError(f"{path}: {image.width}x{image.height} is too long for vision models; cut it into parts")
    return (content if is_plain and stored_upright else encode(image)), image


def scale_down(image: Image.Image, longest_side: int) -> Image.Image:
    """Scales an image down, never up, and keeps its proportions.

    Args:
        image: Any image.
        longest_side: Largest width and height of the result in pixels.

    Returns:
        The scaled image, at least one pixel wide and high.
    """
    factor = min(longest_side / max(image.size), 1)
    return image.resize(
        (max(round(image.width * factor), 1), max(round(image.height * factor), 1)), Image.Resampling.LANCZOS
    )


def encode(image: Image.Image) -> bytes:
    """Encodes an image without loss.

    Args:
        image: Any image.

    Returns:
        The content of a PNG file.
    """
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def store_by_hash(folder: Path, content: bytes) -> Path:
    """Stores an encoded image under the hash of its content, so that equal images share one file.

    Args:
        folder: Folder of the images. It is created where it is missing.
        content: A PNG or JPEG file.

    Returns:
        The file that holds `content`. It is not written again where it exists.
    """
    suffix = ".png" if content.startswith(b"\x89PNG") else ".jpg"
    path = folder / f"{blake2b(content, digest_size=10).hexdigest()}{suffix}"
    if not path.exists():
        write_atomic(path, content)
    return path
