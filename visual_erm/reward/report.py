"""Discrepancy and Report: what the judge finds, as plain data, with its wire format, its JSON schema and a tolerant parser.

A report is all that passes from the judge to the score. Judges are models: the parser forgives form (fences, thinking,
severities as strings, cut-off JSON) and not content (a reply without a list of errors is no report).

    report = parse_report(reply, task.report)
    report.severity, report.counts(task.report.categories)
"""

from __future__ import annotations

import difflib
import json
import math
import re
from collections import Counter
from dataclasses import dataclass
from typing import Any

import json_repair

from visual_erm.errors import JudgeUnreadable, printable
from visual_erm.spec.task import ReportFormat

PARSER_VERSION = 3
"""Raise it when `parse_report` reads the same reply differently: reports on disk are not used any more then."""
MAX_SEVERITY = 3
"""The severity of a part that is missing, surplus or wholly wrong; severities run from 1 to this."""
MAX_REPLY = 262_144
"""Characters of a judge's reply that are read; the longest honest report is a tenth of it."""

MAX_PUBLISHED_SEVERITY = 1000
"""The largest severity that is read under `severities: published`. An infinite one would spoil every mean."""

_SEVERITY_WORDS = {"minor": 1, "low": 1, "mild": 1, "medium": 2, "moderate": 2}
_SEVERITY_WORDS |= {"major": 3, "high": 3, "severe": 3, "critical": 3}

MAX_REPAIR = 4096
"""Characters after the first malformed one that are repaired: repairing takes time quadratic in them."""
MAX_LISTS = 8
"""Lists of errors in one reply; with more of them it is no report."""

_KEYS = {"category", "type", "severity", "location", "description"}
_DECODER = json.JSONDecoder(strict=False)
_LANDMARK = re.compile(r"""</think>|["']errors["']\s*:\s*\[""", re.IGNORECASE)
_BETWEEN = re.compile(r"[\s,]*")


@dataclass(frozen=True)
class Discrepancy:
    """One visible difference between reference and prediction."""

    category: str
    severity: int | float
    """1 (cosmetic) to 3 (content lost or wrong). Under `severities: published`, a number from 0 that a judge wrote."""
    description: str
    location: str = ""


@dataclass(frozen=True)
class Report:
    """All differences a judge found; empty means visually equivalent."""

    discrepancies: tuple[Discrepancy, ...] = ()
    truncated: bool = False
    """The judge's reply was cut off: there may have been more."""

    @property
    def severity(self) -> int | float:
        """S, the sum of severities (paper, Eq. 3)."""
        return sum(d.severity for d in self.discrepancies)

    def counts(self, categories: list[str]) -> dict[str, int]:
        """Counts the discrepancies of each category.

        Args:
            categories: The categories to count.

        Returns:
            Category -> count, for every one of them.
        """
        found = Counter(d.category for d in self.discrepancies)
        return {category: found[category] for category in categories}

    def wire(self, form: ReportFormat) -> dict[str, Any]:
        """Writes the report in the published wire format: counts first, then `errors`.

        Args:
            form: The task's categories and keys.

        Returns:
            What JSON can hold, keys in the task's order.
        """
        counts = {f"{category}_count": n for category, n in self.counts(form.categories).items()}
        return {**counts, "errors": [{key: _field(d, key) for key in form.keys} for d in self.discrepancies]}


def _field(discrepancy: Discrepancy, key: str) -> Any:
    return discrepancy.category if key == "type" else getattr(discrepancy, key)


def report_schema(form: ReportFormat) -> dict[str, Any]:
    """The JSON schema of the wire format, for a server's structured outputs: bounded, closed, in key order.

    Texts are bounded by a pattern rather than `maxLength`: xgrammar lets raw control characters through the latter. The
    bound is counted in blocks, to the next full one: xgrammar 0.2 fails on a repetition over 128 and is slow near it.

    Args:
        form: The task's categories, keys and bounds.

    Returns:
        The schema.
    """
    character, block = r'[^"\\\x00-\x1f]', min(form.max_text, 40)
    more = (form.max_text - 1) // block
    full = f"({character}{{{block}}}){{0,{more}}}" if more else ""
    text = {"type": "string", "pattern": f"^{full}{character}{{0,{block}}}$"}
    kinds: dict[str, Any] = {
        form.category_key: {"type": "string", "enum": form.categories},
        "severity": {"type": "integer", "enum": [1, 2, 3]},
        "location": text,
        "description": text,
    }
    item = {
        "type": "object",
        "properties": {key: kinds[key] for key in form.keys},
        "required": list(form.keys),
        "additionalProperties": False,
    }
    count = {"type": "integer", "minimum": 0, "maximum": form.max_discrepancies}
    counts = {f"{category}_count": count for category in form.categories}
    return {
        "type": "object",
        "properties": {**counts, "errors": {"type": "array", "items": item, "maxItems": form.max_discrepancies}},
        "required": [*counts, "errors"],
        "additionalProperties": False,
    }


