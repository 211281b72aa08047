"""The page on several judges."""

from __future__ import annotations

from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from typer.testing import CliRunner

from visual_erm.bench.commands import app
from visual_erm.bench.report import PAPER, html
from visual_erm.bench.report import markdown as markdown_of
from visual_erm.bench.rows import Row
from visual_erm.bench.scores import score

HOSTILE = (
    "<script>x()</script> | **bold** ![a](http://example.com/a.png) <img src=http://example.com/b.png> "
    "[a](javascript:b)\n# head"
)


def row(number: int, text: str = "x", **more: Any) -> Row:
    truths = [{"type": "text_error", "severity": 2, "description": text, "location": text}]
    said = {"errors": [{"type": "text_error", "severity": 2, "description": text}]}
    content = {"id": number, "category": "table", "human_errors": truths, "pred_json": said, "matching": {"matches": []}}
    paths = {"gt_img_path": "a.png", "pred_img_path": "b.png"}
    return Row(f"m:{number}", {**content, **paths, "matcher": "offline", "judge": "mine", **more})


def markdown(judges: dict[str, list[Row]], root: Path | None = None, worst: int = 10) -> str:
    return markdown_of(judges, {name: score(rows) for name, rows in judges.items()}, root, worst)


class Links(HTMLParser):
    """What a page loads and runs."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.targets: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.targets += [value or "" for key, value in attrs if key in ("src", "href")]


def test_judges_stand_beside_the_published_figures() -> None:
    page = markdown(
        {"one": [row(1)], "other": [row(1, matching={"matches": [{"pred_id": 0, "gt_id": 0, "match_level": "yes"}]})]}
    )
    table = [line for line in page.splitlines() if line.startswith("| ")]
    assert [name for name in PAPER if any(line.startswith(f"| {name} | paper |") for line in table)] == list(PAPER)
    assert "| **one** | offline | - | 0.0 0.0 - | - | 0.0 0.0 - |" in table
    assert "| **other** | offline | - | 100.0 100.0 - | - | 100.0 100.0 - |" in table
    assert "not comparable with the paper's" in page


def test_the_worst_items_come_first_with_their_images(tmp_path: Path) -> None:
    for name in ("a.png", "b.png"):
        Image.new("RGB", (40, 30), "navy").save(tmp_path / name)
    many = {"errors": [{"type": "text_error", "severity": 1, "description": f"e{n}"} for n in range(5)]}
    page = markdown({"mine": [row(1), row(2, pred_json=many), row(3, human_errors=[], pred_json=None)]}, tmp_path, worst=5)
    heads = [line for line in page.splitlines() if line.startswith("### ")]
    assert heads == ["### 2 (table): 1 missed, 5 invented", "### 1 (table): 1 missed, 1 invented"]
    found = Links(html(page))
    assert len(found.targets) == 4
    assert all(target.startswith("data:image/png;base64,") for target in found.targets)


def test_an_image_that_is_missing_is_named_and_the_page_is_written(tmp_path: Path) -> None:
    assert "No images: m:1" in markdown({"mine": [row(1)]}, tmp_path).replace("\\", "")


def test_what_a_judge_writes_is_text_on_the_page() -> None:
    page = html(markdown({HOSTILE: [row(1, HOSTILE, id=HOSTILE)]}))
    found = Links(page)
    assert found.targets == []
    assert not {"script", "img", "a"} & set(found.tags)
    assert found.tags.count("h1") == 1
    assert "&lt;script&gt;x()&lt;/script&gt; | **bold**" in page


def test_the_command_writes_three_files(tmp_path: Path) -> None:
    import json

    path = tmp_path / "m.jsonl"
    path.write_text(json.dumps(row(1).content) + "\n{\n")
    done = CliRunner().invoke(app, ["report", str(path), str(path), str(path), str(path), "--out", str(tmp_path / "page")])
    assert done.exit_code == 1, "a line is wrong"
    assert sorted(file.name for file in (tmp_path / "page").iterdir()) == ["report.html", "report.json", "report.md"]
    assert set(json.loads((tmp_path / "page" / "report.json").read_text())) == {
        "mine",
        *(f"mine ({path}{number})" for number in ("", ", 2", ", 3")),
    }


@pytest.mark.parametrize("text", ["a_b", "# 1. *a*", "a\\b `c` ~~d~~ &amp; - e"])
def test_any_text_is_shown_as_it_is(text: str) -> None:
    class Texts(HTMLParser):
        found = ""

        def handle_data(self, data: str) -> None:
            self.found += data

    parser = Texts()
    parser.feed(html(markdown({"mine": [row(1, text)]})))
    assert f"severity 2: {text}" in parser.found


@pytest.mark.parametrize("other", ["a model", "\x1b[31mred", "offline"])
def test_compare_names_both_matchers_and_warns_where_they_differ(tmp_path: Path, other: str) -> None:
    import json

    paths = [tmp_path / "a.jsonl", tmp_path / "b.jsonl"]
    for path, matcher in zip(paths, ("offline", other), strict=True):
        path.write_text(json.dumps(row(1, matcher=matcher).content) + "\n")
    done = CliRunner().invoke(app, ["compare", *map(str, paths)])
    assert "\x1b[31m" not in done.output
    assert "A matched by: offline" in done.output
    assert ("not comparable" in done.output, done.exit_code) == (other != "offline", int(other != "offline"))
