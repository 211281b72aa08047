"""The remote judge against real vLLM behind `visual-erm serve`: a tiny Qwen3-VL with random weights, served twice.

What a run on GPUs does, with everything tiny: judgements, GRPO over two nodes rewarded by them, a node that is lost, a
server that is killed and comes back. The last test ends both servers.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
import torch
import yaml
from marked import marked
from openai.types.chat import ChatCompletion
from PIL import Image, ImageDraw
from safetensors.torch import load_file
from vllm_server import Served, served, vllm

from visual_erm.bench.match import match
from visual_erm.bench.rows import Row, read_rows
from visual_erm.bench.run import run
from visual_erm.bench.scores import score
from visual_erm.errors import ConfigError, JudgeUnavailable, JudgeUnreadable
from visual_erm.extract import Code
from visual_erm.judge.endpoint import connect
from visual_erm.judge.remote import RemoteJudge
from visual_erm.judge.usage import JudgeUsage
from visual_erm.policy.client import PolicyClient, message
from visual_erm.refine.inputs import open_inputs
from visual_erm.refine.loop import Ended, RefineSettings, refine_code
from visual_erm.refine.run import run as refine
from visual_erm.render.base import make_renderer
from visual_erm.reward.report import Report
from visual_erm.spec.judge import JudgeSettings
from visual_erm.spec.policy import PolicySettings
from visual_erm.spec.task import Task, load_task, load_tasks
from visual_erm.testing.tiny_qwen3vl import build_tiny_qwen3vl

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(1200), pytest.mark.skipif(not vllm(), reason="vLLM is not installed")]

GROUPS, ROLLOUTS, CONCURRENCY = 8, 8, 32
JUDGEMENTS, KILLED_AFTER = 500, 100
KEY = "a-key-for-this-test"


@pytest.fixture(scope="module")
def mark() -> str:
    """Name of an environment variable by which the servers' processes are found."""
    return f"VISUAL_ERM_TEST_{uuid.uuid4().hex}"


@pytest.fixture(scope="module")
def servers(tmp_path_factory, mark) -> Iterator[Served]:
    model = tmp_path_factory.mktemp("tiny-judge")
    build_tiny_qwen3vl(model, preset="judge")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VISUAL_ERM_API_KEY", KEY)
        with served(model, count=2, **{mark: "1"}) as running:
            yield running


@pytest.fixture
def vllm_server(servers) -> str:
    return servers.urls[0]


def task(max_tokens: int = 700, max_text: int = 24) -> Task:
    """The table task, within what the tiny model's context holds."""
    plain = load_task("table").model_dump()
    plain["judge"]["image"]["longest_side"] = 256
    plain["judge"]["sampling"] = {"temperature": 1.0, "max_tokens": max_tokens, "top_k": 200, "repetition_penalty": 1.05}
    plain["report"] |= {"max_discrepancies": 3, "max_text": max_text}
    return load_task(plain)


class Recording(RemoteJudge):
    """Keeps what the server wrote."""

    def __init__(self, settings: JudgeSettings) -> None:
        super().__init__(settings)
        self.replies: list[str] = []
        read = self._chat._read

        def keep(completion, endpoint, parse):
            self.replies.append(completion["choices"][0]["message"]["content"])
            return read(completion, endpoint, parse)

        self._chat._read = keep


def settings(url: str, **changes) -> JudgeSettings:
    return JudgeSettings(kind="remote", endpoints=(url,), **{"max_in_flight": CONCURRENCY, "timeout_s": 300, **changes})


def policy_settings(url: str, max_tokens: int) -> PolicySettings:
    sampling = {"temperature": 1.0, "max_tokens": max_tokens}
    return PolicySettings(endpoints=(url,), sampling=sampling, api_key_env="VISUAL_ERM_API_KEY")


@pytest.fixture(scope="module")
def images():
    """One reference and eight predictions per group, drawn by the project's renderer."""

    async def draw():
        renderer = make_renderer(load_task("table").render)
        try:
            head = "<table><tr><th>Year</th><th>Revenue</th></tr>"
            tables = (
                f"{head}<tr><td>{2000 + group}</td><td>{other * 1.5}</td></tr></table>"
                for group in range(GROUPS)
                for other in range(ROLLOUTS + 1)
            )
            return await asyncio.gather(*(renderer.render(Code("html", table)) for table in tables))
        finally:
            await renderer.close()

    drawn = asyncio.run(draw())
    groups = [drawn[start : start + ROLLOUTS + 1] for start in range(0, len(drawn), ROLLOUTS + 1)]
    return [(group[0], prediction) for group in groups for prediction in group[1:]]


