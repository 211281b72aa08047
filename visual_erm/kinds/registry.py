"""Finds the kind that a task names: a shipped one by its name, one of the user's own by the path of its module.

A module of the user's own is a Python file that assigns a `Kind` to the name `KIND`. It is imported once per process from
where it lies, so Ray workers on other machines need the same path (a shared file system), and no PYTHONPATH.
"""

from __future__ import annotations

import functools
import importlib.util
import sys
from dataclasses import replace
from hashlib import blake2b
from pathlib import Path

from visual_erm.errors import ConfigError
from visual_erm.kinds.base import Kind
from visual_erm.kinds.chart import CHART
from visual_erm.kinds.svg import SVG
from visual_erm.kinds.table import TABLE

SHIPPED = {kind.name: kind for kind in (TABLE, CHART, SVG)}
"""Kinds of this package by name."""
OWN = "or the path of a Python file that assigns a Kind to KIND"


@functools.cache
def find_kind(reference: str) -> Kind:
    """The kind of that name or path.

    Args:
        reference: A shipped kind's name (`table`, `chart`, `svg`), or the path of a `.py` file that assigns a `Kind` to
            `KIND`.

    Returns:
        The kind, the same object for the same reference; its `reference` is the argument.

    Raises:
        ConfigError: There is no such kind or file, or the file raises, or holds no `Kind`.
    """
    if not reference.endswith(".py"):
        if reference not in SHIPPED:
            raise ConfigError(f"key `kind`: must be one of {', '.join(sorted(SHIPPED))}, {OWN} (got {reference!r})")
        return replace(SHIPPED[reference], reference=reference)
    path = Path(reference).expanduser().resolve()
    if not path.is_file():
        raise ConfigError(f"key `kind`: there is no file {path}")
    # One name per path: two users' files may share a name, and classes need a module that can be found.
    name = f"visual_erm_kind_{path.stem}_{blake2b(str(path).encode(), digest_size=6).hexdigest()}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ConfigError(f"key `kind`: {path} cannot be imported")
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[name]
        raise ConfigError(f"key `kind`: {path} raises {type(error).__name__} when it is imported: {error}") from error
    found = getattr(module, "KIND", None)
    if not isinstance(found, Kind):
        raise ConfigError(f"key `kind`: {path} assigns no Kind to KIND; see docs/new_task.md")
    return replace(found, reference=reference)
