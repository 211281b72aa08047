"""Python scripts -> images, with matplotlib: a backend.

A script runs as `__main__` in its own folder, with nobody at the keyboard, its output unread and its random numbers fixed.
A script that only defines functions has `main` called, or else the last of them that takes no argument. What of it is the
image, `figures` says. Ending early is no fault (`sys.exit()`, or waiting for input once something is drawn); raising is.
"""

from __future__ import annotations

import asyncio
import builtins
import contextlib
import gc
import io
import os
import random
import re
import sys
import traceback
import types
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import matplotlib
import numpy as np
from PIL import Image

from visual_erm.sandbox.backends import chart_fonts, chart_libraries, folders
from visual_erm.sandbox.backends.figures import Figures, NothingDrawn, TooLarge
from visual_erm.sandbox.backends.files import Files, Pixels
from visual_erm.sandbox.backends.prefault import Span, pages_changed_by, prefault
from visual_erm.sandbox.backends.warmup import warm_up
from visual_erm.sandbox.outcome import Rendering, RenderingFailed, fault_of

REUSABLE = False
THREADS = False

SCRIPT = "<script>"
"""Name of the script in tracebacks."""
MAX_REASON = 400
"""Largest number of characters of a reason."""
MAX_ADVICE = 160
"""Largest number of its characters that are about libraries and programs."""
WARMUP_SCRIPT = """
import numpy as np, pandas as pd
from matplotlib import pyplot as plt
figure, axes = plt.subplots(2, 2, figsize=(7, 5))
axes[0, 0].plot([1, 2, 3], "o-", label="line")
axes[0, 0].bar([1, 2, 3], [3, 1, 2])
axes[0, 0].set_title("anything")
axes[0, 0].legend()
axes[0, 0].grid()
figure.colorbar(axes[0, 1].imshow(np.ones((5, 5)), cmap="magma"))
axes[1, 0].scatter([1, 2], [1, 2], c=[1, 2])
axes[1, 0].twinx().fill_between([1, 2], [1, 2])
axes[1, 0].text(1, 1, "$x^2$")
pd.DataFrame({"a": [1, 2]}).plot(ax=axes[1, 1])
figure.tight_layout()
"""
"""A script whose rendering changes the memory that most renderings change."""


_IMPORTS_SEABORN = re.compile(
    r"""\b(?:import|from)\s+seaborn\b|import_module\(\s*["']seaborn|^\s*import\s.*\bseaborn\b""", re.MULTILINE
)
_figures = Figures()
_changed: list[Span] = []
_modules: dict[str, types.ModuleType] = {}
_color_maps: dict[str, Any] = {}
"""Set by `warm`: the memory that a rendering changes, the modules that were imported, and color maps of seaborn."""


def warm(options: Mapping[str, Any]) -> None:
    """Sets matplotlib's own style, whatever a file on this machine says, and renders what costs more the first time.

    Args:
        options: The task's render settings: `dpi`, dots per inch of a figure, and `max_pixels`, width times height.
    """
    matplotlib.use("agg")
    matplotlib.rcParamsDefault["figure.dpi"] = options["dpi"]
    _figures.begin(Files(), options["max_pixels"])
    _figures.intercept()
    matplotlib.rcdefaults()
    chart_fonts.stand_in()
    warm_up()
    matplotlib.rcdefaults()
    _figures.begin(Files(), options["max_pixels"])
    asyncio.set_event_loop_policy(folders.ScriptLoops())
    _unregister_color_maps()
    gc.collect()
    _modules.update(sys.modules)
    _changed[:] = pages_changed_by(lambda: _render_warmup_script(options))


def enter(options: Mapping[str, Any]) -> None:
    """Prepares the memory that a rendering changes.

    Args:
        options: The task's render settings; not used.
    """
    prefault(_changed)


def render(code: str, options: Mapping[str, Any]) -> Rendering:
    """Runs a script and takes its image.

    Args:
        code: The script.
        options: The task's render settings: `max_pixels`, width times height.

    Returns:
        The image, on white.

    Raises:
        RenderingFailed: There is no image. The reason names the script's exception and its line, in at most MAX_REASON
            characters.
    """
    files = Files()
    _figures.begin(files, options["max_pixels"])
    chart_fonts.begin()
    _fix_random_numbers()
    files.watch()
    folders.stand_in(os.getcwd())  # noqa: PTH109
    _register_color_maps(code)
    outcome = _attempt(code, _figures)
    if files.reached:
        raise RenderingFailed("Tampering", _bounded(f"tried to open {files.reached}"))
    if isinstance(outcome, RenderingFailed):
        raise outcome
    return replace(outcome, missing_glyphs=chart_fonts.missing_glyphs())


def _unregister_color_maps() -> None:
    """Takes back what the libraries of the warm-up registered: a script that does not import them has no such maps."""
    builtin = set(matplotlib.colormaps._builtin_cmaps)  # type: ignore[attr-defined]
    for name in set(matplotlib.colormaps) - builtin:
        _color_maps[name] = matplotlib.colormaps[name]
        matplotlib.colormaps.unregister(name)


def _register_color_maps(code: str) -> None:
    if _IMPORTS_SEABORN.search(code):
        for name, color_map in _color_maps.items():
            matplotlib.colormaps.register(color_map, name=name, force=True)


def _render_warmup_script(options: Mapping[str, Any]) -> None:
    render(WARMUP_SCRIPT, options)