async def test_64_judgements_at_concurrency_32_are_all_reports_in_the_tasks_form(vllm_server, images):
    judge, form = Recording(settings(vllm_server)), task()
    reports = await asyncio.gather(*(judge.judge(*pair, form) for pair in images))
    await judge.close()

    assert len(reports) == len(judge.replies) == 64, "each was readable at the first reading"
    assert not any(report.truncated for report in reports)
    for reply in judge.replies:
        wire = json.loads(reply)
        assert list(wire) == ["layout_error_count", "text_error_count", "numeric_error_count", "errors"]
        assert all(0 <= wire[key] <= 3 for key in list(wire)[:3])
        assert len(wire["errors"]) <= 3
        assert all(list(error) == ["type", "description", "severity"] for error in wire["errors"])
    assert any(report.discrepancies for report in reports)
    assert sum(report.severity for report in reports) == sum(
        error["severity"] for reply in judge.replies for error in json.loads(reply)["errors"]
    )


async def test_the_shipped_tasks_schema_is_one_that_the_server_can_hold_replies_to(vllm_server, images):
    plain = load_task("table").model_dump()
    plain["judge"] |= {"image": task().judge.image.model_dump(), "sampling": {"temperature": 1.0, "max_tokens": 64}}
    judge = RemoteJudge(settings(vllm_server))
    request = {"model": "visual-erm", **await judge._request(*images[0], load_task(plain))}
    async with connect(vllm_server, 300, KEY) as client:
        completion = await client.post("/chat/completions", body=request, cast_to=ChatCompletion)
    await judge.close()
    assert completion.choices[0].message.content.startswith('{"layout_error_count": ')


async def test_a_reply_cut_off_by_the_token_limit_is_marked_and_keeps_what_it_says(vllm_server, images):
    judge, form = RemoteJudge(settings(vllm_server)), task(max_tokens=100, max_text=400)
    outcomes = await asyncio.gather(*(judge.judge(*pair, form) for pair in images[:24]), return_exceptions=True)
    await judge.close()
    reports = [outcome for outcome in outcomes if not isinstance(outcome, JudgeUnreadable)]
    cut_off = [report for report in reports if report.truncated]
    assert cut_off
    assert all(report.discrepancies for report in cut_off)


async def test_without_the_schema_a_model_that_writes_rubbish_is_unreadable(vllm_server, images):
    judge = RemoteJudge(settings(vllm_server, structured=False))
    with pytest.raises(JudgeUnreadable):
        await judge.judge(*images[0], task(max_tokens=32))
    await judge.close()


@pytest.mark.parametrize("size", [(1, 1), (3600, 3), (2, 6000)])
async def test_a_image_however_thin_or_tiny_is_judged(vllm_server, images, size):
    judge, odd = RemoteJudge(settings(vllm_server)), Image.new("RGB", size, "grey")
    await judge.judge(images[0][0], odd, task())
    await judge.judge(odd, odd, task())
    await judge.close()


async def test_servers_judge_and_match_a_benchmark(vllm_server, images, tmp_path):
    """The tiny model writes reports and matches in the right form; what they say is chance."""
    rows = []
    for number, (reference, prediction) in enumerate(images[:6]):
        paths = {"gt_img_path": f"{number}r.png", "pred_img_path": f"{number}p.png"}
        for path, image in zip(paths.values(), (reference, prediction), strict=True):
            image.save(tmp_path / path)
        errors = [{"type": "numeric_error", "severity": 3, "description": "the revenue is another number"}]
        rows.append(Row(f"rows:{number}", {"id": number, "category": "table", "human_errors": errors, **paths}))
    judge = settings(vllm_server)
    answered = await asyncio.to_thread(run, rows, tmp_path, judge, tmp_path / "answers.jsonl", tasks=[task()], name="tiny")
    assert answered.failed == []
    answers, _ = read_rows(tmp_path / "answers.jsonl")
    assert all(row.content["prompt_tokens"] > 0 and row.content["attempts"] >= 1 for row in answers)
    matched = await asyncio.to_thread(match, answers, tmp_path / "matches.jsonl", judge)
    assert matched.failed == []
    scores = score(read_rows(tmp_path / "matches.jsonl")[0])
    assert scores.groups["table"].figures.items == 6
    assert scores.matchers == {"visual-erm": 6}


