"""The reward function as veRL calls it."""

from __future__ import annotations

import importlib.util
import io
import json
import socket

import pytest
from PIL import Image, ImageDraw

from visual_erm.errors import ConfigError, JudgeUnavailable
from visual_erm.settings import read_yaml, shipped

TABLE = "<table><tr><td>a</td><td>1</td></tr></table>"


@pytest.fixture(scope="module")
def compute_score():
    """Loaded by path, as veRL does."""
    path = shipped("reward_func") / "visual_equivalence.py"
    spec = importlib.util.spec_from_file_location("custom_reward", path)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.compute_score


@pytest.fixture
async def close_pipelines(compute_score):
    yield
    for pipelines in list(compute_score.__globals__["_pipelines"].values()):
        for pipeline in pipelines.values():
            await pipeline.close()


@pytest.fixture
def settings() -> dict[str, object]:
    """As Hydra hands them over: mappings, not names."""
    configs = shipped("configs")
    return {"task": read_yaml(configs / "task" / "table.yaml"), "judge": read_yaml(configs / "judge" / "local.yaml")}


def picture() -> bytes:
    image = Image.new("RGB", (120, 40), "white")
    ImageDraw.Draw(image).text((10, 10), "a 1", fill="black")
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


async def test_reference_as_bytes_or_as_path_below_the_data_root(
    compute_score, settings, close_pipelines, tmp_path
) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "0.png").write_bytes(picture())
    embedded = {"index": 0, "split": "train", "reference": {"bytes": picture(), "path": None}}
    by_path = {"index": 0, "split": "train", "reference": {"bytes": None, "path": "images/0.png"}}
    first = await compute_score("table", TABLE, "", embedded, **settings)
    second = await compute_score("table", TABLE, "", by_path, **settings, data_root=str(tmp_path))
    assert first["score"] == second["score"] > 0
    assert list(first) == list(second)


async def test_the_journal_has_one_line_per_call(compute_score, settings, close_pipelines, tmp_path) -> None:
    extra = {"index": 7, "split": "train", "reference": {"bytes": picture(), "path": None}}
    returned = [
        await compute_score("table", reply, "", extra, **settings, journal=str(tmp_path))
        for reply in (TABLE, "no table", TABLE)
    ]
    (journal,) = tmp_path.glob("*.jsonl")
    lines = [json.loads(line) for line in journal.read_text().splitlines()]
    assert [line["score"] for line in lines] == [numbers["score"] for numbers in returned]
    assert [line["reply"] for line in lines] == [TABLE, "no table", TABLE]
    assert lines[0]["report"]["errors"] is not None and lines[1]["report"] is None
    assert lines[1]["reason"].startswith("NoCode")


async def test_a_row_without_reference_is_an_error_that_names_it(compute_score, settings, close_pipelines) -> None:
    with pytest.raises(ConfigError, match=r"row 3: `extra_info\.reference`"):
        await compute_score("table", TABLE, "", {"index": 3}, **settings)


async def test_a_failure_that_stops_the_run_leaves_its_reason(compute_score, settings, close_pipelines, tmp_path) -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        dead = f"http://127.0.0.1:{bound.getsockname()[1]}/v1"
    settings["judge"] = {"kind": "remote", "endpoints": [dead], "retries": 0, "failure": {"on_failure": "abort"}}
    extra = {"index": 1, "reference": {"bytes": picture(), "path": None}}
    with pytest.raises(JudgeUnavailable):
        await compute_score("table", TABLE, "", extra, **settings, journal=str(tmp_path))
    assert (tmp_path / "fatal.txt").read_text().startswith("JudgeUnavailable: ")


async def test_misspelt_settings_are_named(compute_score, settings, close_pipelines) -> None:
    settings["task"]["scoring"]["smax"] = 9
    with pytest.raises(ConfigError, match=r"unknown key `scoring.smax`; did you mean `s_max`\?"):
        await compute_score("table", TABLE, "", {"index": 1}, **settings)
