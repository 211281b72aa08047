"""Tables as markup."""

from __future__ import annotations

from collections.abc import Sequence


def table(rows: Sequence[Sequence[object]], attributes: str = "") -> str:
    body = "".join(f"<tr>{''.join(f'<td{attributes}>{cell}</td>' for cell in row)}</tr>" for row in rows)
    return f"<table>{body}</table>"
