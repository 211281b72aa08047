"""Images in preflight: counted as the rollout counts them, and compared with the references that the judge sees."""

from __future__ import annotations

import io
import shlex
import subprocess
import sys
from typing import Any

import datasets
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

pytest.importorskip("verl")

from PIL import Image, ImageDraw
from runs import Run, row, write
from verl.utils import hf_processor, hf_tokenizer
from verl.utils.dataset.rl_dataset import RLHFDataset
from verl.utils.tokenizer.continuous_token_wiring import create_continuous_token_builder

from visual_erm.preflight.findings import Outcome, Problem
from visual_erm.preflight.pictures import MAX_DIFFERENCE, difference
from visual_erm.vision.images import load_image


def only(outcome: Outcome) -> Problem:
    assert len(outcome.problems) == 1, (list(map(str, outcome.problems)), outcome)
    return outcome.problems[0]


def encoded(image: Image.Image, form: str = "PNG", **options: Any) -> bytes:
    content = io.BytesIO()
    image.save(content, form, **options)
    return content.getvalue()


def row_of(index: int, policys: bytes, reference: bytes | None = None) -> dict[str, Any]:
    """A row whose policy and whose judge get these images."""
    judged = {"bytes": reference or policys, "path": None}
    return row(index, images=[{"bytes": policys, "path": None}], extra_info={"reference": judged})


# Tokens


def rollout_tokens(run: Run, image: bytes) -> int:
    """Tokens of the prompt as the agent loop of veRL's rollout makes it, by the processor's own size of patches."""
    folder = str(run.folder / "model")
    tokenizer, processor = hf_tokenizer(folder), hf_processor(folder)
    image_and_text = [{"type": "image", "image": Image.open(io.BytesIO(image))}, {"type": "text", "text": "html"}]
    messages = [{"role": "user", "content": image_and_text}]
    images, _, _ = RLHFDataset._process_multi_modal_info(messages, processor.image_processor.patch_size, None)
    builder = create_continuous_token_builder(tokenizer, hf_model_type="qwen3_vl", processor=processor)
    return len(builder.build_initial_tokens(messages, images=images))


def test_image_tokens_are_counted_on_the_rollouts_grid(run_copy: Run) -> None:
    images = [encoded(Image.new("RGB", size, "white")) for size in ((176, 176), (176, 96), (240, 176))]
    write(run_copy.folder / "train.parquet", [row_of(3 * index, image) for index, image in enumerate(images)])
    write(run_copy.folder / "test.parquet", [row(0)])
    counted = [rollout_tokens(run_copy, image) for image in images]
    assert run_copy.look("veRL loads the rows", f"data.max_prompt_length={max(counted)}").ok
    short = only(run_copy.look("veRL loads the rows", f"data.max_prompt_length={min(counted) - 1}"))
    assert f"3 of 3 prompts looked at are longer than {min(counted) - 1} tokens" in short.what
    # What veRL's own default lets pass, and its rollout refuses.
    old = [f"data.max_prompt_length={max(counted) - 1}", "data.image_patch_size=14"]
    assert run_copy.look("veRL loads the rows", *old).ok


@pytest.mark.parametrize("size", [14, 28, 32])
def test_another_patch_size_than_the_policys_is_refused(good: Run, size: int) -> None:
    problem = only(good.look("image limits", f"data.image_patch_size={size}"))
    assert problem.key == "data.image_patch_size"
    assert f"{size}, but the policy's patches have 16 pixels" in problem.what
    assert problem.fix.startswith("give data.image_patch_size=null")
    assert good.look("image limits", "data.image_patch_size=16").ok
    assert good.look("image limits").ok


# Limits


