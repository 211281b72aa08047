"""Image files: read strictly, scaled for the policy, kept beside the data set under the hash of what is in them."""

from __future__ import annotations

import io
from hashlib import blake2b
from pathlib import Path

from PIL import Image, ImageOps

from visual_erm.errors import ConfigError
from visual_erm.vision.colors import on_white

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff")
"""Files that count as images in a folder."""
MAX_RATIO = 200
"""Of the longer to the shorter side: the processor of Qwen-VL models takes no more."""


def read_image(path: Path) -> tuple[bytes, Image.Image]:
    """A image as it is to be stored, and decoded: upright, RGB, on white where it was transparent.

    A file that already is that (PNG or JPEG) is stored byte for byte, any other as PNG.
    Raises ConfigError that says what is wrong with the file.
    """
    try:
        content = path.read_bytes()
        with Image.open(io.BytesIO(content)) as opened:
            opened.load()
            as_it_is = (
                opened.format in ("PNG", "JPEG") and opened.mode in ("RGB", "L") and not opened.getexif().get(0x0112, 1) > 1
            )
            as_it_is = as_it_is and "transparency" not in opened.info
            upright = ImageOps.exif_transpose(opened)
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such picture") from None
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise ConfigError(f"{path}: not a readable picture ({error}); save it anew, or take it out") from error
    image = on_white(upright)
    if max(image.size) > MAX_RATIO * min(image.size):
        raise ConfigError(f"{path}: {image.width}x{image.height} is too long for vision models; cut it into parts")
    return (content if as_it_is else encode(image)), image


def scale_down(image: Image.Image, longest_side: int) -> Image.Image:
    """`image` with its longest side at most `longest_side` pixels."""
    factor = min(longest_side / max(image.size), 1)
    return image.resize(
        (max(round(image.width * factor), 1), max(round(image.height * factor), 1)), Image.Resampling.LANCZOS
    )


def encode(image: Image.Image) -> bytes:
    """`image` as PNG."""
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def keep(folder: Path, content: bytes) -> Path:
    """The file in `folder` that holds `content`, written if it is not there: same content, same file."""
    suffix = ".png" if content.startswith(b"\x89PNG") else ".jpg"
    path = folder / f"{blake2b(content, digest_size=10).hexdigest()}{suffix}"
    if not path.exists():
        write_whole(path, content)
    return path


def write_whole(path: Path, content: bytes) -> None:
    """Writes a file that is either whole or not there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.partial")
    try:
        partial.write_bytes(content)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
