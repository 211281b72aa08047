"""`bench report`: one page on one or several judges, beside the published figures, with the worst items.

    text = markdown({"mine": rows}, {"mine": score(rows)}, root=Path("bench/images"), worst=10)
    page = html(text)

The rows are those of files that `bench match` wrote.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from markdown_it import MarkdownIt

from visual_erm.bench.figures import NAMES, percent, with_interval
from visual_erm.bench.rows import CATEGORIES, IMAGES, Row
from visual_erm.bench.scores import ALL, Group, Item, Scores, items_of
from visual_erm.errors import InfrastructureError, printable
from visual_erm.jobs.rows import BadRow
from visual_erm.judge.encode import data_url
from visual_erm.spec.task import ImageSettings
from visual_erm.vision.images import load_image

PAPER = {
    "Qwen3-VL-8B-Instruct": "3.3 3.5 3.8 | 7.0 7.8 21.4 | 6.1 9.4 27.1 | 5.3 6.5 17.5",
    "Qwen3-VL-235B-Instruct": "28.0 31.8 47.2 | 35.7 37.4 56.2 | 19.4 22.8 51.5 | 29.5 32.4 56.2",
    "GPT-5.2": "30.1 32.6 64.8 | 39.3 40.6 54.6 | 28.5 32.2 61.1 | 32.7 35.0 58.9",
    "Gemini-2.5-Pro": "33.7 37.5 61.8 | 46.4 48.0 49.9 | 29.3 34.3 63.3 | 37.8 40.9 59.1",
    "Gemini-3-Flash": "38.5 41.3 62.8 | 48.1 50.1 45.6 | 33.3 - 64.3 | 40.6 43.4 53.4",
    "Visual-ERM 8B": "39.9 42.8 61.2 | 56.4 57.6 74.8 | 28.3 32.6 59.6 | 42.1 44.7 58.4",
}
"""Published figures in percent (arXiv 2603.13224v2): F1 hard, F1 soft and S_c of charts, tables, drawings and all."""
ORDER = ("chart", "table", "svg", ALL)
SHOWN_SIDE = 420
"""Longest side of an image on the page, in pixels."""
MAX_QUOTED = 300
"""Characters of an error's description on the page."""
STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 72rem; margin: 2rem auto; padding: 0 1rem; color: #1c1c1c; }
table { border-collapse: collapse; margin: 1rem 0; } th, td { border: 1px solid #ccc; padding: 4px 10px; }
td { text-align: right; } td:first-child, th:first-child { text-align: left; } img { border: 1px solid #ddd; margin: 4px; }
"""


def markdown(
    judges: Mapping[str, Sequence[Row]], scores: Mapping[str, Scores], root: Path | None = None, worst: int = 10
) -> str:
    """Writes the page in Markdown.

    Args:
        judges: By name of a judge: rows that `bench match` wrote.
        scores: By name of a judge: the scores of its rows.
        root: The folder that images' paths are relative to; None: no images are shown.
        worst: How many items are shown of each judge, those with the most mistakes first.

    Returns:
        The page. Texts of people and judges are escaped.
    """
    lines = ["# VC-RewardBench", "", *_table(scores), "", *_notes(scores)]
    for name, rows in judges.items():
        lines += ["", f"## {_plain(name)}", "", *_details(scores[name])]
        for item in _worst(rows, worst):
            lines += ["", *_item(item, root)]
    return "\n".join(lines) + "\n"


def html(text: str) -> str:
    """Makes one HTML page that holds its images.

    Args:
        text: What `markdown` returns.

    Returns:
        The page. HTML in the texts is shown and does nothing.
    """
    body = MarkdownIt("commonmark", {"html": False}).enable("table").render(text)
    return (
        f'<!DOCTYPE html><html lang="en"><meta charset="utf-8"><title>VC-RewardBench</title><style>{STYLE}</style>{body}\n'
    )


def _table(scores: Mapping[str, Scores]) -> Iterator[str]:
    names = {"chart": "chart", "table": "table", "svg": "SVG", ALL: "all"}
    yield f"| judge | matched by | {' | '.join(f'{names[key]} F1h F1s Sc' for key in ORDER)} |"
    yield "|---" * (2 + len(ORDER)) + "|"
    for judge, figures in PAPER.items():
        yield f"| {judge} | paper | {figures} |"
    for judge, of_judge in scores.items():
        cells = [_three(of_judge.groups.get(key)) for key in ORDER]
        yield f"| **{_plain(judge)}** | {_plain(', '.join(of_judge.matchers))} | {' | '.join(cells)} |"


def _three(group: Group | None) -> str:
    if group is None:
        return "-"
    return " ".join(percent(getattr(group.figures, name)) for name in NAMES)


def _notes(scores: Mapping[str, Scores]) -> Iterator[str]:
    yield "F1h, F1s: hard and soft F1 of matched errors. Sc: correlation of severities. In percent."
    if any(set(of_judge.matchers) & {"offline"} for of_judge in scores.values()):
        yield "Matches of the offline matcher are not comparable with the paper's, which come from a model."
    for judge, of_judge in scores.items():
        if of_judge.left_out:
            yield f"{len(of_judge.left_out)} items of {_plain(judge)} have no matching and do not count."


def _details(scores: Scores) -> Iterator[str]:
    yield "| | items | F1 hard (95%) | F1 soft (95%) | Sc (95%) | unreadable | false alarms |"
    yield "|---" * 7 + "|"
    for name in (*CATEGORIES, ALL):
        if group := scores.groups.get(name):
            cells = [with_interval(getattr(group.figures, key), group.intervals[key]) for key in NAMES]
            alarms = f"{group.false_alarms} of {group.clean}"
            yield f"| {name} | {group.figures.items} | {' | '.join(cells)} | {group.unreadable} | {alarms} |"


def _worst(rows: Sequence[Row], count: int) -> list[Item]:
    items, _ = items_of(rows)
    wrong = [item for item in items if item.tally.all.invented or item.tally.all.missed]
    return sorted(wrong, key=lambda item: -(item.tally.all.invented + item.tally.all.missed))[:count]


def _item(item: Item, root: Path | None) -> Iterator[str]:
    row, counts = item.row, item.tally.all
    yield f"### {_plain(row.id)} ({row.category}): {counts.missed} missed, {counts.invented} invented"
    yield ""
    if root is not None:
        try:
            shown = ImageSettings(format="png", longest_side=SHOWN_SIDE)
            urls = [data_url(load_image(row.path(key, root)), shown) for key in IMAGES]
            yield f"![reference]({urls[0]}) ![prediction]({urls[1]})"
            yield ""
        except (BadRow, InfrastructureError) as missing:
            yield f"No images: {_plain(str(missing))}"
            yield ""
    matching = row.matching()
    partners = {"true": {one.truth for one in matching.matches}, "predicted": {one.prediction for one in matching.matches}}
    for side, errors in (("true", row.truths()), ("predicted", row.predictions())):
        for place, error in enumerate(errors):
            mark = "matched" if place in partners[side] else {"true": "**missed**", "predicted": "**invented**"}[side]
            place_and_text = ": ".join(filter(None, [error.location, error.description]))[:MAX_QUOTED]
            yield f"- {side}, {mark}: {_plain(error.category)}, severity {error.severity:g}: {_plain(place_and_text)}"


def _plain(text: str) -> str:
    """A text that Markdown shows as it is, in one line."""
    return re.sub(r"([\\`*_{}\[\]()<>#+.!|~&-])", r"\\\1", printable(" ".join(text.split())))
