"""Discrepancy and Report: what the judge sees, as plain data, its wire format, its JSON schema, and tolerant parsing.

A report is the only thing that passes from judge to score. Judges are models: what they write is read with patience for
form (fences, thinking, severities as strings, cut-off JSON) and none for content (no list of errors is no report).
"""

from __future__ import annotations

import difflib
import json
import re
from collections import Counter
from dataclasses import dataclass
from typing import Any

import json_repair

from visual_erm.errors import JudgeUnreadable
from visual_erm.task import ReportFormat

MAX_REPLY = 262_144
"""Characters of a judge's reply that are read; the longest honest report is a tenth of it."""

_SEVERITY_WORDS = {"minor": 1, "low": 1, "mild": 1, "medium": 2, "moderate": 2}
_SEVERITY_WORDS |= {"major": 3, "high": 3, "severe": 3, "critical": 3}


@dataclass(frozen=True)
class Discrepancy:
    """One visible difference between reference and prediction."""

    category: str
    severity: int
    """1 (cosmetic) to 3 (content lost or wrong)."""
    description: str
    location: str = ""


@dataclass(frozen=True)
class Report:
    """All differences a judge found; empty means visually equivalent."""

    discrepancies: tuple[Discrepancy, ...] = ()
    truncated: bool = False
    """The judge's reply was cut off: there may have been more."""

    @property
    def severity(self) -> int:
        """S, the sum of severities (paper, Eq. 3)."""
        return sum(d.severity for d in self.discrepancies)

    def counts(self, categories: list[str]) -> dict[str, int]:
        """Discrepancies per category, every category present."""
        found = Counter(d.category for d in self.discrepancies)
        return {category: found[category] for category in categories}

    def wire(self, form: ReportFormat) -> dict[str, Any]:
        """The report as the published wire format: counts first, then `errors`, keys in the task's order."""
        counts = {f"{category}_count": n for category, n in self.counts(form.categories).items()}
        return {**counts, "errors": [{key: _field(d, key) for key in form.keys} for d in self.discrepancies]}


def _field(discrepancy: Discrepancy, key: str) -> Any:
    return discrepancy.category if key == "type" else getattr(discrepancy, key)


def report_schema(form: ReportFormat) -> dict[str, Any]:
    """JSON schema of the wire format, for a server's structured outputs: bounded, closed, in key order.

    Texts are bounded by a pattern rather than `maxLength`: xgrammar lets raw control characters through the latter.
    """
    text = {"type": "string", "pattern": rf'^[^"\\\x00-\x1f]{{0,{form.max_text}}}$'}
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
    counts = {f"{category}_count": {"type": "integer", "minimum": 0} for category in form.categories}
    return {
        "type": "object",
        "properties": {**counts, "errors": {"type": "array", "items": item, "maxItems": form.max_discrepancies}},
        "required": [*counts, "errors"],
        "additionalProperties": False,
    }


def parse_report(reply: str, form: ReportFormat) -> Report:
    """A judge's reply as a Report.

    Reads fences, text around the JSON, `<think>` blocks, `type` for `category` and the reverse, severities as strings or
    words; repairs cut-off JSON and marks it `truncated`. Counts are ignored: the list is what counts. A category the task
    does not know goes to the nearest that it knows, or to the first, so that no reported error is lost.

    Raises JudgeUnreadable when no list of errors can be found.
    """
    text = re.sub(r"^.*</think>", "", reply[:MAX_REPLY], flags=re.DOTALL)
    start = text.find("{")
    if start < 0 or "errors" not in text:
        raise JudgeUnreadable(f"no report in the judge's reply: {reply[:120]!r}")
    text = text[start:]
    truncated = False
    try:
        content, _ = json.JSONDecoder(strict=False).raw_decode(text)
    except (ValueError, RecursionError):
        truncated = True
        try:
            content = json_repair.loads(text)
        except (ValueError, RecursionError) as error:
            raise JudgeUnreadable(f"the judge's reply cannot be read as JSON: {reply[:120]!r}") from error
        if isinstance(content, list):
            content = next((part for part in content if isinstance(part, dict) and "errors" in part), None)
    if not isinstance(content, dict) or not isinstance(content.get("errors"), list):
        raise JudgeUnreadable(f"no list of errors in the judge's reply: {reply[:120]!r}")
    items = [item for item in content["errors"] if isinstance(item, dict)]
    return Report(tuple(_discrepancy(item, form) for item in items), truncated)


def _discrepancy(item: dict[str, Any], form: ReportFormat) -> Discrepancy:
    return Discrepancy(
        category=_category(item.get("category") or item.get("type") or "", form.categories),
        severity=_severity(item.get("severity")),
        description=str(item.get("description") or "")[: form.max_text],
        location=str(item.get("location") or "")[: form.max_text],
    )


def _category(found: object, known: list[str]) -> str:
    name = re.sub(r"\W+", "_", str(found).strip().lower())
    near = difflib.get_close_matches(name, known, 1)
    return near[0] if near else known[0]


def _severity(found: object) -> int:
    word = str(found).strip().lower()
    if word in _SEVERITY_WORDS:
        return _SEVERITY_WORDS[word]
    number = re.search(r"-?\d+", word[:32])
    return min(max(int(number[0]), 1), 3) if number else 2
