"""The figures of a script: what it makes, saves and shows with matplotlib, and which of it is its image.

The image is that of the last figure that the script saved or showed, as it was then; showing one that it has saved is
nothing new. When it did neither, it is the current figure as `savefig` would save it at the end, or, without a current one,
the last one made, closed ones and those without pyplot among them. Empty figures are passed over. An animation is its first
frame.

Every way to save ends in `FigureCanvasBase.print_figure` or in `FigureCanvasAgg._print_pil`, and that is where images are
taken, rendered once by Agg whatever the format. The source of a script is never touched.
"""

from __future__ import annotations

import functools
import inspect
import io
import os
import weakref
from collections import deque
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import matplotlib
import numpy as np
from matplotlib import cbook, pyplot
from matplotlib._pylab_helpers import Gcf
from matplotlib.animation import Animation
from matplotlib.backend_bases import FigureCanvasBase, FigureManagerBase
from matplotlib.backends.backend_agg import FigureCanvasAgg, RendererAgg
from matplotlib.figure import Figure
from matplotlib.layout_engine import PlaceHolderLayoutEngine

from visual_erm.sandbox.backends.files import Files, Pixels

MAX_FIGURES = 16
"""Number of figures that are remembered, the last ones: a script may make any number, and close them."""
VECTOR = ("svg", "svgz")
"""Formats whose files are written as matplotlib writes them, where a script reads them: it may look for its shapes."""
FORMAT_OPTIONS = ("metadata", "pil_kwargs", "papertype")
"""Options of `savefig` that are about the file, not about the image."""


class TooLarge(Exception):
    """A figure has more pixels than an image may."""


class NothingDrawn(Exception):
    """The script made no figure, or nothing but empty ones."""


class Figures:
    """What the script of this process makes; from `intercept` on, for good.

    Matplotlib is to be intercepted before anything is rendered: Python runs code that is changed later from a cold start.
    """

    def __init__(self) -> None:
        self._savefig: Callable[..., None] = Figure.savefig

    def begin(self, files: Files, max_pixels: int) -> None:
        """Forgets all figures: a script begins.

        Args:
            files: Watches the script's files, and writes its images.
            max_pixels: Width times height of the largest image.
        """
        self._files = files
        self._max_pixels = max_pixels
        self._image: Pixels | None = None
        self._made: deque[Figure] = deque(maxlen=MAX_FIGURES)
        self._saved: weakref.WeakSet[Figure] = weakref.WeakSet()
        self._animations: list[Any] = []
        self._undrawn: weakref.WeakSet[Figure] = weakref.WeakSet()
        """Figures that pyplot would have drawn once more after a save."""

    @property
    def any(self) -> bool:
        """Whether the script has made a figure."""
        return bool(self._made)

    def image(self) -> Pixels:
        """Returns the image of the script, at its end: RGBA, shape (height, width, 4).

        Raises:
            NothingDrawn: The script made no figure, or nothing but empty ones.
            TooLarge: The figure has too many pixels.
            Exception: Whatever matplotlib raises for the figure.
        """
        if self._image is None:
            active = Gcf.get_active()
            current = [active.canvas.figure] if active else []
            drawn = [figure for figure in (*current, *reversed(self._made)) if _holds_something(figure)]
            if not drawn:
                raise NothingDrawn("nothing is drawn in its figure" if self._made else "it makes no figure")
            self._take(drawn[0])
        assert self._image is not None
        return self._image

    def intercept(self) -> None:
        """Puts itself in matplotlib's place where figures are made, saved and shown."""
        self._intercept_making()
        self._intercept_saving()
        self._intercept_animations()

        def show(*_: Any, **__: Any) -> None:
            self._show([manager.canvas.figure for manager in Gcf.get_all_fig_managers()])

        _replace(pyplot._get_backend_mod(), "show", show)
        _replace(FigureManagerBase, "show", lambda manager: self._show([manager.canvas.figure]))
        for owner, name in (
            (matplotlib, "use"),
            (pyplot, "switch_backend"),
            (pyplot, "pause"),
            (FigureCanvasBase, "start_event_loop"),
        ):
            _replace(owner, name, _nothing)

    def _intercept_making(self) -> None:
        _after(Figure, "__init__", lambda figure: self._made.append(figure))
        _after(Animation, "__init__", lambda animation: self._animations.append(animation))
        prepare = RendererAgg.__init__

        def prepare_small(renderer: RendererAgg, width: float, height: float, dpi: float) -> None:
            if width * height > self._max_pixels:
                raise TooLarge(f"{width:.0f}x{height:.0f} pixels; at most {self._max_pixels}")
            prepare(renderer, width, height, dpi)

        _replace(RendererAgg, "__init__", prepare_small)

    def _intercept_saving(self) -> None:
        print_figure, agg_draw = FigureCanvasBase.print_figure, FigureCanvasAgg.draw
        signature = inspect.signature(print_figure)

        @functools.wraps(print_figure)
        def save(*args: Any, **kwargs: Any) -> None:
            call = signature.bind(*args, **kwargs)
            canvas, file = call.arguments["self"], call.arguments["filename"]
            if canvas.figure in self._undrawn:
                self._undrawn.remove(canvas.figure)
                canvas.draw()
            file, kind = _file_and_kind(file, call.arguments.get("format") or "", canvas.get_default_filetype())
            if isinstance(file, _Sink) or kind not in canvas.get_supported_filetypes():
                with _no_layout_to_wait_for(canvas.figure):
                    print_figure(*args, **kwargs)
                return
            sink = _Sink()
            call.arguments.update(filename=sink, format="raw", backend=None)
            for option in FORMAT_OPTIONS:
                call.arguments.get("kwargs", {}).pop(option, None)
            with _no_layout_to_wait_for(canvas.figure):
                print_figure(*call.args, **call.kwargs)
            self._keep(sink, canvas.figure)
            vector = None
            if kind in VECTOR:
                canvas.figure.stale = False
                vector = functools.partial(_vector, print_figure, signature.bind(*args, **kwargs), kind)
            self._files.save(file, kind, sink.image, vector)

        def save_directly(canvas: FigureCanvasAgg, file: Any, kind: str, *_: Any, **__: Any) -> None:
            agg_draw(canvas)
            sink = _Sink()
            sink.write(canvas.buffer_rgba())
            self._keep(sink, canvas.figure)
            self._files.save(file, kind, sink.image)

        savefig = pyplot.savefig

        @functools.wraps(savefig)
        def save_current(*args: Any, **kwargs: Any) -> None:
            # Pyplot would draw the figure again for a window. Only a layout that is made anew by each drawing shows it, and
            # only in a second save.
            figure = pyplot.gcf()
            with figure.canvas._idle_draw_cntx():  # type: ignore[attr-defined]
                savefig(*args, **kwargs)
            if not isinstance(figure.get_layout_engine(), PlaceHolderLayoutEngine | None):
                self._undrawn.add(figure)

        _replace(pyplot, "savefig", save_current)
        _replace(FigureCanvasBase, "print_figure", save)
        _replace(FigureCanvasAgg, "_print_pil", save_directly)

    def _intercept_animations(self) -> None:
        signature = inspect.signature(Animation.save)

        @functools.wraps(Animation.save)
        def save(*args: Any, **kwargs: Any) -> None:
            call = signature.bind(*args, **kwargs)
            animation, file, dpi = call.arguments["self"], call.arguments["filename"], call.arguments.get("dpi")
            with matplotlib.rc_context({"savefig.bbox": None}):
                options = call.arguments.get("savefig_kwargs") or {}
                self._pose(animation)
                self._savefig(animation._fig, file, format="png", **({"dpi": dpi} if dpi else {}), **options)

        def page(animation: Any, *_: Any, **__: Any) -> str:
            save(animation, io.BytesIO())
            return ""

        _replace(Animation, "save", save)
        _replace(Animation, "to_jshtml", page)
        _replace(Animation, "to_html5_video", page)

    def _show(self, figures: list[Figure]) -> None:
        new = [figure for figure in figures if figure not in self._saved and _holds_something(figure)]
        if new:
            self._take(new[-1])

    def _take(self, figure: Figure) -> None:
        for animation in [animation for animation in self._animations if animation._fig is figure]:
            self._pose(animation)
        sink = _Sink()
        self._savefig(figure, sink, format="raw")
        self._image = sink.image

    def _keep(self, sink: _Sink, figure: Figure) -> None:
        self._image = sink.image
        self._saved.add(figure)

    def _pose(self, animation: Any) -> None:
        """Puts an animation to its first frame."""
        if animation in self._animations:
            self._animations.remove(animation)
        animation._draw_was_started = True
        with animation._fig.canvas._idle_draw_cntx():
            animation._init_draw()
            for frame in animation.new_frame_seq():
                animation._draw_frame(frame)
                break


