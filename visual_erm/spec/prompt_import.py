"""The published prompts, read out of the user's own checkout of InternLM/Visual-ERM: parsed, never imported or run.

    checkout --ast--> an expression --folded by hand--> the text

Only what is a text without running anything is taken: constants, their sums, `textwrap.dedent` and `strip` of them, and
names that are bound to such a text once. Whatever else stands there is an error with its line, never a guess.

The checkout is somebody else's, so that size, time and memory of the reading are bounded, whatever its files hold.
"""

from __future__ import annotations

import ast
import os
import textwrap
import time
import warnings
from collections.abc import Iterator
from pathlib import Path

from visual_erm.errors import ConfigError
from visual_erm.runtime.files import read_regular
from visual_erm.spec.prompts import Found, evaluation_prompt

FOLDER = Path("rl_scripts", "reward_func")
CONSTANTS = "reward_utils.py"
"""Holds a constant for each of `CATEGORIES`."""
CATEGORIES = {
    "chart": ("structure_error", "data_error", "text_error", "style_error"),
    "svg": ("structure_error", "shape_error", "style_error", "text_symbol_error"),
}
"""The published categories of each task. A published prompt names all of them, whatever a task file of today adds."""
FUNCTION_FILE = "table_parse_rm_v2.py"
FUNCTION = "build_error_prompt_for_images"
"""Returns the text for tables."""
EVALUATION = Path("evaluation", "api_judge.py")
"""The published evaluation on VC-RewardBench, in the checkout. Its texts differ from those of the rewards."""
EVALUATION_FUNCTIONS = {category: f"build_prompt_for_{category}" for category in ("table", "chart", "svg")}
"""Category of pairs -> the function that returns its text."""

MAX_BYTES = 256 * 1024
"""Largest file that is read. To parse as much takes about one second and 250 MB at most."""
LIMIT_S = 10.0
"""Seconds for one file, once it is parsed."""
MOST_PARTS = 10_000
MOST_CHARACTERS = 1_000_000
"""Bounds of one text: a few lines of Python can stand for one that fills the memory."""
MOST_STRIPPED = 100
"""Characters that the argument of `strip` may list. The time is that of all of them for each character of the text."""

_BOUND_AS = {
    ast.FunctionDef: "name",
    ast.AsyncFunctionDef: "name",
    ast.ClassDef: "name",
    ast.ExceptHandler: "name",
    ast.MatchAs: "name",
    ast.MatchStar: "name",
    ast.MatchMapping: "rest",
    ast.arg: "arg",
}
"""What binds a name by itself -> its field with that name."""


def find_published(path: Path) -> dict[str, Found]:
    """Finds the published prompt of each task.

    Args:
        path: A checkout of InternLM/Visual-ERM, or a folder in it.

    Returns:
        By task: the text, and the file and line where it stands.

    Raises:
        ConfigError: Says what was looked for and where, when a text is missing, not the only one, or no plain text.
    """
    folder = _folder(path)
    constants = PythonFile(folder / CONSTANTS)
    found = {task: constants.constant_with([*categories, "errors"]) for task, categories in CATEGORIES.items()}
    return {"table": PythonFile(folder / FUNCTION_FILE).returned_by(FUNCTION), **found}


def find_evaluation(path: Path) -> dict[str, Found]:
    """Finds the prompts of the published evaluation.

    Args:
        path: A checkout of InternLM/Visual-ERM, or a folder in it.

    Returns:
        By the name that `evaluation_prompt` gives a category: the text, and the file and line where it stands. Empty for a
        checkout without the evaluation.

    Raises:
        ConfigError: The evaluation is there, and a text is missing in it, not the only one, or no plain text.
    """
    file = _folder(path).parents[1] / EVALUATION
    if not os.access(file, os.F_OK):
        return {}
    source = PythonFile(file)
    return {evaluation_prompt(category): source.returned_by(name) for category, name in EVALUATION_FUNCTIONS.items()}


def _folder(path: Path) -> Path:
    here = path.expanduser().absolute()
    for base in (here, *here.parents):
        if os.access(base / FOLDER, os.F_OK):
            return base / FOLDER
    raise ConfigError(f"{path}: holds no {FOLDER}, and is in no folder that does; give a checkout of InternLM/Visual-ERM")


