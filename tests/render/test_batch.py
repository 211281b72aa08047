from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from chromium import is_browser
from PIL import Image
from rich.console import Console

from visual_erm.errors import ConfigError
from visual_erm.render.batch import render_many
from visual_erm.spec.task import Task, load_task

ROOT = Path(__file__).parents[2]


@pytest.fixture
def task() -> Task:
    return load_task("table")


def table(text: str) -> str:
    return f"<table><tr><td>{text}</td></tr></table>"


def jsonl(path: Path, *rows: object) -> Path:
    path.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows))
    return path


def images(folder: Path) -> dict[str, bytes]:
    """Name -> pixels of every file below a folder; a file that is no image fails."""
    return {file.relative_to(folder).as_posix(): Image.open(file).tobytes() for file in folder.rglob("*") if file.is_file()}


def test_files_folders_and_lines_become_images_of_their_names(task: Task, tmp_path: Path) -> None:
    (tmp_path / "in" / "deep").mkdir(parents=True)
    (tmp_path / "in" / "one.html").write_text(table("same"))
    (tmp_path / "in" / "deep" / "two.MD").write_text("|same|\n|-|\n")
    (tmp_path / "in" / "deep" / "reply.txt").write_text(f"<think>hm</think>Here:\n```html\n{table('same')}\n```\nDone.")
    (tmp_path / "in" / "notes.pdf").write_text("of no interest")
    (tmp_path / "alone.htm").write_text(table("same"))
    lines = jsonl(
        tmp_path / "lines.jsonl",
        {"code": table("same")},
        {"code": "|same|\n|-|\n", "language": "markdown", "id": 7},
        "",
        {"text": f"Sure!\n{table('same')}", "id": "named"},
    )
    out = tmp_path / "out"
    summary = render_many(task, [tmp_path / "in", tmp_path / "alone.htm", lines], out)
    assert summary.ok
    assert summary.rendered == 7
    drawn = images(out)
    assert set(drawn) == {
        "one.png", "deep/two.png", "deep/reply.png", "alone.png", "lines-1.png", "7.png", "named.png"
    }  # fmt: skip
    assert len(set(drawn.values())) == 1


def test_a_bad_item_is_reported_with_its_reason_and_the_rest_goes_on(task: Task, tmp_path: Path) -> None:
    lines = jsonl(
        tmp_path / "x.jsonl",
        {"code": table("good")},
        "{not json",
        ["a", "list"],
        {"id": "neither"},
        {"text": "I cannot see a table."},
        {"code": "<p></p>"},
        {"code": "print(1)", "language": "python"},
        {"code": table("first"), "id": "twice"},
        {"code": table("second"), "id": "twice"},
        {"code": "<div style='width:90000px;height:90000px'>x</div>"},
        {"code": table("last")},
    )
    console = Console(file=io.StringIO(), width=300)
    summary = render_many(task, [lines], tmp_path / "out", console=console)
    assert set(images(tmp_path / "out")) == {"x-1.png", "twice.png", "x-11.png"}
    assert (summary.rendered, summary.ok) == (3, False)
    reasons = {failure.source.rpartition(":")[2]: failure.reason for failure in summary.failed}
    expected = {
        "2": "BadItem: not a line of JSON",
        "3": "BadItem: not a JSON object",
        "4": "BadItem: needs `code` or `text`",
        "5": "NoCodeError",
        "6": "BlankImage",
        "7": "BadItem: language `python`",
        "9": "BadItem: would be rendered to the same image",
        "10": "RenderLimit",
    }
    assert set(reasons) == set(expected)
    for number, reason in expected.items():
        assert reasons[number].startswith(reason)
        assert f"x.jsonl:{number}: " in console.file.getvalue()
    assert "3 rendered, 0 kept, 8 failed" in console.file.getvalue()


