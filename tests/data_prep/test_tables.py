"""Tables in, rows out that veRL loads: the commands of docs/data.md, on real images, a real browser and real veRL."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from data_sets import ROOT, documented, draw, opened, rows_of, scans, write_lines
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from sklearn.datasets import load_iris
from visual_erm.data_prep import tables

from visual_erm.data.build import BuildOptions, held_out, sample_items
from visual_erm.data.check import VerlCheck
from visual_erm.data.images import read_image
from visual_erm.data.rows import RowFormat
from visual_erm.data.sources import Item
from visual_erm.demo.package_tables import tables as packages
from visual_erm.errors import ConfigError
from visual_erm.testing import write_tiny_policy

PUBTABNET = ROOT.parent / "shared" / "data" / "pubtabnet"

Run = Callable[..., tuple[int, str]]


@pytest.fixture
def run(command_line: Callable[..., Run]) -> Run:
    return command_line(tables)


def html(text: object) -> str:
    return f"<table><tr><th>n</th></tr><tr><td>{text}</td></tr></table>"


def pubtabnet_row(name: str, cells: Sequence[str] = ("x", "y")) -> dict[str, Any]:
    structure = ["<thead>", "<tr>", "<td", ' colspan="2"', ">", "</td>", "</tr>", "</thead>"]
    structure += ["<tbody>", "<tr>", "<td>", "</td>", "</tr>", "</tbody>"]
    html = {"structure": {"tokens": structure}, "cells": [{"tokens": list(cell)} for cell in cells]}
    return {"filename": name, "split": "train", "imgid": 1, "html": html}


def names_of(out: Path) -> dict[str, set[str]]:
    """The ground truths of each split."""
    return {
        split: {row["reward_model"]["ground_truth"] for row in pq.read_table(out / f"{split}.parquet").to_pylist()}
        for split in ("train", "test")
    }


# The commands


DOCUMENTED = documented("tables")


def test_the_documentation_shows_every_command() -> None:
    assert [command.split()[0] for command in DOCUMENTED] == ["images", "pubtabnet", "markup", "packages"]


@pytest.mark.verl
@pytest.mark.parametrize("command", DOCUMENTED, ids=[command.split()[0] for command in DOCUMENTED])
def test_each_documented_command_makes_rows_that_verl_loads(command: str, run: Run, tmp_path: Path) -> None:
    scans(tmp_path / "scans")
    rows = [pubtabnet_row(f"{name}.png") for name in "abc"]
    write_lines(tmp_path / "pubtabnet" / "PubTabNet_2.0.0.jsonl", rows)
    scans(tmp_path / "pubtabnet" / "train", "abc")
    write_lines(tmp_path / "more.jsonl", [{"html": html(1)}, {"markdown": "| a |\n|---|\n| 2 |"}])
    (tmp_path / "tables").mkdir()
    (tmp_path / "tables" / "three.md").write_text("A table:\n\n| a |\n|---|\n| 3 |\n", encoding="utf-8")
    (tmp_path / "tables" / "four.html").write_text(html(4), encoding="utf-8")

    words = shlex.split(command)
    code, said = run(*words)

    assert code == 0, said
    out = tmp_path / words[words.index("--out") + 1]
    made = {"images": 6, "pubtabnet": 3, "markup": 4, "packages": 20}[words[0]]
    found = rows_of(out)
    assert len(found) == made
    assert len({row["extra_info"]["index"] for row in found}) == made
    for row in found:
        assert row["data_source"] == "table"
        assert row["prompt"][0]["content"].count("<image>") == 1
        assert bool(row["reward_model"]["ground_truth"]) == (words[0] != "images")
        assert bool(row["extra_info"]["renderer_version"]) == (words[0] in ("markup", "packages"))
        assert opened(row["images"][0]["bytes"]).size == opened(row["extra_info"]["reference"]["bytes"]).size
    assert not list(out.glob("*partial*"))


@pytest.mark.parametrize("start", [[ROOT / "data_prep" / "tables.py"], ["-m", "visual_erm.data_prep.tables"]])
def test_it_starts_from_a_checkout_and_from_the_package(start: list[object], tmp_path: Path) -> None:
    command = [sys.executable, *map(str, start), "images", str(scans(tmp_path / "in")), "--out", "out", "--no-check"]
    ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    assert len(rows_of(tmp_path / "out")) == 6


@pytest.mark.long
@pytest.mark.skipif(not PUBTABNET.is_dir(), reason=f"no sample of PubTabNet in {PUBTABNET}")
def test_real_rows_of_pubtabnet_keep_their_images_and_cells(run: Run, tmp_path: Path) -> None:
    code, said = run("pubtabnet", PUBTABNET / "examples.jsonl", "--images", PUBTABNET, "--out", "out")
    assert code == 0, said
    found = rows_of(tmp_path / "out")
    assert len(found) == 10
    originals = {path.read_bytes() for path in PUBTABNET.glob("*.png")}
    assert {row["extra_info"]["reference"]["bytes"] for row in found} == originals
    lines = (PUBTABNET / "examples.jsonl").read_text(encoding="utf-8").splitlines()
    cells = sorted(len(json.loads(line)["html"]["cells"]) for line in lines)
    assert sorted(row["reward_model"]["ground_truth"].count("</td>") for row in found) == cells


def test_pubtabnet_markup_is_put_together_with_text_escaped_and_tags_kept(run: Run, tmp_path: Path) -> None:
    scans(tmp_path, "ab")
    cells = [["<i>", "p", "</i>", "<", "1"], ["y"]]
    row = pubtabnet_row("a.png")
    row["html"]["cells"] = [{"tokens": tokens} for tokens in cells]
    write_lines(tmp_path / "rows.jsonl", [row, pubtabnet_row("b.png")])
    assert run("pubtabnet", "rows.jsonl", "--images", ".", "--out", "out", "--no-check")[0] == 0
    truths = {row["reward_model"]["ground_truth"] for row in rows_of(tmp_path / "out")}
    first = '<table><thead><tr><td colspan="2"><i>p</i>&lt;1</td></tr></thead><tbody><tr><td>y</td></tr></tbody></table>'
    assert first in truths


def test_packages_are_cut_to_size_and_no_row_comes_twice() -> None:
    items = list(packages(max_rows=5, max_columns=3, seed=0))
    assert len(items) > 1000
    assert len({item.where for item in items}) == len(items)
    lines: dict[str, set[int]] = {}
    for item in items:
        truth = item.ground_truth
        header, rows = truth.count("<th>"), truth.count("<tr>") - 1
        assert 2 <= header <= 3 and 2 <= rows <= 5
        assert truth.count("<td>") == header * rows
        name, start, stop = re.fullmatch(r"(.+) rows (\d+)-(\d+)", item.where).groups()  # type: ignore[union-attr]
        mine = set(range(int(start), int(stop) + 1))
        assert not mine & lines.setdefault(name, set())
        lines[name] |= mine
    assert [item.code for item in items] == [item.code for item in packages(5, 3, seed=0)]
    assert [item.code for item in items] != [item.code for item in packages(5, 3, seed=1)]


def test_packages_give_the_values_that_are_in_them() -> None:
    frame = load_iris(as_frame=True).frame
    cuts = [item for item in packages(5, 3, seed=0) if item.where.startswith("scikit-learn/iris ")]
    assert len(cuts) > 20
    for item in cuts:
        titles = re.findall("<th>(.*?)</th>", item.ground_truth)
        start, stop = map(int, re.findall(r"\d+", item.where))
        cells = [float(cell) for cell in re.findall("<td>(.*?)</td>", item.ground_truth)]
        assert cells == frame[titles].iloc[start - 1 : stop].to_numpy().ravel().tolist()


# Bad input


def test_bad_lines_of_pubtabnet_are_reported_and_the_rest_goes_on(run: Run, tmp_path: Path) -> None:
    scans(tmp_path, "abc")
    (tmp_path / "torn.png").write_bytes((tmp_path / "a.png").read_bytes()[:60])
    lines: list[object] = [
        pubtabnet_row("a.png"),
        '{"filename": "b.png", "html"',
        pubtabnet_row("missing.png"),
        pubtabnet_row("b.png", cells=["only one"]),
        {"filename": "c.png"},
        "[1, 2]",
        pubtabnet_row("torn.png"),
        pubtabnet_row("b.png"),
        pubtabnet_row("c.png"),
    ]
    write_lines(tmp_path / "rows.jsonl", lines)
    code, said = run("pubtabnet", "rows.jsonl", "--images", ".", "--out", "out", "--no-check")
    assert code == 1
    assert len(rows_of(tmp_path / "out")) == 3
    assert "rows.jsonl:2: not valid JSON" in said
    assert "rows.jsonl:3: there is no image missing.png" in said
    assert "rows.jsonl:4: `html.structure` has 2 cells, `html.cells` 1" in said
    assert "rows.jsonl:5: no `html` of type dict" in said
    assert "rows.jsonl:6: expected a JSON object, found list" in said
    assert "rows.jsonl:7: torn.png: not a readable image" in said
    assert "6 left out" in said


def test_bad_markup_is_reported_and_the_rest_goes_on(run: Run, tmp_path: Path) -> None:
    lines: list[object] = [
        {"html": html(1)},
        {"html": "<table></table>"},
        {"latex": "a & b"},
        {"html": "<table><tr><td style='border: none'></td></tr></table>"},
        {"html": html(1)},
        {"html": html("<p style='width:90000px'>wide</p>")},
        {"markdown": "| a |\n|---|\n| 2 |"},
    ]
    write_lines(tmp_path / "in" / "rows.jsonl", lines)
    (tmp_path / "in" / "prose.md").write_text("No table here.", encoding="utf-8")
    (tmp_path / "in" / "latin.html").write_bytes(html("é").encode("latin-1"))
    code, said = run("markup", "in", "--out", "out", "--no-check")
    assert code == 1, said
    assert "in/rows.jsonl:2: no html table with cells in it" in said
    assert "in/rows.jsonl:3: needs a key `html` or `markdown` with the code as text; it has latex" in said
    assert "in/rows.jsonl:4: cannot be rendered (the picture holds nothing but its background)" in said
    assert "in/rows.jsonl:5: the same code as in/rows.jsonl:1" in said
    assert "in/rows.jsonl:6: cannot be rendered (90" in said
    assert "in/prose.md: no markdown table" in said
    assert "in/latin.html: byte 34 is not utf-8; save the file as UTF-8" in said
    assert names_of(tmp_path / "out")["train"] | names_of(tmp_path / "out")["test"] >= {html(1), "| a |\n|---|\n| 2 |"}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["images", "nowhere"], "nowhere: no such folder"),
        (["images", "empty"], "empty: no images in it"),
        (["images", "one"], "1 items are left"),
        (["pubtabnet", "nowhere.jsonl", "--images", "one"], "nowhere.jsonl: cannot be read"),
        (["markup", "empty"], "no file to read"),
        (["images", "one", "--test-share", "1"], "between 0 and 1"),
        (["images", "one", "--prompt", "Read this."], "<image> 0 times"),
        (["images", "one", "--prompt", "<image><video>"], "<video>"),
        (["images", "one", "--task", "tabel"], "no task `tabel`"),
    ],
)
def test_what_cannot_be_made_is_said_in_a_sentence_and_nothing_is_written(
    words: list[str], message: str, run: Run, tmp_path: Path
) -> None:
    (tmp_path / "empty").mkdir()
    scans(tmp_path / "one", "a")
    code, said = run(*words, "--out", "out", "--no-check")
    assert code == 2
    assert message in said
    assert "Traceback" not in said
    assert not [path for path in (tmp_path / "out").rglob("*") if path.is_file()]


def test_a_run_that_fails_leaves_the_files_of_the_one_before(run: Run, tmp_path: Path) -> None:
    assert run("images", scans(tmp_path / "in"), "--out", "out", "--no-check")[0] == 0
    before = {path.name: path.read_bytes() for path in (tmp_path / "out").glob("*.parquet")}
    for image in (tmp_path / "in").iterdir():
        image.write_text("not a picture any more")
    assert run("images", "in", "--out", "out", "--no-check")[0] == 2
    assert {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()} == before


@pytest.mark.verl
def test_what_verl_would_drop_is_reported_and_left_out(run: Run, tmp_path: Path) -> None:
    from visual_erm.testing.tiny_qwen3vl import build_tiny_qwen3vl

    build_tiny_qwen3vl(tmp_path / "model", preset="judge")
    for name in "abc":
        draw(tmp_path / "in" / f"{name}.png", name, size=(64, 64))
    draw(tmp_path / "in" / "large.png", "large", size=(256, 256))
    code, said = run(
        "images", "in", "--out", "out", "--model", "model", "--max-prompt-tokens", 64, "--prompt", "<image>Read"
    )
    assert code == 1
    assert "in/large.png: its prompt is longer than 64 tokens" in said
    assert len(rows_of(tmp_path / "out")) == 3


@pytest.mark.verl
def test_the_check_says_what_verl_cannot_open(tmp_path: Path, run: Run) -> None:
    assert run("images", scans(tmp_path / "in", "ab"), "--out", "out", "--no-embed", "--no-check")[0] == 0
    for image in (tmp_path / "out" / "images").iterdir():
        image.unlink()
    (problem,) = VerlCheck.with_stand_in(write_tiny_policy)(tmp_path / "out" / "train.parquet").values()
    assert "veRL cannot load it (FileNotFoundError" in problem


# Split, resume, images


@given(st.integers(2, 60), st.integers(0, 5), st.randoms(use_true_random=False))
def test_the_order_depends_on_names_and_seed_alone(count: int, seed: int, chance: Any) -> None:
    items = [Item(f"item {number}") for number in range(count)]
    options = BuildOptions(Path("out"), seed=seed)
    order = sample_items(items, options)
    assert sorted(item.where for item in order) == sorted(item.where for item in items)
    chance.shuffle(items)
    assert sample_items(items, options) == order
    assert sample_items(items, BuildOptions(Path("out"), seed=seed, limit=2)) == order[:2]


@given(st.integers(2, 1000), st.floats(0.001, 0.999))
def test_both_splits_get_a_table_and_the_test_split_its_share(count: int, share: float) -> None:
    assert 1 <= held_out(count, share) < count
    assert abs(held_out(count, share) - share * count) <= 1


def test_the_same_seed_makes_the_same_files_and_another_seed_another_split(run: Run, tmp_path: Path) -> None:
    rows = [pubtabnet_row(f"{name}.png", cells=[name, "y"]) for name in "abcdefghij"]
    scans(tmp_path, "abcdefghij")
    write_lines(tmp_path / "rows.jsonl", rows)
    for out, seed in (("one", 0), ("two", 0), ("other", 1)):
        assert (
            run(
                "pubtabnet", "rows.jsonl", "--images", ".", "--out", out, "--seed", seed, "--test-share", 0.3, "--no-check"
            )[0]
            == 0
        )
    assert rows_of(tmp_path / "one") == rows_of(tmp_path / "two")
    assert names_of(tmp_path / "one") != names_of(tmp_path / "other")
    assert len(names_of(tmp_path / "one")["test"]) == 3


def test_a_limit_keeps_so_many_tables(run: Run, tmp_path: Path) -> None:
    assert run("images", scans(tmp_path / "in"), "--out", "out", "--limit", 4, "--no-check")[0] == 0
    assert len(rows_of(tmp_path / "out")) == 4


def test_images_that_are_drawn_are_not_drawn_again(run: Run, tmp_path: Path) -> None:
    write_lines(tmp_path / "rows.jsonl", [{"html": html(number)} for number in range(4)])
    assert run("markup", "rows.jsonl", "--out", "out", "--no-check")[0] == 0
    before = rows_of(tmp_path / "out")
    images = sorted((tmp_path / "out" / "images").iterdir())
    assert len(images) == 4
    images[0].unlink()
    images[1].write_bytes(images[1].read_bytes()[:20])
    ages = {path: path.stat().st_mtime_ns for path in images[2:]}
    assert run("markup", "rows.jsonl", "--out", "out", "--no-check")[0] == 0
    assert rows_of(tmp_path / "out") == before
    assert {path: path.stat().st_mtime_ns for path in images[2:]} == ages


@pytest.mark.verl
def test_embedded_and_kept_images_are_the_same_and_load_from_anywhere(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scans(tmp_path / "in", "ab")
    draw(tmp_path / "in" / "wide.png", "wide", size=(900, 300))
    common = ("images", "in", "--longest-side", 450, "--no-check", "--out")
    assert run(*common, "embedded")[0] == run(*common, "kept", "--no-embed")[0] == 0
    monkeypatch.chdir("/")
    embedded, kept = rows_of(tmp_path / "embedded"), rows_of(tmp_path / "kept")
    assert len(embedded) == len(kept) == 3
    for inside, beside in zip(embedded, kept, strict=True):
        path = Path(beside["images"][0]["image"])
        reference = tmp_path / "kept" / beside["extra_info"]["reference"]["path"]
        assert inside["images"][0]["bytes"] == path.read_bytes()
        assert inside["extra_info"]["reference"]["bytes"] == reference.read_bytes()
    sizes = {
        opened(row["extra_info"]["reference"]["bytes"]).size: opened(row["images"][0]["bytes"]).size for row in embedded
    }
    assert sizes == {(300, 120): (300, 120), (900, 300): (450, 150)}
    check = VerlCheck.with_stand_in(write_tiny_policy)
    assert check(tmp_path / "kept" / "train.parquet") == check(tmp_path / "embedded" / "train.parquet") == {}


def test_a_image_is_stored_upright_and_on_white(tmp_path: Path) -> None:
    Image.new("RGBA", (40, 20), (0, 0, 0, 0)).save(tmp_path / "clear.png")
    turned = Image.new("RGB", (40, 20), "white")
    exif = turned.getexif()
    exif[0x0112] = 6
    turned.save(tmp_path / "turned.jpg", exif=exif)
    content, image = read_image(tmp_path / "clear.png")
    assert image.getpixel((5, 5)) == (255, 255, 255)
    assert opened(content).tobytes() == image.tobytes()
    assert read_image(tmp_path / "turned.jpg")[1].size == (20, 40)


def test_a_plain_image_is_stored_byte_for_byte(tmp_path: Path) -> None:
    path = draw(tmp_path / "a.png", "a")
    assert read_image(path)[0] == path.read_bytes()


def test_a_strip_that_vision_models_refuse_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cut it into parts"):
        read_image(draw(tmp_path / "strip.png", "", size=(4100, 20)))


def test_a_prompt_holds_the_image_once() -> None:
    with pytest.raises(ConfigError, match="2 times"):
        RowFormat("table", prompt="<image> and <image>")
