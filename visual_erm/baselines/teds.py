"""TEDS: how alike two tables are as trees of their markup.

Zhong, ShafieiBavani and Jimeno Yepes, "Image-based table recognition: data, model, and evaluation" (arXiv 1911.10683),
as their published code (ibm-aur-nlp/PubTabNet, src/metric.py) computes it; the edit distance itself is the package apted's.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field

from apted import APTED, Config
from lxml import etree, html
from rapidfuzz.distance import Levenshtein

MAX_SIZE_FACTOR = 3
"""A prediction with so many times the elements of its ground truth cannot get more than 1/3: it gets 0, uncompared."""
MIN_ALLOWED_ELEMENTS = 64
"""Number of elements that a prediction may have, however few the ground truth has."""
MAX_DEPTH = 100
"""Largest depth of elements inside of one another; deeper markup is no table."""


@dataclass
class Node:
    """An element: a cell (`td`) with what it holds, any other with its children."""

    tag: str
    span: tuple[int, int] = (1, 1)
    """Columns and rows, of a cell."""
    content: str = ""
    """Text of a cell, one character for each tag in it."""
    children: list[Node] = field(default_factory=list)


@dataclass(frozen=True)
class Tree:
    """A table and its size."""

    root: Node
    elements: int
    """Elements below the table's own, those inside of cells included."""


def teds(prediction: str, truth: str, header_text: bool) -> float:
    """Compares the first table of each side: TEDS = 1 - TED(prediction, truth) / max(|prediction|, |truth|).

    TED is the tree edit distance where deleting and inserting cost 1, and so does renaming a node as another unless their
    tags and spans agree; two such cells cost the Levenshtein distance of what they hold, over the longer one's length, and
    a tag in a cell (`<b>`) counts as one character. |T| counts the elements below the table's own.

    Args:
        prediction: HTML. Without a table, or with MAX_SIZE_FACTOR times the elements of `truth`, it gets 0.
        truth: HTML of the ground truth.
        header_text: A `th` is a cell like any other. False: it is compared by its tag alone, as in the published code.

    Returns:
        0 (nothing in common) to 1 (the same).

    Raises:
        ValueError: `truth` holds no table with cells.

    >>> teds("<table><tr><td>1</td><td>b</td></tr></table>", "<table><tr><td>1</td><td>c</td></tr></table>", True)
    0.6666666666666667
    """
    tags: dict[str, str] = {}
    expected = read(truth, tags, header_text)
    if expected is None or not expected.elements:
        raise ValueError("the ground truth holds no table with cells")
    predicted = read(prediction, tags, header_text, at_most=max(MAX_SIZE_FACTOR * expected.elements, MIN_ALLOWED_ELEMENTS))
    if predicted is None:
        return 0.0
    if predicted.root == expected.root:
        return 1.0
    distance = APTED(predicted.root, expected.root, _Costs()).compute_edit_distance()
    return max(0.0, 1 - distance / max(predicted.elements, expected.elements))


class _Costs(Config):  # type: ignore[misc]
    """What edits cost. The distance asks for most pairs of cells more than once."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, str], float] = {}

    def rename(self, predicted: Node, expected: Node) -> float:
        """Returns the cost of renaming a node, 0 to 1."""
        if predicted.tag != expected.tag or predicted.span != expected.span:
            return 1.0
        if predicted.content == expected.content:
            return 0.0
        pair = predicted.content, expected.content
        if pair not in self._known:
            self._known[pair] = Levenshtein.normalized_distance(*pair)
        return self._known[pair]

    def children(self, node: Node) -> list[Node]:
        """Returns the children of a node."""
        return node.children


def read(markup: str, tags: dict[str, str], header_text: bool, at_most: float = math.inf) -> Tree | None:
    """Reads the first table of some HTML.

    Args:
        markup: The HTML.
        tags: Keeps the character that stands for each tag inside of cells. Give the same for both sides.
        header_text: A `th` is a cell like any other.
        at_most: The most elements that the table may have.

    Returns:
        The table; None when there is none, or one with too many elements or nested too deeply.
    """
    parser = html.HTMLParser(encoding="utf-8", remove_comments=True, remove_pis=True)
    try:
        document = html.document_fromstring(markup.encode(errors="replace"), parser)
    except (etree.ParserError, etree.XMLSyntaxError):
        return None
    table = next(document.iter("table"), None)
    if table is None:
        return None
    elements = sum(1 for _ in table.iterdescendants())
    if elements > at_most:
        return None
    if header_text:
        for cell in table.iter("th"):
            cell.tag = "td"
    try:
        return Tree(_node(table, tags, 0), elements)
    except _TooDeep:
        return None


class _TooDeep(Exception):
    pass


def _node(element: html.HtmlElement, tags: dict[str, str], depth: int) -> Node:
    if depth > MAX_DEPTH:
        raise _TooDeep
    if element.tag == "td":
        span = _count(element, "colspan"), _count(element, "rowspan")
        return Node("td", span, _content(element, tags, depth))
    return Node(str(element.tag), children=[_node(child, tags, depth + 1) for child in element])


def _content(element: html.HtmlElement, tags: dict[str, str], depth: int) -> str:
    """What stands inside of an element."""
    if depth > MAX_DEPTH:
        raise _TooDeep
    parts = [element.text or ""]
    for child in element:
        parts += [_character(f"<{child.tag}>", tags), _content(child, tags, depth + 1), _character(f"</{child.tag}>", tags)]
        # The published code leaves out what follows a cell inside of a cell.
        parts.append(child.tail or "" if child.tag != "td" else "")
    return "".join(parts)


def _character(tag: str, tags: dict[str, str]) -> str:
    """One of Unicode's private characters for each tag."""
    return tags.setdefault(tag, chr(0xF0000 + len(tags) % 0x1FFFE))


def _count(cell: html.HtmlElement, attribute: str) -> int:
    """A span as a browser reads it: 1 where it is no number."""
    found = re.match(r"\s*(\d{1,9})", cell.get(attribute, "1"))
    return int(found[1]) if found else 1
