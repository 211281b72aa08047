"""What an image of a table says, as plain data: `table_grid` reads it and the local judge compares it."""

from __future__ import annotations

from dataclasses import dataclass

UNREADABLE = "\ufffd"
"""Text of a cell whose ink OCR reads as nothing, and of an image that is not read, see `table_grid.read`."""


@dataclass(frozen=True)
class Cell:
    """One cell of a bordered table, or one line of text outside any table."""

    text: str
    """What it says, lines joined by a blank; empty for a cell without ink, UNREADABLE for ink that says nothing."""
    row: int
    """1-based, counted through the whole image; for text outside any table, its line."""
    column: int
    """1-based place in the table's grid; for text outside any table, its place in the line."""
    rows: int = 1
    columns: int = 1
    """How many rows and columns of the grid it spans."""
    bordered: bool = True
    """True for a cell with lines round it; false for text outside any table."""

    @property
    def place(self) -> str:
        """Where it is, for a report."""
        return f"row {self.row}, column {self.column}" if self.bordered else f"line {self.row}"


@dataclass(frozen=True)
class Reading:
    """An image as rows of cells, top to bottom and left to right; a cell that spans rows stands in its first."""

    rows: tuple[tuple[Cell, ...], ...] = ()
    bordered: bool = False
    """Whether the image holds a table with drawn lines, so that rows and columns are certain."""

    @property
    def cells(self) -> list[Cell]:
        """All cells in reading order."""
        return [cell for row in self.rows for cell in row]
