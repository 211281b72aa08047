"""A reward model in the process, on a tiny Qwen3-VL: what it is asked, how it samples, and what it says when it fails."""

from __future__ import annotations

import asyncio
import json
import math
import time
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, ImageDraw
from typer.testing import CliRunner

from visual_erm.bench.judges import make_any_judge
from visual_erm.cli import app
from visual_erm.errors import ConfigError, JudgeUnavailable
from visual_erm.judge.base import make_judge
from visual_erm.judge.remote import request_for
from visual_erm.judge.usage import JudgeUsage
from visual_erm.preflight.doctor import endpoints
from visual_erm.spec.judge import load_judge_settings
from visual_erm.spec.servers import Sampling
from visual_erm.spec.task import Task, load_task
from visual_erm.testing.judge_conformance import check_judge

pytestmark = pytest.mark.long

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from visual_erm.bench.transformers_judge import PresencePenalty, TransformersJudge, generation_options  # noqa: E402
from visual_erm.testing.tiny_qwen3vl import build_tiny_qwen3vl  # noqa: E402

WIRE = json.dumps({"errors": [{"type": "numeric_error", "description": "12 reads 13", "severity": 3}]})


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tiny") / "reward-model"
    build_tiny_qwen3vl(folder, preset="judge")
    return folder


def picture(color: str = "white") -> Image.Image:
    image = Image.new("RGB", (120, 60), "white")
    ImageDraw.Draw(image).rectangle((20, 10, 60, 40), fill=color)
    return image


def task(name: str = "table", **sampling: Any) -> Task:
    plain = load_task(name).model_dump()
    plain["judge"]["image"]["longest_side"] = 96
    plain["judge"]["sampling"] = {"temperature": 0, "max_tokens": 12, **sampling}
    return load_task(plain)


def judge_of(model: Path) -> TransformersJudge:
    return TransformersJudge(load_judge_settings(f"transformers:{model}"))


