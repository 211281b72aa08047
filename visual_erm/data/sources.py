"""Sources of items for data preparation: folders of images, and files of code that this project renders.

Each source yields items and reports what it leaves out, by file and line. One bad item never costs the others.

    for item in code_items([Path("plots/")], SCRIPTS, report=print):
        item.code
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from visual_erm.data.images import SUFFIXES
from visual_erm.errors import ConfigError, NoCodeError
from visual_erm.extract import Code, Language, extract
from visual_erm.kinds.chart import CHART
from visual_erm.kinds.svg import SVG
from visual_erm.kinds.table import TABLE
from visual_erm.runtime.files import files_below
from visual_erm.spec.text import json_of_line, jsonl_lines, read_text

Report = Callable[[str], None]
"""Takes one sentence about an item that is left out: where it stands, what is wrong, how to mend it."""


@dataclass(frozen=True)
class Item:
    """One sample to be: an image, or code that is to be rendered."""

    where: str
    """File and line, or whatever else names it in a message; no two items share it."""
    image: Path | None = None
    renderer_version: str = ""
    """Name and version of the renderer that made `image`, where that is known."""
    code: Code | None = None
    ground_truth: str = ""
    """Its code where that is known."""


def images(folder: Path, renderer_version: str = "") -> Iterator[Item]:
    """Finds images.

    Args:
        folder: Every image in it and below counts.
        renderer_version: Name and version of the renderer that made the images; empty: unknown.

    Yields:
        One item per image, sorted by path.

    Raises:
        ConfigError: There is no such folder, or no image in it.
    """
    if not folder.is_dir():
        raise ConfigError(f"{folder}: no such folder")
    found = [path for path in files_below(folder) if path.suffix.lower() in SUFFIXES]
    if not found:
        raise ConfigError(f"{folder}: no images in it ({', '.join(SUFFIXES)})")
    for path in found:
        yield Item(str(path), image=path, renderer_version=renderer_version)


# Code in files


@dataclass(frozen=True)
class CodeFormat:
    """How code lies in files: suffixes of files with one item each, and keys of JSONL lines."""

    suffixes: Mapping[str, Language]
    """Suffixes of files that hold one item each, with the dot, and their language."""
    keys: Mapping[str, Language]
    """Keys of a JSONL line under which code can stand, the preferred one first, and their language."""

    @classmethod
    def of(cls, languages: Sequence[Language]) -> CodeFormat:
        """The format of code in some languages.

        Args:
            languages: The languages; where two share a suffix, the first has it.

        Returns:
            Files by the suffixes of the languages; keys are their names, and `code` where there is one language only.
        """
        suffixes = {suffix: language for language in reversed(languages) for suffix in language.suffixes}
        keys = {language.name: language for language in languages}
        return cls(suffixes, keys if len(languages) > 1 else {**keys, "code": languages[0]})


def _code_in(language: Language, text: str) -> Code:
    """The code of one item. Raises ConfigError where the text holds none."""
    if language.whole_file:
        return Code(language.code_language, text)
    try:
        # A Markdown file may hold prose as well: its last table counts, as in a reply.
        return extract(text, [language])
    except NoCodeError:
        fix = "take it out, or name the language that it is in"
        raise ConfigError(f"no {language.name} table with cells in it; {fix}") from None


TABLES = CodeFormat.of(TABLE.languages_of(["html", "markdown"]))
SCRIPTS = CodeFormat.of(CHART.languages)
DOCUMENTS = CodeFormat.of(SVG.languages)


def code_items(inputs: Sequence[Path], code_format: CodeFormat, report: Report) -> Iterator[Item]:
    """Finds code in files, in folders of them, and in JSONL, one item per line.

    Args:
        inputs: Files and folders.
        code_format: Which files and keys hold code, and in which language.
        report: Is told of every item that is left out.

    Yields:
        The items in the order of the files.

    Raises:
        ConfigError: `inputs` name no such file.
    """
    files = [path for given in inputs for path in (files_below(given) if given.is_dir() else [given])]
    files = [path for path in dict.fromkeys(files) if path.suffix.lower() in (*code_format.suffixes, ".jsonl")]
    if not files:
        raise ConfigError(f"no file to read ({', '.join(code_format.suffixes)}, .jsonl) in {', '.join(map(str, inputs))}")
    for path in files:
        for where, language, text in _texts(path, code_format, report):
            try:
                code = _code_in(language, text)
            except ConfigError as error:
                report(f"{where}: {error}")
                continue
            yield Item(where, code=code, ground_truth=code.text)


def _texts(path: Path, code_format: CodeFormat, report: Report) -> Iterator[tuple[str, Language, str]]:
    """Where it stands, language and text of everything in one file."""
    if path.suffix.lower() != ".jsonl":
        try:
            yield str(path), code_format.suffixes[path.suffix.lower()], read_text(path)
        except ConfigError as error:
            report(str(error))
        return
    for where, row in json_lines(path, report):
        keys = [key for key in code_format.keys if isinstance(row.get(key), str)]
        if keys:
            yield where, code_format.keys[keys[0]], row[keys[0]]
        else:
            wanted = " or ".join(f"`{key}`" for key in code_format.keys)
            report(f"{where}: needs a key {wanted} with the code as text; it has {', '.join(row) or 'none'}")


def json_lines(path: Path, report: Report) -> Iterator[tuple[str, dict[str, Any]]]:
    """Reads a JSONL file.

    Args:
        path: The file.
        report: Is told of every line that is left out.

    Yields:
        File and line, and the object, of every line that holds one.

    Raises:
        ConfigError: The file cannot be read.
    """
    for number, line in enumerate(jsonl_lines(path), 1):
        if not line.strip():
            continue
        try:
            row = json_of_line(line)
        except ValueError as error:
            report(f"{path}:{number}: not valid JSON ({error}); mend the line or take it out")
            continue
        if isinstance(row, dict):
            yield f"{path}:{number}", row
        else:
            report(f"{path}:{number}: expected a JSON object, found {type(row).__name__}")
