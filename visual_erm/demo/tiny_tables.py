"""Tables small enough for a tiny policy to read: where they come from, their HTML, and their images.

The values of real tables are measurements inside the packages scikit-learn and statsmodels, rounded to four characters.
Synthetic tables, for the warm start, have the same headers over random numbers. Chromium renders the policy's images, with
one cell per visual token. The judge sees the same tables at normal size, from the project's renderer.
"""

from __future__ import annotations

import importlib.util
import random
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache, partial
from html import escape
from pathlib import Path

from bs4 import BeautifulSoup
from PIL import Image

from visual_erm.demo.tiny_problem import CANVAS, CELL, MAX_COLUMNS, MAX_ROWS, MAX_TEXT, Place, TinyProblem, letters
from visual_erm.errors import ConfigError
from visual_erm.render.browser import WarmBrowser
from visual_erm.render.browser_process import Tab, join

Rows = list[list[str]]
"""A table as rows of cell texts, with the header first."""

SHAPES = [(rows, columns) for rows in (2, 3, 4) for columns in (2, 3)]
"""Rows (header included) and columns of the demo's tables."""


@dataclass(frozen=True)
class PackageFile:
    """A data file inside an installed package."""

    package: str
    file: str
    columns: tuple[str, ...]
    """Headers in the order of the file, shortened to four letters; empty for a column that is left out."""


SOURCES = [
    PackageFile("sklearn", "datasets/data/iris.csv", ("sl", "sw", "pl", "pw", "cls")),
    PackageFile(
        "sklearn",
        "datasets/data/wine_data.csv",
        ("alc", "mal", "ash", "alk", "mg", "phen", "flav", "nonf", "pro", "col", "hue", "od", "prol", "cls"),
    ),
    PackageFile("sklearn", "datasets/data/linnerud_exercise.csv", ("chin", "sit", "jump")),
    PackageFile("sklearn", "datasets/data/linnerud_physiological.csv", ("wt", "wst", "puls")),
    PackageFile("statsmodels", "datasets/spector/spector.csv", ("", "gpa", "tuce", "psi", "grad")),
    PackageFile("statsmodels", "datasets/stackloss/stackloss.csv", ("loss", "air", "temp", "acid")),
]
LARGE = (SOURCES[0], SOURCES[1], SOURCES[1], SOURCES[1])
"""The longest files; a batch has more tables of them."""
HEADERS = sorted({name for source in SOURCES for name in source.columns if name})

TAGS = ("<table>", "</table>", "<tr>", "</tr>", "<th>", "</th>", "<td>", "</td>")
RUNS = (
    "<table><tr><th>", "</th><th>", "</th></tr><tr><td>", "</td><td>", "</td></tr><tr><td>", "</td></tr></table>",
    "</th></tr></table>",
)  # fmt: skip
"""Stretches of tags in the code of a table."""


def real_table(rng: random.Random, split: str, shape: tuple[int, int], source: PackageFile | None = None) -> Rows:
    """Makes a table of measurements.

    Every fifth of the different rows of a file belongs to the split `test`, the others to `train`.

    Args:
        rng: Source of randomness.
        split: `train` or `test`; no row is in both.
        shape: Number of rows, header included, and of columns.
        source: The file that the values are from. None: a random one.

    Returns:
        The table.
    """
    source = source or rng.choice(SOURCES)
    rows = measurements(source, split)
    columns = rng.sample(range(len(rows[0])), shape[1])
    chosen = [rows[0], *rng.sample(rows[1:], shape[0] - 1)]
    return [[row[column] for column in columns] for row in chosen]


@cache
def measurements(source: PackageFile, split: str) -> Rows:
    """Reads the rows of one split of a file.

    Args:
        source: The file.
        split: `train` or `test`.

    Returns:
        The header and the different rows of the split.

    Raises:
        ConfigError: The file's package is not installed.
    """
    keep = [i for i, name in enumerate(source.columns) if name]
    lines = _package_file(source.package, source.file).read_text(encoding="utf-8").splitlines()[1:]
    cells = [re.split(r"[,\s]+", line.strip()) for line in lines if line.strip()]
    rows = list(dict.fromkeys(tuple(short(row[i]) for i in keep) for row in cells))
    mine = [list(row) for i, row in enumerate(rows) if (i % 5 == 0) == (split == "test")]
    return [[source.columns[i] for i in keep], *mine]