def test_each_task_draws_its_own_kind_of_files(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    dot = '<svg viewBox="0 0 9 9"><circle cx="4" cy="4" r="3"/></svg>'
    (folder / "a.svg").write_text(dot)
    (folder / "b.txt").write_text(f"Sure:\n```svg\n{dot}\n```")
    (folder / "c.html").write_text(table("not for this task"))
    (folder / "d.py").write_text("print('nor this')")
    lines = jsonl(
        tmp_path / "x.jsonl", {"code": dot, "language": "svg"}, {"code": dot}, {"code": "x", "language": "python"}
    )
    task = load_task("svg")
    summary = render_many(task, [folder, lines, folder / "d.py"], tmp_path / "out")
    drawn = images(tmp_path / "out")
    assert set(drawn) == {"a.png", "b.png", "x-1.png", "x-2.png"}
    assert len(set(drawn.values())) == 1
    assert sorted(failure.reason for failure in summary.failed) == [
        "BadItem: language `python` is none of the task's: svg",
        "BadItem: task `svg` renders no `.py` files; expected .svg, .txt, .jsonl files, or folders of them",
    ]


NOTES = {
    "requirements.txt": b"numpy>=1.26\nmatplotlib==3.8.4\n",
    "a.txt": b"A circle, as it is described.",
    "data/values.txt": b"1 2 3\n4 5 6\n",
    "LICENSE.txt": b"MIT License\n\nPermission is hereby granted <to anyone>",
    "latin.txt": "Größe".encode("latin-1"),
}


@pytest.mark.parametrize(
    ("kind", "name", "code"),
    [
        ("svg", "a.svg", '<svg viewBox="0 0 9 9"><circle cx="4" cy="4" r="3"/></svg>'),
        ("chart", "a.py", "import matplotlib.pyplot as plt\nplt.plot([1, 2])\nplt.savefig('a.png')\n"),
        ("table", "a.html", "<table><tr><td>1</td></tr></table>"),
    ],
)
def test_text_files_beside_code_are_no_failed_replies(tmp_path: Path, kind: str, name: str, code: str) -> None:
    folder = tmp_path / "in"
    (folder / "data").mkdir(parents=True)
    (folder / name).write_text(code)
    for note, content in NOTES.items():
        (folder / note).write_bytes(content)
    (folder / "reply.txt").write_text(f"Sure:\n```{name[2:]}\n{code}\n```")
    console = Console(file=io.StringIO(), width=200)
    summary = render_many(load_task(kind), [folder], tmp_path / "out", console=console)
    assert not summary.failed and summary.ok
    assert sorted(summary.left_out) == sorted(str(folder / note) for note in NOTES)
    assert set(images(tmp_path / "out")) == {"a.png", "reply.png"}
    assert "5 .txt files without code" in console.file.getvalue()


def test_replies_without_code_fail_where_they_are_given_or_alone_in_a_folder(task: Task, tmp_path: Path) -> None:
    (tmp_path / "replies").mkdir()
    (tmp_path / "replies" / "one.txt").write_text("I cannot see the table.")
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "a.html").write_text(table("a"))
    (tmp_path / "code" / "two.txt").write_text("Nor can I.")
    summary = render_many(task, [tmp_path / "replies", tmp_path / "code" / "two.txt"], tmp_path / "out")
    assert [failure.reason.partition(":")[0] for failure in summary.failed] == ["NoCodeError"] * 2
    assert not summary.left_out


def test_a_second_run_keeps_what_is_up_to_date_and_draws_what_changed(task: Task, tmp_path: Path) -> None:
    lines = jsonl(tmp_path / "x.jsonl", {"code": table("one")}, {"code": table("two")})
    out = tmp_path / "out"
    assert render_many(task, [lines], out).rendered == 2
    before = {file.name: file.stat().st_mtime_ns for file in out.iterdir()}
    jsonl(tmp_path / "x.jsonl", {"code": table("one")}, {"code": table("changed")}, {"code": table("new")})
    summary = render_many(task, [lines], out)
    assert (summary.rendered, summary.kept) == (2, 1)
    assert (out / "x-1.png").stat().st_mtime_ns == before["x-1.png"]
    published = task.model_copy(update={"render": task.render.model_copy(update={"style": "published"})})
    assert render_many(published, [lines], out).kept == 0