def _attempt(code: str, figures: Figures) -> Rendering | RenderingFailed:
    try:
        _run(code, figures)
        return _on_white(figures.image())
    except NothingDrawn as nothing:
        return RenderingFailed("BlankImage", str(nothing))
    except BaseException as error:  # noqa: BLE001  whatever a script may raise
        return _blame(error)


def _run(code: str, figures: Figures) -> None:
    sys.stdin = io.TextIOWrapper(io.BytesIO())
    sys.stdout, sys.stderr = (io.TextIOWrapper(io.BufferedWriter(_Unread()), write_through=True) for _ in range(2))
    main = types.ModuleType("__main__")
    main.__file__ = os.path.abspath("script.py")  # noqa: PTH100
    sys.modules["__main__"] = main
    sys.argv[:] = ["script.py"]
    script = compile(code.removeprefix("\ufeff"), SCRIPT, "exec", dont_inherit=True)
    _to_its_end(lambda: exec(script, main.__dict__), figures)  # noqa: S102  what a sandbox is for
    if not figures.any:
        _to_its_end(_uncalled(main.__dict__), figures)


def _to_its_end(call: Callable[[], Any], figures: Figures) -> None:
    stop_tracing, stop_profiling, restore = sys.settrace, sys.setprofile, _restorer()
    try:
        try:
            call()
        finally:
            # Before any other name is looked up, or function called.
            stop_tracing(None)
            stop_profiling(None)
            restore()
    except SystemExit as end:
        if end.code not in (None, 0):
            raise
    except EOFError:
        if not figures.any:
            raise


def _uncalled(names: Mapping[str, Any]) -> Callable[[], Any]:
    """The function that a script has defined and forgotten to call; one that does nothing if there is none."""
    ready = [
        value for value in names.values() if isinstance(value, types.FunctionType) and _takes_nothing(value.__code__, value)
    ]
    main = [function for function in ready if function.__name__ == "main"]
    return (main or ready)[-1] if ready else lambda: None


def _takes_nothing(code: types.CodeType, function: types.FunctionType) -> bool:
    """Whether a function was written in the script, by name, and needs no argument."""
    optional = (len(function.__defaults__ or ()), len(function.__kwdefaults__ or {}))
    return (
        code.co_filename == SCRIPT and code.co_name != "<lambda>" and (code.co_argcount, code.co_kwonlyargcount) == optional
    )


def _on_white(image: Pixels) -> Rendering:
    """Compares pixels in place: a copy of an image costs as much as a good part of its rendering."""
    height, width, _ = image.shape
    if image[..., 3].min() < 255:
        page = Image.new("RGBA", (width, height), "white")
        page.alpha_composite(Image.fromarray(image))
        image = np.asarray(page)
    return Rendering(width, height, image[..., :3].tobytes())


def _blame(error: BaseException) -> RenderingFailed:
    kind, line = type(error).__name__, _line(error)
    said = "its message cannot be read"
    with contextlib.suppress(BaseException):
        said = str(error)
    where = f"{kind}, line {line}: " if line else f"{kind}: "
    reason = "".join((where, said))
    if fault_of(error) == "RenderLimit" or isinstance(error, TooLarge):
        return RenderingFailed("RenderLimit", _bounded(reason))
    advice = ""
    with contextlib.suppress(BaseException):
        advice = _bounded(chart_libraries.advice_on(error), MAX_ADVICE)
    return RenderingFailed("RenderFailed", _bounded(reason, MAX_REASON - len(advice)) + advice)


def _line(error: BaseException) -> int | None:
    """The line of the script that raised: the innermost of its own."""
    if isinstance(error, SyntaxError) and error.filename == SCRIPT:
        return error.lineno
    lines = [line for frame, line in traceback.walk_tb(error.__traceback__) if frame.f_code.co_filename == SCRIPT]
    return lines[-1] if lines else None


def _bounded(reason: str, most: int = MAX_REASON) -> str:
    words = " ".join(reason.split()).encode("utf-8", "replace").decode()
    return words if len(words) <= most else f"{words[: most - 1]}…"


def _restorer() -> Callable[[], None]:
    """What puts back, after a script, that without which not even its failure could be told."""
    names, modules = vars(builtins), sys.modules
    known, count = dict(names), len(modules)
    set_names, set_modules, count_of = names.update, modules.update, len
    limit_depth, depth = sys.setrecursionlimit, sys.getrecursionlimit()

    def restore() -> None:
        set_names(known)
        limit_depth(depth)
        if count_of(modules) < count:
            set_modules(_modules)

    return restore


def _fix_random_numbers() -> None:
    """Seeds every generator that is not seeded, each with another number of one fixed sequence."""
    entropy = random.Random(0).getrandbits
    seed_given = random.Random.seed

    def seed(generator: random.Random, a: Any = None, version: int = 2) -> None:
        seed_given(generator, entropy(64) if a is None else a, version)

    random.seed = types.MethodType(seed, random.seed.__self__)  # type: ignore[attr-defined]
    random.Random.seed = seed  # type: ignore[method-assign, assignment]
    np.random.bit_generator.randbits = entropy  # type: ignore[attr-defined]
    random.seed(0)
    np.random.seed(0)


class _Unread(io.RawIOBase):
    """Takes all that a script prints, and keeps nothing."""

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        return len(data)
