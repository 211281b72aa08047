"""Where tables come from: pictures, PubTabNet, markup, and data that lies inside of well-known packages.

Each source yields items and reports what it leaves out, by file and line; one bad item never costs the others.
"""

from __future__ import annotations

import html
import importlib
import json
import math
import pkgutil
import random
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from visual_erm.data.pictures import SUFFIXES
from visual_erm.errors import ConfigError, NoCode
from visual_erm.extract import Code, extract

Report = Callable[[str], None]
"""Takes one sentence about an item that is left out: where it stands, what is wrong, how to mend it."""

MARKUP = {".html": "html", ".htm": "html", ".md": "markdown", ".markdown": "markdown"}
"""Files that count as markup, and their language."""
CUTS_PER_TABLE = 200
"""Tables cut out of one data set of a package, so that the long ones do not crowd out the others."""
_LONGEST_TEXT = 24
"""Characters; columns of a package's data with longer texts are left out."""


@dataclass(frozen=True)
class Item:
    """One table: a picture of it, or code to be drawn."""

    where: str
    """File and line, or whatever else names it in a message; no two items share it."""
    picture: Path | None = None
    code: Code | None = None
    ground_truth: str = ""
    """Its markup where that is known."""


# Pictures


def images(folder: Path) -> Iterator[Item]:
    """Every picture in `folder` and below. Raises ConfigError when there is none."""
    if not folder.is_dir():
        raise ConfigError(f"{folder}: no such folder")
    found = sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES and path.is_file())
    if not found:
        raise ConfigError(f"{folder}: no pictures in it ({', '.join(SUFFIXES)})")
    for path in found:
        yield Item(str(path), picture=path)


# PubTabNet


def pubtabnet(rows: Path, pictures: Path, split: str | None, report: Report) -> Iterator[Item]:
    """Tables of a PubTabNet JSONL, of one of its own splits or of all; `pictures` holds them, or a folder per split."""
    for where, row in _json_lines(rows, report):
        try:
            if split and row.get("split") != split:
                continue
            name = str(_field(row, "filename", str))
            places = [pictures / name, pictures / str(row.get("split", "")) / name]
            picture = next((place for place in places if place.is_file()), None)
            if picture is None:
                raise ConfigError(f"no picture {places[0]}; give the folder that holds it with --images")
            yield Item(where, picture=picture, ground_truth=assemble(_field(row, "html", dict)))
        except ConfigError as error:
            report(f"{where}: {error}")


def assemble(table: dict[str, Any]) -> str:
    """HTML of a PubTabNet table: its structure's tokens, with each cell's tokens in their place.

    Raises ConfigError when cells and structure do not fit together.

    >>> tokens = ["<tr>", "<td", ' colspan="2"', ">", "</td>", "</tr>"]
    >>> assemble({"structure": {"tokens": tokens}, "cells": [{"tokens": ["<b>", "a", "<", "b", "</b>"]}]})
    '<table><tr><td colspan="2"><b>a&lt;b</b></td></tr></table>'
    """
    tokens = _field(_field(table, "structure", dict), "tokens", list)
    contents = ["".join(map(_markup_token, _field(cell, "tokens", list))) for cell in _field(table, "cells", list)]
    places = tokens.count("</td>")
    if not places or places != len(contents):
        raise ConfigError(
            f"`html.structure` has {places} cells, `html.cells` {len(contents)}; mend the line or take it out"
        )
    cells = iter(contents)
    return f"<table>{''.join(next(cells) + tag if tag == '</td>' else str(tag) for tag in tokens)}</table>"


def _markup_token(token: Any) -> str:
    """A single character is text, a longer token is a tag."""
    return html.escape(str(token), quote=False) if len(str(token)) == 1 else str(token)


# Markup


def markup(inputs: Sequence[Path], report: Report) -> Iterator[Item]:
    """Tables written in HTML or Markdown: one per file, or one per line of a JSONL with a key `html` or `markdown`.

    Each text is read as a reply would be: the last table in it counts. Raises ConfigError when `inputs` name no such file.
    """
    files = [path for given in inputs for path in (sorted(given.rglob("*")) if given.is_dir() else [given])]
    files = [path for path in dict.fromkeys(files) if path.suffix.lower() in (*MARKUP, ".jsonl")]
    if not files:
        raise ConfigError(f"no file to read ({', '.join(MARKUP)}, .jsonl) in {', '.join(map(str, inputs))}")
    for path in files:
        for where, language, text in _texts(path, report):
            try:
                code = extract(text, [language])
            except NoCode:
                report(f"{where}: no {language} table with cells in it; take it out, or name the language that it is in")
                continue
            yield Item(where, code=code, ground_truth=code.text)


