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

from visual_erm.baselines.similarity import TAG_STUFFING, Similarity

MAX_SIZE_FACTOR = 3
"""A prediction whose tree has so many times the elements of its ground truth gets 0, uncompared. It could get 1/3 at most,
unless its cells hold as many tags again."""
MIN_ALLOWED_NODES = 64
"""Number of nodes that the tree of a prediction may have, however few elements the ground truth has."""
MAX_DEPTH = 100
"""Largest depth of nodes inside of one another; deeper markup is no table. Tags inside of cells may be nested deeper."""
MAX_GAIN = 0.1
"""How much a prediction may gain by tags in its cells. A table of few cells gains as much by a few tags, without intent."""


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
    nodes: int
    """Nodes below the root: elements below the table's own, without those inside of cells."""
    elements: int
    """Elements below the table's own, those inside of cells included."""


def teds(prediction: str, truth: str, header_text: bool) -> float:
    """Compares the first table of each side: TEDS = 1 - TED(prediction, truth) / max(|prediction|, |truth|).

    TED is the tree edit distance where deleting and inserting cost 1, and so does renaming a node as another unless their
    tags and spans agree; two such cells cost the Levenshtein distance of what they hold, over the longer one's length, and
    a tag in a cell (`<b>`) counts as one character. |T| counts the elements below the table's own, those in cells included.

    Args:
        prediction: HTML. Without a table, or with a tree of MAX_SIZE_FACTOR times the elements of `truth`, it gets 0.
        truth: HTML of the ground truth.
        header_text: A `th` is a cell like any other. False: it is compared by its tag alone, as in the published code.

    Returns:
        0 (nothing in common) to 1 (the same).

    Raises:
        ValueError: `truth` holds no table with cells.

    >>> teds("<table><tr><td>1</td><td>b</td></tr></table>", "<table><tr><td>1</td><td>c</td></tr></table>", True)
    0.6666666666666667
    """
    predicted, expected, _ = _read_both(prediction, truth, header_text)
    return _similarity(_edits(predicted, expected), predicted.elements, expected) if predicted else 0.0


def teds_reward(prediction: str, truth: str, header_text: bool) -> Similarity:
    """Computes TEDS as a reward: a prediction cannot raise it by tags in its cells.

    A cell costs 1 at most, whatever it holds, but each tag in it counts in |prediction|. A cell full of empty tags
    therefore raises TEDS. The reward is TEDS, unless TEDS exceeds both of these by more than MAX_GAIN. Then it is the
    larger of them:

    - TEDS where |prediction| does not count the tags in cells beyond the number of those in the cells of `truth`;
    - TEDS of the prediction without any tag in its cells.

    Args:
        prediction: As for `teds`.
        truth: As for `teds`.
        header_text: As for `teds`.

    Returns:
        The reward, 0 to 1: TEDS, or less with the flag TAG_STUFFING.

    Raises:
        ValueError: `truth` holds no table with cells.

    >>> stuffed = f"<table><tr><td>{'<b></b>' * 100}</td><td>x</td></tr></table>"
    >>> teds(stuffed, "<table><tr><td>1</td><td>c</td></tr></table>", True)
    0.9805825242718447
    >>> teds_reward(stuffed, "<table><tr><td>1</td><td>c</td></tr></table>", True).value
    0.33333333333333337
    """
    predicted, expected, tags = _read_both(prediction, truth, header_text)
    if predicted is None:
        return Similarity(0.0)
    edits = _edits(predicted, expected)
    figure = _similarity(edits, predicted.elements, expected)
    surplus = max(0, (predicted.elements - predicted.nodes) - (expected.elements - expected.nodes))
    deserved = _similarity(edits, predicted.elements - surplus, expected)
    if figure - deserved > MAX_GAIN:
        plain = _without(set(tags.values()), predicted)
        deserved = max(deserved, _similarity(_edits(plain, expected), plain.elements, expected))
    if figure - deserved <= MAX_GAIN:
        return Similarity(figure)
    reason = f"{TAG_STUFFING}: {surplus} surplus tags in cells: TEDS {figure:.3f} -> {deserved:.3f}"
    return Similarity(deserved, frozenset({TAG_STUFFING}), reason)


