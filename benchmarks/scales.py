"""How many answers a scale of the reward tells apart: `fixed`, `relative` and `batch` on the same reports of real tables.

For each table there are answers with 0 to 40 wrong cells, each with one more than the one before. The local judge reports
on all of them. Two answers are told apart if the one with fewer wrong cells has the larger reward. The tables are parts of
the data sets inside statsmodels and scikit-learn (`pip install '.[demo]'`), and those of PubTabNet where a folder is given.

    python benchmarks/scales.py
    python benchmarks/scales.py --pubtabnet FOLDER    # FOLDER/examples.jsonl or another .jsonl, and the images beside it
"""

from __future__ import annotations

import asyncio
import json
import random
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from pathlib import Path
from statistics import median
from typing import Annotated

import typer
from PIL import Image
from rich.console import Console
from rich.table import Table

from visual_erm.data.pubtabnet import published_tables
from visual_erm.data.sources import Item
from visual_erm.demo.package_tables import tables
from visual_erm.pipeline import RewardPipeline, RewardResult, render_code
from visual_erm.reward.scoring import ScoredSample, batch_rewards, reward, scale_of
from visual_erm.spec.judge import JudgeSettings
from visual_erm.spec.task import Scoring, load_task
from visual_erm.vision.images import load_image

MOST_WRONG = 40
LEAST_FILLED = 12
"""Filled cells that a table has at least: fewer have few pairs of answers."""
ROWS, COLUMNS = 30, 8
"""Largest table of the packages, below its header."""
WORDS = ("kernel", "violet", "harbour", "signal", "orchard", "metric", "lantern", "pebble")
CELL = re.compile(r"<t[dh][^>]*>(.*?)</t[dh]>", re.S)
TAG = re.compile(r"<[^>]+>")

console = Console()


@dataclass(frozen=True)
class Figures:
    """One table: its pairs of answers, and how many of them each scale tells apart."""

    table: str
    parts: int
    """Parts of the reference, as `relative` counts them."""
    pairs: int
    fixed: int
    relative: int
    relative_model: int
    """`relative` if a model had written the same report: its 64 severest entries, and a scale of at most 64 parts."""
    batch: int
    """All answers to the table as one batch."""
    reversed: int
    """Pairs in which the answer with more wrong cells has the larger reward, under `relative`."""


def wrong(text: str, chance: random.Random) -> str:
    """Writes another text of the same form: other digits, or else other words."""
    other = re.sub(r"\d", lambda digit: str((int(digit[0]) + chance.randint(1, 9)) % 10), text)
    if other == text:
        other = " ".join(chance.choice([word for word in WORDS if word != old]) for old in text.split())
    return other


def answers(markup: str, seed: str) -> list[str]:
    """Makes answers with wrong cells.

    Args:
        markup: The table's HTML.
        seed: Decides which cells are wrong, and how.

    Returns:
        The table with no wrong cell, with one, and so on; each has the wrong cells of the one before.
    """
    chance = random.Random(seed)
    cells = [match for match in CELL.finditer(markup) if re.search(r"\w", TAG.sub("", match[1]))]
    order = chance.sample(range(len(cells)), len(cells))[:MOST_WRONG]
    others = {place: wrong(TAG.sub("", cells[place][1]), chance) for place in order}
    made = []
    for count in range(len(order) + 1):
        answer = markup
        for place in sorted(order[:count], reverse=True):
            answer = answer[: cells[place].start(1)] + others[place] + answer[cells[place].end(1) :]
        made.append(answer)
    return made


def told_apart(rewards: Sequence[float]) -> int:
    """Counts the pairs in which the answer with fewer wrong cells, which stands first, has the larger reward."""
    return sum(one > other for one, other in combinations(rewards, 2))


def figures_of(name: str, results: Sequence[RewardResult], max_entries: int) -> Figures:
    """Prices the reports of one table's answers on each scale.

    Args:
        name: What to call the table.
        results: Results under `relative`, by number of wrong cells.
        max_entries: Largest number of entries in a model's report.

    Returns:
        The figures.
    """
    fixed, relative, batch = (Scoring(mode=mode) for mode in ("fixed", "relative", "batch"))
    severities = [result.severity for result in results]
    on_scale = [reward(result.severity, relative, result.scale) for result in results]
    parts = round(results[0].scale / 3)
    written = [
        sum(sorted((entry.severity for entry in result.report.discrepancies), reverse=True)[:max_entries])
        for result in results
        if result.report
    ]
    model_scale = scale_of(relative, min(parts, max_entries))
    samples = [ScoredSample(name, batch, severity, True, False, 0.0) for severity in severities]
    return Figures(
        name,
        parts,
        len(results) * (len(results) - 1) // 2,
        told_apart([reward(severity, fixed) for severity in severities]),
        told_apart(on_scale),
        told_apart([reward(severity, relative, model_scale) for severity in written]),
        told_apart(batch_rewards(samples)),
        told_apart(on_scale[::-1]),
    )


