"""docs/new_task.md: its task and its kind are valid, and its commands run."""

from __future__ import annotations

import asyncio
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from openai_server import OpenAIServer, completion
from PIL import Image

from visual_erm.errors import BlankImage, PolicyFault, RenderFailed, RenderLimit
from visual_erm.extract import Code, extract
from visual_erm.kinds import Kind, find_kind
from visual_erm.preflight.overrides import arguments, compose_recipe
from visual_erm.render.base import make_renderer
from visual_erm.spec.task import load_task, load_tasks

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "new_task.md").read_text(encoding="utf-8")
FORM = '<form><label>Name <input value="Ada"></label><p>Age <select><option>36</option></select></p></form>'
SHIPPED_PREFIXES = {"visual-erm": ["-m", "visual_erm.cli"], "python": []}


def block(language: str) -> str:
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.M | re.S)[0]


def commands(beginning: str) -> list[str]:
    """The commands of the page that begin so, in order."""
    return re.findall(rf"^    ({re.escape(beginning)} .+)$", PAGE, re.M)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """What the page asks its reader to have."""
    (tmp_path / "html_form.yaml").write_text(block("yaml"))
    (tmp_path / "shapes.py").write_text(block("python"))
    (tmp_path / "shapes.yaml").write_text(
        block("yaml")
        .replace("kind: table", "kind: shapes.py")
        .replace("html_page", "shapes")
        .replace("html_form", "shapes")
    )
    (tmp_path / "form.html").write_text(FORM)
    (tmp_path / "SHAPES").mkdir()
    for number in (1, 2):
        (tmp_path / "SHAPES" / f"{number}.shapes").write_text(f"circle 30 30 {9 + number} red\nsquare 10 10 4 blue")
    (tmp_path / "FORMS").mkdir()
    for name in "ab":
        image = Image.new("RGB", (64, 64), "red" if name == "a" else "blue")
        image.putpixel((9, 9), (255, 255, 255))
        image.save(tmp_path / "FORMS" / f"{name}.png")
    return tmp_path


def run(command: str, folder: Path) -> str:
    program, *words = shlex.split(command)
    words = [str(ROOT / word) if word.startswith("data_prep/") else word for word in words]
    words = [sys.executable, *SHIPPED_PREFIXES[program], *words]
    done = subprocess.run(words, cwd=folder, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return done.stdout


@pytest.mark.parametrize(
    "reply",
    [
        f"```html\n{FORM}\n```",
        f"```\n{FORM}\n```",
        f"Here is the form:\n\n{FORM}\n\nDone.",
        f"<think>{FORM}x</think>\n{FORM}",
    ],
)
def test_the_form_task_takes_html_without_a_table(folder, reply):
    code = extract(reply, load_task(folder / "html_form.yaml").code_languages)
    assert (code.language, code.text) == ("html", FORM)


@pytest.mark.long
async def test_its_commands_render_and_score_a_form_and_shapes(folder):
    for command in commands("visual-erm render"):
        run(command, folder)
    with Image.open(folder / "rendered" / "form.png") as image:
        assert image.width > 60
    (folder / "form.png").write_bytes((folder / "rendered" / "form.png").read_bytes())
    replies = {
        "html_form": f"```html\n{FORM.replace('Ada', 'Bob')}\n```",
        "shapes": "```shapes\ncircle 30 30 10 green\n```",
    }
    answer = completion('{"errors": [{"type": "value_error", "description": "another name", "severity": 2}]}')
    async with OpenAIServer(answer) as server:
        for command in commands("visual-erm score"):
            (folder / "reply.txt").write_text(next(reply for name, reply in replies.items() if f"{name}.yaml" in command))
            command = command.replace("http://HOST:8000/v1", server.url)
            said = await asyncio.to_thread(run, command, folder)
            assert "reward" in said
            assert "rendered yes" in " ".join(said.split())


async def test_its_kind_that_runs_code_draws_and_holds_back_hostile_code(tmp_path):
    backend, module = re.findall(r"^```python\n(.*?)^```", PAGE, re.M | re.S)[1:3]
    (tmp_path / "steps.py").write_text(backend)
    (tmp_path / "steps_kind.py").write_text(module)
    kind = find_kind(str(tmp_path / "steps_kind.py"))
    assert (kind.name, kind.runs_in) == ("steps", "sandbox")
    steps = make_renderer(kind.render_settings(), pages=1)
    try:
        image = await steps.render(Code("steps", "move(9, 0); move(0, 9)"))
        assert (image.size, len(image.getcolors())) == ((64, 64), 2)
        with pytest.raises(RenderFailed, match="ZeroDivisionError"):
            await steps.render(Code("steps", "move(1 / 0, 0)"))
        with pytest.raises(BlankImage):
            await steps.render(Code("steps", "pass"))
        with pytest.raises(RenderLimit, match="memory"):
            await steps.render(Code("steps", "bytearray(1 << 33)"))
        assert len((await steps.render(Code("steps", kind.examples["steps"]))).getcolors()) == 2
        with pytest.raises(PolicyFault):
            await steps.render(Code("steps", f"open({str(tmp_path / 'steps_kind.py')!r}).read()"))
    finally:
        await steps.close()


@pytest.mark.long
def test_its_commands_make_data(folder):
    made = commands("python data_prep/custom.py")
    assert [command.split()[2] for command in made] == ["images", "code"]
    for command in made:
        run(f"{command} --no-check", folder)
        assert pq.read_table(folder / "DATA" / "train.parquet").num_rows == 1


def test_its_recipes_compose_with_both_tasks(folder, monkeypatch):
    monkeypatch.chdir(folder)
    for number, command in enumerate(commands("python -m visual_erm.train")):
        (folder / str(number)).mkdir()
        words = [word for word in shlex.split(command)[3:] if word != "…"]
        config = compose_recipe([*arguments(words, folder / str(number))])
        task = load_tasks(config.task, [folder])
        assert list(task) == [["html_form", "shapes"][number]]


async def test_its_renderer_of_shapes_bounds_what_it_draws(folder):
    shapes = make_renderer(load_task(folder / "shapes.yaml").render, pages=1)
    try:
        for code in ("circle 1 1 1 red\n" * 1001, f"circle 1 1 {10**9} red"):
            with pytest.raises(RenderLimit):
                await shapes.render(Code("shapes", code))
        for code in ("circle 1 1 red", f"circle 1 1 {'9' * 5000} red", "circle 9 9 -5 red"):
            with pytest.raises(RenderFailed):
                await shapes.render(Code("shapes", code))
        with pytest.raises(BlankImage):
            await shapes.render(Code("shapes", "circle 9 9 5 white"))
    finally:
        await shapes.close()


def test_its_kind_is_a_kind_and_a_shipped_task_can_be_changed(folder):
    kind = load_task(folder / "shapes.yaml").kind
    assert isinstance(kind, Kind)
    assert kind.name == "shapes"
    (folder / "my_chart.yaml").write_text(
        re.search(r"(?:^    .+\n)+(?<=s_max: 30}\n)", PAGE, re.M)[0].replace("\n    ", "\n")[4:]
    )
    assert load_task(folder / "my_chart.yaml").scoring.s_max == 30
