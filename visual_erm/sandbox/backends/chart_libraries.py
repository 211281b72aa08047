"""The libraries that chart scripts may import: the one list of them, and what a failure has to do with one of them.

`visual-erm doctor`, preflight and docs/sandbox.md go by LIBRARIES. Which versions are installed decides which scripts run:
matplotlib 3.11 has no `boxplot(labels=)`, and pandas 3 no frequency `M`. So a failure names the versions that it met.

    advice_on(error)       # "; pip install 'visual-erm[charts]'", or "; installed: matplotlib 3.11.2"
"""

from __future__ import annotations

import re
import sys
import traceback
import types
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Any


@dataclass(frozen=True)
class Library:
    """One library that scripts may import."""

    module: str
    """The name that a script imports."""
    distribution: str
    """The name that pip installs."""
    extra: str = ""
    """The extra of `visual-erm` that installs it; empty where `visual-erm` itself does."""


LIBRARIES = (
    Library("matplotlib", "matplotlib"),
    Library("numpy", "numpy"),
    Library("pandas", "pandas"),
    Library("scipy", "scipy"),
    Library("seaborn", "seaborn"),
    Library("PIL", "pillow"),
    Library("skimage", "scikit-image"),
    Library("networkx", "networkx", "charts"),
    Library("squarify", "squarify", "charts"),
    Library("matplotlib_venn", "matplotlib-venn", "charts"),
    Library("sklearn", "scikit-learn", "data"),
    Library("statsmodels", "statsmodels", "data"),
)
"""What scripts may import beside Python's own modules; all imports of ChartMimic's scripts are among them."""

_BY_MODULE = {library.module: library for library in LIBRARIES} | {
    module: LIBRARIES[0] for module in ("mpl_toolkits", "pylab")
}
_CALLED = re.compile(r"(?:(\w+)\.)?(\w+)\(\) ")
"""Beginning of the message of a TypeError about the arguments of a function."""


def installed_version(library: Library) -> str:
    """Looks a library up.

    Args:
        library: The library.

    Returns:
        The version that is installed for this Python; empty where none is.
    """
    try:
        return version(library.distribution)
    except PackageNotFoundError:
        return ""


def install_command(library: Library) -> str:
    """Makes the command that installs a library in a version that fits.

    Args:
        library: The library.

    Returns:
        A command for a shell.
    """
    return f"pip install 'visual-erm[{library.extra}]'" if library.extra else f"pip install {library.distribution}"


def advice_on(error: BaseException) -> str:
    """Says what a failure of a script has to do with a library or with a program.

    Args:
        error: What the script raised, with its traceback.

    Returns:
        What is to be appended to the reason: how to install the library that is missing; that a program cannot be started;
        or the versions of the libraries that raised. Empty where no library is concerned.
    """
    if isinstance(error, ModuleNotFoundError) and error.name in _BY_MODULE:
        return f"; {install_command(_BY_MODULE[error.name])}"
    if program := _program(error):
        return f"; it needs the program `{program}`, and scripts cannot start programs"
    versions = dict.fromkeys(f"{library.distribution} {installed_version(library)}" for library in _concerned(error))
    return f"; installed: {', '.join(versions)}" if versions else ""


def _library_of(module: object) -> Library | None:
    return _BY_MODULE.get(module.partition(".")[0]) if isinstance(module, str) else None


def _concerned(error: BaseException) -> Iterator[Library]:
    """The libraries that a script had called when one of them raised, and the one whose part it asked for in vain."""
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    modules: list[object] = [frame.f_globals.get("__name__") for frame in frames]
    if isinstance(error, AttributeError):
        owner = error.obj
        modules.append(owner.__name__ if isinstance(owner, types.ModuleType) else type(owner).__module__)
    elif isinstance(error, ImportError):
        modules.append(error.name)
    elif isinstance(error, TypeError) and frames:
        modules.append(_module_of_called(str(error), frames[-1].f_globals))
    yield from filter(None, map(_library_of, modules))


def _module_of_called(message: str, names: Mapping[str, Any]) -> object:
    """The module of the function that a message names as `boxplot()`, called by a script with these global names."""
    called = _CALLED.match(message)
    if not called:
        return None
    owner, function = called.groups()
    if owner:
        modules = [module for name, module in sys.modules.items() if _library_of(name)]
        return next((_defined_in(vars(module).get(owner)) for module in modules if owner in vars(module)), None)
    if function in names:
        return _defined_in(names[function])
    owners = [value for value in names.values() if isinstance(value, types.ModuleType) and _library_of(value.__name__)]
    return next((_defined_in(vars(module)[function]) for module in owners if function in vars(module)), None)


def _defined_in(function: object) -> object:
    return getattr(function, "__module__", None)


def _program(error: BaseException | None) -> str:
    """The program that a library could not start when this was raised; empty where there was none."""
    while error is not None:
        frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
        names = [frame.f_globals.get("__name__") for frame in frames]
        if "subprocess" in names and _library_of(names[names.index("subprocess") - 1]):
            words = [frame.f_locals.get("args") for frame in frames if frame.f_globals.get("__name__") == "subprocess"][-1]
            return str(words[0] if isinstance(words, list | tuple) and words else words)
        error = error.__cause__ or error.__context__
    return ""