def test_a_image_does_not_outlive_its_code(task: Task, tmp_path: Path) -> None:
    source = tmp_path / "x.html"
    source.write_text(table("one"))
    assert render_many(task, [source], tmp_path / "out").ok
    source.write_text("<p></p>")
    assert not render_many(task, [source], tmp_path / "out").ok
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize("whole", [True, False])
def test_a_image_that_somebody_else_drew_is_left_alone(task: Task, tmp_path: Path, whole: bool) -> None:
    (tmp_path / "x.html").write_text(table("one"))
    Image.new("RGB", (3, 3), "red").save(tmp_path / "x.png")
    if not whole:
        (tmp_path / "x.png").write_bytes((tmp_path / "x.png").read_bytes()[:20])
    foreign = (tmp_path / "x.png").read_bytes()
    summary = render_many(task, [tmp_path / "x.html"], tmp_path)
    assert "left alone" in summary.failed[0].reason
    assert (tmp_path / "x.png").read_bytes() == foreign


def test_a_image_that_is_too_large_to_be_opened_is_left_alone(task: Task, tmp_path: Path, monkeypatch) -> None:
    (tmp_path / "x.html").write_text(table("one"))
    Image.new("RGB", (3, 3), "red").save(tmp_path / "x.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 4)
    assert "left alone" in render_many(task, [tmp_path / "x.html"], tmp_path).failed[0].reason


def test_names_stay_below_the_output_folder(task: Task, tmp_path: Path) -> None:
    ids = ["../../up", "/etc/passwd", "..", "a\0b", "数", " "]
    lines = jsonl(tmp_path / "x.jsonl", *({"code": table(str(n)), "id": name} for n, name in enumerate(ids)))
    assert render_many(task, [lines], tmp_path / "deep" / "out").rendered == len(ids)
    assert len(images(tmp_path / "deep" / "out")) == len(ids)
    assert {path.name for path in tmp_path.iterdir()} == {"deep", "x.jsonl"}


def test_images_say_what_drew_them(task: Task, tmp_path: Path) -> None:
    (tmp_path / "x.html").write_text(table("one"))
    render_many(task, [tmp_path / "x.html"], tmp_path / "out")
    with Image.open(tmp_path / "out" / "x.png") as image:
        assert "chrom" in image.info["renderer_version"]


def test_inputs_that_are_missing_or_empty_are_named(task: Task, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("")
    (tmp_path / "x.html").write_text(table("one"))
    for inputs, out, message in [
        ([tmp_path / "none"], tmp_path / "out", "none: no such file"),
        ([tmp_path / "empty"], tmp_path / "out", "nothing to render"),
        ([tmp_path / "x.html"], tmp_path / "file", "cannot be made"),
    ]:
        with pytest.raises(ConfigError, match=message):
            render_many(task, inputs, out)


BATCH = """
import sys
from pathlib import Path
from visual_erm.render.batch import render_many
from visual_erm.spec.task import load_task
render_many(load_task("table"), [Path(sys.argv[1])], Path(sys.argv[2]))
"""


@pytest.mark.long
def test_a_killed_run_leaves_whole_images_and_the_next_goes_on_from_there(task: Task, tmp_path: Path) -> None:
    lines = jsonl(tmp_path / "x.jsonl", *({"code": table(str(number))} for number in range(150)))
    out = tmp_path / "out"
    command = [sys.executable, "-c", BATCH, str(lines), str(out)]
    run = subprocess.Popen(command, env={**os.environ, "PYTHONPATH": str(ROOT)})
    while run.poll() is None and len(list(out.glob("*.png"))) < 20:
        time.sleep(0.01)
    family = psutil.Process(run.pid).children(recursive=True)
    assert any(map(is_browser, family))
    run.send_signal(signal.SIGKILL)
    run.wait()
    psutil.wait_procs(family, timeout=60)
    already = len(list(out.glob("*.png")))
    assert 20 <= already < 150
    summary = render_many(task, [lines], out)
    assert summary.ok
    assert summary.kept == already
    assert summary.rendered == 150 - already
    # A hidden part of the image that was being written may be there; the next run an hour later removes it.
    assert len([name for name in out.iterdir() if name.suffix == ".png"]) == 150
    for name in out.glob("*.png"):
        Image.open(name).load()
