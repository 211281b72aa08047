"""PubTabNet -> items: its images are the references, its markup is put together from tokens."""

from __future__ import annotations

import html
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from visual_erm.data.sources import Item, Report, json_lines
from visual_erm.errors import ConfigError


def published_tables(rows: Path, images: Path, split: str | None, report: Report) -> Iterator[Item]:
    """Tables of a PubTabNet JSONL, of one of its own splits or of all; `images` holds them, or a folder per split."""
    for where, row in json_lines(rows, report):
        try:
            if split and row.get("split") != split:
                continue
            name = str(_field(row, "filename", str))
            places = [images / name, images / str(row.get("split", "")) / name]
            image = next((place for place in places if place.is_file()), None)
            if image is None:
                raise ConfigError(f"no picture {places[0]}; give the folder that holds it with --images")
            yield Item(where, image=image, ground_truth=assemble(_field(row, "html", dict)))
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


def _field(row: Any, key: str, kind: type) -> Any:
    """`row[key]`. Raises ConfigError when it is missing or of another kind."""
    found = row.get(key) if isinstance(row, dict) else None
    if not isinstance(found, kind):
        raise ConfigError(f"no `{key}` of type {kind.__name__}; is this a row of PubTabNet 2.0?")
    return found
