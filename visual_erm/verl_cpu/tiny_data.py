"""The demo's data set: veRL parquet of tiny tables, each with the policy's picture and the judge's reference.

Every batch holds tables of the same shapes from the same sources, so that the mean reward of a step depends little on
which tables the step happens to see.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from visual_erm.data.pictures import encode
from visual_erm.data.rows import schema
from visual_erm.extract import Code
from visual_erm.pipeline import load_image
from visual_erm.render import make_renderer
from visual_erm.task import Task
from visual_erm.verl_cpu.tiny_tables import PROMPT, SHAPES, SOURCES, Rows, draw, from_html, real_table, to_html

log = logging.getLogger(__name__)

BATCH = 16
"""Prompts per training step."""
LARGE = (SOURCES[0], SOURCES[1], SOURCES[1], SOURCES[1])
"""Besides two tables of each source, a batch has one of each of these: the longest files."""
HELD_OUT = 192
"""Tables of the test split, equally many of each shape."""
JUDGED = 64
"""Of these, the first so many have a reference for the judge."""


@dataclass(frozen=True)
class HeldOut:
    """One table of the test split."""

    rows: Rows
    picture: Image.Image
    """As the policy sees it."""
    reference: Image.Image | None
    """As the judge sees it."""


def train_tables(seed: int, steps: int) -> list[Rows]:
    """BATCH tables for each of `steps` steps, from the training rows."""
    rng = random.Random(seed)
    shapes = [SHAPES[i % len(SHAPES)] for i in range(BATCH)]
    sources = [*SOURCES, *SOURCES, *LARGE]
    tables = []
    for _ in range(steps):
        pairs = zip(rng.sample(shapes, BATCH), rng.sample(sources, BATCH), strict=True)
        tables += [real_table(rng, "train", shape, source) for shape, source in pairs]
    return tables


def held_out_tables() -> list[Rows]:
    """HELD_OUT tables from rows that no training table has: the same for every seed."""
    rng = random.Random("held out")
    return [real_table(rng, "test", SHAPES[i % len(SHAPES)]) for i in range(HELD_OUT)]


def write_data(folder: Path, task: Task, train: Sequence[Rows], test: Sequence[Rows]) -> None:
    """Writes `train.parquet` and `test.parquet` to `folder`, references drawn by the task's renderer."""
    folder.mkdir(parents=True, exist_ok=True)
    pictures, references, engine = asyncio.run(_draw_both(task, [*train, *test], len(train) + JUDGED))
    for split, tables, first in (("train", train, 0), ("test", test, len(train))):
        rows = []
        for index, table in enumerate(tables):
            reference = references[first + index] if first + index < len(references) else None
            rows.append(_row(task.name, split, index, table, pictures[first + index], reference, engine))
        path = folder / f"{split}.parquet"
        pq.write_table(pa.Table.from_pylist(rows, schema(embed=True)), path)
        log.info("%d tables in %s", len(rows), path)


async def _draw_both(task: Task, tables: Sequence[Rows], judged: int) -> tuple[list[bytes], list[bytes], str]:
    """The policy's pictures of `tables`, the judge's references of the first `judged`, and what drew the references."""
    pictures = await draw(tables)
    renderer = make_renderer(task.render)
    try:
        references = await asyncio.gather(*(renderer.render(Code("html", to_html(rows))) for rows in tables[:judged]))
        return [encode(image) for image in pictures], [encode(image) for image in references], renderer.engine
    finally:
        await renderer.close()


def _row(name: str, split: str, index: int, rows: Rows, picture: bytes, reference: bytes | None, engine: str) -> dict:
    return {
        "data_source": name,
        "prompt": [{"role": "user", "content": f"<image>{PROMPT}"}],
        "images": [{"bytes": picture, "path": None}],
        "ability": "vision2code",
        "reward_model": {"style": "model", "ground_truth": to_html(rows)},
        "extra_info": {
            "index": index,
            "split": split,
            "reference": {"bytes": reference, "path": None},
            "engine": engine if reference else "",
        },
    }


def read_held_out(path: Path) -> list[HeldOut]:
    """The tables of a `test.parquet` that `write_data` wrote."""
    held_out = []
    for row in pq.read_table(path).to_pylist():
        reference = row["extra_info"]["reference"]["bytes"]
        held_out.append(
            HeldOut(
                rows=from_html(row["reward_model"]["ground_truth"]),
                picture=load_image(row["images"][0]["bytes"]),
                reference=load_image(reference) if reference else None,
            )
        )
    return held_out