def _package_file(package: str, name: str) -> Path:
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        raise ConfigError(
            f"the demo's tables come from the package {package}, which is not installed: pip install visual-erm[data]"
        )
    return Path(spec.origin).parent / name


def short(number: str) -> str:
    """Rounds a number to at most four characters.

    Args:
        number: A number as text.

    Returns:
        The rounded number as text.

    >>> [short(text) for text in ("14.23", "1065", "0.280", "3", "162.0")]
    ['14.2', '1065', '0.28', '3', '162']
    """
    value = float(number)
    digits = max(MAX_TEXT - 1 - len(str(int(abs(value)))), 0)
    return f"{round(value, digits):g}"


def synthetic_table(rng: random.Random) -> Rows:
    """Makes a table of random headers over random numbers, in the shapes of real tables.

    Args:
        rng: Source of randomness.

    Returns:
        The table.
    """
    rows, columns = rng.choice(SHAPES)
    return [rng.sample(HEADERS, columns), *([random_number(rng) for _ in range(columns)] for _ in range(rows - 1))]


def random_number(rng: random.Random) -> str:
    """Makes a number whose form is about as frequent as in measurements.

    Args:
        rng: Source of randomness.

    Returns:
        A number of at most four characters.
    """
    low, high, divisor = rng.choices(
        [(1, 99, 10), (1, 999, 100), (100, 999, 10), (0, 30, 1), (10, 250, 1), (251, 1999, 1)], [7, 4, 3, 3, 2, 1]
    )[0]
    return f"{rng.randint(low, high) / divisor:g}"


def batch(rng: random.Random, count: int) -> list[Rows]:
    """Makes samples of the training split for one step.

    Args:
        rng: PackageFile of randomness.
        count: Number of samples.

    Returns:
        The samples, of the same shapes in every step.
    """
    shapes = [SHAPES[i % len(SHAPES)] for i in range(count)]
    sources = [*SOURCES, *SOURCES, *LARGE][:count]
    pairs = zip(rng.sample(shapes, count), rng.sample(sources, count), strict=True)
    return [real_table(rng, "train", shape, source) for shape, source in pairs]


def held_out(rng: random.Random, count: int) -> list[Rows]:
    """Makes samples of the test split.

    Args:
        rng: PackageFile of randomness.
        count: Number of samples.

    Returns:
        The samples, equally many of each shape.
    """
    return [real_table(rng, "test", SHAPES[i % len(SHAPES)]) for i in range(count)]


def damaged(rng: random.Random, rows: Rows) -> Rows:
    """Makes a wrong copy of a table.

    Args:
        rng: Source of randomness.
        rows: The table to copy.

    Returns:
        The table with its last row or column missing or repeated.
    """
    kind = rng.choice(["drop row", "double row", "drop column", "double column"])
    if kind == "drop row" and len(rows) > 2:
        return rows[:-1]
    if kind == "drop column" and len(rows[0]) > 1:
        return [row[:-1] for row in rows]
    if kind.endswith("row"):
        return [*rows, rows[-1]]
    return [[*row, row[-1]] for row in rows]


def to_html(rows: Rows) -> str:
    """Writes a table as the policy is taught to write it.

    Args:
        rows: The table.

    Returns:
        One `<table>` element.

    >>> to_html([["alc", "ash"], ["13.2", "2"]])
    '<table><tr><th>alc</th><th>ash</th></tr><tr><td>13.2</td><td>2</td></tr></table>'
    """
    lines = [(row, "td" if i else "th") for i, row in enumerate(rows)]
    cells = ("".join(f"<{tag}>{escape(text)}</{tag}>" for text in row) for row, tag in lines)
    return "<table>" + "".join(f"<tr>{row}</tr>" for row in cells) + "</table>"


