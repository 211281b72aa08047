"""Where items come from: folders of images, and files of code that this project will draw.

Each source yields items and reports what it leaves out, by file and line; one bad item never costs the others.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from visual_erm.data.images import SUFFIXES
from visual_erm.errors import ConfigError, NoCodeError
from visual_erm.extract import Code, extract

Report = Callable[[str], None]
"""Takes one sentence about an item that is left out: where it stands, what is wrong, how to mend it."""


@dataclass(frozen=True)
class Item:
    """One table, chart or drawing: a image of it, or code to be drawn."""

    where: str
    """File and line, or whatever else names it in a message; no two items share it."""
    image: Path | None = None
    engine: str = ""
    """What drew `image`, where that is known."""
    code: Code | None = None
    ground_truth: str = ""
    """Its code where that is known."""


def images(folder: Path, engine: str = "") -> Iterator[Item]:
    """Every image in `folder` and below, drawn by `engine`. Raises ConfigError when there is none."""
    if not folder.is_dir():
        raise ConfigError(f"{folder}: no such folder")
    found = sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES and path.is_file())
    if not found:
        raise ConfigError(f"{folder}: no pictures in it ({', '.join(SUFFIXES)})")
    for path in found:
        yield Item(str(path), image=path, engine=engine)


# Code in files


@dataclass(frozen=True)
class CodeFormat:
    """How one kind of code lies in files."""

    suffixes: Mapping[str, str]
    """Endings of files that hold one item each, and their language."""
    keys: Mapping[str, str]
    """Keys of a JSONL line under which code can stand, the preferred one first, and their language."""
    read: Callable[[str, str], Code] = Code
    """Language and text -> what is to be drawn; by default the text as it is. Raises ConfigError when there is nothing."""


def _table_in(language: str, text: str) -> Code:
    """The last table of a text, as in a reply: a Markdown file may hold prose as well."""
    try:
        return extract(text, [language])
    except NoCodeError:
        fix = "take it out, or name the language that it is in"
        raise ConfigError(f"no {language} table with cells in it; {fix}") from None


TABLES = CodeFormat(
    {".html": "html", ".htm": "html", ".md": "markdown", ".markdown": "markdown"},
    {"html": "html", "markdown": "markdown"},
    _table_in,
)
SCRIPTS = CodeFormat({".py": "python"}, {"python": "python", "code": "python"})
DOCUMENTS = CodeFormat({".svg": "svg"}, {"svg": "svg", "code": "svg"})


def written(inputs: Sequence[Path], writing: CodeFormat, report: Report) -> Iterator[Item]:
    """Code in files of that writing, in folders of them, and in JSONL, one item per line.

    Raises ConfigError when `inputs` name no such file.
    """
    files = [path for given in inputs for path in (sorted(given.rglob("*")) if given.is_dir() else [given])]
    files = [path for path in dict.fromkeys(files) if path.suffix.lower() in (*writing.suffixes, ".jsonl")]
    if not files:
        raise ConfigError(f"no file to read ({', '.join(writing.suffixes)}, .jsonl) in {', '.join(map(str, inputs))}")
    for path in files:
        for where, language, text in _texts(path, writing, report):
            try:
                code = writing.read(language, text)
            except ConfigError as error:
                report(f"{where}: {error}")
                continue
            yield Item(where, code=code, ground_truth=code.text)


def _texts(path: Path, writing: CodeFormat, report: Report) -> Iterator[tuple[str, str, str]]:
    """Where it stands, language and text of everything in one file."""
    if path.suffix.lower() != ".jsonl":
        try:
            yield str(path), writing.suffixes[path.suffix.lower()], path.read_text(encoding="utf-8-sig")
        except (OSError, UnicodeDecodeError) as error:
            report(f"{path}: cannot be read as UTF-8 text ({error})")
        return
    for where, row in json_lines(path, report):
        keys = [key for key in writing.keys if isinstance(row.get(key), str)]
        if keys:
            yield where, writing.keys[keys[0]], row[keys[0]]
        else:
            wanted = " or ".join(f"`{key}`" for key in writing.keys)
            report(f"{where}: needs a key {wanted} with the code as text; it has {', '.join(row) or 'none'}")


def json_lines(path: Path, report: Report) -> Iterator[tuple[str, dict[str, Any]]]:
    """Where it stands, and the object, of every line that holds one. Raises ConfigError when the file cannot be read."""
    try:
        lines = path.open("rb")
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error
    with lines:
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except ValueError as error:
                report(f"{path}:{number}: not valid JSON ({error}); mend the line or take it out")
                continue
            if isinstance(row, dict):
                yield f"{path}:{number}", row
            else:
                report(f"{path}:{number}: expected a JSON object, found {type(row).__name__}")