async def measure(items: Sequence[Item], say: Callable[[str], None]) -> list[Figures]:
    """Scores all answers to some tables.

    Args:
        items: The tables.
        say: Is told of each table that is done.

    Returns:
        Their figures.
    """
    task = load_task("table")
    task = task.model_copy(update={"scoring": Scoring(mode="relative")})
    found = []
    async with RewardPipeline(task, JudgeSettings(kind="local")) as pipeline:
        for item in items:
            reference = await _reference(item)
            replies = answers(item.ground_truth, item.where)
            results = await asyncio.gather(*(pipeline.score(reply, reference) for reply in replies))
            found.append(figures_of(item.where, results, task.report.max_discrepancies))
            say(str(asdict(found[-1])))
    return found


async def _reference(item: Item) -> Image.Image:
    return load_image(item.image) if item.image else await render_code("table", item.ground_truth)


def filled(item: Item) -> int:
    """Counts the cells of a table that show something."""
    return sum(bool(re.search(r"\w", TAG.sub("", match[1]))) for match in CELL.finditer(item.ground_truth))


def package_items(count: int) -> list[Item]:
    """Picks tables of all sizes, evenly over those of the packages."""
    found = sorted((item for item in tables(ROWS, COLUMNS, 0) if filled(item) >= LEAST_FILLED), key=filled)
    return found[:: max(len(found) // count, 1)][:count]


def published_items(folder: Path, count: int) -> Iterator[Item]:
    """Reads PubTabNet's rows in a folder, with the images in it."""
    for rows in sorted(folder.glob("*.jsonl")):
        items = (item for item in published_tables(rows, folder, None, console.print) if filled(item) >= LEAST_FILLED)
        yield from (item for _, item in zip(range(count), items, strict=False))


def shown(figures: Mapping[str, Sequence[Figures]]) -> Table:
    """Sums up the figures of each source: numbers, and shares of all pairs."""
    table = Table("", *figures)
    parts = {name: [one.parts for one in found] for name, found in figures.items()}
    pairs = {name: sum(one.pairs for one in found) for name, found in figures.items()}
    table.add_row("tables", *(str(len(found)) for found in figures.values()))
    table.add_row("parts of a reference", *(f"{min(of)} to {max(of)}, median {median(of):g}" for of in parts.values()))
    table.add_row("pairs of answers", *(str(count) for count in pairs.values()))
    labels = {"fixed": "", "relative": "", "relative_model": "relative, report of a model", "batch": ""}
    for key, label in {**labels, "reversed": "in the wrong order, relative"}.items():
        sums = [sum(getattr(one, key) for one in found) / pairs[name] for name, found in figures.items()]
        table.add_row(label or key, *(f"{share:.1%}" for share in sums))
    return table


def main(
    count: Annotated[int, typer.Option("--tables", min=1, help="Number of tables of each source.")] = 20,
    pubtabnet: Annotated[
        Path | None, typer.Option(exists=True, file_okay=False, help="PubTabNet's rows and images.")
    ] = None,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write all figures to this file.")] = None,
    verbose: Annotated[bool, typer.Option("--verbose", help="Print the figures of each table.")] = False,
) -> None:
    """Counts the pairs of answers, with 0 to 40 wrong cells, that each scale of the reward tells apart."""
    sources = {"packages": package_items(count)}
    if pubtabnet:
        sources["PubTabNet"] = list(published_items(pubtabnet, count))
    figures = {name: asyncio.run(measure(items, console.print if verbose else _quiet)) for name, items in sources.items()}
    console.print(shown(figures))
    if json_file:
        json_file.write_text(json.dumps({name: list(map(asdict, found)) for name, found in figures.items()}, indent=1))


def _quiet(_: str) -> None:
    """Says nothing."""


if __name__ == "__main__":
    typer.run(main)