@pytest.mark.parametrize(
    ("name", "other", "own"),
    [
        ("max_pixels", "min_pixels", 32**2), ("min_pixels", "max_pixels", 256**2),
        ("images_kwargs.max_pixels", "images_kwargs.min_pixels", 32**2),
        ("images_kwargs.min_pixels", "images_kwargs.max_pixels", 256**2),
    ],
)  # fmt: skip
def test_one_limit_of_pixels_without_the_other_is_refused_with_the_policys_own_value(
    good: Run, name: str, other: str, own: int
) -> None:
    word = f"+data.mm_processor_kwargs.{name}=4096"
    problem = only(good.look("image limits", word))
    assert problem.key == f"data.mm_processor_kwargs.{name}"
    assert "rollout and update would see different images" in problem.what
    assert f"give +data.mm_processor_kwargs.{other}={own} as well" in problem.fix
    assert good.look("image limits", word, f"+data.mm_processor_kwargs.{other}={own}").ok


def test_the_processor_ignores_one_limit_of_pixels_and_takes_both(good: Run) -> None:
    processor = hf_processor(str(good.folder / "model"))
    image = Image.new("RGB", (256, 256))

    def patches(**limits: int) -> int:
        grid = processor(text=["<|image_pad|>"], images=[image], **limits)["image_grid_thw"]
        return int(grid.prod() if hasattr(grid, "prod") else grid[0][1] * grid[0][2])

    assert patches(max_pixels=64**2) == patches() > patches(max_pixels=64**2, min_pixels=32**2)


# Files that veRL joins


RETYPED = {
    "prompt": pa.list_(pa.struct([("role", pa.large_string()), ("content", pa.large_string())])),
    "data_source": pa.large_string(),
    "images": pa.list_(pa.struct([("bytes", pa.large_binary()), ("path", pa.null())])),
}


@pytest.mark.parametrize("column", RETYPED)
def test_files_that_veRL_cannot_join_are_named_with_the_column_and_a_fix_that_works(run_copy: Run, column: str) -> None:
    first, other = run_copy.folder / "train.parquet", run_copy.folder / "other.parquet"
    # As data_prep/ writes it.
    table = pq.read_table(first)
    path = pa.list_(pa.struct([("bytes", pa.binary()), ("path", pa.string())]))
    table = table.set_column(table.schema.get_field_index("images"), "images", table["images"].cast(path))
    pq.write_table(table, first)
    otherwise = pa.array(table[column].to_pylist(), RETYPED[column])
    retyped = table.set_column(table.schema.get_field_index(column), column, otherwise)
    pq.write_table(retyped, other)
    files = f"data.train_files=[{first},{other}]"
    problem = only(run_copy.look("files join", files))
    assert problem.key == "data.train_files"
    assert f"veRL cannot join {other} with {first}: column `{column}` is " in problem.what
    with pytest.raises(ValueError, match="can't be aligned"):
        datasets.concatenate_datasets([datasets.Dataset(datasets.table.InMemoryTable(part)) for part in (table, retyped)])

    command = shlex.split(problem.fix.partition("other file: ")[2])
    subprocess.run([sys.executable, *command[1:]], check=True)
    assert pq.read_schema(other) == pq.read_schema(first)
    assert pq.read_table(other).equals(table)
    assert run_copy.look("files join", files).ok
    assert run_copy.look("veRL loads the rows", files).notes == ("all 18 rows",)


def test_a_file_that_pandas_has_saved_again_is_found(run_copy: Run) -> None:
    first, other = run_copy.folder / "train.parquet", run_copy.folder / "other.parquet"
    pd.read_parquet(first).to_parquet(other)
    same = pq.read_schema(first).field("data_source").type == pq.read_schema(other).field("data_source").type
    outcome = run_copy.look("files join", f"data.train_files=[{first},{other}]")
    # pandas 2 keeps `string`.
    assert bool(outcome.problems) is not same


def test_files_with_the_same_types_join_whatever_their_order_metadata_or_missing_columns(run_copy: Run) -> None:
    first, other, third = (run_copy.folder / name for name in ("train.parquet", "other.parquet", "third.parquet"))
    table = pq.read_table(first)
    pq.write_table(table.select(table.column_names[::-1]).replace_schema_metadata({"made": "by hand"}), other)
    pq.write_table(table.drop_columns(["data_source"]), third)
    files = f"data.train_files=[{first},{other},{third}]"
    assert run_copy.look("files join", files).ok
    assert run_copy.look("veRL loads the rows", files).ok


