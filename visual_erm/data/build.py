"""Items -> train and test parquet: draw what has no image yet, split by share and seed, write whole files or none.

A run that was stopped is started again with the same command: images that are drawn stay in `OUT/images`.
"""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from hashlib import blake2b
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from PIL import Image
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from visual_erm.data.images import encode, write_whole
from visual_erm.data.rows import RowFormat, Sample, make_row, schema
from visual_erm.data.sources import Item, Report
from visual_erm.errors import ConfigError, PolicyFault
from visual_erm.extract import Code
from visual_erm.kinds import RenderSettings
from visual_erm.render.base import make_renderer
from visual_erm.spec.task import Task

SPLITS = ("test", "train")
"""In the order in which they are filled: a bad item of one is replaced by the next item."""
ROWS_AT_ONCE = 32
"""Rows of one row group: what is in memory while writing."""
NOT_IN_PIXELS = {"timeout_s", "max_pixels", "sandbox", "allow_engine_mismatch"}
"""Render settings that decide whether there is a image, never what is on it."""

Check = Callable[[Path], dict[int, str]]
"""Loads a parquet as veRL does and says, by index, what is wrong with the rows that veRL would lose."""


@dataclass(frozen=True)
class Plan:
    """What to make of the items."""

    out: Path
    """Folder for train.parquet, test.parquet and images/."""
    test_share: float = 0.1
    """Share of the items held out, between 0 and 1; at least one item either way."""
    seed: int = 0
    """Decides which items are held out, which a limit keeps, and the order of rows."""
    limit: int | None = None
    """At most so many items, drawn by lot."""
    pages: int = 2
    """Pages of the browser, or workers of the sandbox, that draw at the same time."""


@dataclass(frozen=True)
class Built:
    """Rows written, by split."""

    train: int
    test: int


def build(
    items: Iterable[Item], plan: Plan, task: Task, form: RowFormat, report: Report, console: Console, check: Check | None
) -> Built:
    """Writes the data set; `report` hears of every item that is left out.

    Raises ConfigError when fewer than two items are left, RendererUnavailable when nothing can be drawn here.
    """
    if not 0 < plan.test_share < 1:
        raise ConfigError(f"--test-share {plan.test_share}: give a share between 0 and 1, 0.1 for every tenth item")
    chosen = sample_items(_once(items, report), plan)
    try:
        plan.out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"--out {plan.out}: cannot be made: {error.strerror}") from error
    with (
        Progress(
            TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), console=console
        ) as progress,
        ExitStack() as cleaning,
    ):
        samples = list(_samples(chosen, *_draw(chosen, plan, task, report, progress)))
        partial = {split: plan.out / f".{split}.partial.parquet" for split in SPLITS}
        for path in partial.values():
            cleaning.callback(path.unlink, missing_ok=True)
        bar = progress.add_task("writing rows", total=len(samples))
        waiting = iter(samples)
        for split, path in partial.items():
            rows = _rows(waiting, split, form, plan.out, report, lambda: progress.advance(bar))
            _write(path, islice(rows, held_out(len(samples), plan.test_share) if split == "test" else None), form)
        if check:
            bar = progress.add_task("loading rows through veRL", total=len(SPLITS))
            names = {sample.index: sample.where for sample in samples}
            for path in partial.values():
                _leave_out(path, check(path), names, report)
                progress.advance(bar)
        counts = {split: pq.read_metadata(path).num_rows for split, path in partial.items()}
        if not all(counts.values()):
            raise ConfigError(f"{sum(counts.values())} items are left: a train and a test split need one each")
        for split, path in partial.items():
            path.replace(plan.out / f"{split}.parquet")
    return Built(**counts)


def sample_items(items: Sequence[Item], plan: Plan) -> list[Item]:
    """The items that the plan takes, in an order that depends on nothing but their names and the seed."""
    order = sorted(items, key=lambda item: item.where)
    random.Random(plan.seed).shuffle(order)
    return order[: plan.limit]


def held_out(count: int, share: float) -> int:
    """How many of `count` items the test split gets: at least one, and one less than all.

    >>> [held_out(count, 0.1) for count in (1, 2, 14, 16)]
    [0, 1, 1, 2]
    """
    return min(max(round(share * count), 1), max(count - 1, 0))


