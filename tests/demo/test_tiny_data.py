"""The demo's data set: what the policy sees, what the judge sees, and rows that veRL reads."""

import io

import pyarrow.parquet as pq
import pytest
from PIL import Image, ImageChops

from visual_erm.data.check import VerlCheck
from visual_erm.demo import tiny_data
from visual_erm.demo.tiny_tasks import TASKS
from visual_erm.extract import extract
from visual_erm.render.base import make_renderer
from visual_erm.spec.task import load_task

pytestmark = pytest.mark.long
TINY = TASKS["mixed"]
LOADED = {problem.task: load_task(problem.task) for problem in TINY.problems}
TRAIN = tiny_data.train_samples(TINY, seed=0, steps=1)
TEST = tiny_data.held_out_samples(TINY)[:: TINY.judged]
JUDGED = 2


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    tiny_data.write_data(folder, LOADED, TRAIN, TEST, JUDGED)
    return folder


@pytest.mark.parametrize(("index", "task"), [(3, "table"), (15, "svg")])
async def test_policy_and_judge_are_shown_the_same_sample_at_two_sizes(folder, index, task):
    row = pq.read_table(folder / "train.parquet").to_pylist()[index]
    assert row["data_source"] == task
    problem, sample = TRAIN[index]
    (small,) = await problem.render([sample])
    renderer = make_renderer(LOADED[task].render)
    try:
        large = await renderer.render(extract(problem.write(sample), LOADED[task].code_languages))
        assert row["extra_info"]["renderer_version"] == renderer.renderer_version
    finally:
        await renderer.close()
    for expected, found in ((small, row["images"][0]["bytes"]), (large, row["extra_info"]["reference"]["bytes"])):
        image = Image.open(io.BytesIO(found)).convert("RGB")
        assert image.size == expected.size
        assert ImageChops.difference(image, expected).getbbox() is None


def test_the_rows_are_read_back(folder):
    rows = tiny_data.read_rows(folder / "test.parquet")
    assert [(row.problem, row.sample) for row in rows] == TEST
    assert [row.reference is not None for row in rows] == [i < JUDGED for i in range(len(TEST))]


@pytest.mark.verl
def test_verl_loads_every_row(folder, tmp_path):
    from visual_erm.demo.warm_start import build  # with torch, which other tests do not need

    build(tmp_path, TINY.problems, seed=0)
    check = VerlCheck(tmp_path, max_prompt_tokens=64)
    assert {split: check(folder / f"{split}.parquet") for split in ("train", "test")} == {"train": {}, "test": {}}
