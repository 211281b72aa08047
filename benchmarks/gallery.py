"""Scripts that plain Python draws, through the chart renderer: which are not drawn, and which have other pixels.

`python benchmarks/gallery.py FOLDER` draws each script below a folder in a Python of its own (plain_chart.py) and with
`ChartRenderer`. The folder that it is made for is `galleries` of matplotlib's source distribution, of the version that is
installed. Each result is a line of a file at once. A run that was stopped goes on where it was.

A script whose pixels differ is drawn by plain Python once more, with another allocator of memory: one that differs from
itself depends on chance, or on where its objects lie in memory. The command ends with an error if there is a script that
plain Python draws and the sandbox does not, or that has other pixels, unless the script needed a network, another process,
a thread or a person.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import matplotlib
import typer
from PIL import Image
from rich.console import Console

from visual_erm.errors import VisualERMError
from visual_erm.extract import Code
from visual_erm.kinds.chart import ChartSettings
from visual_erm.render.chart import ChartRenderer
from visual_erm.vision.images import on_white

PLAIN = Path(__file__).with_name("plain_chart.py")
PLAIN_LIMIT_S = 120.0
"""Wall time in seconds of a script as plain Python."""
FONT_LIST = matplotlib.get_cachedir()
"""Folder of matplotlib's list of fonts. It holds no settings, so scripts run with matplotlib's own."""
FAULTS = ("not drawn", "differs")
"""Verdicts that a run must not have."""

console = Console()


@dataclass(frozen=True)
class Drawing:
    """What became of a script, one way."""

    digest: str = ""
    """Of its pixels; empty if it is not drawn."""
    size: tuple[int, int] = (0, 0)
    reason: str = ""
    """Why it is not drawn."""
    needed: tuple[str, ...] = ()
    """Of network, process, thread, person."""


@dataclass(frozen=True)
class Compared:
    """One script, both ways."""

    script: str
    verdict: str
    """same; random (differs from itself); not drawn, differs (unless excused); excused; neither; only the sandbox."""
    plain: Drawing
    sandbox: Drawing
    seconds: float


def plain(code: str, elsewhere: bool = False) -> Drawing:
    """Draws a script in a fresh Python.

    Args:
        code: The script. It runs in an empty folder, as in the sandbox.
        elsewhere: Let its objects lie elsewhere in memory. The constrained layout depends on that for a few pixels.

    Returns:
        Its image, or why there is none.
    """
    with tempfile.TemporaryDirectory() as folder:
        copy, image = Path(folder, "script.py"), Path(folder, ".image.png")
        copy.write_text(code, encoding="utf-8")
        # OPENBLAS_CORETYPE chooses other kernels, with other last digits; the sandbox starts without it.
        kept = {name: value for name, value in os.environ.items() if not name.startswith("OPENBLAS_")}
        environment = kept | {"MPLBACKEND": "Agg", "MPLCONFIGDIR": FONT_LIST, "HOME": folder, "TMPDIR": folder}
        if elsewhere:
            environment["PYTHONMALLOC"] = "malloc"
        try:
            run = subprocess.run(
                [sys.executable, str(PLAIN), copy.name, str(image)],
                cwd=folder,
                env=environment,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=PLAIN_LIMIT_S,
            )
        except subprocess.TimeoutExpired:
            return Drawing(reason=f"not drawn within {PLAIN_LIMIT_S:g} s")
        lines = run.stdout.strip().splitlines()
        needed = tuple(json.loads(lines[-1])) if lines and lines[-1].startswith("[") else ()
        if run.returncode or not image.exists():
            return Drawing(reason=(run.stderr.strip().splitlines() or ["it makes no figure"])[-1], needed=needed)
        return drawing_of(on_white(Image.open(image)), needed)


def code_of(script: Path) -> str:
    """Reads a script. Modules beside it that it imports are put in front, in one line: a reply is one script, no folder."""
    code = script.read_text(encoding="utf-8")
    imported = set(re.findall(r"^(?:from|import) (\w+)", code, re.MULTILINE))
    modules = [path for path in sorted(script.parent.glob("*.py")) if path.stem in imported and path != script]
    front = "".join(
        f"sys.modules[{path.stem!r}] = types.ModuleType({path.stem!r}); "
        f"exec({path.read_text(encoding='utf-8')!r}, vars(sys.modules[{path.stem!r}])); "
        for path in modules
    )
    return f"import sys, types; {front}\n{code}" if front else code


async def sandboxed(code: str, renderer: ChartRenderer) -> Drawing:
    """Draws a script with the product.

    Args:
        code: The script.
        renderer: The renderer.

    Returns:
        Its image, or why there is none.
    """
    try:
        return drawing_of(await renderer.render(Code("python", code)))
    except VisualERMError as error:
        return Drawing(reason=f"{type(error).__name__}: {error}")


def drawing_of(image: Image.Image, needed: tuple[str, ...] = ()) -> Drawing:
    """Names an image by its pixels."""
    return Drawing(hashlib.sha256(image.tobytes()).hexdigest(), image.size, needed=needed)


async def compare(script: Path, name: str, renderer: ChartRenderer) -> Compared:
    """Draws one script both ways, and says what that means."""
    begun = time.monotonic()
    code = await asyncio.to_thread(code_of, script)
    expected = await asyncio.to_thread(plain, code)
    found = await sandboxed(code, renderer)
    if not expected.digest:
        verdict = "only the sandbox" if found.digest else "neither"
    elif found.digest == expected.digest:
        verdict = "same"
    elif expected.needed:
        verdict = "excused"
    elif not found.digest:
        verdict = "not drawn"
    else:
        again = await asyncio.to_thread(plain, code, elsewhere=True)
        verdict = "differs" if again.digest == expected.digest else "random"
    return Compared(name, verdict, expected, found, round(time.monotonic() - begun, 1))


async def compare_all(scripts: dict[str, Path], out: Path, settings: ChartSettings) -> None:
    """Draws scripts one after another, and appends a line for each to a file."""
    renderer = ChartRenderer(settings, workers=1)
    try:
        with out.open("a", encoding="utf-8") as lines:
            for name, script in scripts.items():
                compared = await compare(script, name, renderer)
                lines.write(json.dumps(asdict(compared)) + "\n")
                lines.flush()
                if compared.verdict in FAULTS:
                    console.print(f"{compared.verdict}: {name} {compared.sandbox.reason}", markup=False)
    finally:
        await renderer.close()


def main(
    folder: Annotated[Path, typer.Argument(exists=True, help="A folder of scripts.")],
    out: Annotated[Path, typer.Option(help="File for the results, a line of JSON for each script.")] = Path(
        "gallery.jsonl"
    ),
    every: Annotated[int, typer.Option(min=1, help="Draw each N-th script only, for a quick look.")] = 1,
    timeout_s: Annotated[float, typer.Option(help="Time limit of one script in the sandbox, in seconds.")] = 60.0,
) -> None:
    """Compares plain Python with the sandbox, script by script."""
    found = {str(path.relative_to(folder)): path for path in sorted(folder.rglob("*.py"))[::every]}
    done = {json.loads(line)["script"] for line in out.read_text("utf-8").splitlines()} if out.exists() else set()
    missing = {name: path for name, path in found.items() if name not in done}
    console.print(f"{len(found)} scripts, {len(found) - len(missing)} of them in {out}")
    asyncio.run(compare_all(missing, out, ChartSettings(timeout_s=timeout_s)))
    results = [json.loads(line) for line in out.read_text("utf-8").splitlines()]
    shown = [result for result in results if result["script"] in found]
    for verdict in ("neither", "only the sandbox", "random", "excused", *FAULTS):
        for result in (result for result in shown if result["verdict"] == verdict):
            needed = ", ".join(result["plain"]["needed"])
            reasons = [reason for reason in (needed, result["plain"]["reason"], result["sandbox"]["reason"]) if reason]
            console.print(f"{verdict}: {result['script']}: {'; '.join(reasons)}", markup=False)
    counts = Counter(result["verdict"] for result in shown)
    console.print(", ".join(f"{count} {verdict}" for verdict, count in counts.most_common()))
    if any(counts[verdict] for verdict in FAULTS):
        raise typer.Exit(1)


if __name__ == "__main__":
    typer.run(main)
