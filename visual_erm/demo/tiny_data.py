"""The demo's data set: veRL parquet of tiny problems, each with the policy's image and the judge's reference.

Every batch holds samples of the same problems and shapes, so that the mean reward of a step depends little on which samples
the step happens to see.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from visual_erm.data.images import encode
from visual_erm.data.rows import schema
from visual_erm.demo.tiny_problem import Problem, Sample
from visual_erm.demo.tiny_tasks import TASKS, TinyTask
from visual_erm.extract import Code, extract
from visual_erm.pipeline import load_image
from visual_erm.render.base import make_renderer
from visual_erm.spec.task import Task

log = logging.getLogger(__name__)

Asked = tuple[Problem, Sample]
"""A sample, and which problem it is of."""


@dataclass(frozen=True)
class Row:
    """One line of a parquet file, read back."""

    problem: Problem
    sample: Sample
    image: Image.Image
    """As the policy sees it."""
    reference: bytes | None
    """As the judge sees it, where there is one."""


def train_samples(tiny: TinyTask, seed: int, steps: int) -> list[Asked]:
    """`batch` samples for each of `steps` steps."""
    rng = random.Random(seed)
    share = tiny.batch // len(tiny.problems)
    return [(problem, sample) for _ in range(steps) for problem in tiny.problems for sample in problem.batch(rng, share)]


def held_out_samples(tiny: TinyTask) -> list[Asked]:
    """Samples that training never shows, the same for every seed; those that are judged come first."""
    own = [
        [(problem, sample) for sample in problem.held_out(random.Random("held out"), tiny.held_out)]
        for problem in tiny.problems
    ]
    judged = [asked for samples in own for asked in samples[: tiny.judged]]
    return judged + [asked for samples in own for asked in samples[tiny.judged :]]


def write_data(folder: Path, tasks: Mapping[str, Task], train: Sequence[Asked], test: Sequence[Asked], judged: int) -> None:
    """Writes `train.parquet` and `test.parquet` to `folder`; the first `judged` of the test samples get references.

    References are drawn by the renderers of `tasks`, by name.
    """
    folder.mkdir(parents=True, exist_ok=True)
    samples = [*train, *test]
    images, references, engines = asyncio.run(_draw_all(tasks, samples, len(train) + judged))
    for split, first, last in (("train", 0, len(train)), ("test", len(train), len(samples))):
        rows = [_row(split, i - first, *samples[i], images[i], references.get(i), engines) for i in range(first, last)]
        path = folder / f"{split}.parquet"
        pq.write_table(pa.Table.from_pylist(rows, schema(embed=True)), path)
        log.info("%d rows in %s", len(rows), path)


async def draw(samples: Sequence[Asked]) -> list[Image.Image]:
    """The policy's images of samples of several problems."""
    images: dict[int, Image.Image] = {}
    for problem in {problem.task: problem for problem, _ in samples}.values():
        mine = [i for i, (other, _) in enumerate(samples) if other is problem]
        images |= zip(mine, await problem.draw([samples[i][1] for i in mine]), strict=True)
    return [images[i] for i in range(len(samples))]


async def _draw_all(
    tasks: Mapping[str, Task], samples: Sequence[Asked], judged: int
) -> tuple[list[bytes], dict[int, bytes], dict[str, str]]:
    """The policy's images, the judge's references of the first `judged` by number, and what drew the references."""
    images = await draw(samples)
    references: dict[int, bytes] = {}
    engines = {}
    for name, task in tasks.items():
        mine = [i for i, (problem, _) in enumerate(samples[:judged]) if problem.task == name]
        codes = [extract(problem.write(sample), task.code_languages) for problem, sample in (samples[i] for i in mine)]
        engines[name], drawn = await render(task, codes)
        references |= zip(mine, map(encode, drawn), strict=True)
    return [encode(image) for image in images], references, engines


async def render(task: Task, codes: Sequence[Code]) -> tuple[str, list[Image.Image]]:
    """What draws for `task`, and its images of `codes`."""
    renderer = make_renderer(task.render)
    try:
        return renderer.engine, await asyncio.gather(*(renderer.render(code) for code in codes))
    finally:
        await renderer.close()


def _row(
    split: str,
    index: int,
    problem: Problem,
    sample: Sample,
    image: bytes,
    reference: bytes | None,
    engines: Mapping[str, str],
) -> dict:
    return {
        "data_source": problem.task,
        "prompt": [{"role": "user", "content": f"<image>{problem.prompt}"}],
        "images": [{"bytes": image, "path": None}],
        "ability": "vision2code",
        "reward_model": {"style": "model", "ground_truth": problem.write(sample)},
        "extra_info": {
            "index": index,
            "split": split,
            "reference": {"bytes": reference, "path": None},
            "engine": engines[problem.task] if reference else "",
        },
    }


def read_rows(path: Path) -> list[Row]:
    """The rows of a file that `write_data` wrote."""
    problems = {problem.task: problem for problem in TASKS["mixed"].problems}
    rows = []
    for row in pq.read_table(path).to_pylist():
        problem = problems[row["data_source"]]
        rows.append(
            Row(
                problem=problem,
                sample=problem.read(row["reward_model"]["ground_truth"]),
                image=load_image(row["images"][0]["bytes"]),
                reference=row["extra_info"]["reference"]["bytes"],
            )
        )
    return rows
