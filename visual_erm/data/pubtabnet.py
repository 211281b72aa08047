"""PubTabNet 2.0 -> items: its images are the references, and its markup is assembled from tokens.

One of the sources of `data_prep/tables.py`; `build` turns its items into rows.

    items = published_tables(Path("PubTabNet_2.0.0.jsonl"), Path("pubtabnet"), "val", print)
"""

from __future__ import annotations

import html
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from visual_erm.data.sources import Item, Report, json_lines
from visual_erm.errors import ConfigError


def published_tables(rows: Path, images: Path, split: str | None, report: Report) -> Iterator[Item]:
    """Reads the tables of a PubTabNet JSONL.

    Args:
        rows: PubTabNet's JSONL.
        images: Folder that holds the images, or a folder for each of PubTabNet's splits.
        split: The split of PubTabNet to read: train, val or test. None: all of them.
        report: Is told of every row that is left out.

    Yields:
        One item for each table, with its image and its markup as ground truth.

    Raises:
        ConfigError: The JSONL cannot be read.
    """
    for where, row in json_lines(rows, report):
        try:
            if split and row.get("split") != split:
                continue
            name = str(_field(row, "filename", str))
            places = [images / name, images / str(row.get("split", "")) / name]
            image = next((place for place in places if place.is_file()), None)
            if image is None:
                raise ConfigError(f"there is no image {places[0]}; give the folder that holds it with --images")
            yield Item(where, image=image, ground_truth=assemble(_field(row, "html", dict)))
        except ConfigError as error:
            report(f"{where}: {error}")


def assemble(table: dict[str, Any]) -> str:
    """Assembles the HTML of a PubTabNet table from the tokens of its structure and of its cells.

    Args:
        table: The key `html` of a row: `structure.tokens`, and `cells`, each with `tokens`.

    Returns:
        One `<table>` element.

    Raises:
        ConfigError: The number of cells is not the one of the structure, or a key is missing.

    >>> tokens = ["<tr>", "<td", ' colspan="2"', ">", "</td>", "</tr>"]
    >>> assemble({"structure": {"tokens": tokens}, "cells": [{"tokens": ["<b>", "a", "<", "b", "</b>"]}]})
    '<table><tr><td colspan="2"><b>a&lt;b</b></td></tr></table>'
    """
    tokens = _field(_field(table, "structure", dict), "tokens", list)
    contents = ["".join(map(_markup_token, _field(cell, "tokens", list))) for cell in _field(table, "cells", list)]
    places = tokens.count("</td>")
    if not places or places != len(contents):
        raise ConfigError(
            f"`html.structure` has {places} cells, `html.cells` {len(contents)}; correct the line or remove it"
        )
    cells = iter(contents)
    return f"<table>{''.join(next(cells) + tag if tag == '</td>' else str(tag) for tag in tokens)}</table>"


def _markup_token(token: Any) -> str:
    """Escapes a single character, which is text; a longer token is a tag and stays."""
    return html.escape(str(token), quote=False) if len(str(token)) == 1 else str(token)


def _field(row: Any, key: str, kind: type) -> Any:
    """Returns `row[key]`. Raises ConfigError when the key is missing or of another type."""
    found = row.get(key) if isinstance(row, dict) else None
    if not isinstance(found, kind):
        raise ConfigError(f"no `{key}` of type {kind.__name__}; is this a row of PubTabNet 2.0?")
    return found
