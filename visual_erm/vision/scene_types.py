"""What an image of a chart or a drawing shows, as plain data: the local judge compares it and the guards count it.

Places are fractions of the image's width and height, so that images of different size can be laid over each other.
"""

from __future__ import annotations

from dataclasses import dataclass

Color = tuple[int, int, int]
"""Red, green, blue, each 0 to 255."""

GRID = 24
"""Number of cells along each side of a mark's mask."""

TRACE = 96
"""Number of cells along each side of a curve's trace."""
MAX_CURVE_SHARE = 0.35
"""Largest share of its box that a curve covers."""


@dataclass(frozen=True)
class Box:
    """A part of the image; the whole of it is 0, 0, 1, 1."""

    left: float
    top: float
    right: float
    bottom: float

    @property
    def width(self) -> float:
        """Width, 0 to 1."""
        return self.right - self.left

    @property
    def height(self) -> float:
        """Height, 0 to 1."""
        return self.bottom - self.top

    @property
    def centre(self) -> tuple[float, float]:
        """Middle of the box, from the left and from the top."""
        return (self.left + self.right) / 2, (self.top + self.bottom) / 2

    def within(self, frame: Box) -> Box:
        """Converts the box to the coordinates of another one.

        Args:
            frame: The other box; its corners become 0, 0, 1, 1.

        Returns:
            This box in coordinates of `frame`.
        """
        width, height = max(frame.width, 1e-6), max(frame.height, 1e-6)
        return Box(
            (self.left - frame.left) / width,
            (self.top - frame.top) / height,
            (self.right - frame.left) / width,
            (self.bottom - frame.top) / height,
        )


@dataclass(frozen=True)
class Text:
    """A line of text."""

    text: str
    """"" where nothing was asked to read it, or nothing could."""
    box: Box
    color: Color
    panel: int | None = None
    """Index of the panel that it stands in."""


@dataclass(frozen=True)
class Panel:
    """The plot area of one chart: inside an axes' frame, or over its axes."""

    box: Box
    color: Color
    """Of its ground."""
    rows: int = 0
    """Grid lines across."""
    columns: int = 0
    """Grid lines down."""
    frame: tuple[bool, bool, bool, bool] = (False, False, False, False)
    """Which of its sides are drawn: left, top, right, bottom."""


@dataclass(frozen=True)
class Mark:
    """One connected piece of one color, or of colors that run into each other: a bar, a line, a point, a shape."""

    color: Color
    box: Box
    centre: tuple[float, float]
    """Of gravity."""
    area: float
    """Share of the image that it covers."""
    fill: float
    """Share of its box that it covers: 1 for a rectangle, 0.785 for an ellipse, little for a line."""
    mask: bytes
    """GRID x GRID cells over its box, row by row: how much of each is covered, 0 to 255."""
    panel: int | None = None
    """Index of the panel that it stands in."""
    trace: bytes = b""
    """TRACE x TRACE cells like the mask, for a mark that covers at most MAX_CURVE_SHARE of its box; else empty."""


@dataclass(frozen=True)
class Scene:
    """An image, as far as it was understood."""

    width: int
    """Of the image, in pixels."""
    height: int
    background: Color
    texts: tuple[Text, ...] = ()
    panels: tuple[Panel, ...] = ()
    """In reading order; none in a drawing that is no chart."""
    marks: tuple[Mark, ...] = ()
    """Largest first. Frames, ticks and grid lines of panels are no marks."""
    uncounted_marks: int = 0
    """Further marks, the smallest, that were counted but not looked at."""
