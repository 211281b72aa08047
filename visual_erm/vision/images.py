"""Images as everything else reads them: loaded from a file, flattened on white, as gray levels, and told apart.

The pipeline loads references here, `data/` loads what it stores, and the judges and guards ask for pixels and digests.

    image = load_image(Path("reference.png"))
    gray(image)          # (height, width), uint8
    digest_of(image)     # 16 bytes
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import weakref
from hashlib import blake2b
from pathlib import Path

import numpy as np
from cachetools import LRUCache
from PIL import Image, ImageOps, UnidentifiedImageError

from visual_erm.errors import ReferenceUnavailable
from visual_erm.runtime.files import open_regular

Reference = Image.Image | bytes | Path
"""A reference image: decoded, encoded, or a file."""

REFERENCES_KEPT = 64
"""Number of decoded references that are kept; the rollouts of a group share one."""
UNREADABLE = (OSError, ValueError, SyntaxError, Image.DecompressionBombError)
"""What Pillow raises where a file cannot be read as an image; `why_unreadable` says why."""
_EXIF_ORIENTATION = 0x0112
SIXTEEN_BITS = 65535
"""The level of white in a gray image of 16 bits."""

_digests: dict[int, tuple[weakref.ref[Image.Image], bytes]] = {}
"""Digests of the images that exist, by `id`."""


def on_white(image: Image.Image) -> Image.Image:
    """Flattens an image to eight bits of red, green and blue.

    Args:
        image: An image of any mode. Transparent parts become white, whether alpha is a channel or an entry of the palette.
            Gray levels of more than eight bits (modes `I;16`, `I`, `F`) are scaled, see `eight_bits`.

    Returns:
        The image in mode RGB.

    Raises:
        ValueError: Pillow has no conversion for the mode.
    """
    if image.mode.startswith("I") or image.mode == "F":
        image = eight_bits(image)
    if image.mode == "La":
        image = image.convert("LA")  # Pillow converts premultiplied gray to nothing else
    if has_transparency(image):
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image.convert("RGB")


def has_transparency(image: Image.Image) -> bool:
    """Tells whether an image may have transparent parts.

    Args:
        image: An image of any mode.

    Returns:
        Whether alpha is a channel or an entry of the palette.
    """
    return image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info


def eight_bits(image: Image.Image) -> Image.Image:
    """Scales gray levels of more than eight bits, which Pillow's own conversion cuts off at 255.

    Args:
        image: An image in mode `I;16` (any byte order), `I` or `F`.

    Returns:
        The image in mode L. White is 65535 in mode `I;16`. In mode `I` it is 255, 65535 or the largest level, and in mode
        `F` it is 1, 255 or the largest level: the first of them that no pixel exceeds. Levels that are no number are black.
    """
    levels = np.nan_to_num(np.asarray(image).astype(np.float64), posinf=0.0, neginf=0.0)
    largest = float(levels.max(initial=0.0))
    if image.mode.startswith("I;16"):
        white = float(SIXTEEN_BITS)
    else:
        usual = (255.0, float(SIXTEEN_BITS)) if image.mode == "I" else (1.0, 255.0)
        white = next((level for level in usual if largest <= level), largest)
    return Image.fromarray(np.round(np.clip(levels / white, 0, 1) * 255).astype(np.uint8))


def scale_to_fit(size: tuple[int, int], longest_side: int) -> float:
    """Tells how much an image is scaled down so that it fits.

    Args:
        size: Width and height in pixels.
        longest_side: Largest width and height of the result in pixels.

    Returns:
        The size of the result as a share of the image's: over 0, and at most 1, because none is scaled up.
    """
    return min(longest_side / max(size), 1.0)


def gray(image: Image.Image) -> np.ndarray:
    """Returns the gray levels of an image on white.

    Args:
        image: An image of any mode.

    Returns:
        Levels from 0 (black) to 255 (white), shape (height, width), uint8.
    """
    return np.asarray(on_white(image).convert("L"))


def upright_on_white(image: Image.Image) -> Image.Image:
    """Turns an image as its EXIF orientation says, and flattens it on white.

    Args:
        image: An image as it was opened.

    Returns:
        The image in mode RGB.
    """
    return on_white(ImageOps.exif_transpose(image))


def is_upright(image: Image.Image) -> bool:
    """Tells whether an image is shown as it is stored.

    Args:
        image: An image as it was opened, or made from one.

    Returns:
        False where its EXIF orientation says that it is shown turned or mirrored.
    """
    return image.getexif().get(_EXIF_ORIENTATION, 1) <= 1


def why_unreadable(error: Exception) -> str:
    """Says why an image cannot be read.

    Args:
        error: What Pillow raised.

    Returns:
        The reason. Pillow's own names the Python object that holds the content.
    """
    if isinstance(error, UnidentifiedImageError):
        return "it is no image that Pillow reads"
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


def load_image(source: bytes | Path) -> Image.Image:
    """Loads a reference image.

    Args:
        source: The file, or its content.

    Returns:
        The image: upright, RGB, on white.

    Raises:
        ReferenceUnavailable: The file does not exist, is no regular file, or is no image that Pillow reads.
    """
    name = str(source) if isinstance(source, Path) else f"of {len(source)} bytes"
    try:
        with contextlib.ExitStack() as stack:
            file = stack.enter_context(open_regular(source)) if isinstance(source, Path) else io.BytesIO(source)
            return upright_on_white(stack.enter_context(Image.open(file)))
    except FileNotFoundError as error:
        raise ReferenceUnavailable(f"reference image {name} does not exist") from error
    except UNREADABLE as error:
        raise ReferenceUnavailable(f"reference image {name} cannot be read: {why_unreadable(error)}") from error


class ReferenceCache:
    """Keeps the decoded references of recent samples. Use it from one event loop."""

    def __init__(self) -> None:
        self._images: LRUCache[object, Image.Image] = LRUCache(REFERENCES_KEPT)

    async def load(self, reference: Reference) -> Image.Image:
        """Loads a reference in a thread, unless it is known.

        Args:
            reference: A decoded image is returned as it is, unless its EXIF orientation says that it is shown turned.

        Returns:
            The image: upright, RGB, on white.

        Raises:
            ReferenceUnavailable: See `load_image`.
        """
        if isinstance(reference, Image.Image):
            return reference if is_upright(reference) else await asyncio.to_thread(upright_on_white, reference)
        key = str(reference) if isinstance(reference, Path) else blake2b(reference, digest_size=16).digest()
        image = self._images.get(key)
        if image is None:
            image = self._images[key] = await asyncio.to_thread(load_image, reference)
        return image


def digest_of(image: Image.Image) -> bytes:
    """Returns 16 bytes that tell an image from others, from its mode, its size and its pixels.

    The digest is computed once for each object. The image must not be drawn on afterwards; a copy may.

    Args:
        image: Any image.

    Returns:
        The digest.
    """
    number = id(image)
    owner, digest = _digests.get(number, (None, b""))
    if owner is None or owner() is not image:
        hashed = blake2b(f"{image.mode}{image.size}".encode(), digest_size=16)
        hashed.update(image.tobytes())
        digest = hashed.digest()
        _digests[number] = weakref.ref(image, lambda _: _digests.pop(number, None)), digest
    return digest


def digest_of_pixels(pixels: np.ndarray) -> bytes:
    """Returns 16 bytes that tell pixels from others, for caches of what was read of them.

    Args:
        pixels: An array of any shape, uint8.

    Returns:
        The digest, of the shape and the pixels.
    """
    shape = ",".join(map(str, pixels.shape)).encode()
    return blake2b(np.ascontiguousarray(pixels).data, digest_size=16, key=shape).digest()