def from_html(text: str) -> Rows:
    """Reads the last table of a text as a browser reads it.

    Args:
        text: What the policy wrote.

    Returns:
        The table; empty where there is none.
    """
    tables = BeautifulSoup(text, "html5lib").find_all("table")
    if not tables:
        return []
    return [[cell.get_text().strip() for cell in row.find_all(["td", "th"])] for row in tables[-1].find_all("tr")]


def shape(rows: Rows) -> tuple[int, ...]:
    """Counts the cells of each row.

    Args:
        rows: The table.

    Returns:
        Number of cells, by row.
    """
    return tuple(map(len, rows))


def parts(rows: Rows) -> dict[Place, str]:
    """Lists what must be right about a table.

    Args:
        rows: The table.

    Returns:
        The text of each cell, by row and column.
    """
    return {(r, c): text for r, row in enumerate(rows) for c, text in enumerate(row)}


def sight(rows: Rows) -> dict[Place, tuple[str, ...]]:
    """Describes the cells of the policy's image.

    Args:
        rows: The table.

    Returns:
        Letters of each cell by row and column, and for headers the whole word.
    """
    return {place: letters(text, text if place[0] == 0 else "") for place, text in parts(rows).items()}


async def render(tables: Sequence[Rows]) -> list[Image.Image]:
    """Renders the policy's images in Chromium, SHEET to a page, and cuts them out of its screenshot.

    Args:
        tables: The tables.

    Returns:
        One image of the CANVAS size for each table.

    Raises:
        RendererUnavailable: There is no browser.
    """
    images: list[Image.Image] = []
    browser = WarmBrowser(tabs=1)
    try:
        for start in range(0, len(tables), SHEET):
            sheet = tables[start : start + SHEET]
            shot = await browser.render(partial(_screenshot, sheet), limit_s=SHEET_LIMIT_S)
            images.extend(_cut(join(shot), len(sheet)))
    finally:
        await browser.close()
    return images


async def _screenshot(tables: Sequence[Rows], tab: Tab) -> list[str]:
    await tab.show(_sheet(tables))
    return await tab.screenshot(SHEET_COLUMNS * MAX_COLUMNS * CELL, -(-len(tables) // SHEET_COLUMNS) * MAX_ROWS * CELL)


SHEET_COLUMNS, SHEET = 20, 1000
"""Number of tables in a row of a page, and on a whole page."""
SHEET_LIMIT_S = 60
"""Time limit of one page in seconds; a page takes one or two on an idle machine."""

_STYLE = f"""
body {{ margin: 0; background: white; display: grid;
  grid-template-columns: repeat({SHEET_COLUMNS}, {MAX_COLUMNS * CELL}px); }}
div {{ height: {MAX_ROWS * CELL}px; overflow: hidden; contain: strict; }}
table {{ border-spacing: 0; table-layout: fixed; }}
th, td {{ box-sizing: border-box; width: {CELL}px; height: {CELL}px; padding: 2px 0 0 1px; border: 1px solid #999;
  font: 11px "Liberation Mono", monospace; text-align: left; vertical-align: top; white-space: nowrap; }}
th {{ background: #e0e0e0; }}
"""


def _sheet(tables: Sequence[Rows]) -> str:
    body = "".join(f"<div>{to_html(rows)}</div>" for rows in tables)
    return f"<!doctype html><meta charset=utf-8><style>{_STYLE}</style>{body}"


def _cut(sheet: Image.Image, count: int) -> Iterator[Image.Image]:
    width, height = CANVAS
    for i in range(count):
        x, y = i % SHEET_COLUMNS * width, i // SHEET_COLUMNS * height
        yield sheet.crop((x, y, x + width, y + height))


TABLE = TinyProblem(
    task="table",
    prompt="html",
    language="html",
    s_max=18,
    words=HEADERS,
    runs=(*TAGS, *RUNS),
    synthetic=synthetic_table,
    batch=batch,
    held_out=held_out,
    damaged=damaged,
    write=to_html,
    read=from_html,
    shape=shape,
    parts=parts,
    sight=sight,
    render=render,
)
