"""The reward function as veRL calls it."""

from __future__ import annotations

import importlib.util
import io
import json
import logging
import urllib.request

import pytest
from openai_server import OpenAIServer, completion, status
from PIL import Image, ImageDraw
from ports import free_port

from visual_erm import pipeline
from visual_erm.errors import ConfigError, JudgeUnavailable, StageFailed, TooManyFailures
from visual_erm.render.base import make_renderer
from visual_erm.spec.base import read_yaml, shipped
from visual_erm.spec.task import load_task, load_tasks

TABLE = "<table><tr><td>a</td><td>1</td></tr></table>"


@pytest.fixture(scope="module")
def reward_function():
    """The module, loaded by path, as veRL does."""
    path = shipped("reward_func") / "visual_equivalence.py"
    spec = importlib.util.spec_from_file_location("custom_reward", path)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def compute_score(reward_function):
    return reward_function.compute_score


@pytest.fixture
async def close_pipelines(reward_function):
    yield
    await reward_function.close()


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


async def test_a_reference_outside_of_the_data_root_stops_the_run_unless_it_is_allowed(
    compute_score, settings, close_pipelines, tmp_path
) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "0.png").write_bytes(picture())
    for path in ("../0.png", str(tmp_path / "0.png")):
        row = {"index": 7, "split": "train", "reference": {"bytes": None, "path": path}}
        given = {**settings, "data_root": str(tmp_path / "data"), "rollout_log": str(tmp_path / "log")}
        with pytest.raises(ConfigError, match=r"row 7: .*outside of the folder"):
            await compute_score("table", TABLE, "", row, **given)
        assert "outside of the folder" in (tmp_path / "log" / "abort_reason.txt").read_text()
        assert (await compute_score("table", TABLE, "", row, **given, allow_outside_data_root=True))["scored_ok"] == 1


ODD = "no table, but ends of lines: \u2028 \u2029 \x85 \x1c \r\n, half a character: \ud800"


async def test_the_rollout_log_has_one_line_per_call(compute_score, settings, close_pipelines, tmp_path) -> None:
    extra = {"index": 7, "split": "train", "reference": {"bytes": picture(), "path": None}}
    returned = [
        await compute_score("table", reply, "", extra, **settings, rollout_log=str(tmp_path))
        for reply in (TABLE, ODD, TABLE)
    ]
    (rollout_log,) = tmp_path.glob("*.jsonl")
    lines = [json.loads(line) for line in rollout_log.read_text().splitlines()]
    assert [line["score"] for line in lines] == [numbers["score"] for numbers in returned]
    assert [line["reply"] for line in lines] == [TABLE, ODD, TABLE]
    assert lines[0]["report"]["errors"] is not None and lines[1]["report"] is None
    assert lines[1]["reason"].startswith("NoCodeError")


async def test_a_row_without_reference_is_an_error_that_names_it(compute_score, settings, close_pipelines) -> None:
    with pytest.raises(ConfigError, match=r"row 3: `extra_info\.reference`"):
        await compute_score("table", TABLE, "", {"index": 3}, **settings)


async def test_a_failure_that_stops_the_run_leaves_its_reason(compute_score, settings, close_pipelines, tmp_path) -> None:
    dead = f"http://127.0.0.1:{free_port()}/v1"
    settings["judge"] = {
        "kind": "remote",
        "endpoints": [dead],
        "unavailable_timeout_s": 0.2,
        "failure": {"on_failure": "abort"},
    }
    extra = {"index": 1, "reference": {"bytes": picture(), "path": None}}
    with pytest.raises(JudgeUnavailable):
        await compute_score("table", TABLE, "", extra, **settings, rollout_log=str(tmp_path))
    assert (tmp_path / "abort_reason.txt").read_text().startswith("JudgeUnavailable: ")


async def test_misspelt_settings_are_named(compute_score, settings, close_pipelines) -> None:
    settings["task"]["scoring"]["smax"] = 9
    with pytest.raises(ConfigError, match=r"unknown key `scoring.smax`; did you mean `s_max`\?"):
        await compute_score("table", TABLE, "", {"index": 1}, **settings)


async def test_wrong_settings_stop_the_run_with_their_reason(compute_score, settings, close_pipelines, tmp_path) -> None:
    with pytest.raises(ConfigError):
        await compute_score("table", TABLE, "", {"index": 3}, **settings, rollout_log=str(tmp_path))
    assert (tmp_path / "abort_reason.txt").read_text().startswith("ConfigError: row 3: `extra_info.reference`")


# Several tasks


