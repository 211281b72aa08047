"""How right are replies, as texts? Structures and cells against the true tables; pure, and no part of any reward."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from visual_erm.verl_cpu.tiny_tables import Rows, from_html


@dataclass(frozen=True)
class Accuracy:
    """Shares over tables, 0 to 1."""

    shape: float
    """Tables with the right number of rows and, in every row, of cells."""
    cells: float
    """Cells of the true tables that hold the right text at the right place, mean over tables."""


def accuracy(replies: Sequence[str], truths: Sequence[Rows]) -> Accuracy:
    """Shares of right structures and cells of `replies`, as a browser would read them."""
    read = [from_html(reply) for reply in replies]
    pairs = list(zip(read, truths, strict=True))
    return Accuracy(
        shape=sum([len(row) for row in rows] == [len(row) for row in truth] for rows, truth in pairs) / len(pairs),
        cells=sum(right_cells(rows, truth) for rows, truth in pairs) / len(pairs),
    )


def right_cells(rows: Rows, truth: Rows) -> float:
    """Share of the cells of `truth` that `rows` has, same text at the same place.

    >>> right_cells([["a", "b"], ["1"]], [["a", "b"], ["1", "2"]])
    0.75
    """
    placed = {(r, c): text for r, row in enumerate(rows) for c, text in enumerate(row)}
    cells = [((r, c), text) for r, row in enumerate(truth) for c, text in enumerate(row)]
    return sum(placed.get(place) == text for place, text in cells) / len(cells)


def swap(tables: Sequence[Rows]) -> list[int]:
    """For every table the number of another one of the same shape: each shape's tables, moved on by one.

    >>> swap([[["a"]], [["b"], ["1"]], [["c"]], [["d"], ["2"]]])
    [2, 3, 0, 1]
    """
    groups: dict[tuple[int, int], list[int]] = {}
    for i, rows in enumerate(tables):
        groups.setdefault((len(rows), len(rows[0])), []).append(i)
    other = list(range(len(tables)))
    for members in groups.values():
        for place, i in enumerate(members):
            other[i] = members[(place + 1) % len(members)]
    return other