def _texts(path: Path, report: Report) -> Iterator[tuple[str, str, str]]:
    """Where it stands, language and text of everything in one file."""
    if path.suffix.lower() != ".jsonl":
        try:
            yield str(path), MARKUP[path.suffix.lower()], path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            report(f"{path}: cannot be read as UTF-8 text ({error})")
        return
    for where, row in _json_lines(path, report):
        languages = [language for language in ("html", "markdown") if isinstance(row.get(language), str)]
        if languages:
            yield where, languages[0], row[languages[0]]
        else:
            report(f"{where}: needs a key `html` or `markdown` with the table as text; it has {', '.join(row) or 'none'}")


# Packages


def packages(max_rows: int, max_columns: int, seed: int) -> Iterator[Item]:
    """Tables cut out of the data sets inside of statsmodels and scikit-learn, at most so large, numbers rounded.

    Cuts of one data set never share a row, and no table comes twice. Raises ConfigError when neither package is installed.
    """
    seen: set[Code] = set()
    for name, columns in _package_tables():
        rng = random.Random(f"{seed} {name}")
        blocks = list(_blocks(len(next(iter(columns.values()))), max_rows, rng))
        for start, stop in sorted(rng.sample(blocks, min(len(blocks), CUTS_PER_TABLE))):
            width = rng.randint(min(2, len(columns)), min(max_columns, len(columns)))
            first = rng.randint(0, len(columns) - width)
            names = list(columns)[first : first + width]
            code = Code("html", _html_table(names, [[columns[n][row] for n in names] for row in range(start, stop)]))
            if code not in seen:
                seen.add(code)
                yield Item(f"{name} rows {start + 1}-{stop}", code=code, ground_truth=code.text)
    if not seen:
        raise ConfigError("neither statsmodels nor scikit-learn is installed: pip install statsmodels scikit-learn")


def _package_tables() -> Iterator[tuple[str, dict[str, list[str]]]]:
    """Name and columns, all as text, of each data set that has at least two rows and columns worth showing."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name, frame in (*_statsmodels(), *_sklearn()):
            columns = {str(title): _as_text(frame[title].tolist()) for title in frame.columns}
            columns = {title: cells for title, cells in columns.items() if max(map(len, [title, *cells])) <= _LONGEST_TEXT}
            if len(columns) >= 2 and len(frame) >= 2:
                yield name, columns


def _statsmodels() -> Iterator[tuple[str, Any]]:
    try:
        import statsmodels.datasets as folder
    except ImportError:
        return
    for module in pkgutil.iter_modules(folder.__path__):
        data = importlib.import_module(f"{folder.__name__}.{module.name}") if module.ispkg else None
        if data is not None and hasattr(data, "load_pandas"):
            yield f"statsmodels/{module.name}", data.load_pandas().data


def _sklearn() -> Iterator[tuple[str, Any]]:
    try:
        from sklearn import datasets
    except ImportError:
        return
    for name in ("breast_cancer", "diabetes", "iris", "linnerud", "wine"):
        yield f"scikit-learn/{name}", getattr(datasets, f"load_{name}")(as_frame=True).frame


def _as_text(values: list[Any]) -> list[str]:
    """Cells of one column: numbers with the decimals that they have, but no more than give the largest three figures."""
    numbers = [v for v in values if isinstance(v, int | float) and math.isfinite(v)]
    largest = max(map(abs, numbers), default=0) or 1
    most = min(max(2 - math.floor(math.log10(largest)), 0), 4)
    decimals = next(d for d in range(most + 1) if all(round(n, d) == round(n, most) for n in numbers))
    return [_cell(value, decimals) for value in values]


def _cell(value: Any, decimals: int) -> str:
    if isinstance(value, int | float):
        return f"{round(value, decimals) + 0.0:.{decimals}f}" if math.isfinite(value) else ""
    return "" if value is None else str(value).strip()


def _blocks(rows: int, max_rows: int, rng: random.Random) -> Iterator[tuple[int, int]]:
    """Neighbouring stretches of 2 to `max_rows` rows."""
    start = 0
    while rows - start >= 2:
        stop = min(start + rng.randint(2, max_rows), rows)
        yield start, stop
        start = stop


def _html_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [("th", header), *(("td", row) for row in rows)]
    drawn = ["".join(f"<{tag}>{html.escape(cell, quote=False)}</{tag}>" for cell in cells) for tag, cells in lines]
    return f"<table>{''.join(f'<tr>{line}</tr>' for line in drawn)}</table>"


# JSON


def _json_lines(path: Path, report: Report) -> Iterator[tuple[str, dict[str, Any]]]:
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


def _field(row: Any, key: str, kind: type) -> Any:
    """`row[key]`. Raises ConfigError when it is missing or of another kind."""
    found = row.get(key) if isinstance(row, dict) else None
    if not isinstance(found, kind):
        raise ConfigError(f"no `{key}` of type {kind.__name__}; is this a row of PubTabNet 2.0?")
    return found
