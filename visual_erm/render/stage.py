"""`RenderStage`: the first half of the path, from a reply to an image beside its reference.

    reply --extract--> code --guard--> --render--> image --guard--> (reference, image)

Every reward that looks at images passes through it: the judge's, and the baselines that compare images. It is handed
extraction, guards and renderer, and knows none of them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from PIL import Image

from visual_erm.errors import boundary
from visual_erm.extract.code import Code
from visual_erm.render.base import Renderer
from visual_erm.runtime.stage_clock import StageClock
from visual_erm.vision.images import Reference, ReferenceCache

SAMPLES_PER_PAGE = 8
"""Samples under way for each page of a renderer. The first reach the judge while the last have not begun."""


class ImageGuards(Protocol):
    """What the stage asks of the guards; `visual_erm.guard.runner.GuardRunner` has it."""

    async def check_code(self, code: Code) -> frozenset[str]:
        """Checks code before it is rendered.

        Args:
            code: The code of a reply.

        Returns:
            Names of the guards that found something and let it pass.

        Raises:
            Tampering: It reads a file of the machine.
            RasterImage: It holds a picture as pixels, and the task refuses it.
        """
        ...

    async def check_image(self, reference: Image.Image, prediction: Image.Image) -> None:
        """Checks an image before it is judged.

        Args:
            reference: The reference image.
            prediction: The image of the policy's code.

        Raises:
            BlankImage: It shows next to nothing.
            TooSmall: The judge cannot read it.
        """
        ...

    async def close(self) -> None:
        """Ends what the guards started."""
        ...


@dataclass
class PartialResult:
    """How far a reply got, also when a stage failed."""

    code: Code | None = None
    image: Image.Image | None = None
    flags: frozenset[str] = frozenset()
    """Names of the guards that found something in the code and let it pass."""


class RenderStage:
    """Turns replies of one task into images beside their references. Bound to the event loop of its first sample.

    Args:
        extract: Returns the code of a reply, or raises NoCodeError or RenderLimit. It runs in a thread.
        guards: Look at the code and at both images; closed with the stage.
        renderer: Renders the code; closed with the stage.
        admission: Bounds the samples under way. Samples are admitted in the order in which they come.
    """

    def __init__(
        self, extract: Callable[[str], Code], guards: ImageGuards, renderer: Renderer, admission: asyncio.Semaphore
    ) -> None:
        self._extract = extract
        self._guards = guards
        self._renderer = renderer
        self._admission = admission
        self._references = ReferenceCache()

    @property
    def renderer_version(self) -> str:
        """Name and version of what renders."""
        return self._renderer.renderer_version

    async def render(
        self, reply: str, reference: Reference, clock: StageClock, partial: PartialResult
    ) -> tuple[Image.Image, Image.Image]:
        """Renders the code of one reply.

        Args:
            reply: The policy's reply.
            reference: The reference image.
            clock: Gets the time of each stage.
            partial: Gets code and image as soon as they are there.

        Returns:
            The reference and the image, both RGB.

        Raises:
            PolicyFault: The reply holds no code, or its code does not render.
            InfrastructureError: A stage failed that is not the policy's.
        """
        async with self._admission:
            with clock("extract"), boundary("extract"):
                code = partial.code = await asyncio.to_thread(self._extract, reply)
            with clock("guard"), boundary("guard"):
                partial.flags = await self._guards.check_code(code)
            with clock("render"), boundary("render"):
                image = partial.image = await self._renderer.render(code)
            with clock("guard"), boundary("reference"):
                shown = await self._references.load(reference)
            with clock("guard"), boundary("guard"):
                await self._guards.check_image(shown, image)
        return shown, image

    async def close(self) -> None:
        """Closes the renderer and the guards. May be called twice."""
        await asyncio.gather(self._renderer.close(), self._guards.close())
