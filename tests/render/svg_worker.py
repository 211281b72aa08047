"""A worker of the SVG backend without isolation: a process of its own, light enough to start in a moment."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from typing import Any

from PIL import Image

from visual_erm.sandbox.backends import svg, svg_document
from visual_erm.sandbox.outcome import RenderingFailed

SIZE = 336


def options(backend: str, **changes: Any) -> dict[str, Any]:
    return {"backend": backend, "width": SIZE, "height": SIZE, "background": "white"} | changes


def start(backend: str, folder: str, bounds: Mapping[str, int] | None = None) -> ProcessPoolExecutor:
    """A pool of the one worker; `folder` is its server's temporary one. `bounds`: constants of `svg_document` to change."""
    spawn = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(1, mp_context=spawn, initializer=_begin, initargs=(backend, folder, bounds or {}))


def draw(pool: ProcessPoolExecutor, backend: str, code: str, **changes: Any) -> Image.Image:
    """The image that the worker draws. Raises RenderingFailed as it does."""
    answer = pool.submit(_outcome, code, options(backend, **changes)).result(timeout=60)
    if len(answer) == 2:
        raise RenderingFailed(*answer)
    return Image.frombytes("RGB", answer[:2], answer[2])


def _begin(backend: str, folder: str, bounds: Mapping[str, int]) -> None:
    os.environ["TMPDIR"] = folder
    svg.warm(options(backend))
    svg.enter(options(backend))
    for name, value in bounds.items():
        assert hasattr(svg_document, name)
        setattr(svg_document, name, value)


def _outcome(code: str, settings: dict[str, Any]) -> Any:
    """Width, height and pixels, or the fault and its reason."""
    try:
        drawing = svg.render(code, settings)
    except RenderingFailed as failure:
        return failure.fault, str(failure)
    return drawing.width, drawing.height, drawing.rgb
