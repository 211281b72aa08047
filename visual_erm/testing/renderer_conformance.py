"""What every renderer must do, as one function that any renderer can be run against.

    await check_renderer(lambda: MyRenderer(settings, 2, False), good=Code("mine", "…"), broken=Code("mine", "…"))

A new kind of code calls it from its own tests.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Callable
from pathlib import Path

import psutil

from visual_erm.errors import PolicyFault, RendererUnavailable
from visual_erm.extract import Code
from visual_erm.render.base import Renderer

CONCURRENT = 6
"""Renders of the same code at the same time."""


async def check_renderer(make: Callable[[], Renderer], good: Code, broken: Code) -> None:
    """Checks what the protocol `Renderer` promises.

    Args:
        make: Makes a fresh renderer; called once.
        good: Code that has an image.
        broken: Code that is at fault and has none.

    Raises:
        AssertionError: The first promise that does not hold, in words.
    """
    processes, files = _processes(), _files()
    renderer = make()
    assert _processes() <= processes, "a process was started before the first render"
    assert renderer.renderer_version.strip(), "renderer_version is empty"
    try:
        images = await asyncio.gather(*(renderer.render(good) for _ in range(CONCURRENT)), renderer.render(good))
        again = await renderer.render(good)
        assert {image.mode for image in images} == {"RGB"}, "an image is not RGB"
        assert {(image.size, image.tobytes()) for image in (*images, again)} == {(again.size, again.tobytes())}, (
            "the same code gave other pixels"
        )
        try:
            await renderer.render(broken)
        except PolicyFault as fault:
            assert str(fault), "the fault has no reason"
        except RendererUnavailable as error:
            raise AssertionError(f"broken code was held against the infrastructure: {error}") from error
        else:
            raise AssertionError("broken code has an image")
        after = await renderer.render(good)
        assert after.tobytes() == again.tobytes(), "broken code changed what is rendered after it"
    finally:
        await renderer.close()
    await renderer.close()
    assert _processes() <= processes, "a process is left after close"
    assert _files() <= files, "a temporary file is left after close"


def _processes() -> set[psutil.Process]:
    return set(psutil.Process().children(recursive=True))


def _files() -> set[Path]:
    return set(Path(tempfile.gettempdir()).iterdir())