class PythonFile:
    """One Python file, parsed and never run.

    Args:
        path: The file.

    Raises:
        ConfigError: The file cannot be read, is no regular file, is too large, or is not Python.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                self.module = Scope(ast.parse(read_regular(path, MAX_BYTES)))
        except OSError as error:
            raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error
        except SyntaxError as error:
            raise ConfigError(f"{path}, line {error.lineno or '?'}: not valid Python: {error.msg}") from None
        except (ValueError, RecursionError, MemoryError) as error:
            raise ConfigError(f"{path}: cannot be parsed: {error}") from None
        self._ends_at = time.monotonic() + LIMIT_S

    def check_time(self) -> None:
        """Ends a search that takes too long.

        Raises:
            ConfigError: The file has been searched for `LIMIT_S`.
        """
        if time.monotonic() > self._ends_at:
            raise ConfigError(
                f"{self.path}: no text was found within {LIMIT_S:g} s; fix: give the text as a file, in `judge.prompt_file`"
            )

    def constant_with(self, words: list[str]) -> Found:
        """Finds the one constant of the module that holds all of some words.

        Args:
            words: Words that the text must hold.

        Returns:
            The text and where it stands.

        Raises:
            ConfigError: There is none, or more than one.
        """
        found: dict[str, Found] = {}
        for statement in self.module.body:
            self.check_time()
            if isinstance(statement, ast.Assign | ast.AnnAssign) and statement.value:
                constant = self._constant(statement, statement.value, words)
                if constant:
                    found.setdefault(constant.text, constant)
        if len(found) == 1:
            return found.popitem()[1]
        wanted = f"one text assigned at the top of the module that holds the words {', '.join(words)}"
        raise ConfigError(f"{self.path}: looked for {wanted}; found {_lines([each.line for each in found.values()])}")

    def returned_by(self, name: str) -> Found:
        """Finds the text that a function returns.

        Args:
            name: Name of the function.

        Returns:
            The text and where it stands.

        Raises:
            ConfigError: There is no such function, more than one, or it may return something else.
        """
        functions = [
            node
            for node in ast.walk(self.module.node)
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name == name
        ]
        if len(functions) != 1:
            found = _lines([function.lineno for function in functions])
            raise ConfigError(f"{self.path}: looked for one function `{name}`; found {found}")
        (function,) = functions
        if function.decorator_list:
            raise self.refused(function.decorator_list[0], f"`{name}` is decorated, so it may return anything")
        scope = Scope(function)
        returns = [node for node in scope.nodes if isinstance(node, ast.Return)]
        if len(returns) != 1 or returns[0] not in scope.body or returns[0].value is None:
            found = _lines([node.lineno for node in returns])
            raise self.refused(function, f"looked for one `return` of a text, on every way through `{name}`; found {found}")
        return self._found(returns[0].value, [scope, self.module])

    def refused(self, node: ast.expr | ast.stmt, why: str) -> ConfigError:
        """The error for a part of the file that is no plain text.

        Args:
            node: The part; its line is named.
            why: What is wrong with it.

        Returns:
            The error, to be raised.
        """
        return ConfigError(f"{self.path}, line {node.lineno}: {why}; fix: give the text as a file, in `judge.prompt_file`")

    def _constant(self, statement: ast.Assign | ast.AnnAssign, value: ast.expr, words: list[str]) -> Found | None:
        """What a statement assigns, if it holds all `words`."""
        target = statement.target if isinstance(statement, ast.AnnAssign) else statement.targets[0]
        try:
            # By its name where it has one: it must be bound once.
            found = self._found(target if isinstance(target, ast.Name) else value, [self.module])
        except ConfigError:
            pieces = " ".join(str(node.value) for node in ast.walk(value) if isinstance(node, ast.Constant))
            if all(word in pieces for word in words):
                raise
            return None
        return Found(found.text, self.path, value.lineno) if all(word in found.text for word in words) else None

    def _found(self, value: ast.expr, scopes: list[Scope]) -> Found:
        try:
            text = Folding(self, scopes).text(value)
            text.encode("utf-8")
        except RecursionError:
            raise self.refused(value, "is nested too deeply") from None
        except UnicodeEncodeError:
            raise self.refused(value, "holds half a character, which no file can keep") from None
        if not text.strip():
            raise self.refused(value, "is an empty text")
        return Found(text, self.path, value.lineno)


class Scope:
    """A module or a function, and what binds names in it. Functions and classes in it are scopes of their own."""

    def __init__(self, node: ast.Module | ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        self.node = node
        self.body: list[ast.stmt] = node.body
        self.nodes = list(_within(node))
        self._bindings: dict[str, list[ast.AST]] = {}
        for inner in self.nodes:
            for name in _names_bound_by(inner):
                self._bindings.setdefault(name, []).append(inner)
        # A function in it may say that a name of its own is this scope's.
        for inner in ast.walk(node):
            if isinstance(inner, ast.Global | ast.Nonlocal):
                for name in inner.names:
                    self._bindings.setdefault(name, []).append(inner)

    def bindings(self, name: str) -> list[ast.AST]:
        """What binds a name in this scope.

        Args:
            name: The name.

        Returns:
            The nodes that bind it, none for an unknown name.
        """
        return self._bindings.get(name, [])

    def assigned(self, name: ast.AST) -> ast.expr | None:
        """What a statement of the scope's own assigns to a name alone.

        Args:
            name: The node that binds the name.

        Returns:
            The assigned expression, or None.
        """
        for statement in self.body:
            if isinstance(statement, ast.Assign) and statement.targets == [name]:
                return statement.value
            if isinstance(statement, ast.AnnAssign) and statement.target is name:
                return statement.value
        return None


class Folding:
    """Constant folding: works out one text of a file from its expression."""

    def __init__(self, source: PythonFile, scopes: list[Scope]) -> None:
        self._source = source
        self._scopes = scopes
        self._parts = 0

    def text(self, node: ast.expr) -> str:
        """Works out the text that an expression stands for.

        Args:
            node: The expression.

        Returns:
            The text.

        Raises:
            ConfigError: The expression is more than constants.
        """
        self._parts += 1
        self._source.check_time()
        text = self._fold(node)
        if self._parts > MOST_PARTS or len(text) > MOST_CHARACTERS:
            raise self._source.refused(node, "is too long, or holds itself")
        return text

    def _fold(self, node: ast.expr) -> str:
        match node:
            case ast.Constant(value=str(text)):
                return text
            case ast.Name(id=name):
                return self._named(node, name)
            case ast.BinOp(left=left, op=ast.Add(), right=right):
                return self.text(left) + self.text(right)
            case ast.JoinedStr(values=values) if all(isinstance(value, ast.Constant) for value in values):
                return "".join(map(self.text, values))
            case ast.Call(func=called, args=[text], keywords=[]) if self._is_dedent(called):
                return textwrap.dedent(self.text(text))
            case ast.Call(
                func=ast.Attribute(value=text, attr="strip" | "lstrip" | "rstrip" as way), args=args, keywords=[]
            ):
                listed = [self.text(argument) for argument in args]
                if len(listed) <= 1 and all(len(characters) <= MOST_STRIPPED for characters in listed):
                    return getattr(self.text(text), way)(*listed)
        raise self._source.refused(node, f"`{_shown(node)}` is no text that can be read without running it")

    def _named(self, node: ast.expr, name: str) -> str:
        scope = self._scope_of(name)
        bindings = scope.bindings(name) if scope else []
        value = scope.assigned(bindings[0]) if scope and len(bindings) == 1 else None
        if scope is None or value is None:
            found = _lines([binding.lineno for binding in bindings])  # type: ignore[attr-defined]
            raise self._source.refused(node, f"`{name}` is not assigned once and for all; it is bound: {found}")
        outer, self._scopes = self._scopes, self._scopes[self._scopes.index(scope) :]
        text = self.text(value)
        self._scopes = outer
        return text

    def _scope_of(self, name: str) -> Scope | None:
        return next((scope for scope in self._scopes if scope.bindings(name)), None)

    def _is_dedent(self, called: ast.expr) -> bool:
        """Whether that is `textwrap.dedent`, by the file's own imports."""
        match called:
            case ast.Attribute(value=ast.Name(id=name), attr="dedent"):
                wanted: tuple[str | None, str] = (None, "textwrap")
            case ast.Name(id=name):
                wanted = ("textwrap", "dedent")
            case _:
                return False
        scope = self._scope_of(name)
        match scope.bindings(name) if scope else []:
            case [ast.Import() | ast.ImportFrom() as statement]:
                imported = {alias.asname or alias.name: alias.name for alias in statement.names}
                return (getattr(statement, "module", None), imported[name]) == wanted
        return False


def _within(scope: ast.AST) -> Iterator[ast.AST]:
    """Everything in a scope, without what is inside the functions and classes in it."""
    waiting = list(ast.iter_child_nodes(scope))
    while waiting:
        node = waiting.pop()
        yield node
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Lambda):
            waiting.extend(ast.iter_child_nodes(node))


def _names_bound_by(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Name):
        return [] if isinstance(node.ctx, ast.Load) else [node.id]
    if isinstance(node, ast.Import | ast.ImportFrom):
        return [alias.asname or alias.name.partition(".")[0] for alias in node.names]
    return [name] if (name := getattr(node, _BOUND_AS.get(type(node), ""), None)) else []


def _lines(lines: list[int]) -> str:
    return f"{len(lines)}, in line {', '.join(map(str, sorted(lines)))}" if lines else "none"


def _shown(node: ast.expr) -> str:
    shown = " ".join(ast.unparse(node).split())
    return shown if len(shown) <= 60 else f"{shown[:60]}…"
