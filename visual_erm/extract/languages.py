r"""The languages of the shipped kinds: fence labels, file suffixes, and how code in them is found.

from visual_erm.extract import extract
from visual_erm.extract.languages import HTML

extract("```html\n<table>…</table>\n```", [HTML])
"""

from __future__ import annotations

from visual_erm.extract import pages, python, svg, tables
from visual_erm.extract.code import Language

_HTML_LABELS = ("html", "htm")
_MARKDOWN_LABELS = ("markdown", "md", "gfm")

PYTHON = Language(
    "python",
    labels=("python", "python3", "py"),
    suffixes=(".py",),
    find_fenced=python.block,
    find_bare=python.bare,
    rank=0,
)
SVG = Language(
    "svg",
    labels=("svg", "xml"),
    suffixes=(".svg",),
    find_fenced=svg.block,
    find_bare=svg.bare,
    also_labelled=_HTML_LABELS,
    rank=1,
)
HTML = Language(
    "html",
    labels=_HTML_LABELS,
    suffixes=(".html", ".htm"),
    find_fenced=tables.html_block,
    find_bare=tables.bare,
    also_labelled=(*_MARKDOWN_LABELS, "xml"),
    rank=2,
    whole_file=False,
)
"""Tables in HTML: a reply without a table holds none."""
MARKDOWN = Language(
    "markdown",
    labels=_MARKDOWN_LABELS,
    suffixes=(".md", ".markdown"),
    find_fenced=tables.markdown_block,
    find_bare=tables.bare,
    rank=2,
    whole_file=False,
)
"""Tables in Markdown."""
HTML_PAGE = Language(
    "html_page",
    labels=_HTML_LABELS,
    suffixes=(".html", ".htm"),
    find_fenced=pages.block,
    find_bare=pages.bare,
    rank=2,
    code_language="html",
)
"""Any HTML, with or without a table: forms, lists, whole pages."""

SHIPPED = {language.name: language for language in (HTML, MARKDOWN, HTML_PAGE, PYTHON, SVG)}
"""By name."""