def parse_report(reply: str, form: ReportFormat) -> Report:
    """Reads a judge's reply as a Report.

    Reads fences, text around the JSON, `<think>` blocks, `type` for `category` and the reverse, severities as strings or
    words; repairs cut-off or malformed JSON and marks it `truncated`. Counts are ignored: the list is what counts. A
    category the task does not know goes to the nearest that it knows, or to the first, so that no reported error is lost.

    Of several lists in one reply the one with the largest severity counts: an image can make a judge quote a kinder one,
    and must not gain by it. Of a list that is too long the severest are kept. Time is nearly linear in the reply's length.

    Args:
        reply: The judge's reply. Only the first MAX_REPLY characters are read.
        form: The task's categories, keys and bounds.

    Returns:
        The report.

    Raises:
        JudgeUnreadable: The reply holds no list of errors.
    """
    reports = [_report(items, truncated, form) for items, truncated in _lists(reply[:MAX_REPLY])]
    if not reports:
        raise JudgeUnreadable(f"no list of errors in the judge's reply: {reply[:120]!r}")
    return max(reports, key=lambda report: report.severity)


def _lists(text: str) -> list[tuple[list[dict[str, Any]], bool]]:
    """Finds every list of errors outside of thinking, and whether it was cut off.

    A list that is cut off before its first error is none. Thinking ends at the first `</think>`. It may lack its opening
    tag, which some chat templates put in the prompt.
    """
    found: list[tuple[list[Any], str]] = []
    position = 0
    thinking = not text.lstrip().startswith(("{", "```"))
    while match := _LANDMARK.search(text, position):
        position = match.end()
        if match[0].lower() != "</think>":
            if len(found) == MAX_LISTS:
                return []
            items, position, closed = _items(text, position)
            found.append((items, "" if closed else f"[{text[position : position + MAX_REPAIR]}"))
        elif thinking:
            found.clear()
            thinking = False
    if thinking and text.lstrip().startswith("<think>"):
        return []
    lists = [(items + _repaired(rest), bool(rest)) for items, rest in found]
    objects = [([_with_small_keys(i) for i in items if isinstance(i, dict)], len(items), broken) for items, broken in lists]
    # A stray text or number among errors is passed over; a list of nothing else is no list of errors.
    return [(items, broken) for items, count, broken in objects if items or not (count or broken)]


def _with_small_keys(item: dict[str, Any]) -> dict[str, Any]:
    return {key.lower(): value for key, value in item.items()}


def _items(text: str, position: int) -> tuple[list[Any], int, bool]:
    """The values of a JSON list that opens just before `position`, where reading stopped, and whether it was closed."""
    items: list[Any] = []
    while True:
        position = _BETWEEN.match(text, position).end()  # type: ignore[union-attr]
        if text.startswith("]", position):
            return items, position + 1, True
        try:
            item, position = _DECODER.raw_decode(text, position)
        except (ValueError, RecursionError):
            return items, position, False
        items.append(item)


def _repaired(text: str) -> list[dict[str, Any]]:
    """What can be made of the rest of a list that is cut off or malformed; fragments without a known key are dropped."""
    try:
        content = json_repair.loads(text)
    except (ValueError, RecursionError):
        return []
    if isinstance(content, list) and content and isinstance(content[0], list):
        content = content[0]
    return (
        [item for item in content if isinstance(item, dict) and _KEYS & {key.lower() for key in item}]
        if isinstance(content, list)
        else []
    )


def _report(items: list[dict[str, Any]], truncated: bool, form: ReportFormat) -> Report:
    """The report of a list, in its order. Of a list that is too long the severest are kept, so one more never lowers S."""
    severities = [(_published_severity if form.severities == "published" else _severity)(i.get("severity")) for i in items]
    kept = sorted(sorted(range(len(items)), key=lambda i: -severities[i])[: form.max_discrepancies])
    return Report(tuple(_discrepancy(items[i], severities[i], form) for i in kept), truncated or len(items) > len(kept))


def _discrepancy(item: dict[str, Any], severity: int | float, form: ReportFormat) -> Discrepancy:
    return Discrepancy(
        category=_category(_text(item.get("category")) or _text(item.get("type")), form.categories),
        severity=severity,
        description=printable(_text(item.get("description")))[: form.max_text],
        location=printable(_text(item.get("location")))[: form.max_text],
    )


def _text(value: object) -> str:
    """A scalar as text that can be written as UTF-8; nothing for what is no scalar."""
    text = str(value) if isinstance(value, str | int | float) else ""
    return text.encode("utf-8", "replace").decode("utf-8")


def _category(found: str, known: list[str]) -> str:
    if found in known:
        return found
    name = re.sub(r"\W+", "_", found[:64].strip().lower())
    near = difflib.get_close_matches(name, known, 1, cutoff=0.4)
    return near[0] if near else known[0]


def _severity(found: object) -> int:
    word = _text(found)[:32].strip().lower()
    if word in _SEVERITY_WORDS:
        return _SEVERITY_WORDS[word]
    if isinstance(found, float) and not math.isnan(found):
        return int(min(max(found, 1), MAX_SEVERITY))
    number = re.search(r"-?\d+(?:\.\d+)?(?:e\+?\d+)?", word)
    return int(min(max(float(number[0]), 1), MAX_SEVERITY)) if number else 2


def _published_severity(found: object) -> int | float:
    """What the published code for charts and SVG adds: the number, 0 for a negative one and for what is no number."""
    if isinstance(found, int):
        return min(max(int(found), 0), MAX_PUBLISHED_SEVERITY)
    try:
        number = float(found) if isinstance(found, str | float) else 0.0
    except ValueError:
        return 0
    if not number > 0:
        return 0
    number = min(number, float(MAX_PUBLISHED_SEVERITY))
    return int(number) if number.is_integer() else number