class _Sink:
    """Where the renderer's pixels go instead of into a file."""

    image: Pixels

    def write(self, pixels: memoryview) -> None:
        self.image = np.array(pixels)

    def seek(self, _: int) -> None:
        """By this matplotlib knows a file."""


def _no_layout_to_wait_for(figure: Figure) -> AbstractContextManager[None]:
    """Matplotlib draws a figure twice where a layout may still move things. After `tight_layout()` none does."""
    done = isinstance(figure.get_layout_engine(), PlaceHolderLayoutEngine)
    return cbook._setattr_cm(figure, _layout_engine=None) if done else nullcontext()  # type: ignore[attr-defined]


def _vector(print_figure: Callable[..., None], call: inspect.BoundArguments, kind: str) -> bytes:
    """The file of a save, as matplotlib writes it; nothing if the figure has changed since it was saved."""
    figure, file = call.arguments["self"].figure, io.BytesIO()
    if figure.stale:
        return b""
    call.arguments.update(filename=file, format=kind)
    drawn = figure._canvas_callbacks.blocked(signal="draw_event")
    with drawn, cbook._setattr_cm(figure, _layout_engine=None):  # type: ignore[attr-defined]
        print_figure(*call.args, **call.kwargs)
    return file.getvalue()


def _file_and_kind(file: Any, kind: str, default: str) -> tuple[Any, str]:
    """`file` with a suffix if it is a path, and the kind of file that matplotlib would write."""
    if not kind and isinstance(file, str | os.PathLike):
        file = os.fspath(file)
        if isinstance(file, str):
            kind = os.path.splitext(file)[1][1:]  # noqa: PTH122
            file = file if kind else f"{file.rstrip('.')}.{default}"
    return file, (kind or default).lower()


def _holds_something(figure: Figure) -> bool:
    """Whether there is more to a figure than its background."""
    return len(figure.get_children()) > 1


def _after(owner: type, name: str, follow: Callable[[Any], None]) -> None:
    """Has `follow` called with the object after its method `name`."""
    method = getattr(owner, name)

    @functools.wraps(method)
    def followed(self: Any, *args: Any, **kwargs: Any) -> Any:
        result = method(self, *args, **kwargs)
        follow(self)
        return result

    _replace(owner, name, followed)


def _replace(owner: Any, name: str, by: Callable[..., Any]) -> None:
    setattr(owner, name, by)


def _nothing(*_: Any, **__: Any) -> None:
    """Stands for what makes no sense without a screen."""
