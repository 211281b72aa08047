"""The demo's data set: veRL parquet of tiny problems, each with the policy's image and the judge's reference.

Every batch holds samples of the same problems and shapes, so that the mean reward of a step depends little on its samples.
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
from visual_erm.demo.tiny_problem import TinyProblem, TinySample
from visual_erm.demo.tiny_tasks import TASKS, TinyTask
from visual_erm.extract import Code, extract
from visual_erm.render.base import make_renderer
from visual_erm.spec.task import Task
from visual_erm.vision.images import load_image

log = logging.getLogger(__name__)

Asked = tuple[TinyProblem, TinySample]
"""A sample with its problem."""


@dataclass(frozen=True)
class TinyRow:
    """One row of a parquet file of the demo."""

    problem: TinyProblem
    sample: TinySample
    image: Image.Image
    """The policy's image."""
    reference: bytes | None
    """The judge's reference as a PNG; None where there is none."""


def train_samples(tiny: TinyTask, seed: int, steps: int) -> list[Asked]:
    """Makes the training samples.

    Args:
        tiny: The task.
        seed: Decides the samples.
        steps: Number of training steps.

    Returns:
        `tiny.batch` samples for each step, in the order of training.
    """
    rng = random.Random(seed)
    share = tiny.batch // len(tiny.problems)
    return [(problem, sample) for _ in range(steps) for problem in tiny.problems for sample in problem.batch(rng, share)]


def held_out_samples(tiny: TinyTask) -> list[Asked]:
    """Makes the samples that training never shows, the same for every seed.

    Args:
        tiny: The task.

    Returns:
        The samples; those with a reference come first.
    """
    own = [
        [(problem, sample) for sample in problem.held_out(random.Random("held out"), tiny.held_out)]
        for problem in tiny.problems
    ]
    judged = [asked for samples in own for asked in samples[: tiny.judged]]
    return judged + [asked for samples in own for asked in samples[tiny.judged :]]


def write_data(folder: Path, tasks: Mapping[str, Task], train: Sequence[Asked], test: Sequence[Asked], judged: int) -> None:
    """Writes `train.parquet` and `test.parquet`.

    Args:
        folder: Folder of the files. It is created where it is missing.
        tasks: The tasks by name; their renderers render the references.
        train: Samples of the training split.
        test: Samples of the test split.
        judged: Number of test samples that get a reference, from the first on. All training samples get one.
    """
    folder.mkdir(parents=True, exist_ok=True)
    samples = [*train, *test]
    images, references, engines = asyncio.run(_render_all(tasks, samples, len(train) + judged))
    for split, first, last in (("train", 0, len(train)), ("test", len(train), len(samples))):
        rows = [_row(split, i - first, *samples[i], images[i], references.get(i), engines) for i in range(first, last)]
        path = folder / f"{split}.parquet"
        pq.write_table(pa.Table.from_pylist(rows, schema(embed=True)), path)
        log.info("%d rows in %s", len(rows), path)


async def render_images(samples: Sequence[Asked]) -> list[Image.Image]:
    """Renders the policy's images of samples of several problems.

    Args:
        samples: The samples with their problems.

    Returns:
        One image for each sample.
    """
    images: dict[int, Image.Image] = {}
    for problem in {problem.task: problem for problem, _ in samples}.values():
        mine = [i for i, (other, _) in enumerate(samples) if other is problem]
        images |= zip(mine, await problem.render([samples[i][1] for i in mine]), strict=True)
    return [images[i] for i in range(len(samples))]


async def _render_all(
    tasks: Mapping[str, Task], samples: Sequence[Asked], judged: int
) -> tuple[list[bytes], dict[int, bytes], dict[str, str]]:
    """Renders the policy's images and, by index, the references of the first `judged` samples. Names the renderers."""
    images = await render_images(samples)
    references: dict[int, bytes] = {}
    engines = {}
    for name, task in tasks.items():
        mine = [i for i, (problem, _) in enumerate(samples[:judged]) if problem.task == name]
        codes = [extract(problem.write(sample), task.code_languages) for problem, sample in (samples[i] for i in mine)]
        engines[name], drawn = await render_codes(task, codes)
        references |= zip(mine, map(encode, drawn), strict=True)
    return [encode(image) for image in images], references, engines


async def render_codes(task: Task, codes: Sequence[Code]) -> tuple[str, list[Image.Image]]:
    """Renders codes as the reward does.

    Args:
        task: The task, which decides the renderer.
        codes: The codes.

    Returns:
        The version of the renderer, and one image for each code.
    """
    renderer = make_renderer(task.render)
    try:
        return renderer.renderer_version, await asyncio.gather(*(renderer.render(code) for code in codes))
    finally:
        await renderer.close()


def _row(
    split: str,
    index: int,
    problem: TinyProblem,
    sample: TinySample,
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
            "renderer_version": engines[problem.task] if reference else "",
        },
    }


def read_rows(path: Path) -> list[TinyRow]:
    """Reads a file that `write_data` wrote.

    Args:
        path: The file.

    Returns:
        Its rows, in order.
    """
    problems = {problem.task: problem for problem in TASKS["mixed"].problems}
    rows = []
    for row in pq.read_table(path).to_pylist():
        problem = problems[row["data_source"]]
        rows.append(
            TinyRow(
                problem=problem,
                sample=problem.read(row["reward_model"]["ground_truth"]),
                image=load_image(row["images"][0]["bytes"]),
                reference=row["extra_info"]["reference"]["bytes"],
            )
        )
    return rows