async def test_the_model_gets_the_prompt_the_images_and_the_sampling_of_training(
    model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    judge, form = judge_of(model), task("table", temperature=0.6, top_k=7, top_p=0.9, repetition_penalty=1.05)
    asked: dict[str, Any] = {}
    sent: list[str] = []

    def generate(self: Any, **options: Any) -> Any:
        asked.update(options)
        reply = judge._loaded[1].tokenizer(WIRE, return_tensors="pt")["input_ids"]
        return torch.cat([options["input_ids"], reply.to(self.device)], 1)

    monkeypatch.setattr("transformers.Qwen3VLForConditionalGeneration.generate", generate)
    real = request_for
    monkeypatch.setattr(
        "visual_erm.bench.transformers_judge.request_for",
        lambda urls, *rest: sent.extend(urls) or real(urls, *rest),
    )
    usage = JudgeUsage()
    report = await judge.judge(picture(), picture("navy"), form, usage)
    processor = judge._loaded[1]
    text = processor.tokenizer.decode(asked["input_ids"][0])
    await judge.close()
    assert report.severity == 3
    vision = text.count("<|vision_start|>")
    head, _, rest = text.partition("<|vision_start|>")
    assert vision == 2
    assert head == "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n<|im_start|>user\n"
    assert rest.endswith(f"<|vision_end|>{form.judge.prompt}<|im_end|>\n<|im_start|>assistant\n")
    assert asked["image_grid_thw"].shape == (2, 3)
    assert len(sent) == 2 and all(one.startswith("data:image/png;base64,") for one in sent)
    names = ("max_new_tokens", "do_sample", "temperature", "top_k", "top_p", "repetition_penalty")
    assert [asked[name] for name in names] == [12, True, 0.6, 7, 0.9, 1.05]
    assert (usage.calls, usage.prompt_tokens) == (1, asked["input_ids"].shape[1])
    assert usage.reply_tokens > 0


async def test_a_judge_of_this_process_keeps_the_promises_of_judges(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The tiny model writes rubbish, so what it writes is replaced; that it runs is shown by the other tests."""
    monkeypatch.setattr(TransformersJudge, "_reply", lambda *_: (WIRE, False))
    await check_judge(make_any_judge(load_judge_settings(f"transformers:{model}")), picture(), picture("navy"), task())


async def test_the_real_model_writes_the_same_at_temperature_0_and_stops_when_closed(model: Path) -> None:
    judge, usage = judge_of(model), JudgeUsage()
    texts = [await judge._in_thread(picture(), picture("navy"), task(), task().judge.sampling, usage) for _ in range(2)]
    assert texts[0] == texts[1]
    assert usage.calls == 2 and usage.reply_tokens <= 24
    assert texts[0][1], "cut off at 12 tokens"
    assert judge._loaded is not None
    judge._loaded[0].generation_config.eos_token_id = None  # A reply does not end by itself.
    endless = task(max_tokens=20_000, temperature=1)
    under_way = asyncio.create_task(judge.judge(picture(), picture("red"), endless))
    await asyncio.sleep(0.5)
    begun = time.monotonic()
    await judge.close()
    with pytest.raises(JudgeUnavailable, match="closed"):
        await under_way
    assert time.monotonic() - begun < 30
    with pytest.raises(JudgeUnavailable, match="closed"):
        await judge.judge(picture(), picture("red"), endless)


def test_the_bench_runs_it_and_a_reply_that_is_no_report_is_asked_for_again(model: Path, tmp_path: Path) -> None:
    picture().save(tmp_path / "a.png")
    picture("teal").save(tmp_path / "b.png")
    row = {"id": 1, "category": "table", "gt_img_path": "a.png", "pred_img_path": "b.png", "human_errors": []}
    (tmp_path / "rows.jsonl").write_text(json.dumps(row) + "\n")
    import yaml

    (tmp_path / "small.yaml").write_text(yaml.safe_dump(task().model_dump(mode="json")))
    (tmp_path / "mine.yaml").write_text(f"kind: transformers\nmodel: {model}\n")
    words = ["bench", "run", f"{tmp_path}/rows.jsonl", "--task", f"{tmp_path}/small.yaml", "--out", f"{tmp_path}/a.jsonl"]
    for judge, said in ((f"transformers:{model}", "1 answered, 0 kept"), (f"{tmp_path}/mine.yaml", "0 answered, 1 kept")):
        done = CliRunner().invoke(app, [*words, "--judge", judge])
        assert done.exit_code == 0, done.output
        assert said in done.output
    answer = json.loads((tmp_path / "a.jsonl").read_text())
    assert answer["judge"] == "reward-model (transformers)"
    assert answer["pred_json"] is None
    assert answer["error_parse_failed_reason"]
    assert answer["attempts"] == 2
    assert answer["prompt_tokens"] > 100 and 2 <= answer["reply_tokens"] <= 24


@pytest.mark.parametrize("kind", ["missing", "empty", "broken", "another"])
def test_a_folder_without_a_model_is_told(tmp_path: Path, kind: str) -> None:
    folder = tmp_path / "model"
    if kind != "missing":
        folder.mkdir()
    if kind in ("broken", "another"):
        (folder / "config.json").write_text("{" if kind == "broken" else '{"model_type": "bert"}')
    picture().save(tmp_path / "a.png")
    picture("teal").save(tmp_path / "b.png")
    words = ["judge", "table", f"{tmp_path}/a.png", f"{tmp_path}/b.png", "--judge", f"transformers:{folder}"]
    done = CliRunner().invoke(app, words)
    assert isinstance(done.exception, ConfigError)
    assert str(folder) in str(done.exception)
    (result,) = endpoints(load_judge_settings(f"transformers:{folder}"))
    assert result.state == ("missing" if kind in ("missing", "empty") else "ok")


def test_it_is_no_judge_of_rewards(model: Path) -> None:
    with pytest.raises(ConfigError, match="for rewards serve the model: visual-erm serve"):
        make_judge(load_judge_settings(f"transformers:{model}"))


@pytest.mark.parametrize(
    ("sampling", "expected"),
    [
        ({"temperature": 0, "max_tokens": 5}, {"max_new_tokens": 5, "do_sample": False}),
        (
            {"temperature": 0, "max_tokens": 5, "top_k": 3, "repetition_penalty": 1.05},
            {"max_new_tokens": 5, "do_sample": False, "repetition_penalty": 1.05},
        ),
        (
            {"temperature": 0.7, "max_tokens": 9, "top_p": 0.8, "top_k": 20, "presence_penalty": 1.5},
            {"max_new_tokens": 9, "do_sample": True, "temperature": 0.7, "top_p": 0.8, "top_k": 20},
        ),
    ],
)
def test_sampling_is_that_of_the_task(sampling: dict[str, Any], expected: dict[str, Any]) -> None:
    assert generation_options(Sampling(**sampling)) == expected


@pytest.mark.parametrize(("reply", "lowered"), [([], []), ([3], [3]), ([3, 3, 1], [1, 3]), ([0, 4, 0], [0, 4])])
def test_the_presence_penalty_counts_a_token_of_the_reply_once_and_none_of_the_prompt(
    reply: list[int], lowered: list[int]
) -> None:
    scores = torch.zeros(1, 5)
    scores[0, 2] = -math.inf
    found = PresencePenalty(1.5, prompt=2)(torch.tensor([[2, 4, *reply]]), scores)
    assert [place for place in range(5) if found[0, place] == -1.5] == lowered
    assert found[0, 2] == -math.inf
