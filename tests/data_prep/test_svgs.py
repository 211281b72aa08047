"""SVG in, rows out that veRL loads: the commands of docs/data.md, on real documents and the real renderer."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from xml.etree import ElementTree

import pytest
import yaml
from data_sets import ROOT, documented, opened, rows_of, scans, truths_of, write_lines
from visual_erm.data_prep import svgs

from visual_erm.demo.package_icons import icons
from visual_erm.demo.synthetic_drawings import drawings

DOCUMENTED = documented("svgs")
COMMANDS = ["images", "documents", "packages", "drawings"]

Run = Callable[..., tuple[int, str]]


@pytest.fixture
def run(command_line: Callable[..., Run]) -> Run:
    return command_line(svgs)


def disc(color: str) -> str:
    return f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 10 10"><circle cx="5" cy="5" r="4" fill="{color}"/></svg>'


def test_the_documentation_shows_every_command() -> None:
    assert [command.split()[0] for command in DOCUMENTED] == COMMANDS


@pytest.mark.verl
@pytest.mark.parametrize("command", DOCUMENTED, ids=COMMANDS)
def test_each_documented_command_makes_rows_that_verl_loads(command: str, run: Run, tmp_path: Path) -> None:
    scans(tmp_path / "icons", "abc")
    write_lines(tmp_path / "more.jsonl", [{"svg": disc("red")}, {"code": disc("green")}])
    (tmp_path / "drawings").mkdir()
    (tmp_path / "drawings" / "blue.svg").write_text(disc("blue"), encoding="utf-8-sig")

    words = shlex.split(command)
    code, said = run(*words)

    assert code == 0, said
    found = rows_of(tmp_path / words[words.index("--out") + 1])
    assert len(found) == {"images": 3, "documents": 3, "packages": 20, "drawings": 20}[words[0]]
    for row in found:
        assert row["data_source"] == "svg"
        assert "```svg" in row["prompt"][0]["content"]
        assert bool(row["reward_model"]["ground_truth"]) == (words[0] != "images")
        assert row["extra_info"]["renderer_version"].startswith("cairosvg 2.9.1" if words[0] == "images" else "librsvg (")
        reference = opened(row["extra_info"]["reference"]["bytes"])
        assert reference.size == ((300, 120) if words[0] == "images" else (336, 336))
        assert opened(row["images"][0]["bytes"]).tobytes() == reference.tobytes()
    if words[0] == "documents":
        assert truths_of(tmp_path / "data" / "documents") == {disc("red"), disc("green"), disc("blue")}


def test_the_task_says_with_what_and_how_large_documents_are_drawn(run: Run, tmp_path: Path) -> None:
    settings = yaml.safe_load((ROOT / "configs" / "task" / "svg.yaml").read_text(encoding="utf-8"))
    settings["name"] = "published-svg"
    settings["render"] |= {"backend": "cairosvg", "width": 64, "height": 32, "background": "#00ff00"}
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(settings), encoding="utf-8")
    write_lines(tmp_path / "rows.jsonl", [{"svg": disc("red")}, {"svg": disc("blue")}])
    assert run("documents", "rows.jsonl", "--task", "mine.yaml", "--out", "out", "--no-check")[0] == 0
    for row in rows_of(tmp_path / "out"):
        assert row["data_source"] == "published-svg"
        assert row["extra_info"]["renderer_version"].startswith("cairosvg ")
        reference = opened(row["extra_info"]["reference"]["bytes"])
        assert reference.size == (64, 32)
        assert reference.getpixel((0, 0)) == (0, 255, 0)


def test_documents_that_cannot_be_drawn_are_reported_and_the_rest_goes_on(run: Run, tmp_path: Path) -> None:
    lines: list[object] = [
        {"svg": disc("red")},
        {"svg": "no SVG"},
        {"svg": disc("none")},
        {"png": "…"},
        {"svg": disc("blue")},
    ]
    write_lines(tmp_path / "in" / "rows.jsonl", lines)
    (tmp_path / "in" / "same.svg").write_text(disc("red"), encoding="utf-8")
    code, said = run("documents", "in", "--out", "out", "--no-check")
    assert code == 1, said
    assert truths_of(tmp_path / "out") == {disc("red"), disc("blue")}
    assert "in/rows.jsonl:2: cannot be rendered (" in said
    assert "in/rows.jsonl:3: cannot be rendered (" in said
    assert "in/rows.jsonl:4: needs a key `svg` or `code` with the code as text; it has png" in said
    assert "in/same.svg: the same code as in/rows.jsonl:1; one of them is kept" in said


def test_a_task_of_another_kind_is_refused(run: Run, tmp_path: Path) -> None:
    code, said = run("images", scans(tmp_path / "in"), "--task", "table", "--out", "out", "--no-check")
    assert code == 2
    assert "--task table: its kind is `table`; give a task of the kind `svg` here" in said


def test_icons_are_documents_within_their_square() -> None:
    found = list(icons(seed=0))
    assert len(found) > 500
    assert len({item.where for item in found}) == len({item.code for item in found}) == len(found)
    assert {"matplotlib/home.svg", "DejaVu Sans/snowman", "DejaVu Sans/black chess queen"} <= {item.where for item in found}
    for item in found:
        assert ElementTree.fromstring(item.ground_truth).tag == "{http://www.w3.org/2000/svg}svg"
    assert [item.code for item in icons(seed=1)] != [item.code for item in found] == [item.code for item in icons(seed=0)]


def test_drawings_differ_and_the_first_ones_do_not_depend_on_how_many_there_are() -> None:
    found = list(drawings(500, seed=0))
    assert len({item.code for item in found}) == 500
    for item in found:
        assert ElementTree.fromstring(item.ground_truth).tag == "{http://www.w3.org/2000/svg}svg"
    assert list(islice(drawings(1000, seed=0), 500)) == found
    assert list(drawings(500, seed=1)) != found
