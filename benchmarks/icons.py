"""SVG files through both libraries of the SVG renderer: which are not drawn, and which only one of them shows.

`python benchmarks/icons.py FOLDER …` renders every SVG file below the folders, for example the icon sets that `npm pack`
downloads. It ends with an error if a file is not drawn, or if it has a single color with one library and more with the
other.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path
from typing import Annotated, Literal, get_args

import typer
from rich.console import Console

from visual_erm.errors import VisualERMError
from visual_erm.extract import Code
from visual_erm.kinds.svg import SvgSettings
from visual_erm.render.svg import SvgRenderer
from visual_erm.spec.text import read_text

Backend = Literal["librsvg", "cairosvg"]
IN_FLIGHT = 8

console = Console()


async def rendered(path: Path, renderer: SvgRenderer) -> str:
    """Renders one file.

    Args:
        path: The file.
        renderer: The renderer.

    Returns:
        `drawn`, `single color`, or why there is no image.
    """
    try:
        image = await renderer.render(Code("svg", read_text(path)))
    except VisualERMError as error:
        return f"{type(error).__name__}: {error}"
    return "single color" if image.getcolors(1) else "drawn"


async def render_all(paths: list[Path], backend: Backend, workers: int) -> list[str]:
    """Renders files with one library; the results are in their order."""
    renderer, slots = SvgRenderer(SvgSettings(backend=backend), workers=workers), asyncio.Semaphore(IN_FLIGHT)

    async def one(path: Path) -> str:
        async with slots:
            return await rendered(path, renderer)

    try:
        return await asyncio.gather(*map(one, paths))
    finally:
        await renderer.close()


def main(
    folders: Annotated[list[Path], typer.Argument(exists=True, help="Folders of SVG files.")],
    workers: Annotated[int, typer.Option(min=1, help="Number of files rendered at once.")] = 1,
) -> None:
    """Renders SVG files with librsvg and with CairoSVG."""
    failed = False
    for folder in folders:
        paths = sorted(folder.rglob("*.svg"))
        found = {backend: asyncio.run(render_all(paths, backend, workers)) for backend in get_args(Backend)}
        for number, path in enumerate(paths):
            results = {backend: found[backend][number] for backend in found}
            if set(results.values()) - {"drawn", "single color"} or len(set(results.values())) > 1:
                failed = True
                console.print(f"{path}: {results}", markup=False)
        for backend, results_of in found.items():
            counts = Counter(result.partition(":")[0] for result in results_of)
            console.print(f"{folder}, {backend}: " + ", ".join(f"{count} {name}" for name, count in counts.most_common()))
    if failed:
        raise typer.Exit(1)


if __name__ == "__main__":
    typer.run(main)
