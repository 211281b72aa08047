"""A kind from outside of the package, one module and one YAML: scored, rendered, made into data, checked and trained on."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from PIL import Image

from visual_erm.errors import ConfigError
from visual_erm.guard.runner import GuardRunner
from visual_erm.kinds import find_kind
from visual_erm.pipeline import RewardPipeline
from visual_erm.reward.report import Discrepancy, Report
from visual_erm.spec.judge import JudgeSettings
from visual_erm.spec.task import load_task, load_tasks

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
TASK = HERE / "shapes.yaml"
CODE = "circle 20 20 10 red\nsquare 44 44 8 blue"
COLORS = ("red", "green", "blue")


def ran(*words: object, cwd: Path, expected: int = 0) -> subprocess.CompletedProcess[str]:
    environment = dict(os.environ)
    done = subprocess.run(
        [sys.executable, *map(str, words)], cwd=cwd, env=environment, capture_output=True, text=True, timeout=500
    )
    assert done.returncode == expected, done.stdout[-3000:] + done.stderr[-3000:]
    return done


def inputs(folder: Path, count: int) -> Path:
    """A folder with that many different images in code."""
    folder.mkdir()
    for number in range(count):
        kind, color = ("circle", "square")[number % 2], COLORS[number % 3]
        (folder / f"{number}.shapes").write_text(f"{kind} {12 + 2 * number} {50 - number} {6 + number % 5} {color}\n")
    return folder


@pytest.fixture(scope="module")
def reference() -> Image.Image:
    task = load_task(TASK)
    renderer = task.render.renderer_class(task.render, 1, False)
    return renderer._draw(CODE)


@pytest.mark.parametrize(
    ("reply", "reward", "severity"),
    [
        (f"```shapes\n{CODE}\n```", 2, 0),
        (f"Two shapes: {CODE}", 2, 0),
        ("```shapes\ncircle 20 20 10 red\n```", 1.75, 3),
        ("```shapes\ncircle 20 20 10 green\n```", 1.5, 6),
    ],
)
async def test_a_reply_is_scored_by_the_local_judge(reference, reply, reward, severity):
    async with RewardPipeline(load_task(TASK), JudgeSettings(kind="local")) as pipeline:
        result = await pipeline.score(reply, reference)
    assert (result.reward, result.severity, result.scored_ok) == (reward, severity, True), result.reason


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        ("I see nothing.", "NoCodeError: the reply holds no code in shapes"),
        ("```shapes\ntriangle 1 2 3 red\n```", "RenderFailed: line 1 is no shape"),
        ("```shapes\ncircle 20 20 10 red\n\ncircle\n```", "RenderFailed: line 3 is no shape"),
        ("```python\nprint(1)\n```", "NoCodeError"),
    ],
)
async def test_a_reply_that_does_not_render_earns_the_minimum(reference, reply, reason):
    async with RewardPipeline(load_task(TASK), JudgeSettings(kind="local")) as pipeline:
        result = await pipeline.score(reply, reference)
    assert result.reward == 0
    assert result.reason.startswith(reason)


async def test_the_guards_read_its_images(reference):
    """A judge that reports nothing although a shape is missing is not believed."""
    runner = GuardRunner(load_task(TASK), model_judge=True)
    task = load_task(TASK)
    half = task.render.renderer_class(task.render, 1, False)._draw("circle 20 20 10 red")
    review = getattr(runner, "check_report", None) or runner.review
    verdict = await review(reference, half, Report())
    assert "omission" in verdict.flags
    assert verdict.severity >= 3
    said = Report((Discrepancy("shape_error", 3, "the blue square is missing"),))
    assert "omission" not in (await review(reference, half, said)).flags
    await runner.close()


def test_the_command_line_scores_and_renders_it(tmp_path):
    ran("-m", "visual_erm.cli", "render", TASK, inputs(tmp_path / "in", 3), "-o", "out", cwd=tmp_path)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["0.png", "1.png", "2.png"]
    (tmp_path / "reply.txt").write_text(f"```shapes\n{(tmp_path / 'in' / '1.shapes').read_text()}```")
    words = ("--reference", "out/1.png", "--response", "reply.txt", "--json")
    scored = json.loads(ran("-m", "visual_erm.cli", "score", TASK, *words, cwd=tmp_path).stdout)
    assert (scored["score"], scored["shape_error_count"]) == (2, 0)


def test_data_is_made_of_it(tmp_path):
    made(tmp_path, 4)
    rows = [row for split in ("train", "test") for row in pq.read_table(tmp_path / "data" / f"{split}.parquet").to_pylist()]
    assert {row["data_source"] for row in rows} == {"shapes"}
    assert {row["prompt"][0]["content"] for row in rows} == {"<image>\nWrite the shapes."}
    assert {row["reward_model"]["ground_truth"] for row in rows} == {
        file.read_text() for file in (tmp_path / "in").iterdir()
    }
    assert {row["extra_info"]["renderer_version"] for row in rows} == {"shapes 1"}


def made(folder: Path, count: int) -> Path:
    script = ROOT / "data_prep" / "custom.py"
    ran(script, "code", inputs(folder / "in", count), "--task", TASK, "--out", "data", "--no-check", cwd=folder)
    return folder / "data"


def test_a_mixture_takes_it_beside_a_shipped_task(tmp_path):
    for file in (TASK, HERE / "shapes.py"):
        (tmp_path / file.name).write_text(file.read_text())
    (tmp_path / "both.yaml").write_text("name: both\ndefaults: [shapes@tasks.shapes, svg@tasks.svg, _self_]\n")
    tasks = load_tasks(tmp_path / "both.yaml")
    assert {name: task.kind.name for name, task in tasks.items()} == {"shapes": "shapes", "svg": "svg"}
    assert tasks["shapes"].kind.reference == str(tmp_path / "shapes.py")


def test_its_settings_are_read_as_strictly_as_those_of_shipped_kinds():
    content = {**load_task(TASK).model_dump(), "render": {"sise": 3}}
    with pytest.raises(ConfigError, match=r"unknown key `render\.sise`; did you mean `size`\?"):
        load_task(content)
    with pytest.raises(ConfigError, match=r"key `languages\.0`: .*'shapes'"):
        load_task({**load_task(TASK).model_dump(), "languages": ["svg"]})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "there is no file .*mine.py"),
        ("1 / 0", ".*mine.py raises ZeroDivisionError when it is imported"),
        ("KIND = 3", ".*mine.py assigns no Kind to KIND"),
    ],
)
def test_a_file_that_is_no_kind_is_told_with_the_task_and_the_key(tmp_path, text, message):
    if text:
        (tmp_path / "mine.py").write_text(text)
    (tmp_path / "mine.yaml").write_text(TASK.read_text().replace("shapes.py", "mine.py"))
    with pytest.raises(ConfigError, match=rf"mine\.yaml: key `kind`: {message}"):
        load_task(tmp_path / "mine.yaml")


def test_a_kind_is_imported_once():
    path = str(HERE / "shapes.py")
    assert find_kind(path) is find_kind(path)
    assert load_task(TASK) == load_task(load_task(TASK).model_dump())


@pytest.mark.e2e
@pytest.mark.timeout(900)
def test_one_step_is_trained_on_it(tmp_path):
    """Real veRL on the CPU with an untaught policy, some of whose replies hold shapes."""
    from visual_erm.testing.tiny_qwen3vl import build_tiny_qwen3vl

    data = made(tmp_path, 6)
    shapes = [
        f"{kind} {x} {y} 8 {color}\n"
        for kind in ("circle", "square")
        for x in (16, 40)
        for y in (16, 40)
        for color in COLORS
    ]
    build_tiny_qwen3vl(tmp_path / "policy", words=["Write", "the", "shapes", "."], runs=shapes)
    recipe = [
        *(f"task={TASK}", "judge=local", "policy=tiny", "cluster=cpu"),
        *(f"tiny_data={tmp_path}", f"run_dir={tmp_path / 'run'}"),
        *(f"data.train_files={data / 'train.parquet'}", f"data.val_files={data / 'test.parquet'}"),
        *("data.train_batch_size=4", "data.max_prompt_length=128", "trainer.total_training_steps=1"),
    ]
    ran("-m", "visual_erm.train", *recipe, cwd=tmp_path)
    steps = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert [step["step"] for step in steps] == [1]
    log = next(folder for name in ("rollout_log", "rollout_log") if (folder := tmp_path / "run" / name).is_dir())
    calls = [json.loads(line) for file in log.glob("*.jsonl") for line in file.read_text().splitlines()]
    assert len(calls) == 4 * 8
    assert any(call["render_ok"] == 1 for call in calls), "no reply held shapes"
    assert all(call["scored_ok"] == 1 for call in calls)