# What the policy sees


def icon(mode: str) -> Image.Image:
    """A black ring that leaves the rest transparent."""
    image = Image.new("LA", (96, 96), (0, 0))
    ImageDraw.Draw(image).ellipse([20, 20, 76, 76], outline=(0, 255), width=6)
    if mode == "P":
        flat = Image.new("P", image.size, 1)
        flat.putpalette([0, 0, 0, 0, 0, 0])
        flat.paste(0, mask=image.getchannel("A"))
        flat.info["transparency"] = 1
        return flat
    return image.convert(mode)


@pytest.mark.parametrize("mode", ["LA", "P", "RGBA"])
def test_transparent_images_that_the_policy_sees_on_black_are_named(run_copy: Run, mode: str) -> None:
    content = encoded(icon(mode))
    rows = [row(0), row_of(1, content), row_of(2, encoded(load_image(content)), content)]
    write(run_copy.folder / "train.parquet", rows)
    outcome = run_copy.look("policy sees the references")
    # What veRL calls puts only this mode on white.
    if mode == "RGBA":
        assert outcome.ok and outcome.notes == ("all 3 rows",)
        return
    problem = only(outcome)
    assert problem.key == "data.train_files"
    assert "train.parquet, row 1: its image is transparent: the judge sees it on white" in problem.what
    assert "load_image(FILE).save(FILE)" in problem.fix


def test_the_image_feature_of_datasets_is_kept_and_drops_the_transparency(run_copy: Run) -> None:
    file = run_copy.folder / "train.parquet"
    content = encoded(icon("RGBA"))
    write(file, [row_of(index, content) for index in range(4)])
    assert run_copy.look("policy sees the references").ok
    features = datasets.Features.from_arrow_schema(pq.read_schema(file))
    features["images"] = datasets.List(datasets.Image())
    datasets.Dataset.from_parquet(str(file)).cast(features).to_parquet(str(file))
    assert b"huggingface" in pq.read_schema(file).metadata
    problems = run_copy.look("policy sees the references").problems
    assert [problem.what.partition(": ")[0][-5:] for problem in problems[:3]] == ["row 0", "row 1", "row 2"]
    assert "its image is transparent" in problems[0].what


def test_images_that_only_the_judge_turns_and_other_images_than_the_reference(run_copy: Run) -> None:
    image = Image.new("RGB", (96, 64), "white")
    ImageDraw.Draw(image).rectangle([0, 0, 30, 60], fill="black")
    exif = Image.Exif()
    exif[0x0112] = 3
    turned = encoded(image, "JPEG", exif=exif)
    small = encoded(image.resize((48, 32)))
    write(
        run_copy.folder / "train.parquet",
        [row_of(0, turned), row_of(1, small, encoded(image)), row_of(2, encoded(Image.new("RGB", (96, 64))), small)],
    )
    outcome = run_copy.look("policy sees the references")
    assert "row 0: its image is turned by its EXIF orientation" in only(outcome).what
    assert outcome.notes[0] == "data.train_files: 1 prompts show another image than their reference"


def test_images_of_another_size_are_the_same_and_of_another_color_are_not() -> None:
    image = Image.new("RGB", (640, 400), "white")
    draw = ImageDraw.Draw(image)
    for number in range(12):
        draw.rectangle([number * 50, 400 - number * 30, number * 50 + 30, 400], fill=(20 * number, 90, 160))
    for size in ((320, 200), (640, 416), (100, 64)):
        assert difference(image, image.resize(size)) < MAX_DIFFERENCE / 2
    inverted = Image.eval(image, lambda level: 255 - level)
    assert difference(image, inverted) > 0.9
    assert difference(Image.new("RGB", (1, 1)), Image.new("RGB", (9, 9), "white")) == 1
