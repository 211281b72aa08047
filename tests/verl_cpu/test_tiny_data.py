"""The demo's data set: what the policy sees, what the judge sees, and rows that veRL reads."""

import io

import pyarrow.parquet as pq
import pytest
from PIL import Image, ImageChops

from visual_erm.data.check import VerlCheck
from visual_erm.extract import Code
from visual_erm.render import make_renderer
from visual_erm.task import load_task
from visual_erm.verl_cpu import tiny_data
from visual_erm.verl_cpu.tiny_model import build_tiny_qwen3vl
from visual_erm.verl_cpu.tiny_tables import draw, to_html

TASK = load_task("table")
TRAIN = tiny_data.train_tables(seed=0, steps=1)
TEST = tiny_data.held_out_tables()[:6]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    tiny_data.write_data(folder, TASK, TRAIN, TEST)
    return folder


async def test_policy_and_judge_are_shown_the_same_table_at_two_sizes(folder):
    row = pq.read_table(folder / "train.parquet").to_pylist()[3]
    (small,) = await draw([TRAIN[3]])
    renderer = make_renderer(TASK.render)
    try:
        large = await renderer.render(Code("html", to_html(TRAIN[3])))
        assert row["extra_info"]["engine"] == renderer.engine
    finally:
        await renderer.close()
    for expected, found in ((small, row["images"][0]["bytes"]), (large, row["extra_info"]["reference"]["bytes"])):
        image = Image.open(io.BytesIO(found)).convert("RGB")
        assert image.size == expected.size
        assert ImageChops.difference(image, expected).getbbox() is None


def test_the_held_out_tables_are_read_back(folder):
    held_out = tiny_data.read_held_out(folder / "test.parquet")
    assert [table.rows for table in held_out] == TEST
    assert all(table.reference is not None for table in held_out)


def test_verl_loads_every_row(folder, tmp_path):
    build_tiny_qwen3vl(tmp_path)
    check = VerlCheck(tmp_path, max_prompt_tokens=64)
    assert {split: check(folder / f"{split}.parquet") for split in ("train", "test")} == {"train": {}, "test": {}}
