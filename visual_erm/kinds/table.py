"""The kind `table`: HTML and Markdown, rendered by Chromium. Forms and whole pages in HTML are of this kind too."""

from __future__ import annotations

from typing import Literal

from visual_erm.extract.languages import HTML, HTML_PAGE, MARKDOWN
from visual_erm.kinds.base import Kind, LocalComparison, PartCounter, RenderSettings
from visual_erm.spec.base import Count, Positive


class TableSettings(RenderSettings):
    """How a table becomes an image."""

    renderer_class = "visual_erm.render.table:TableRenderer"

    style: Literal["default", "published"] = "default"
    """`published` renders in the page of the published data tool, for references that were rendered with it. That page is
    laid out in quirks mode, and sets a font for tables only."""
    timeout_s: Positive = 5.0
    """Wall time of one render in seconds; over it the code is at fault."""
    max_pixels: Count = 16_000_000
    """Width times height of the finished image; over it the code is at fault."""


TABLE = Kind(
    name="table",
    languages=(HTML, MARKDOWN, HTML_PAGE),
    render_settings=TableSettings,
    prompts={
        "html": """\
<image>
Transcribe the table in this picture as HTML. Write a single <table>: one <tr> per row, <th> for header cells and <td> for \
all others, with rowspan and colspan where cells are merged. Copy every text and number exactly as it is shown, and leave \
empty cells empty. Answer with the HTML in one ```html block and nothing else.""",
        "markdown": """\
<image>
Transcribe the table in this picture as a Markdown table: the header row, the row of dashes, then one line per row. Copy \
every text and number exactly as it is shown, and leave empty cells empty. Answer with the table in one ```markdown block \
and nothing else.""",
        "html_page": """\
<image>
Write HTML that shows what is in this picture. Copy every text and number exactly as it is shown, and match the \
arrangement, sizes and colours. Answer with the HTML in one ```html block and nothing else.""",
    },
    examples={
        "html": "<table><tr><td>1</td></tr></table>",
        "markdown": "| 1 |\n|---|\n| 2 |",
        "html_page": "<p>1</p>",
    },
    runs_in="browser",
    file_references="visual_erm.guard.tampering:forbidden_reference",
    raster="visual_erm.guard.raster:raster_in",
    read_text="visual_erm.vision.readings:table_text",
    compare_text=True,
    parts=(
        PartCounter("visual_erm.guard.omission:cells_of", exact=True, confirm="visual_erm.guard.omission:print_length_of"),
        PartCounter("visual_erm.guard.omission:words_of", confirm="visual_erm.guard.omission:letters_of"),
    ),
    local_comparison=LocalComparison(
        categories=("layout_error", "text_error", "numeric_error"),
        limits="OCR of cells; blind to fonts and colors",
        read="visual_erm.vision.readings:read_table",
        compare="visual_erm.judge.local.tables:compare",
        weight=lambda reading: 1 + len(reading.cells),
        color=False,
    ),
)
