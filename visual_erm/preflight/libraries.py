"""Can scripts import on this machine what the code of the references imports?

The list of libraries is `visual_erm.sandbox.backends.chart_libraries`. Nothing is imported here, and no code is run.

    missing_imports("import squarify, json")        # {"squarify"}, where it is not installed
"""

from __future__ import annotations

import ast
import functools
import re
import sys
import warnings
from collections import Counter
from collections.abc import Iterator
from importlib.machinery import PathFinder

from visual_erm.data.row_contract import truths_in
from visual_erm.preflight.context import KEYS, RunContext
from visual_erm.preflight.findings import Caution, Finding, Note
from visual_erm.sandbox.backends.chart_libraries import LIBRARIES, install_command
from visual_erm.sandbox.bubblewrap import packages

_NAME = r"[\w.]+(?:[ \t]+as[ \t]+\w+)?"
_IMPORT = re.compile(rf"(?:^|[;:])[ \t]*(?:from|import)[ \t]+({_NAME}(?:[ \t]*,[ \t]*{_NAME})*)", re.MULTILINE)


def check_libraries(context: RunContext) -> Iterator[Finding]:
    """Warns of libraries that the references' scripts import and that scripts cannot import on this machine.

    Replies that are like these references fail then.

    Args:
        context: The run.

    Yields:
        A warning for each library, and a note on what was looked at.

    Raises:
        ConfigError: A file cannot be read as parquet.
    """
    if "renderer" not in context.needs:
        return
    scripts = {name for name, task in context.tasks.items() if any(x.name == "python" for x in task.code_languages)}
    only = next(iter(context.tasks)) if len(context.tasks) == 1 else None
    looked_at = 0
    for key in KEYS if scripts else ():
        rows, lacking = 0, Counter[str]()
        for data_source, code in truths_in(context.readable(key)):
            if (only or data_source) in scripts:
                rows += 1
                lacking.update(missing_imports(code))
        for module, number in lacking.most_common():
            what = f"the code of {number} of {rows} references imports `{module}`, which scripts cannot import here"
            yield Caution(f"data.{key}", what, how_to_install(module))
        looked_at += rows
    yield Note(f"{looked_at} scripts" if looked_at else "")


def missing_imports(code: str) -> frozenset[str]:
    """Finds the modules that a script imports and cannot import in the sandbox of this machine.

    Args:
        code: A Python script. One that cannot be parsed has no imports.

    Returns:
        Names of top-level modules. Imports inside `try` with an `except` are left out.
    """
    # Most scripts lack nothing, and parsing is slow.
    if all(map(is_importable, _words_after_import(code))):
        return frozenset()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(code)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return frozenset()
    return frozenset(module for module in _imports(tree) if not is_importable(module))


@functools.cache
def is_importable(module: str) -> bool:
    """Looks for a module among what workers of the sandbox can import.

    Args:
        module: Name of a top-level module.

    Returns:
        Whether Python or an installed package has it.
    """
    return module in sys.stdlib_module_names or PathFinder.find_spec(module, list(packages())) is not None


def how_to_install(module: str) -> str:
    """Says what to do about a module that is missing.

    Args:
        module: Name of a top-level module.

    Returns:
        The command that installs it; a sentence where it is none of LIBRARIES.
    """
    known = [install_command(library) for library in LIBRARIES if library.module == module]
    return known[0] if known else "install it for this Python, or leave these rows out"


def _words_after_import(code: str) -> Iterator[str]:
    """Names of top-level modules as a quick look finds them, some of them in strings."""
    for names in _IMPORT.findall(code):
        yield from filter(None, (re.split(r"[. \t]", name.strip())[0] for name in names.split(",")))


def _imports(tree: ast.AST) -> Iterator[str]:
    """Names of the top-level modules that code imports, unless it is prepared for an error."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Import):
            yield from (name.name.partition(".")[0] for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            if node.module and not node.level:
                yield node.module.partition(".")[0]
        elif isinstance(node, ast.Try) and node.handlers:
            for other in (*node.handlers, *node.orelse, *node.finalbody):
                yield from _imports(other)
        else:
            yield from _imports(node)
