"""One script as plain Python draws it, without the sandbox: what the gallery's pixels are compared with (gallery.py).

`python plain_chart.py SCRIPT.py IMAGE.png` prints a line of JSON: what the script needed beside its image, see `needed`.

The image is what docs/sandbox.md promises: the last figure that the script saved or showed, else the current one. It is
written by matplotlib's own `savefig`; an animation's first frame by its own `save`. What the script saves in another format
is written by a fork, so that writing it moves nothing in the figure.
"""

from __future__ import annotations

import builtins
import contextlib
import gc
import io
import json
import os
import runpy
import sys
from collections.abc import Callable
from pathlib import Path
from threading import Thread
from typing import Any

import matplotlib
from matplotlib import pyplot
from matplotlib._pylab_helpers import Gcf
from matplotlib.animation import AbstractMovieWriter, Animation
from matplotlib.backend_bases import FigureCanvasBase, FigureManagerBase
from matplotlib.figure import Figure

EVENTS = {
    "socket.connect": "network",
    "socket.getaddrinfo": "network",
    "subprocess.Popen": "process",
    "os.fork": "process",
    "os.exec": "process",
    "os.posix_spawn": "process",
    "os.system": "process",
}
"""Events of Python's audit hook, and what a script needs that raises them."""

FORMAT_OPTIONS = ("format", "metadata", "pil_kwargs", "papertype", "backend")
"""Options of `savefig` that are about the file, not about the image."""

needed: set[str] = set()
"""Of network, process, thread, person: what the script needed."""
_saved: list[Figure] = []
_print_figure, _figure_savefig, _animation_save = FigureCanvasBase.print_figure, Figure.savefig, Animation.save


class _FirstFrame(AbstractMovieWriter):
    """Saves the first frame of an animation, and ends there."""

    class Taken(Exception):
        """The frame is saved."""

    def setup(self, fig: Figure, outfile: Any, dpi: float | None = None) -> None:
        super().setup(fig, outfile, dpi)

    def grab_frame(self, **options: Any) -> None:
        _figure_savefig(self.fig, self.outfile, format="png", dpi=self.dpi, **options)
        raise self.Taken

    def finish(self) -> None:
        """Nothing is open."""


def _print_in_fork(canvas: FigureCanvasBase, file: Any, *args: Any, **settings: Any) -> None:
    """Writes the file of a figure, and leaves the figure as it is."""
    if not hasattr(file, "write") and not isinstance(file, str | os.PathLike):
        _print_figure(canvas, file, *args, **settings)  # pages of a PDF, which stays open
        return
    copy = f"{os.getpid()}.copy"
    to_file = isinstance(file, str | os.PathLike)
    before = set(needed)
    child = os.fork()
    if child == 0:
        try:
            _print_figure(canvas, file if to_file else copy, *args, **settings)
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    needed.intersection_update(before)
    if not to_file:
        content = Path(copy).read_bytes()
        Path(copy).unlink()
        file.write(content.decode() if isinstance(file, io.TextIOBase) else content)


def take(figure: Figure, image: str) -> None:
    """Saves a figure, or the first frame of its animation.

    Args:
        figure: The figure.
        image: Path of the PNG.
    """
    moving = [found for found in gc.get_objects() if isinstance(found, Animation) and found._fig is figure]  # type: ignore
    if moving:
        _save_first_frame(moving[-1], image)
    else:
        _figure_savefig(figure, image, format="png")


def _save_first_frame(animation: Any, image: str, dpi: Any = None, **options: Any) -> None:
    with contextlib.suppress(_FirstFrame.Taken):
        _animation_save(animation, image, writer=_FirstFrame(), dpi=dpi, savefig_kwargs=options)
    _saved.append(animation._fig)


def watch(image: str) -> None:
    """Takes every figure that is saved or shown from now on, and notes what the script needs.

    Args:
        image: Path of the PNG; each figure replaces the one before.
    """

    def show_all(*_: Any, **__: Any) -> None:
        # The current figure is the last of them.
        open_figures = [manager.canvas.figure for manager in Gcf.get_all_fig_managers()]
        shown = [figure for figure in open_figures if figure not in _saved]
        drawn = [figure for figure in shown if len(figure.get_children()) > 1]
        if drawn:
            take(drawn[-1], image)

    def show_one(manager: FigureManagerBase) -> None:
        if manager.canvas.figure not in _saved:
            take(manager.canvas.figure, image)

    def print_figure(canvas: FigureCanvasBase, filename: Any, *args: Any, **settings: Any) -> None:
        if filename == image:
            _print_figure(canvas, filename, *args, **settings)
            return
        kind = settings.get("format") or (Path(filename).suffix[1:] if isinstance(filename, str | os.PathLike) else "")
        shown: dict[str, Any] = {name: value for name, value in settings.items() if name not in FORMAT_OPTIONS}
        _print_figure(canvas, image, *args, **shown | {"format": "png"})
        _saved.append(canvas.figure)
        if kind and kind != "png":
            _print_in_fork(canvas, filename, *args, **settings)
        elif hasattr(filename, "write"):
            filename.write(Path(image).read_bytes())
        else:
            Path(filename if kind else f"{filename}.png").write_bytes(Path(image).read_bytes())

    def save_animation(animation: Any, filename: Any, *_: Any, **settings: Any) -> None:
        _save_first_frame(animation, image, settings.get("dpi"), **(settings.get("savefig_kwargs") or {}))

    def wait(*_: Any, **__: Any) -> None:
        needed.add("person")

    def ask(*_: Any) -> str:
        needed.add("person")
        raise EOFError

    start = Thread.start

    def start_thread(thread: Thread) -> None:
        needed.add("thread")
        start(thread)

    def hook(event: str, _: object) -> None:
        if event in EVENTS:
            needed.add(EVENTS[event])

    replaced: tuple[tuple[Any, str, Callable[..., Any]], ...] = (
        (pyplot._get_backend_mod(), "show", show_all),  # type: ignore[attr-defined]
        (FigureManagerBase, "show", show_one),
        (FigureCanvasBase, "print_figure", print_figure),
        (FigureCanvasBase, "start_event_loop", wait),
        (Animation, "save", save_animation),
        (builtins, "input", ask),
        (Thread, "start", start_thread),
    )
    for owner, name, by in replaced:
        setattr(owner, name, by)
    sys.addaudithook(hook)


def main(script: str, image: str) -> None:
    matplotlib.use("agg")
    watch(image)
    sys.argv[:] = [script]
    try:
        with contextlib.suppress(SystemExit):
            runpy.run_path(script, run_name="__main__")
        if not Path(image).exists() and pyplot.get_fignums():
            take(pyplot.gcf(), image)
    finally:
        print(json.dumps(sorted(needed)))


if __name__ == "__main__":
    main(*sys.argv[1:])