async def test_the_task_of_a_row_is_picked_by_its_data_source_and_all_results_have_the_same_keys(
    compute_score, close_pipelines
) -> None:
    table = load_task("table").model_dump()
    notes = {**table, "scoring": {"mode": "raw", "raw_minimum": -7}}
    notes["report"] = {**table["report"], "categories": ["note_error", "text_error"]}
    task = {"name": "both", "tasks": {"table": table, "notes": notes}}
    extra = {"index": 1, "reference": {"bytes": picture(), "path": None}}
    for first, second in [("table", "notes"), ("notes", "table")]:
        results = {source: await compute_score(source, "nothing", "", extra, task=task) for source in (first, second)}
        assert (results["table"]["score"], results["notes"]["score"]) == (0, -7)
        assert list(results["table"]) == list(results["notes"])
        counts = [key for key in results["table"] if key.endswith("_count")]
        assert counts == ["layout_error_count", "text_error_count", "numeric_error_count", "note_error_count"]


async def test_the_shipped_mixture_has_the_counts_of_all_its_tasks(compute_score, close_pipelines) -> None:
    extra = {"index": 1, "reference": {"bytes": picture(), "path": None}}
    expected = {f"{category}_count" for task in load_tasks("mixed").values() for category in task.report.categories}
    results = [await compute_score(source, "nothing", "", extra, task="mixed") for source in ("svg", "table", "chart")]
    assert all(list(result) == list(results[0]) for result in results)
    assert {key for key in results[0] if key.endswith("_count")} == expected
    assert [result["score"] for result in results] == [0, 0, 0]


async def test_the_tasks_of_a_run_share_their_judge(compute_score, close_pipelines, monkeypatch) -> None:
    made = []
    make = pipeline.make_judge
    monkeypatch.setattr(pipeline, "make_judge", lambda settings: made.append(make(settings)) or made[-1])
    extra = {"index": 1, "reference": {"bytes": picture(), "path": None}}
    for source in ("table", "chart", "svg"):
        await compute_score(source, "nothing", "", extra, task="mixed")
    assert len(made) == 1


async def test_a_data_source_of_no_task_stops_the_run_and_is_named(compute_score, close_pipelines, tmp_path) -> None:
    extra = {"index": 4, "reference": {"bytes": picture(), "path": None}}
    message = r"row 4: `data_source` is 'tables', none of the run's tasks: table, chart, svg"
    with pytest.raises(ConfigError, match=message):
        await compute_score("tables", TABLE, "", extra, task="mixed", rollout_log=str(tmp_path))
    assert "none of the run's tasks" in (tmp_path / "abort_reason.txt").read_text()


async def test_a_single_task_takes_rows_of_any_data_source(compute_score, settings, close_pipelines) -> None:
    extra = {"index": 4, "reference": {"bytes": picture(), "path": None}}
    assert (await compute_score("my-scans", "nothing", "", extra, **settings))["score"] == 0


# What drew the reference


async def test_a_reference_that_another_renderer_made_stops_the_run_and_both_are_named(
    compute_score, settings, close_pipelines, tmp_path
) -> None:
    here = make_renderer(load_task("table").render).renderer_version
    extra = {"index": 5, "reference": {"bytes": picture(), "path": None}, "renderer_version": "chromium 1.2.3"}
    with pytest.raises(ConfigError) as caught:
        await compute_score("table", TABLE, "", extra, **settings, rollout_log=str(tmp_path))
    for part in ("row 5", "`chromium 1.2.3`", f"`{here}`", "data_prep/", " task.render.allow_renderer_mismatch=true"):
        assert part in str(caught.value)
    assert "chromium 1.2.3" in (tmp_path / "abort_reason.txt").read_text()
    with pytest.raises(ConfigError, match=r"task\.tasks\.table\.render\.allow_renderer_mismatch=true"):
        await compute_score("table", TABLE, "", extra, task="mixed")


@pytest.mark.parametrize("case", ["same", "empty", "none", "allowed"])
async def test_a_reference_of_the_same_or_an_unknown_renderer_or_an_allowed_one_is_taken(
    compute_score, settings, close_pipelines, case
) -> None:
    renderer_version = {
        "same": make_renderer(load_task("table").render).renderer_version,
        "empty": "",
        "none": None,
        "allowed": "other 1",
    }[case]
    settings["task"]["render"]["allow_renderer_mismatch"] = case == "allowed"
    extra = {"index": 5, "reference": {"bytes": picture(), "path": None}, "renderer_version": renderer_version}
    assert (await compute_score("table", "nothing", "", extra, **settings))["score"] == 0


# Keys


