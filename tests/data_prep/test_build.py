"""Data sets of several kinds: what veRL makes of a mixture, and when a image is drawn anew."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from data_sets import rows_of, scans
from PIL import Image
from rich.console import Console
from visual_erm.data_prep import charts, svgs, tables

from visual_erm.data import build as building
from visual_erm.data.build import BuildOptions, build
from visual_erm.data.prompts import default_prompt
from visual_erm.data.rows import RowFormat
from visual_erm.data.sources import Item, images
from visual_erm.extract import Code
from visual_erm.kinds import SHIPPED
from visual_erm.spec.task import Task, load_task


@pytest.mark.verl
def test_verl_takes_a_mixture_and_rows_say_whose_they_are(command_line: Any, tmp_path: Path) -> None:
    from omegaconf import OmegaConf
    from verl.utils import hf_processor, hf_tokenizer
    from verl.utils.dataset.rl_dataset import RLHFDataset

    from visual_erm.testing.tiny_qwen3vl import build_tiny_qwen3vl

    files = []
    for script, count in ((tables, 3), (charts, 4), (svgs, 5)):
        out = f"out-{count}"
        scans(tmp_path / f"in-{count}", "abcde"[:count])
        renderer_version = ("--renderer-version", "cairosvg 2.9.1") if script is svgs else ()
        assert command_line(script)("images", f"in-{count}", "--out", out, *renderer_version, "--no-check")[0] == 0
        files.append(f"{out}/train.parquet")
    build_tiny_qwen3vl(tmp_path / "model")
    tokenizer, processor = hf_tokenizer(str(tmp_path / "model")), hf_processor(str(tmp_path / "model"))
    loaded = RLHFDataset(files, tokenizer, OmegaConf.create({"filter_overlong_prompts": False}), processor)
    rows = [loaded[position] for position in range(len(loaded))]
    assert Counter(row["data_source"] for row in rows) == {"table": 2, "chart": 3, "svg": 4}
    fences = {"table": "```html", "chart": "```python", "svg": "```svg"}
    for row in rows:
        assert fences[row["data_source"]] in str(row["raw_prompt"])
        assert row["extra_info"]["renderer_version"] == ("cairosvg 2.9.1" if row["data_source"] == "svg" else "")


@pytest.mark.parametrize("kind", SHIPPED)
def test_each_language_has_a_prompt_that_asks_for_its_fence(kind: str) -> None:
    for language in SHIPPED[kind].languages:
        task = load_task(kind).model_copy(update={"languages": [language.name]})
        prompt = default_prompt(task)
        assert prompt.count("<image>") == 1
        assert f"```{language.labels[0]} block" in prompt


class Pen:
    """Stands for a renderer: counts what it draws."""

    def __init__(self, renderer_version: str) -> None:
        self.renderer_version = renderer_version
        self.drawn = 0

    async def render(self, code: Code) -> Image.Image:
        self.drawn += 1
        image = Image.new("RGB", (20, 20), "red")
        image.putpixel((self.drawn, 0), (0, 0, 255))
        return image

    async def close(self) -> None:
        pass


CODES = [Code("svg", "<svg/>"), Code("svg", "<svg></svg>")]


def drawn_again(
    before: Task, after: Task, out: Path, monkeypatch: pytest.MonkeyPatch, versions: tuple[str, str] = ("a 1", "a 1")
) -> bool:
    """Whether the second of two runs draws."""
    pens = [Pen(renderer_version) for renderer_version in versions]
    items = [Item(f"item {number}", code=code) for number, code in enumerate(CODES)]
    for task, pen in zip((before, after), pens, strict=True):
        monkeypatch.setattr(building, "make_renderer", lambda settings, pages, pen=pen: pen)
        build(items, BuildOptions(out), task, RowFormat("svg", "<image>"), pytest.fail, Console(quiet=True), None)
        assert {row["extra_info"]["renderer_version"] for row in rows_of(out)} == {pen.renderer_version}
    assert pens[0].drawn == len(CODES)
    return pens[1].drawn == len(CODES)


def test_what_another_version_draws_is_drawn_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    svg = load_task("svg")
    assert drawn_again(svg, svg, tmp_path, monkeypatch, ("librsvg 2.60", "librsvg 2.61"))


@pytest.mark.parametrize(
    ("name", "changed", "anew"),
    [
        ("svg", {}, False),
        ("svg", {"background": "black"}, True),
        ("svg", {"width": 100}, True),
        ("svg", {"timeout_s": 99.0}, False),
        ("chart", {"dpi": 50}, True),
        ("chart", {"max_pixels": 1000, "allow_renderer_mismatch": True}, False),
        ("table", {"style": "published"}, True),
    ],
)
def test_a_image_is_drawn_anew_where_the_settings_change_it(
    name: str, changed: dict[str, Any], anew: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = load_task(name)
    other = task.model_copy(update={"render": task.render.model_copy(update=changed)})
    assert drawn_again(task, other, tmp_path, monkeypatch) == anew


def test_an_image_is_kept_once_and_a_blank_one_not_at_all(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    for name, dot in (("a", 1), ("b", 2), ("same_as_a", 1), ("c", 3)):
        image = Image.new("RGB", (20, 20), "white")
        image.putpixel((dot, 0), (0, 0, 0))
        image.save(folder / f"{name}.png", compress_level=9 if name == "a" else 1)
    for color in ("white", "red"):
        Image.new("RGB", (20, 20), color).save(folder / f"{color}.png")
    said: list[str] = []
    form = RowFormat("svg", "<image>")
    build(images(folder), BuildOptions(tmp_path / "out"), load_task("svg"), form, said.append, Console(quiet=True), None)
    assert len(list(rows_of(tmp_path / "out"))) == 4
    assert any("the same image as" in line for line in said)
    assert f"{folder}/white.png: the image is empty, all of it is white; remove it" in said


@pytest.mark.parametrize(("different", "equal", "share", "test"), [(4, 20, 0.25, 1), (10, 15, 0.4, 4), (10, 0, 0.4, 4)])
def test_the_test_split_has_its_share_of_the_items_that_are_left(
    tmp_path: Path, different: int, equal: int, share: float, test: int
) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    for number in range(different + equal):
        image = Image.new("RGB", (20, 20), "white")
        image.putpixel((min(number, different - 1), 0), (0, 0, 0))
        image.save(folder / f"{number}.png")
    said: list[str] = []
    options = BuildOptions(tmp_path / "out", test_share=share)
    form = RowFormat("svg", "<image>")
    sizes = build(images(folder), options, load_task("svg"), form, said.append, Console(quiet=True), None)
    assert (sizes.train, sizes.test) == (different - test, test)
    assert len(said) == equal
