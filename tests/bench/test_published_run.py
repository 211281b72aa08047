"""`bench run --published` asks as the published evaluation does; hosted servers that refuse what only vLLM takes."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from openai_server import OpenAIServer, completion, status, until
from PIL import Image
from remote_judge import WIRE, dead_url

from visual_erm.bench.match import match
from visual_erm.bench.published import read_reply
from visual_erm.bench.rows import Row, read_rows
from visual_erm.bench.run import run
from visual_erm.errors import ConfigError, JudgeUnavailable
from visual_erm.spec.judge import JudgeSettings
from visual_erm.spec.prompts import Found, evaluation_prompt, save_imported

pytestmark = pytest.mark.long

ROOT = Path(__file__).parents[2]
CATEGORIES = ("table", "chart", "svg")
PROMPTS = {category: f"What is wrong with this {category}?  \n" for category in CATEGORIES}
REPORT = {"errors": [{"category": "text_error", "severity": "2", "note": "as it was written"}]}


@pytest.fixture
def imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The prompts of the published evaluation, in a configuration of their own."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    save_imported({evaluation_prompt(name): Found(text, Path("api_judge.py"), 1) for name, text in PROMPTS.items()})


@pytest.fixture
def rows(tmp_path: Path) -> list[Row]:
    """Six pairs, one of each category twice; their images are larger than training would send them."""
    contents = []
    for number in range(6):
        for side, color in (("a", "white"), ("b", "navy")):
            Image.new("RGB", (1300, 20 + number), color).save(tmp_path / f"{number}{side}.png")
        paths = {"gt_img_path": f"{number}a.png", "pred_img_path": f"{number}b.png"}
        contents.append({"id": number, "category": CATEGORIES[number % 3], "human_errors": [], **paths})
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(one) + "\n" for one in contents))
    return read_rows(tmp_path / "rows.jsonl")[0]


def settings(url: str, **more: Any) -> JudgeSettings:
    return JudgeSettings(kind="remote", endpoints=(url,), **{"unavailable_timeout_s": 1, "retries": 0, **more})


def command(folder: Path, *words: object) -> tuple[list[str], dict[str, Any]]:
    """`bench run` of a file of rows, as a process."""
    line = [sys.executable, "-m", "visual_erm.cli", "bench", "run", str(folder / "rows.jsonl"), *map(str, words)]
    return line, {"cwd": folder, "env": {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "400"}}


async def bench_run(folder: Path, *words: object) -> subprocess.CompletedProcess[str]:
    line, options = command(folder, *words)
    return await asyncio.to_thread(subprocess.run, line, capture_output=True, text=True, timeout=100, **options)


@pytest.mark.usefixtures("imported")
async def test_the_request_is_the_published_one_to_the_letter(rows: list[Row], tmp_path: Path) -> None:
    async with OpenAIServer(completion(json.dumps(REPORT))) as server:
        done = await asyncio.to_thread(
            run, rows, tmp_path, settings(server.url, max_in_flight=1), tmp_path / "list.json", name="it", published=True
        )
    assert (done.done, done.failed) == (6, [])
    files = {name: base64.b64encode((tmp_path / name).read_bytes()).decode() for name in ("1a.png", "1b.png")}
    images = [
        {"type": "image_url", "image_url": {"url": f"data:image/jpeg;base64,{one}", "detail": "high"}}
        for one in files.values()
    ]
    assert server.bodies[1] == {
        "model": "visual-erm",
        "messages": [
            {"role": "system", "content": "You are a helpful assistant."},
            {"role": "user", "content": [{"type": "text", "text": f"<image>\n<image>\n{PROMPTS['chart']}"}, *images]},
        ],
        "max_tokens": 8192,
    }


@pytest.mark.usefixtures("imported")
async def test_the_output_is_one_list_with_the_judges_own_words_that_match_reads(rows: list[Row], tmp_path: Path) -> None:
    (tmp_path / "4b.png").unlink()
    answers = [completion(json.dumps(REPORT)), completion("I see no table."), status(400, "no images, please")]
    async with OpenAIServer(*answers, completion(json.dumps(REPORT))) as server:
        done = await asyncio.to_thread(
            run, rows, tmp_path, settings(server.url, max_in_flight=1), tmp_path / "list.json", name="it", published=True
        )
    assert (done.done, len(done.failed)) == (4, 2)
    found = json.loads((tmp_path / "list.json").read_text())
    assert [item["id"] for item in found] == list(range(6))
    assert [item["pred_json"] for item in found] == [REPORT, None, None, REPORT, None, REPORT]
    reasons = [item["error_parse_failed_reason"] for item in found]
    assert [reasons[place] for place in (0, 3, 5)] == [None] * 3
    assert "the reply is not JSON" in reasons[1] and "I see no table." in reasons[1]
    assert "no images, please" in reasons[2]
    assert "no file" in reasons[4]
    assert [item["attempts"] for item in found if "attempts" in item] == [1] * 4, "no reply is asked for again"
    matched = await asyncio.to_thread(match, read_rows(tmp_path / "list.json")[0], tmp_path / "m.jsonl")
    assert (matched.done, len(matched.failed)) == (4, 2)


@pytest.mark.usefixtures("imported")
@pytest.mark.long
async def test_a_run_that_is_killed_goes_on_and_its_list_is_that_of_a_calm_one(rows: list[Row], tmp_path: Path) -> None:
    async def answer(server: OpenAIServer, body: dict[str, Any]) -> web.StreamResponse:
        await asyncio.sleep(0.05)
        return await completion(json.dumps({"errors": [], "said": body["messages"][1]["content"][0]["text"]}))(server, body)

    async with OpenAIServer(answer) as server:
        (tmp_path / "judge.yaml").write_text(
            f"kind: remote\nmodel: gpt\nendpoints: ['{server.url}']\nmax_in_flight: 1\nstructured: false\n"
        )
        words = ["--published", "--judge", "judge.yaml"]
        assert (await bench_run(tmp_path, *words, "--out", "calm.json")).returncode == 0
        line, options = command(tmp_path, *words, "--out", "killed.json")
        for kill in range(3):
            seen = len(server.bodies)
            process = subprocess.Popen(line, start_new_session=True, **options)
            await until(lambda seen=seen: len(server.bodies) > seen + 1)
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            assert not (tmp_path / "killed.json").exists(), kill
        done = await bench_run(tmp_path, *words, "--out", "killed.json")
    assert done.returncode == 0, done.stderr
    calm, killed = (json.loads((tmp_path / name).read_text()) for name in ("calm.json", "killed.json"))
    assert [item.pop("seconds") for item in (*calm, *killed)]
    assert killed == calm
    assert {item["judge"] for item in calm} == {"gpt (judge) (as published)"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"errors": []}', {"errors": []}),
        ('```json\n{"errors": [1]}\n```', {"errors": [1]}),
        ('Here it is: {"errors": []} That is all.', {"errors": []}),
        ('```\nthe report {"a": {"b": 1}}\n``` done', {"a": {"b": 1}}),
        ("I see no error.", None),
        ("", None),
        ("[1, 2]", None),
        ("12", None),
        ('{"errors": [', None),
        ('{"a":' * 100_000 + "1" + "}" * 100_000, None),
    ],
)
def test_a_reply_is_read_as_published(text: str, expected: object) -> None:
    found, why = read_reply(text)
    assert found == expected
    assert bool(why) == (expected is None)


async def test_without_imported_prompts_the_command_is_named(
    rows: list[Row], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    with pytest.raises(ConfigError, match="visual-erm prompts import CHECKOUT"):
        await asyncio.to_thread(run, rows, tmp_path, settings("http://127.0.0.1:9/v1"), tmp_path / "l.json", published=True)


@pytest.mark.usefixtures("imported")
@pytest.mark.parametrize("content", ["[]", "mine", '[{"id": 1}]'])
async def test_a_list_of_something_else_stays_as_it_is(rows: list[Row], tmp_path: Path, content: str) -> None:
    (tmp_path / "list.json").write_text(content)
    with pytest.raises(ConfigError, match="choose another file"):
        await asyncio.to_thread(
            run, rows, tmp_path, settings("http://127.0.0.1:9/v1"), tmp_path / "list.json", published=True
        )
    assert (tmp_path / "list.json").read_text() == content


@pytest.mark.usefixtures("imported")
@pytest.mark.parametrize("words", [["--judge", "local"], ["--judge", "http://127.0.0.1:9/v1", "--task", "table"]])
async def test_what_published_does_not_go_with_is_told(rows: list[Row], tmp_path: Path, words: list[str]) -> None:
    done = await bench_run(tmp_path, *words, "--published", "--out", "l.json")
    assert done.returncode == 2
    assert "--published asks servers with prompts of its own" in done.stderr


# Hosted servers


async def picky(server: OpenAIServer, body: dict[str, Any]) -> web.StreamResponse:
    """Refuses a schema and every field that is no part of the protocol."""
    known = {"model", "messages", "temperature", "top_p", "max_tokens", "presence_penalty", "frequency_penalty", "n"}
    if others := sorted(set(body) - known):
        return await status(400, f"unknown fields: {', '.join(others)}")(server, body)
    assert server.headers[-1]["Authorization"] == "Bearer secret-key"
    assert body["model"] == "hosted-1"
    return await completion(WIRE if body["messages"][-1]["content"][-1]["type"] == "text" else json.dumps(REPORT))(
        server, body
    )


@pytest.mark.usefixtures("imported")
@pytest.mark.parametrize("way", ["as trained", "as published"])
async def test_a_hosted_server_without_health_schema_and_fields_of_vllm_judges(
    rows: list[Row], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    """It has no page but that of chat completions, so /health and /models answer 404."""
    monkeypatch.setenv("HOSTED_KEY", "secret-key")
    published = way == "as published"
    async with OpenAIServer(picky) as server:
        hosted = settings(server.url, model="hosted-1", api_key_env="HOSTED_KEY", structured=False, vllm_fields=False)
        done = await asyncio.to_thread(run, rows, tmp_path, hosted, tmp_path / "out", published=published)
    assert (done.done, done.failed) == (6, [])
    answers, _ = read_rows(tmp_path / "out")
    assert len(answers) == 6
    assert all(row.is_answered for row in answers)


@pytest.mark.parametrize("changes", [{}, {"structured": False}, {"vllm_fields": False}])
async def test_a_hosted_server_that_refuses_a_field_is_told_with_both_switches(
    rows: list[Row], tmp_path: Path, changes: dict[str, bool]
) -> None:
    async with OpenAIServer(picky) as server:
        with pytest.raises(JudgeUnavailable, match="unknown fields: ") as refused:
            await asyncio.to_thread(run, rows[:1], tmp_path, settings(server.url, **changes), tmp_path / "out")
    assert "`structured: false`" in str(refused.value) and "`vllm_fields: false`" in str(refused.value)


# Servers that are gone


@pytest.mark.parametrize("count", [1, 6, 40])
async def test_a_server_that_never_answered_ends_the_run_with_one_sentence(
    rows: list[Row], tmp_path: Path, count: int
) -> None:
    many = [{**rows[number % 6].content, "id": number} for number in range(count)]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(one) + "\n" for one in many))
    (tmp_path / "judge.yaml").write_text(
        f"kind: remote\nendpoints: ['{dead_url()}']\nunavailable_timeout_s: 1\nmax_in_flight: 4\n"
    )
    begun = time.monotonic()
    done = await bench_run(tmp_path, "--judge", "judge.yaml", "--out", "a.jsonl")
    assert done.returncode == 1
    said = [line for line in done.stderr.splitlines() if line.strip() and "set aside" not in line]
    assert len(said) == 1, done.stderr
    assert said[0].startswith("JudgeUnavailable: no judge")
    assert said[0].endswith("nothing was done, and the same command goes on")
    assert (tmp_path / "a.jsonl").read_bytes() == b"", "no row has to be retried by hand"
    assert time.monotonic() - begun < 60


async def test_servers_that_go_end_the_run_and_what_was_answered_is_kept(rows: list[Row], tmp_path: Path) -> None:
    many = [Row(f"rows:{number}", {**rows[number % 6].content, "id": number}) for number in range(40)]
    gone = status(401, "the key has expired")
    async with OpenAIServer(*[completion(WIRE)] * 5, gone) as server:
        judge = settings(server.url, max_in_flight=2, reuse={"identical": False, "shared": False, "cache": False})
        with pytest.raises(JudgeUnavailable, match=r"the key has expired.*; 5 results are kept"):
            await asyncio.to_thread(run, many, tmp_path, judge, tmp_path / "a.jsonl")
        assert 13 <= len(server.bodies) <= 16
        assert len(read_rows(tmp_path / "a.jsonl")[0]) == 5
        server.script = [completion(WIRE)]
        done = await asyncio.to_thread(run, many, tmp_path, judge, tmp_path / "a.jsonl")
    assert (done.done, done.kept, done.failed) == (35, 5, [])


@pytest.mark.parametrize("refused", [{1}, {0, 1, 2}, {3, 5}])
async def test_a_row_that_alone_is_refused_is_told_and_the_rest_goes_on(
    rows: list[Row], tmp_path: Path, refused: set[int]
) -> None:
    asked = iter(range(6))

    async def answer(server: OpenAIServer, body: dict[str, Any]) -> web.StreamResponse:
        return await (status(400, "too long") if next(asked) in refused else completion(WIRE))(server, body)

    async with OpenAIServer(answer) as server:
        done = await asyncio.to_thread(run, rows, tmp_path, settings(server.url, max_in_flight=1), tmp_path / "a.jsonl")
    assert (done.done, len(done.failed)) == (6 - len(refused), len(refused))
    found, problems = read_rows(tmp_path / "a.jsonl")
    assert (len(found), problems) == (6, [])
    assert {int(row.id) for row in found if row.failed} == refused


@pytest.mark.parametrize("human_errors", [None, "none", {"type": "text_error"}])
async def test_a_row_without_human_errors_is_told_by_line_and_the_rest_goes_on(
    rows: list[Row], tmp_path: Path, human_errors: object
) -> None:
    lines = [rows[0].content, {**rows[1].content, "human_errors": human_errors}, rows[2].content]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(one) + "\n" for one in lines))
    async with OpenAIServer(completion(WIRE)) as server:
        done = await bench_run(tmp_path, "--judge", server.url, "--out", "a.jsonl")
    assert done.returncode == 1
    assert "2 answered, 0 kept, 0 failed" in done.stderr
    assert "rows.jsonl:2: `human_errors` must be a list" in done.stderr