async def test_the_servers_key_is_in_no_log_no_rollout_log_no_result_and_no_page(
    compute_score, settings, close_pipelines, tmp_path, monkeypatch, caplog
) -> None:
    """Every server answers with what it was sent, as careless ones do."""
    key = "sk-planted-0123456789abcdef"
    monkeypatch.setenv("VISUAL_ERM_API_KEY", key)
    caplog.set_level(logging.DEBUG)
    report = {"layout_error_count": 0, "text_error_count": 1, "numeric_error_count": 0}
    report["errors"] = [{"type": "text_error", "description": f"Authorization: Bearer {key}", "severity": 1}]
    metrics = free_port()
    extra = {"index": 1, "split": "train", "reference": {"bytes": picture(), "path": None}}
    said = []
    async with (
        OpenAIServer(completion(json.dumps(report))) as good,
        OpenAIServer(status(500, f"headers: Bearer {key}")) as broken,
        OpenAIServer(status(401, f"unknown key {key}")) as refusing,
    ):
        for server, port in ((good, metrics), (broken, None), (refusing, None)):
            settings["judge"] = {
                "kind": "remote",
                "endpoints": [server.url],
                "unavailable_timeout_s": 0.3,
                "metrics_port": port,
            }
            settings["judge"]["failure"] = {"window": 8, "max_failure_share": 1}
            said.append(await compute_score("table", TABLE, "", extra, **settings, rollout_log=str(tmp_path)))
        with urllib.request.urlopen(f"http://127.0.0.1:{metrics}/metrics") as page:
            metrics_page = page.read().decode()
    assert [numbers["scored_ok"] for numbers in said] == [1, 0, 0]
    assert good.headers[0]["Authorization"] == f"Bearer {key}"
    written = [file.read_text() for file in tmp_path.rglob("*") if file.is_file()]
    assert len(written) == 2 and "visual_erm_judge_calls_total 1.0" in metrics_page
    assert not [text for text in (*written, metrics_page, caplog.text, repr(said)) if key in text]


async def test_what_the_judge_has_done_is_in_the_workers_own_log(
    compute_score, settings, close_pipelines, tmp_path
) -> None:
    report = {"layout_error_count": 0, "text_error_count": 0, "numeric_error_count": 0, "errors": []}
    extra = {"index": 1, "split": "train", "reference": {"bytes": picture(), "path": None}}
    async with OpenAIServer(completion(json.dumps(report))) as server:
        settings["judge"] = {"kind": "remote", "endpoints": [server.url]}
        numbers = await compute_score("table", TABLE, "", extra, **settings, rollout_log=str(tmp_path))
        again = await compute_score("table", TABLE, "", extra, **settings, rollout_log=str(tmp_path))
    assert (numbers["judge_calls"], numbers["judge_cached"]) == (1, 0)
    assert (again["judge_calls"], again["judge_cached"]) == (0, 1)
    (log,) = (tmp_path / "judge").glob("*.jsonl")
    (line,) = [json.loads(line) for line in log.read_text().splitlines()]
    assert line["endpoint_share"] == {server.url: 1.0} and line["judgements"] == 1


# What nobody expected


def broken(*_: object, **__: object) -> None:
    raise ValueError("Input array has wrong shape")


async def test_a_stage_that_fails_unexpectedly_stops_the_run_in_the_end_and_is_named(
    compute_score, settings, close_pipelines, tmp_path, monkeypatch
) -> None:
    monkeypatch.setattr(pipeline, "extract", broken)
    settings["judge"] |= {"failure": {"window": 4, "max_failure_share": 0.5}}
    extra = {"index": 1, "reference": {"bytes": picture(), "path": None}}
    for _ in range(2):
        numbers = await compute_score("table", TABLE, "", extra, **settings, rollout_log=str(tmp_path))
        assert (numbers["scored_ok"], numbers["render_ok"], numbers["outcome_stage_failed"]) == (0, 0, 1)
    with pytest.raises(TooManyFailures, match="3 of them because of the stage `extract`"):
        await compute_score("table", TABLE, "", extra, **settings, rollout_log=str(tmp_path))
    reason = (tmp_path / "abort_reason.txt").read_text()
    assert "stage `extract`" in reason and "ValueError: Input array has wrong shape" in reason


async def test_an_unexpected_exception_outside_of_the_stages_stops_the_run_with_its_reason(
    compute_score, settings, close_pipelines, tmp_path, monkeypatch
) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError("nobody expects this")

    monkeypatch.setattr("visual_erm.adapter.visual.reference_of", broken)
    extra = {"index": 1, "reference": {"bytes": picture(), "path": None}}
    with pytest.raises(StageFailed):
        await compute_score("table", TABLE, "", extra, **settings, rollout_log=str(tmp_path))
    assert (tmp_path / "abort_reason.txt").read_text().startswith("StageFailed: reward function: ZeroDivisionError")


async def test_a_closed_reward_function_starts_again(compute_score, settings, reward_function) -> None:
    extra = {"index": 1, "reference": {"bytes": picture(), "path": None}}
    for _ in range(2):
        assert (await compute_score("table", "nothing", "", extra, **settings))["outcome_no_code"] == 1
        await reward_function.close()
