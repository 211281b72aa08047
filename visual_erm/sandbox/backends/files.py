"""The files of a script: images it saves, filled when it looks at them, and images it has no business to read.

What counts is the image of a figure, not a file, and packing pixels into one takes time: a file that the script saves is
made at once, and its contents follow when the script opens it or asks for its size. The sandbox's isolation keeps a script
from what it may not read; this module only notices that it tried.
"""

from __future__ import annotations

import base64
import contextlib
import functools
import gzip
import io
import os
import sys
import sysconfig
from collections.abc import Callable
from typing import Any

import numpy as np
from PIL import Image

Pixels = np.ndarray
"""An image as the renderer leaves it: height x width x 4 bytes, red, green, blue and how opaque."""
SUFFIXES = (
    *(
        ".png",
        ".apng",
        ".jpg",
        ".jpeg",
        ".jpe",
        ".jfif",
        ".gif",
        ".bmp",
        ".webp",
        ".avif",
        ".heic",
        ".tif",
        ".tiff",
        ".ico",
    ),
    *(".svg", ".svgz", ".pdf", ".ps", ".eps", ".ppm", ".pgm", ".pbm", ".pnm", ".tga", ".jp2", ".parquet"),
)
"""Of files that hold images, data sets of them included."""
PACKAGES = tuple(
    os.path.realpath(sysconfig.get_path(name)) + os.sep for name in ("stdlib", "platstdlib", "purelib", "platlib")
)
"""Folders of Python and what is installed: images there belong to the libraries."""
_PRINTED = {"pdf": "PDF", "eps": "EPS", "ps": "EPS"}
"""Kinds of files for printing, and what Pillow calls them."""
_SVG = (
    '<?xml version="1.0" encoding="utf-8"?>\n'
    '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" version="1.1"'
)
MAX_WAITING = 4
"""Number of files whose contents are kept until they are read; beyond it the oldest is written."""


_follow, _decode, _is_there = os.path.realpath, os.fsdecode, os.path.lexists
"""As they were before a script could put others in their place."""


class Files:
    """Watches what the script of this process opens; from `watch` on, for good."""

    def __init__(self) -> None:
        self.reached = ""
        """The first image that the script tried to read and that was none of its own; empty when there was none."""
        self._waiting: dict[str, Callable[[], bytes]] = {}
        self._made: set[str] = set()
        self._allowed = (*PACKAGES, _real(os.curdir) + os.sep)

    def watch(self) -> None:
        """Sees every file that Python opens, and fills a saved image when its size is asked for. No way back."""
        opened, moved = self._opened, self._fill

        def hook(event: str, arguments: tuple[Any, ...]) -> None:
            if event == "open":
                opened(*arguments)
            elif event == "os.rename":
                moved(_real(arguments[0]))

        sys.addaudithook(hook)
        stat, waiting = os.stat, self._waiting

        @functools.wraps(stat)
        def filled(path: Any, *args: Any, **settings: Any) -> os.stat_result:
            if waiting:
                moved(_real(path))
            return stat(path, *args, **settings)

        os.stat = filled

    def save(self, file: Any, kind: str, image: Pixels, vector: Callable[[], bytes] | None = None) -> None:
        """Does what `savefig` promises: writes an image, where that is possible.

        Args:
            file: A path, or an object with `write`.
            kind: Format of the file, for example `png`.
            image: The image, RGBA, shape (height, width, 4).
            vector: Returns what is written, or nothing if that is the image alone.
        """
        pack = functools.partial(_packed, kind, image, vector)
        if isinstance(file, str | os.PathLike):
            with contextlib.suppress(OSError, ValueError), open(file, "wb") as made:  # noqa: PTH123
                self._waiting[_real(made.name)] = pack
            if len(self._waiting) > MAX_WAITING:
                self._fill(next(iter(self._waiting)))
        elif hasattr(file, "write"):
            content = pack()
            with contextlib.suppress(OSError, ValueError, TypeError):
                file.write(content.decode() if kind == "svg" and isinstance(file, io.TextIOBase) else content)

    def _opened(self, path: Any, mode: str | None, flags: int) -> None:
        real = _real(path)
        if not real:
            return
        if flags & os.O_ACCMODE == os.O_WRONLY or flags & os.O_TRUNC:
            self._waiting.pop(real, None)
            if not _is_there(real):
                self._made.add(real)
            return
        self._fill(real)
        if (
            not self.reached
            and real.lower().endswith(SUFFIXES)
            and not (real in self._made or real.startswith(self._allowed))
        ):
            self.reached = real

    def _fill(self, path: str) -> None:
        if path in self._waiting:
            pack = self._waiting.pop(path)
            with contextlib.suppress(OSError), open(path, "wb") as file:  # noqa: PTH123
                file.write(pack())


def _real(path: Any) -> str:
    """Where `path` leads, links followed; empty for a descriptor."""
    return _follow(_decode(path)) if isinstance(path, str | bytes | os.PathLike) else ""


def _packed(kind: str, image: Pixels, vector: Callable[[], bytes] | None) -> bytes:
    """What a file holds: `vector`, or else `image` as pixels where matplotlib writes them so, else in SVG, PDF or PNG."""
    if vector is not None:
        with contextlib.suppress(Exception):
            if content := vector():
                return content
    if kind in ("raw", "rgba"):
        return image.tobytes()
    packed = io.BytesIO()
    whole = Image.fromarray(image)
    if kind in _PRINTED:
        whole.convert("RGB").save(packed, _PRINTED[kind])
        return packed.getvalue()
    whole.save(packed, "png", compress_level=1)
    if kind not in ("svg", "svgz"):
        return packed.getvalue()
    encoded = base64.b64encode(packed.getvalue()).decode()
    size = f'width="{whole.width}" height="{whole.height}"'
    svg = f'{_SVG} {size}><image {size} xlink:href="data:image/png;base64,{encoded}"/></svg>\n'.encode()
    return gzip.compress(svg, 1) if kind == "svgz" else svg
