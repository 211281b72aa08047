"""Stands for a trainer that has SVG drawn, as `trainer.py` does for scripts.

python svg_trainer.py unprotected|bubblewrap|alone report.json
"""

from __future__ import annotations

import asyncio
import ctypes
import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

from on_svg import ON_SVG, Document, svg
from PIL import Image
from trainer import LAYERS, WORKERS, listing, servers, staying
from unprotected import Died, NeverEnds, Raised, Unprotected
from world import World

from visual_erm.errors import PolicyFault, VisualERMError
from visual_erm.sandbox.bubblewrap import missing_layers
from visual_erm.sandbox.host import Limits, Sandbox
from visual_erm.spec.sandbox import SandboxSettings

SIDE = 100
TIME_S = 0.5
ENDLESS_AFTER_S = 1.5
"""Seconds after which a document without isolation that wins by not ending has won."""
LIMIT_S = 60.0
"""Seconds within which any other document without isolation has ended."""
LIBRARIES = ("librsvg", "cairosvg")
HONEST = [svg(f'<rect width="{3 * number + 9}" height="50" fill="#{number * 9999:06x}"/>') for number in range(12)]


class SvgTrainer:
    """Has everything rendered in one sandbox for each library, or by a runner without isolation."""

    def __init__(self, isolation: str, world: World) -> None:
        self._world = world
        self.inside = isolation != "unprotected"
        settings = SandboxSettings(layers=("bubblewrap", *LAYERS) if isolation == "bubblewrap" else LAYERS)
        limits = Limits(TIME_S, SIDE * SIDE)
        size = {"width": SIDE, "height": SIDE, "background": "white"}
        self.sandboxes = {
            library: Sandbox("svg", {**size, "backend": library}, settings, limits, WORKERS) for library in LIBRARIES
        }
        greedy = Path(__file__).with_name("greedy.py")
        self.sandboxes["greedy"] = Sandbox(greedy, {}, settings, limits, WORKERS)
        self._unprotected = Unprotected(str(world.folder), WORKERS)

    async def attack(self, document: Document, number: int) -> dict[str, str]:
        """Won by what, with each library; empty where it did not."""
        facts = self._world.facts(document, number, self.inside)
        text = document.write(facts)
        if self.inside:
            libraries = ("greedy",) if document.library == "greedy" else LIBRARIES
            results = await asyncio.gather(*(self._drawn(self.sandboxes[library].render(text)) for library in libraries))
            return dict(zip(libraries, results, strict=True))
        if document.library == "greedy":
            script = f"import greedy\ngreedy.render({text!r}, {{}})"
        else:
            script = f"import naive_svg\nnaive_svg.answer({text!r}, {document.library!r})"
        unavailable_timeout_s = ENDLESS_AFTER_S if document.endless else LIMIT_S
        try:
            return {
                document.library: await self._drawn(
                    self._unprotected.render(script, unavailable_timeout_s=unavailable_timeout_s)
                )
            }
        except NeverEnds:
            return {document.library: "it did not end" if document.endless else ""}
        except (Died, Raised):
            return {document.library: ""}

    async def _drawn(self, drawing: Any) -> str:
        try:
            image = await drawing
        except PolicyFault:
            return ""
        except VisualERMError as error:
            return f"not the code's fault: {error}"
        return "a file is in the picture" if self._shows_the_secret(image) else ""

    def _shows_the_secret(self, image: Image.Image) -> bool:
        return any(color == self._world.color for _, color in image.getcolors(image.width * image.height) or [])

    async def honest(self) -> list[str]:
        images = []
        for text in HONEST:
            for library in LIBRARIES:
                await asyncio.sleep(0.02)
                try:
                    images.append(str(hash((await self.sandboxes[library].render(text)).tobytes())))
                except VisualERMError as error:
                    images.append(repr(error))
        for level in range(0, 250, 50):
            images.append(str(hash((await self.sandboxes["greedy"].render(str(level))).tobytes())))
        return images


async def main(isolation: str) -> dict[str, Any]:
    if isolation == "bubblewrap" and (lacks := missing_layers()["bubblewrap"]):
        return {"lacks": lacks}
    before = listing()
    world = World(Path(tempfile.mkdtemp(prefix="world-")), os.environ["JUDGE_API_KEY"])
    await world.open()
    trainer = SvgTrainer(isolation, world)
    calm = await trainer.honest() if trainer.inside else []
    begun_with = [process.pid for process in servers()]
    attacks = [asyncio.ensure_future(trainer.attack(document, number)) for number, document in enumerate(ON_SVG)]
    among = await trainer.honest() if trainer.inside else []
    won = await asyncio.gather(*attacks)
    after = await trainer.honest() if trainer.inside else []
    traces = [world.trace_of(document, number) for number, document in enumerate(ON_SVG)]
    ended_with = [process.pid for process in servers()]
    for sandbox in trainer.sandboxes.values():
        await sandbox.close()
    await world.close()
    return {
        "won": {
            document.name: {**by_library, "trace": trace}
            for document, by_library, trace in zip(ON_SVG, won, traces, strict=True)
        },
        "calm": calm,
        "among": among,
        "after": after,
        "server_lives": begun_with == ended_with,
        "strays": [" ".join(process.cmdline()) or process.name() for process in staying()],
        "files": sorted(set(listing()) - set(before)),
    }


if __name__ == "__main__":
    set_child_subreaper = 36
    ctypes.CDLL(None).prctl(set_child_subreaper, 1, 0, 0, 0)
    Path(sys.argv[2]).write_text(json.dumps(asyncio.run(main(sys.argv[1]))))