def _once(items: Iterable[Item], report: Report) -> list[Item]:
    """Items without those whose code came before: what is in both splits is not held out."""
    seen: dict[Code, str] = {}
    kept = []
    for item in items:
        if item.code and seen.setdefault(item.code, item.where) != item.where:
            report(f"{item.where}: the same as {seen[item.code]}; kept once")
            continue
        kept.append(item)
    return kept


# Drawing


def _draw(items: Sequence[Item], plan: Plan, task: Task, report: Report, progress: Progress) -> tuple[dict[str, Path], str]:
    """Images of the items with code, by name, and what drew them."""
    codes = {item.where: item.code for item in items if item.code}
    return asyncio.run(_draw_codes(codes, plan, task, report, progress)) if codes else ({}, "")


async def _draw_codes(
    codes: dict[str, Code], plan: Plan, task: Task, report: Report, progress: Progress
) -> tuple[dict[str, Path], str]:
    renderer = make_renderer(task.render, pages=plan.pages)
    engine = renderer.engine
    places = {where: plan.out / "images" / _image_name(code, engine, task.render) for where, code in codes.items()}
    bar = progress.add_task("drawing", total=len(codes))
    waiting = iter(codes.items())

    async def work() -> None:
        for where, code in waiting:
            try:
                if not _is_drawn(places[where]):
                    image = await renderer.render(code)
                    await asyncio.to_thread(_save, image, places[where])
            except PolicyFault as fault:
                report(f"{where}: cannot be drawn ({fault}); mend it or take it out")
                del places[where]
            progress.advance(bar)

    try:
        await asyncio.gather(*(work() for _ in range(2 * plan.pages)))
    finally:
        await renderer.close()
    return places, engine


def _image_name(code: Code, engine: str, settings: RenderSettings) -> str:
    """Named after all that decides its pixels: where one of these is another, the image is drawn anew."""
    looks = settings.model_dump(mode="json", exclude=NOT_IN_PIXELS)
    known = json.dumps([engine, looks, code.language, code.text], sort_keys=True)
    return f"{blake2b(known.encode(), digest_size=10).hexdigest()}.png"


def _save(image: Image.Image, path: Path) -> None:
    write_whole(path, encode(image))


def _is_drawn(path: Path) -> bool:
    try:
        with Image.open(path) as image:
            image.verify()
    except (OSError, SyntaxError):
        return False
    return True


# Rows


def _samples(items: Sequence[Item], drawn: dict[str, Path], engine: str) -> Iterator[Sample]:
    for index, item in enumerate(items):
        if item.image:
            yield Sample(index, item.where, item.image, item.engine, item.ground_truth)
        elif item.where in drawn:
            yield Sample(index, item.where, drawn[item.where], engine, item.ground_truth)


def _rows(
    samples: Iterator[Sample], split: str, form: RowFormat, folder: Path, report: Report, done: Callable[[], None]
) -> Iterator[dict[str, Any]]:
    for sample in samples:
        done()
        try:
            yield make_row(sample, split, form, folder)
        except ConfigError as error:
            report(str(error) if sample.where in str(error) else f"{sample.where}: {error}")


def _write(path: Path, rows: Iterator[dict[str, Any]], form: RowFormat) -> None:
    columns = schema(form.embed)
    with pq.ParquetWriter(path, columns) as writer:
        batch: list[dict[str, Any]] = []
        for row in rows:
            batch.append(row)
            if len(batch) == ROWS_AT_ONCE:
                writer.write_table(pa.Table.from_pylist(batch, columns))
                batch = []
        if batch:
            writer.write_table(pa.Table.from_pylist(batch, columns))


def _leave_out(path: Path, problems: dict[int, str], names: dict[int, str], report: Report) -> None:
    """Rewrites the parquet without the rows that have a problem."""
    if not problems:
        return
    for index, problem in problems.items():
        report(f"{names[index]}: {problem}")
    kept = path.with_suffix(".kept")
    lost = pa.array(problems, pa.int64())
    try:
        with pq.ParquetFile(path) as source, pq.ParquetWriter(kept, source.schema_arrow) as writer:
            for batch in source.iter_batches(ROWS_AT_ONCE):
                index = pc.struct_field(batch.column("extra_info"), "index")
                writer.write_batch(batch.filter(pc.invert(pc.is_in(index, lost))))
        kept.replace(path)
    finally:
        kept.unlink(missing_ok=True)