def test_one_server_judges_and_one_matches_and_kills_change_nothing(servers, tmp_path):
    """By its commands, over nine pairs: at temperature 0 the tiny model says the same again."""
    words = []
    for name, url in zip(("judge", "matcher"), servers.urls, strict=True):
        (tmp_path / f"{name}.yaml").write_text(f"kind: remote\nendpoints: ['{url}']\nmax_in_flight: 1\n")
        words += [f"--{name}", str(tmp_path / f"{name}.yaml")]
    for name in ("table", "chart", "svg"):
        plain = load_task(name).model_dump(mode="json")
        plain["judge"]["image"]["longest_side"] = 128
        plain["judge"]["sampling"] = {"temperature": 0, "max_tokens": 400}
        plain["report"] |= {"max_discrepancies": 1, "max_text": 8}
        (tmp_path / f"{name}.yaml").write_text(yaml.safe_dump(plain))
        words += ["--task", str(tmp_path / f"{name}.yaml")]
    script = Path(__file__).parents[2] / "benchmarks" / "bench_kills.py"
    few = ["--pairs", "9", "--kills", "4", "--json", str(tmp_path / "figures.json")]
    done = subprocess.run([sys.executable, str(script), *few, *words], capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stdout + done.stderr
    figures = json.loads((tmp_path / "figures.json").read_text())
    assert (figures["kills"], figures["differing"], figures["score"]["items"]) == ([0, 4], [], 9)


@pytest.mark.parametrize("history", ["fresh", "conversation"])
async def test_a_policy_of_vllm_drafts_and_revises_to_the_end(vllm_server, images, tmp_path, history):
    """The tiny model is never taught to write a table; the loop asks again and again, and keeps what it writes."""
    for number in range(3):
        images[number * ROLLOUTS][0].save(tmp_path / f"{number}.png")
    policy = policy_settings(vllm_server, max_tokens=48)
    inputs = open_inputs(tmp_path, load_tasks("table"), "<image>\nWrite the HTML of this table.", None)
    steps = RefineSettings(rounds=2, patience=9, history=history)
    judge, to = settings(vllm_server), tmp_path / "out"
    done = await asyncio.to_thread(refine, inputs, policy, judge, to, steps, policy_name="tiny", judge_name="tiny")
    assert (done.done, done.failed) == (3, [])
    for line in lines(to, "results.jsonl"):
        assert (len(line["rounds"]), line["ended"]) == (3, "rounds")
        assert all(one["reply"] and 0 < one["reply_tokens"] <= 48 for one in line["rounds"])
        tokens = [one["prompt_tokens"] for one in line["rounds"]]
        assert tokens[0] < tokens[1]
        assert history == "fresh" or tokens[1] < tokens[2]


async def test_a_revision_beyond_the_policys_context_ends_with_the_draft(vllm_server, images):
    async with PolicyClient(policy_settings(vllm_server, max_tokens=16)) as policy:
        tokens = (await policy.write([message("user", "cell " * 3900)])).prompt_tokens
    # So that the draft fits, and what follows it does not.
    asked = "<image>" + "cell " * int(3900 * 3900 / tokens)
    found = await refine_code("table", images[0][0], policy_settings(vllm_server, max_tokens=64), prompt=asked)
    assert (len(found.rounds), found.ended) == (1, Ended.CONTEXT)


async def test_a_wrong_model_name_and_a_wrong_path_are_told_with_the_fix(vllm_server, images):
    judge = RemoteJudge(settings(vllm_server, model="visual-emr"))
    with pytest.raises(ConfigError, match=r"serves visual-erm, not `visual-emr`"):
        await judge.judge(*images[0], task())
    await judge.close()
    judge = RemoteJudge(settings(vllm_server.removesuffix("/v1")))
    with pytest.raises(JudgeUnavailable, match=r"404.*ends in /v1.*/models"):
        await judge.judge(*images[0], task())
    await judge.close()


async def test_a_prompt_beyond_the_servers_context_is_told_in_its_own_words(vllm_server, images):
    judge = RemoteJudge(settings(vllm_server))
    with pytest.raises(JudgeUnavailable, match=r"400.*4096"):
        await judge.judge(*images[0], task(max_tokens=8192))
    await judge.close()


STEPS, REPLIES = 3, 32
TESTED = 2
"""Rows of data.val_files."""


def test_a_task_of_ones_own_is_trained_over_two_nodes_goes_on_when_one_is_lost_and_stops_when_the_servers_are(
    servers, launch, tiny_model, tmp_path
):
    """The task is the one that docs/new_task.md shows, a file outside of the project; the judge's words are its words."""
    (tmp_path / "html_form.yaml").write_text(documented("new_task.md"))
    endpoints = tmp_path / "endpoints.txt"
    endpoints.write_text(servers.endpoints.read_text())
    recipe = (
        f"task={tmp_path / 'html_form.yaml'}",
        *("judge=remote", f"judge.endpoints_file={endpoints}", "judge.timeout_s=300"),
        # Within what the tiny judge's context holds.
        *("task.judge.image.longest_side=256", "task.judge.sampling.max_tokens=700", "task.judge.sampling.temperature=1"),
        *("task.report.max_discrepancies=3", "task.report.max_text=24", "task.scoring.s_max=50"),
        # A model judge that was never taught says little that is so: here its reports count as they are.
        *(f"+task.guard.{guard}.enabled=false" for guard in ("under_reporting", "omission", "injection")),
        *("judge.failure.on_failure=abort", "judge.unavailable_timeout_s=2"),
        # The policy is untrained: of many replies some hold a table and reach the judge.
        "actor_rollout_ref.rollout.n=8",
        *(f"trainer.total_training_steps={STEPS + 3}", "trainer.save_freq=1", "trainer.resume_mode=auto"),
        "actor_rollout_ref.actor.checkpoint.save_contents=[model,optimizer,extra,hf_model]",
        # The reference policy with its KL term, and a test of the policy, which the tiny recipe does without, run here too.
        *("actor_rollout_ref.actor.use_kl_loss=true", f"trainer.test_freq={STEPS}"),
    )
    lost = launch(*recipe, when=in_the_second_step, then=kill)
    assert lost.exit_codes == [3, -9], lost.logs[0][-3000:]
    assert "(rank 1); the same command goes on from the last checkpoint" in lost.logs[0].splitlines()[-1]
    assert [line["step"] for line in lines(lost.run_dir, "metrics.jsonl")] == [1]

    run = launch(
        *recipe,
        when=lambda run_dir: len(lines(run_dir, "metrics.jsonl")) == STEPS,
        # Nobody listens there: the judge reads the file again and has no server left.
        then=lambda _: endpoints.write_text("http://127.0.0.1:9/v1\n"),
    )
    assert run.exit_codes == [1, 1], run.logs[0][-3000:]
    assert run.logs[0].rstrip().splitlines()[-1].startswith("visual_erm.train: JudgeUnavailable"), run.logs[0][-3000:]
    assert set(run.left) <= set(lost.left), "only what the lost node could not remove"
    assert not [left for left in lost.left if not left.startswith("/tmp/")], "all processes had ended"

    rollout_log = run.run_dir / "rollout_log"
    assert len(list(rollout_log.glob("*.jsonl"))) >= 2, "reward workers on both nodes"
    assert lines(rollout_log / "superseded", "*.jsonl"), "what the killed run had scored of its second step"
    steps = lines(run.run_dir, "metrics.jsonl")
    # One more may have been under way when the servers went.
    assert [line["step"] for line in steps] in ([*range(1, STEPS + 1)], [*range(1, STEPS + 2)])
    calls = [call for call in lines(rollout_log, "*.jsonl") if call["policy_updates"] < len(steps)]
    assert len({frozenset(call) for call in calls}) == 1
    assert all(call["scored_ok"] == 1 for call in calls)
    drawn = [call for call in calls if call["render_ok"] == 1]
    assert len({call["score"] for call in drawn}) > 1
    for call in drawn:
        assert sum(call[f"judge_{way}"] for way in ("calls", "identical", "shared", "cached")) == 1, "asked or saved"
        errors = call["report"]["errors"]
        assert call["severity"] == sum(error["severity"] for error in errors)
        assert call["score"] == pytest.approx(1 + max(0, 1 - call["severity"] / 50))
        assert list(call["report"]) == ["field_error_count", "label_error_count", "value_error_count", "errors"]
    assert all(call["score"] == 0 and call["report"] is None for call in calls if call["render_ok"] == 0)

    for line in steps:
        step = line["data"]
        mine = [call for call in calls if call["policy_updates"] == line["step"] - 1 and not call["validate"]]
        assert len(mine) == REPLIES, "each once"
        mean = sum(call["score"] for call in mine) / REPLIES
        assert step["reward/lost"] == 0
        assert step["reward/score/mean"] == pytest.approx(mean)
        assert step["critic/score/mean"] == pytest.approx(mean, abs=1e-6)
        assert step["reward/render_ok/mean"] == pytest.approx(sum(call["render_ok"] for call in mine) / REPLIES)
        assert "actor/kl_loss" in step
        # Had the rollouts' weights not been the trainer's, the two would disagree about the replies' probabilities.
        assert step["training/rollout_probs_diff_max"] < 2e-5
    assert len([call for call in lines(rollout_log, "*.jsonl") if call["validate"]]) == TESTED
    metrics = steps[STEPS - 1]["data"]
    validation = {name.split("/", 2)[-1]: value for name, value in metrics.items() if name.startswith("val-")}
    assert "score/mean@1" in validation
    assert validation["lost_share/mean@1"] == 0

    saved = [run.run_dir / "checkpoints" / f"global_step_{step}" / "actor" / "huggingface" for step in (1, STEPS)]
    before, between, after = (load_file(folder / "model.safetensors") for folder in (tiny_model, *saved))
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    assert moved
    assert {name for name in before if not torch.equal(between[name], after[name])} == moved
    assert not any("visual." in name for name in moved), "the vision tower is frozen in the tiny recipe"


def lines(folder: Path, pattern: str) -> list[dict]:
    return [json.loads(line) for path in sorted(folder.glob(pattern)) for line in path.read_text().splitlines()]


def in_the_second_step(run_dir: Path) -> bool:
    """Whether the first step is saved and logged, and rollouts of the second have been scored."""
    rollout_log = [text for file in (run_dir / "rollout_log").glob("*.jsonl") for text in file.read_text().splitlines()]
    return bool(lines(run_dir, "metrics.jsonl")) and any('"policy_updates": 1' in text for text in rollout_log)


def kill(processes: list[psutil.Process]) -> None:
    """As a node goes that loses its power: nobody can tidy up."""
    for signalled in (signal.SIGSTOP, signal.SIGKILL):
        for process in processes:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.send_signal(signalled)


def documented(page: str) -> str:
    """The YAML that a page of the documentation shows."""
    text = (Path(__file__).parents[2] / "docs" / page).read_text()
    return text.partition("```yaml\n")[2].partition("```")[0]


def short_task() -> Task:
    """The table task, with replies of few tokens."""
    plain = load_task("table").model_dump()
    plain["judge"]["image"]["longest_side"] = 64
    plain["judge"]["sampling"] = {"temperature": 1.0, "max_tokens": 200, "top_k": 200}
    plain["report"] |= {"max_discrepancies": 1, "max_text": 4}
    return load_task(plain)


def picture(number: int) -> Image.Image:
    image = Image.new("RGB", (64, 32), "white")
    ImageDraw.Draw(image).text((4, 8), str(number), fill="black")
    return image


async def test_500_judgements_survive_the_death_of_one_of_two_servers_which_comes_back(servers, mark):
    running, form = servers, short_task()
    urls = running.urls
    judge = RemoteJudge(JudgeSettings(kind="remote", endpoints_file=str(running.endpoints), max_in_flight=16, timeout_s=60))
    accounts, done = [JudgeUsage() for _ in range(JUDGEMENTS)], 0

    async def one(number: int) -> Report:
        nonlocal done
        report = await judge.judge(picture(number // 8), picture(number), form, accounts[number])
        done += 1
        if done == KILLED_AFTER:
            server_at(urls[0], mark).kill()
        return report

    reports = await asyncio.gather(*map(one, range(JUDGEMENTS)))
    assert len(reports) == JUDGEMENTS
    assert any(report.discrepancies for report in reports)
    assert {account.endpoint for account in accounts} == set(urls)
    assert any(account.retries for account in accounts), "some were under way at the killed server"

    await asyncio.to_thread(running.wait_for, 1, 30)
    await asyncio.to_thread(running.wait_for, 2)
    assert running.urls == urls, "it is back where it was"
    again = [JudgeUsage() for _ in range(64)]
    deadline = asyncio.get_running_loop().time() + 60
    while not any(account.endpoint == urls[0] for account in again):
        assert asyncio.get_running_loop().time() < deadline
        await asyncio.gather(*(judge.judge(picture(n), picture(n + 1), form, again[n]) for n in range(64)))
    await judge.close()

    assert not any(KEY in word for process in marked(mark) for word in process.cmdline())
    assert running.end() == 0, running.output
    assert running.urls == []
    assert [" ".join(process.cmdline()) for process in marked(mark)] == []
    logs = [*running.home.glob("logs/*")]
    assert len(logs) == 2
    assert not any(KEY in log.read_text(errors="replace") for log in (*logs, running.home / "output"))
    left = {path.name for path in running.home.iterdir()}
    assert left <= {"output", "logs", "endpoints.txt", "config"}, "no temporary file"


def server_at(url: str, mark: str) -> psutil.Process:
    """vLLM's API server, which a judge talks to; its engine is another process."""
    port = url.removesuffix("/v1").rpartition(":")[2]
    (found,) = [
        process
        for process in marked(mark)
        if port in process.cmdline()
        and process.parent()
        and "visual_erm.runtime.process_guard" in process.parent().cmdline()
    ]
    return found