def _read_both(prediction: str, truth: str, header_text: bool) -> tuple[Tree | None, Tree, dict[str, str]]:
    """Both tables, and the character that stands for each tag inside of cells."""
    tags: dict[str, str] = {}
    expected = read(truth, tags, header_text)
    if expected is None or not expected.elements:
        raise ValueError("the ground truth holds no table with cells")
    at_most = max(MAX_SIZE_FACTOR * expected.elements, MIN_ALLOWED_NODES)
    return read(prediction, tags, header_text, at_most), expected, tags


def _edits(predicted: Tree, expected: Tree) -> float:
    """The tree edit distance."""
    if predicted.root == expected.root:
        return 0.0
    return float(APTED(predicted.root, expected.root, _Costs()).compute_edit_distance())


def _similarity(edits: float, predicted_elements: int, expected: Tree) -> float:
    return max(0.0, 1 - edits / max(predicted_elements, expected.elements))


def _without(characters: set[str], tree: Tree) -> Tree:
    """The same tree, where cells do not hold some characters."""

    def copy(node: Node) -> Node:
        content = "".join(character for character in node.content if character not in characters)
        return Node(node.tag, node.span, content, [copy(child) for child in node.children])

    return Tree(copy(tree.root), tree.nodes, tree.nodes)


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
        at_most: The most nodes that the tree may have.

    Returns:
        The table; None when there is none, or one with too many nodes or nested too deeply.
    """
    parser = html.HTMLParser(encoding="utf-8", remove_comments=True, remove_pis=True)
    try:
        document = html.document_fromstring(markup.encode(errors="replace"), parser)
    except (etree.ParserError, etree.XMLSyntaxError):
        return None
    table = next(document.iter("table"), None)
    if table is None:
        return None
    if header_text:
        for cell in table.iter("th"):
            cell.tag = "td"
    nodes = _nodes_below(table)
    if nodes > at_most:
        return None
    try:
        return Tree(_node(table, tags, 0), nodes, sum(1 for _ in table.iterdescendants()))
    except _TooDeep:
        return None


class _TooDeep(Exception):
    pass


def _nodes_below(table: html.HtmlElement) -> int:
    count, waiting = 0, [table]
    while waiting:
        children = list(waiting.pop())
        count += len(children)
        waiting += [child for child in children if child.tag != "td"]
    return count


def _node(element: html.HtmlElement, tags: dict[str, str], depth: int) -> Node:
    if depth > MAX_DEPTH:
        raise _TooDeep
    if element.tag == "td":
        span = _count(element, "colspan"), _count(element, "rowspan")
        return Node("td", span, _content(element, tags))
    return Node(str(element.tag), children=[_node(child, tags, depth + 1) for child in element])


def _content(cell: html.HtmlElement, tags: dict[str, str]) -> str:
    """What stands inside of a cell."""
    parts = [cell.text or ""]
    for event, element in etree.iterwalk(cell, events=("start", "end")):
        if element is cell:
            continue
        if event == "start":
            parts += [_character(f"<{element.tag}>", tags), element.text or ""]
            continue
        # The published code leaves out what closes `unk`, and what follows a cell inside of a cell.
        parts.append(_character(f"</{element.tag}>", tags) if element.tag != "unk" else "")
        parts.append(element.tail or "" if element.tag != "td" else "")
    return "".join(parts)


def _character(tag: str, tags: dict[str, str]) -> str:
    """One of Unicode's private characters for each tag."""
    return tags.setdefault(tag, chr(0xF0000 + len(tags) % 0x1FFFE))


def _count(cell: html.HtmlElement, attribute: str) -> int:
    """A span as a browser reads it: 1 where it is no number."""
    found = re.match(r"\s*(\d{1,9})", cell.get(attribute, "1"))
    return int(found[1]) if found else 1
