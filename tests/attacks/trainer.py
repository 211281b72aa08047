"""Stands for a trainer: its environment and memory hold secrets, it has scripts drawn, hostile and honest ones together.

    python trainer.py unprotected|bubblewrap|alone report.json

Reports what came of each attack and what was left after all of them. A process of its own, so that it can be that of
another user.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import json
import os
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psutil
from attack import Attack, loot_of
from every import EVERY
from on_results import BY_HAND
from PIL import Image
from unprotected import Died, NeverEnds, Raised, Unprotected
from world import World

from visual_erm.errors import PolicyFault, VisualERMError
from visual_erm.sandbox.bubblewrap import missing_layers
from visual_erm.sandbox.host import Limits, Sandbox
from visual_erm.spec.sandbox import SandboxSettings

WORKERS = 3
TIME_S = 10.0
"""Time limit of a script: enough for any that ends, on a busy machine."""
SHORT_S = 0.8
"""Time limit of a script that does not end."""
ENDLESS_AFTER_S = 1.0
"""Seconds after which an attack without isolation that wins by not ending has won."""
LIMIT_S = 240.0
"""Seconds within which any other attack without isolation has ended, however busy the machine."""
MAX_PIXELS = 16_000_000
DISK_MB = 16
"""For one script; in bubblewrap all together have a few times as much."""
LAYERS = ("landlock", "seccomp", "rlimits")
HONEST_EVERY = 24
HONEST = """
from matplotlib import pyplot
whose = "other-drawing"
figure, axes = pyplot.subplots(figsize=(3, 2))
axes.plot(range(5), [value ** 2 for value in range(5)], label="{number}")
axes.legend()
axes.set_title("{number}")
"""
LATER = HONEST.format(number="later")


@dataclass
class Fate:
    """What came of an attack."""

    won: str = ""
    """By what it shows that it did what it wanted; empty when nothing does."""
    fault: str = ""
    reason: str = ""
    loot: str = ""
    took_s: float = 0.0


class Trainer:
    """Has everything drawn by one runner."""

    def __init__(self, isolation: str, world: World) -> None:
        self._world = world
        self.inside = isolation != "unprotected"
        self.expected = b""
        layers = ("bubblewrap", *LAYERS) if isolation == "bubblewrap" else LAYERS
        options, settings = {"dpi": 100, "max_pixels": MAX_PIXELS}, SandboxSettings(layers=layers, disk_mb=DISK_MB)
        self.runner: Any = Unprotected(str(world.folder / "packages"), WORKERS)
        self.hurried: Any = self.runner
        if self.inside:
            self.runner, self.hurried = (
                Sandbox("chart", options, settings, Limits(time_s, MAX_PIXELS), WORKERS) for time_s in (TIME_S, SHORT_S)
            )

    async def attack(self, attack: Attack, number: int) -> Fate:
        fate = Fate()
        script = attack.script(self._world.facts(attack, number, self.inside))
        begun = time.monotonic()
        try:
            image = await self._drawn(attack, script)
            loot = loot_of(image)
            fate.loot = loot[:200].decode("latin-1")
            if attack.stays:
                fate.won = "" if image.tobytes() == self.expected else "what came later was drawn differently"
            elif loot == b"won" or self._world.secret in loot:
                fate.won = "loot"
            elif image.width * image.height > MAX_PIXELS:
                fate.won = "more pixels than a picture may have"
        except NeverEnds:
            fate.won, fate.reason = ("it did not end", "") if attack.endless else ("", "it did not end in time")
        except Raised as error:
            fate.reason = str(error)
            fate.won = "what came later was not drawn" if attack.stays else ""
        except Died:
            fate.won = "its process ended, and nobody knows why" if attack.ends == "RenderFailed" or attack.stays else ""
        except VisualERMError as error:
            fate.fault, fate.reason = type(error).__name__, str(error)
            if self._world.secret in fate.reason.encode() or not isinstance(error, PolicyFault):
                fate.won = "the reason"
        fate.took_s = round(time.monotonic() - begun, 1)
        return fate

    async def _drawn(self, attack: Attack, script: str) -> Image.Image:
        """The image of an attack, or of what is drawn after one that stays."""
        if not self.inside:
            unavailable_timeout_s = ENDLESS_AFTER_S if attack.endless else LIMIT_S
            return await self.runner.render(
                script, *([LATER] if attack.stays else []), unavailable_timeout_s=unavailable_timeout_s
            )
        try:
            image = await (self.hurried if attack.endless else self.runner).render(script)
        except PolicyFault:
            if not attack.stays:
                raise
        return await self.runner.render(LATER) if attack.stays else image

    async def honest(self, number: int) -> str:
        """The image of an honest script, in short. What keeps it from being drawn, in words."""
        try:
            image = await self.runner.render(HONEST.format(number=number))
            return f"{image.size} {hash(image.tobytes())}"
        except (VisualERMError, Died) as error:
            return f"{type(error).__name__}: {error}"


async def main(isolation: str) -> dict[str, Any]:
    secret = os.environ["JUDGE_API_KEY"]
    if isolation == "bubblewrap" and (lacks := missing_layers()["bubblewrap"]):
        return {"lacks": lacks}
    before = listing()
    attacks = EVERY
    world = World(Path(tempfile.mkdtemp(prefix="world-")), secret)
    await world.open()
    trainer = Trainer(isolation, world)
    image, _ = await asyncio.gather(
        *(runner.render(LATER) for runner in (trainer.runner, trainer.hurried)), return_exceptions=True
    )
    trainer.expected = image.tobytes()
    numbers = range(len(attacks) // HONEST_EVERY + 1) if trainer.inside else range(0)
    calm = [await trainer.honest(number) for number in numbers]
    begun_with = [process.pid for process in servers()]
    under_way = [asyncio.ensure_future(trainer.attack(attack, number)) for number, attack in enumerate(attacks)]
    among = await asyncio.gather(*(later(trainer, number) for number in numbers))
    fates = await asyncio.gather(*under_way)
    after = [await trainer.honest(number) for number in numbers]
    by_hand = BY_HAND[0].script(world.facts(BY_HAND[0], len(attacks), True))
    chosen = loot_of(await trainer.runner.render(by_hand)).decode() if trainer.inside else ""
    await asyncio.sleep(1)
    for number, (attack, fate) in enumerate(zip(attacks, fates, strict=True)):
        fate.won = fate.won or world.trace_of(attack, number) or left_behind(world.mark(number))
    ended_with = [process.pid for process in servers()]
    folders = worker_folders()
    for runner in (trainer.runner, trainer.hurried):
        await runner.close()
    await world.close()
    strays = staying()
    report = {
        "fates": {attack.name: asdict(fate) for attack, fate in zip(attacks, fates, strict=True)},
        "calm": calm,
        "among": among,
        "after": after,
        "chosen": chosen,
        "server_lives": begun_with == ended_with,
        "folders": folders,
        "strays": [" ".join(process.cmdline()) or process.name() for process in strays],
        "files": sorted(set(listing()) - set(before)),
    }
    for process in strays:
        process.kill()
    return report


async def later(trainer: Trainer, number: int) -> str:
    await asyncio.sleep(0.3 * number)
    return await trainer.honest(number)


def children() -> list[psutil.Process]:
    """Processes below this one, those whose own parents are gone included; not those that have ended."""
    alive = []
    for process in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            if process.status() != psutil.STATUS_ZOMBIE:
                alive.append(process)
    return alive


def staying() -> list[psutil.Process]:
    """Those of them that do not end in a few seconds: what was killed is there for a moment."""
    return psutil.wait_procs(children(), timeout=5)[1]


def servers() -> list[psutil.Process]:
    """The sandbox's server and, where there is one, the bubblewrap round it."""
    found = []
    for process in children():
        with contextlib.suppress(psutil.NoSuchProcess):
            parent = process.parent()
            if "visual_erm.sandbox.forkserver" in " ".join(process.cmdline()) and (
                parent is None
                or "visual_erm.sandbox.forkserver" not in " ".join(parent.cmdline())
                or "bwrap" in parent.name()
            ):
                found.append(process)
    return found


def worker_folders() -> list[str]:
    """The folders of workers in the server's own, seen from outside."""
    return sorted({name for process in servers() for name in os.listdir(f"/proc/{process.pid}/cwd") if name.isdigit()})


def left_behind(mark: str) -> str:
    places = [Path(tempfile.gettempdir()), *(Path(f"/proc/{process.pid}/cwd") for process in servers())]
    for place in places:
        with contextlib.suppress(OSError):
            if any(next(place.glob(pattern), None) for pattern in (mark, f"*/{mark}", f"*/*/{mark}")):
                return "folders were left"
    return ""


def listing() -> list[str]:
    """Temporary files; of what all share, those that look like a sandbox's or an attack's."""
    return [str(path) for path in (*Path(tempfile.gettempdir()).iterdir(), *Path("/dev/shm").glob("*visual-erm*"))]


if __name__ == "__main__":
    set_child_subreaper = 36
    ctypes.CDLL(None).prctl(set_child_subreaper, 1, 0, 0, 0)
    Path(sys.argv[2]).write_text(json.dumps(asyncio.run(main(sys.argv[1]))))
