"""Items -> train and test parquet: renders what has no image yet, splits by share and seed, and writes both files or none.

The middle of the data path, between `sources` and veRL. A run that was stopped continues when it is started again with the
same command: rendered images stay in `OUT/images`.

    sizes = build(items, BuildOptions(Path("data")), task, RowFormat("svg", prompt), print, Console(), check=None)
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

from visual_erm.data.images import encode
from visual_erm.data.rows import RowContent, RowFormat, make_row, schema
from visual_erm.data.sources import Item, Report
from visual_erm.errors import ConfigError, PolicyFault
from visual_erm.extract import Code
from visual_erm.render.base import make_renderer
from visual_erm.runtime.files import remove_stale_parts, replacing, write_atomic
from visual_erm.spec.task import Task

SPLITS = ("test", "train")
"""The splits in the order in which they are filled."""
ROWS_AT_ONCE = 32
"""Rows of one row group, which are in memory together while they are written."""
NOT_IN_PIXELS = {"timeout_s", "max_pixels", "sandbox", "allow_renderer_mismatch"}
"""Render settings that decide whether there is an image, and never what is on it."""

Check = Callable[[Path], dict[int, str]]
"""Loads a parquet as veRL does and returns, by index, what is wrong with each row that veRL would lose."""


@dataclass(frozen=True)
class BuildOptions:
    """How the items become a data set."""

    out: Path
    """Folder for train.parquet, test.parquet and images/."""
    test_share: float = 0.1
    """Share of the items in the test split, above 0 and below 1. Each split gets at least one item."""
    seed: int = 0
    """Decides which items are in the test split, which ones `limit` keeps, and the order of rows."""
    limit: int | None = None
    """Largest number of items, chosen at random. None: all of them."""
    pages: int = 2
    """Number of browser pages or sandbox workers that render at the same time."""


@dataclass(frozen=True)
class SplitSizes:
    """Number of rows written to each split."""

    train: int
    test: int


def build(
    items: Iterable[Item],
    options: BuildOptions,
    task: Task,
    form: RowFormat,
    report: Report,
    console: Console,
    check: Check | None,
) -> SplitSizes:
    """Writes train.parquet and test.parquet, and the images of rendered items.

    Args:
        items: What the data set is made of. Of items with the same code, the first is kept.
        options: How the items become a data set.
        task: The task of the rows, which defines how code is rendered.
        form: What a row holds.
        report: Is told of every item that is left out, in one sentence.
        console: Where progress is shown.
        check: Finds the rows that veRL would lose, which are left out. None: no check.

    Returns:
        The number of rows in each split.

    Raises:
        ConfigError: Fewer than two items are left, or an option is out of range.
        RendererUnavailable: This machine lacks what renders the task.
    """
    if not 0 < options.test_share < 1:
        raise ConfigError(f"--test-share {options.test_share}: give a share between 0 and 1, 0.1 for every tenth item")
    chosen = sample_items(_unique(items, report), options)
    try:
        options.out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"--out {options.out}: cannot be created: {error.strerror}") from error
    for folder in (options.out, options.out / "images"):
        remove_stale_parts(folder)
    with (
        Progress(
            TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), console=console
        ) as progress,
        ExitStack() as cleaning,
    ):
        contents = list(_contents(chosen, *_render(chosen, options, task, report, progress)))
        partial = {split: options.out / f".{split}.partial.parquet" for split in SPLITS}
        for path in partial.values():
            cleaning.callback(path.unlink, missing_ok=True)
        bar = progress.add_task("writing rows", total=len(contents))

        def write(held: int, report: Report, done: Callable[[], None]) -> int:
            waiting, seen = iter(contents), dict[bytes, str]()
            for split, path in partial.items():
                rows = _rows(waiting, split, form, options.out, seen, report, done)
                _write(path, islice(rows, held if split == "test" else None), form)
            return sum(pq.read_metadata(path).num_rows for path in partial.values())

        held = held_out(len(contents), options.test_share)
        left = write(held, report, lambda: progress.advance(bar))
        if held != held_out(left, options.test_share):
            # Items were left out. All is known of them now: the same items are split anew, and nothing is said twice.
            write(held_out(left, options.test_share), lambda _: None, lambda: None)
        if check:
            bar = progress.add_task("loading rows through veRL", total=len(SPLITS))
            names = {content.index: content.where for content in contents}
            for path in partial.values():
                _drop_rows(path, check(path), names, report)
                progress.advance(bar)
        counts = {split: pq.read_metadata(path).num_rows for split, path in partial.items()}
        if not all(counts.values()):
            raise ConfigError(
                f"{sum(counts.values())} items are left, but the train and the test split need one each; give more items"
            )
        for split, path in partial.items():
            path.replace(options.out / f"{split}.parquet")
    return SplitSizes(**counts)


def sample_items(items: Sequence[Item], options: BuildOptions) -> list[Item]:
    """Chooses and orders the items of a data set.

    Args:
        items: All items, in any order.
        options: Their `seed` and `limit` are read.

    Returns:
        At most `options.limit` items, in an order that depends only on the items' names and the seed.
    """
    order = sorted(items, key=lambda item: item.where)
    random.Random(options.seed).shuffle(order)
    return order[: options.limit]


def held_out(count: int, share: float) -> int:
    """Computes the size of the test split: at least one item, and at most one less than all.

    Args:
        count: Number of items.
        share: Share of them in the test split, between 0 and 1.

    Returns:
        The number of items in the test split; 0 only where there are fewer than two.

    >>> [held_out(count, 0.1) for count in (1, 2, 14, 16)]
    [0, 1, 1, 2]
    """
    return min(max(round(share * count), 1), max(count - 1, 0))


def _unique(items: Iterable[Item], report: Report) -> list[Item]:
    """Leaves out items whose code occurred before: an item in both splits would not be held out."""
    seen: dict[Code, str] = {}
    kept = []
    for item in items:
        if item.code and seen.setdefault(item.code, item.where) != item.where:
            report(f"{item.where}: the same code as {seen[item.code]}; one of them is kept")
            continue
        kept.append(item)
    return kept


# Rendering


def _render(
    items: Sequence[Item], options: BuildOptions, task: Task, report: Report, progress: Progress
) -> tuple[dict[str, Path], str]:
    """Renders the items with code. Returns their images by name, and the version of the renderer."""
    codes = {item.where: item.code for item in items if item.code}
    return asyncio.run(_render_codes(codes, options, task, report, progress)) if codes else ({}, "")


async def _render_codes(
    codes: dict[str, Code], options: BuildOptions, task: Task, report: Report, progress: Progress
) -> tuple[dict[str, Path], str]:
    renderer = make_renderer(task.render, pages=options.pages)
    renderer_version = renderer.renderer_version
    paths = {where: options.out / "images" / _image_name(code, renderer_version, task) for where, code in codes.items()}
    bar = progress.add_task("rendering", total=len(codes))
    waiting = iter(codes.items())

    async def work() -> None:
        for where, code in waiting:
            try:
                if not _is_readable(paths[where]):
                    image = await renderer.render(code)
                    if missing := image.info.get("missing_glyphs"):
                        report(f"{where}: {missing} characters that no installed font shows; install a font for them")
                        del paths[where]
                        continue
                    await asyncio.to_thread(_save, image, paths[where])
            except PolicyFault as fault:
                report(f"{where}: cannot be rendered ({fault}); correct it or remove it")
                del paths[where]
            progress.advance(bar)

    try:
        await asyncio.gather(*(work() for _ in range(2 * options.pages)))
    finally:
        await renderer.close()
    return paths, renderer_version


def _image_name(code: Code, renderer_version: str, task: Task) -> str:
    """Names an image after all that decides its pixels, so that it is rendered again when any of that changes."""
    looks = {"kind": task.kind.name} | task.render.model_dump(mode="json", exclude=NOT_IN_PIXELS)
    known = json.dumps([renderer_version, looks, code.language, code.text], sort_keys=True)
    return f"{blake2b(known.encode(), digest_size=10).hexdigest()}.png"


def _save(image: Image.Image, path: Path) -> None:
    write_atomic(path, encode(image))


def _is_readable(path: Path) -> bool:
    try:
        with Image.open(path) as image:
            image.verify()
    except (OSError, SyntaxError):
        return False
    return True


# Rows


def _contents(items: Sequence[Item], rendered: dict[str, Path], renderer_version: str) -> Iterator[RowContent]:
    for index, item in enumerate(items):
        if item.image:
            yield RowContent(index, item.where, item.image, item.renderer_version, item.ground_truth)
        elif item.where in rendered:
            yield RowContent(index, item.where, rendered[item.where], renderer_version, item.ground_truth)


def _rows(
    contents: Iterator[RowContent],
    split: str,
    form: RowFormat,
    folder: Path,
    seen: dict[bytes, str],
    report: Report,
    done: Callable[[], None],
) -> Iterator[dict[str, Any]]:
    for content in contents:
        done()
        try:
            yield make_row(content, split, form, folder, seen)
        except ConfigError as error:
            report(str(error) if content.where in str(error) else f"{content.where}: {error}")


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


def _drop_rows(path: Path, problems: dict[int, str], names: dict[int, str], report: Report) -> None:
    """Rewrites the parquet without the rows that have a problem."""
    if not problems:
        return
    for index, problem in problems.items():
        report(f"{names[index]}: {problem}")
    lost = pa.array(problems, pa.int64())
    with (
        replacing(path) as kept,
        pq.ParquetFile(path) as source,
        pq.ParquetWriter(kept, source.schema_arrow) as writer,
    ):
        for batch in source.iter_batches(ROWS_AT_ONCE):
            index = pc.struct_field(batch.column("extra_info"), "index")
            writer.write_batch(batch.filter(pc.invert(pc.is_in(index, lost))))
